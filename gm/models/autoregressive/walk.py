"""What every autoregressive model derives from its two faces.

    log p(x) = sum_i log p(x_o(i) | x_o(<i))       from `conditionals`, one parallel pass
    x_o(i) ~ p(. | x_o(<i)),  i = 0 .. D-1         from `start`, `predict`, `observe`

`sample` walks with the model's cache inside one scan. `sample_by_passes` is the textbook sampler,
one whole pass for each element: the same draw from the same key, at D times the price of scoring.
It is the yardstick of the benchmarks and the witness of the tests.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Autoregressive, Key, Params


def log_prob(model: Autoregressive, params: Params, x: Array) -> Array:
    """log p(x) in nats, in one parallel pass."""
    return model.conditionals(params, x).log_prob(x)


def sample(model: Autoregressive, params: Params, key: Key) -> Array:
    """One x ~ p(x), drawn element by element with the model's cache."""

    def draw(carry, key):
        x_i = model.predict(params, carry).sample(key)
        return model.observe(params, carry, x_i), x_i

    keys = jax.random.split(key, model.event.size)
    _, x = jax.lax.scan(draw, model.start(params), keys)
    return from_order(model, x)


def sample_by_passes(model: Autoregressive, params: Params, key: Key) -> Array:
    """One x ~ p(x), with one whole parallel pass for every element."""
    order = jnp.array(model.order)

    def draw(i, x):
        conditionals = model.conditionals(params, x.reshape(model.event.shape))
        x_i = dist.element(conditionals, model.event.shape, order[i]).sample(keys[i])
        return x.at[order[i]].set(x_i)

    keys = jax.random.split(key, model.event.size)
    x = jax.lax.fori_loop(0, model.event.size, draw, jnp.zeros(model.event.size, model.event.dtype))
    return x.reshape(model.event.shape)


def in_order(model: Autoregressive, x: Array) -> Array:
    """The elements of x: [*event] in the model's order, [D]."""
    return x.reshape(-1)[jnp.array(model.order)]


def from_order(model: Autoregressive, x: Array) -> Array:
    """The inverse of `in_order`: elements [D, ...] in the model's order to [*event, ...]."""
    place = [0] * model.event.size
    for i, element in enumerate(model.order):
        place[element] = i
    return x[jnp.array(place)].reshape(*model.event.shape, *x.shape[1:])
