r"""Completion: the rest of an example, given some of its elements.

An autoregressive model walks its order, observing what is known and drawing what is not:

    x_o(i) = known value,  or  x_o(i) ~ p(. | x_o(<i), y)

Where the known elements come first in the order (the top of an image in raster order, a prefix of a
text) that is exact: the rest is a draw from p(x_rest | x_known, y). Elsewhere it is not: a draw
sees the known elements before it in the order, never those after it. `complete_weighted` then gives
the weight that makes up for it, so that weighted averages are those of p(x_rest | x_known, y)
(likelihood weighting: Fung & Chang, 1990; Shachter & Peot, 1990). The cost is that of one sample,
with the model's cache.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm import core
from gm import distributions as dist
from gm.core import Array, Autoregressive, Distribution, Key, Params, PyTree
from gm.sampling.decoding import Adjust


def complete(
    model: Autoregressive,
    params: Params,
    key: Key,
    x: Array,
    known: Array,
    context: Array | None = None,
    *,
    adjust: Adjust | None = None,
) -> Array:
    """x with its unknown elements drawn, each given all that comes before it in the order.

    A draw from p(x_rest | x_known, y) where the known elements come first in the model's order;
    otherwise each draw is conditioned only on what comes before it (see the module). With nothing
    known it is `model.sample` of the same key.

    Args:
      model: any autoregressive model.
      params: of the model.
      key: one key.
      x: [*event]; what stands at unknown places is not looked at.
      known: [*event] of bools.
      context: y, for a conditional model.
      adjust: what is drawn from in place of each conditional (`gm.sampling.decoding`).

    Returns:
      x: [*event].

    Raises:
      TypeError: the model is not autoregressive.
      ValueError: x or known has another shape or dtype, or a known value is not of the event.
    """
    return _walk(model, params, key, x, known, context, adjust, "complete")[0]


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
      x: [*event]; what stands at unknown places is not looked at.
      known: [*event] of bools.
      context: y, for a conditional model.

    Returns:
      x: [*event], and log w, a scalar in nats.

    Raises:
      As `complete`.
    """
    return _walk(model, params, key, x, known, context, None, "complete_weighted")


def continue_from(
    model: Autoregressive,
    params: Params,
    key: Key,
    prefix: Array,
    context: Array | None = None,
    *,
    adjust: Adjust | None = None,
) -> Array:
    """A draw from p(x_rest | the first n elements of the order, y), exact: the rest of a text.

    Args:
      model: any autoregressive model.
      params: of the model.
      key: one key.
      prefix: [n], values of the first n elements in the model's order, n <= D.
      context: y, for a conditional model.
      adjust: what is drawn from in place of each conditional (`gm.sampling.decoding`).

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
    return complete(model, params, key, x, known, context, adjust=adjust)


def _walk(
    model: Autoregressive,
    params: Params,
    key: Key,
    x: Array,
    known: Array,
    context: Array | None,
    adjust: Adjust | None,
    name: str,
) -> tuple[Array, Array]:
    """The completed x, and log p of the known elements, each given what came before it."""
    core.require(model, Autoregressive, name)
    x, known = _checked(model.event, jnp.asarray(x), jnp.asarray(known), name)
    order = jnp.array(model.order)

    def adjusted(p: Distribution) -> Distribution:
        return p if adjust is None else adjust(p)

    def step(carry: PyTree, inputs: tuple[PyTree, Array, Array]) -> tuple[PyTree, tuple]:
        random, x_i, known_i = inputs
        p = model.predict(params, carry)
        drawn = dist.draw(adjusted(p), random)
        log_p = jnp.where(known_i, p.log_prob(x_i), 0.0)
        x_i = jnp.where(known_i, x_i, drawn)
        return model.observe(params, carry, x_i), (x_i, log_p)

    start = core.given(model, context).start(params)
    one = adjusted(model.predict(params, start))
    random = dist.randomness_of_event(one, key, model.event.size)
    inputs = random, x.reshape(-1)[order], known.reshape(-1)[order]
    _, (walked, log_probs) = jax.lax.scan(step, start, inputs)
    completed = jnp.zeros_like(walked).at[order].set(walked)
    return completed.reshape(model.event.shape), jnp.sum(log_probs)


def _checked(event: core.Event, x: Array, known: Array, name: str) -> tuple[Array, Array]:
    """x in the event's dtype, with zeros at unknown places, and known; ValueError otherwise."""
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
    # A mark for what is missing (-1, nan) may stand at unknown places.
    x = jnp.where(known, x, jnp.zeros_like(x))
    event.check(x)
    return x.astype(event.dtype), known
