"""What every autoregressive model derives from its two faces.

    log p(x) = sum_i log p(x_o(i) | x_o(<i))       from `conditionals`, one parallel pass
    x_o(i) ~ p(. | x_o(<i)),  i = 0 .. D-1         from `start`, `predict`, `observe`

`sample` walks with the model's cache inside one scan: by single elements or, where the model says
that it pays (`CausalModel.draws_blocks`), by blocks found as fixed points. `sample_by_passes` is
the textbook sampler, one whole pass for each element: the same draw from the same key, at D times
the price of scoring. It is the yardstick of the benchmarks and the witness of the tests.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.core import Array, Autoregressive, Distribution, Key, Params, PyTree, given
from gm.numerics import block_size


def log_prob(
    model: Autoregressive, params: Params, x: Array, context: Array | None = None
) -> Array:
    """log p(x | y) in nats, in one parallel pass."""
    return given(model, context).conditionals(params, x).log_prob(x)


def sample(
    model: Autoregressive,
    params: Params,
    key: Key,
    context: Array | None = None,
    *,
    adjust: Callable[[Distribution], Distribution] | None = None,
) -> Array:
    """One x ~ p(x | y), drawn element by element with the model's cache.

    Args:
      model: any autoregressive model.
      params: of the model.
      key: one key, split for blocks of elements (`dist.randomness_of_event`).
      context: y, for a conditional model.
      adjust: what each element is drawn from in place of its conditional: temperature, top-k and
        nucleus in `gm.sampling.decoding`.
    """

    size = block_size(model.event.size)
    adjust = adjust or (lambda conditional: conditional)
    start = given(model, context).start(params)
    first = adjust(model.predict(params, start))

    def draw(carry, random):
        x_i = dist.draw(adjust(model.predict(params, carry)), random)
        return model.observe(params, carry, x_i), x_i

    def block(carry, key):
        # Randomness of the whole event at once would be as large as all the conditionals.
        random = dist.randomness(first, key, size)
        if getattr(model, "draws_blocks", False):
            return _fixed_point(model, params, carry, random, adjust)
        return jax.lax.scan(draw, carry, random)

    _, x = jax.lax.scan(block, start, jax.random.split(key, model.event.size // size))
    return from_order(model, x.reshape(-1))


def _fixed_point(model, params, carry, random, adjust) -> tuple[PyTree, Array]:
    """The next block of elements, all redrawn from each other until nothing changes.

    Each pass makes at least one more element final (Song, Meng, Liao & Ermon, 2021,
    arXiv:2002.03629): among 28 pixels of MNIST about six do.
    """
    size = len(jax.tree.leaves(random)[0])

    def draw(state):
        x, _, num_passes = state
        conditionals = model.predict_block(params, carry, x)
        new = jax.vmap(lambda c, r: dist.draw(adjust(c), r))(conditionals, random)
        new = new.astype(x.dtype)
        return new, jnp.any(new != x), num_passes + 1

    first = jnp.zeros(size, model.event.dtype), jnp.ones((), jnp.bool_), 0
    x, *_ = jax.lax.while_loop(lambda state: state[1] & (state[2] < size), draw, first)
    return model.observe_block(params, carry, x), x


def sample_by_passes(
    model: Autoregressive, params: Params, key: Key, context: Array | None = None
) -> Array:
    """One x ~ p(x | y), with one whole parallel pass for every element."""
    order = jnp.array(model.order)
    x = jnp.zeros(model.event.shape, model.event.dtype)

    def one(i, x):
        conditionals = given(model, context).conditionals(params, x)
        return dist.element(conditionals, model.event.shape, order[i])

    def draw(i, x):
        x_i = dist.draw(one(i, x), jax.tree.map(lambda leaf: leaf[i], random))
        return x.reshape(-1).at[order[i]].set(x_i).reshape(x.shape)

    random = dist.randomness_of_event(one(0, x), key, model.event.size)
    return jax.lax.fori_loop(0, model.event.size, draw, x)


def check_conditional(model: Autoregressive) -> None:
    """Raises ValueError unless the model's head is over the values of its event."""
    if model.conditional.num_values != model.event.num_values:
        raise ValueError(
            f"{type(model).__name__} needs a conditional over num_values={model.event.num_values}, "
            f"as its event; got {model.conditional}. gm.distributions.head_for(event) gives one "
            "that fits."
        )


def in_order(model: Autoregressive, x: Array) -> Array:
    """The elements of x: [*event] in the model's order, [D]."""
    return x.reshape(-1)[jnp.array(model.order)]


def from_order(model: Autoregressive, x: Array) -> Array:
    """The inverse of `in_order`: elements [D, ...] in the model's order to [*event, ...]."""
    place = np.argsort(model.order)
    if not np.array_equal(place, np.arange(len(place))):  # for a gather is slow
        x = x[place]
    return x.reshape(*model.event.shape, *x.shape[1:])
