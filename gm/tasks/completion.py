r"""Completion: the rest of an example, given some of its elements.

An autoregressive model takes its elements in their order (`gm.sampling.ancestral`), those that are
known as they are, and samples those that are not:

    x_o(i) = known value,  or  x_o(i) ~ p(. | x_o(<i), y)

Where the known elements come first in the order (the top of an image in raster order, a prefix of a
text) that is exact: the rest is a sample of p(x_rest | x_known, y). Otherwise it is not: an element
depends on the known elements before it in the order, never on later ones. `complete_weighted` then
gives an importance weight, so that weighted averages are those of p(x_rest | x_known, y)
(likelihood weighting: Fung & Chang, 1990; Shachter & Peot, 1990). The cost is that of one sample,
with the model's cache.
"""

from __future__ import annotations

import jax.numpy as jnp

from gm import core
from gm import distributions as dist
from gm.core import Array, Autoregressive, Distribution, Key, Params, PyTree
from gm.sampling import ancestral
from gm.sampling.decoding import LogitsProcessor


def complete(
    model: Autoregressive,
    params: Params,
    key: Key,
    x: Array,
    known: Array,
    context: Array | None = None,
    *,
    logits_processor: LogitsProcessor | None = None,
) -> Array:
    """x with its unknown elements sampled, each given all that come before it in the order.

    A sample of p(x_rest | x_known, y) where the known elements come first in the model's order;
    otherwise each is conditioned only on earlier elements (see the module). With nothing
    known it is `model.sample` of the same key.

    Args:
      model: any autoregressive model.
      params: of the model.
      key: one key.
      x: [*event]; values at unknown elements are not used.
      known: [*event] of bools.
      context: y, for a conditional model.
      logits_processor: maps each conditional to what is sampled from (`gm.sampling.decoding`).

    Returns:
      x: [*event].

    Raises:
      TypeError: the model is not autoregressive.
      ValueError: x or known has another shape or dtype, or a known value is not of the event.
    """
    data = _checked(model, x, known, "complete")
    return ancestral.scan(
        model, params, key, _complete_one, data, context, logits_processor=logits_processor
    )[0]


def complete_weighted(
    model: Autoregressive,
    params: Params,
    key: Key,
    x: Array,
    known: Array,
    context: Array | None = None,
) -> tuple[Array, Array]:
    r"""A completion and its log weight: likelihood weighting.

        log w = \sum_{i known} log p(x_o(i) | x_o(<i), y)

    E[w f(x)] / E[w] = E[f(x) | x_known, y] and E[w] = p(x_known | y), without bias, wherever the
    known elements stand in the order. The more of them come late, the more the weights vary: where
    one of S weights has nearly all of their sum, S was too few.

    Args:
      model: any autoregressive model.
      params: of the model.
      key: one key.
      x: [*event]; values at unknown elements are not used.
      known: [*event] of bools.
      context: y, for a conditional model.

    Returns:
      x: [*event], and log w, a scalar in nats.

    Raises:
      TypeError, ValueError: as `complete`.
    """
    data = _checked(model, x, known, "complete_weighted")
    x, log_probs = ancestral.scan(model, params, key, _complete_one, data, context)
    return x, jnp.sum(log_probs)


def continue_from(
    model: Autoregressive,
    params: Params,
    key: Key,
    prefix: Array,
    context: Array | None = None,
    *,
    logits_processor: LogitsProcessor | None = None,
) -> Array:
    """A sample of p(x_rest | the first n elements of the order, y), exact: the rest of a text.

    Args:
      model: any autoregressive model.
      params: of the model.
      key: one key.
      prefix: [n], values of the first n elements in the model's order, n <= D.
      context: y, for a conditional model.
      logits_processor: maps each conditional to what is sampled from (`gm.sampling.decoding`).

    Returns:
      x: [*event].

    Raises:
      TypeError: the model is not autoregressive.
      ValueError: the prefix is too long, not a vector, or not of the event's values.
    """
    core.require(model, Autoregressive, "continue_from")
    event, prefix = model.event, jnp.asarray(prefix)
    if prefix.ndim != 1 or len(prefix) > event.size:
        raise ValueError(
            f"continue_from needs a prefix of shape [n], n <= {event.size}; got {prefix.shape}."
        )
    first = jnp.array(model.order[: len(prefix)], jnp.int32)
    x = jnp.zeros(event.size, prefix.dtype).at[first].set(prefix).reshape(event.shape)
    known = jnp.zeros(event.size, jnp.bool_).at[first].set(True).reshape(event.shape)
    return complete(model, params, key, x, known, context, logits_processor=logits_processor)


def _complete_one(
    i: Array, p: Distribution, random: PyTree, data: tuple[Array, Array]
) -> tuple[Array, Array]:
    """x_i where it is known, else a sample; and log p of it where it is known, else 0."""
    x_i, known = data
    log_p = jnp.where(known, p.log_prob(x_i), 0.0)
    return jnp.where(known, x_i, dist.sample_with(p, random)), log_p


def _checked(model: Autoregressive, x: Array, known: Array, name: str) -> tuple[Array, Array]:
    """x in the event's dtype, with zeros at unknown elements, and known; an error otherwise."""
    core.require(model, Autoregressive, name)
    event, x, known = model.event, jnp.asarray(x), jnp.asarray(known)
    for what, array in (("x", x), ("known", known)):
        if array.shape != event.shape:
            raise ValueError(
                f"{name} needs one {what} of shape {event.shape}; got {array.shape}. Use jax.vmap "
                "for a batch."
            )
    if known.dtype != jnp.bool_:
        raise ValueError(
            f"{name} needs known as bools, True where x is given; got {known.dtype}. Compare, "
            "known = mask > 0, if it holds numbers."
        )
    # Unknown elements may hold a marker, such as -1 or nan.
    x = jnp.where(known, x, jnp.zeros_like(x))
    event.check(x)
    return x.astype(event.dtype), known
