"""What every autoregressive model derives from its two faces.

    log p(x) = sum_i log p(x_o(i) | x_o(<i))       from `conditionals`, one parallel pass
    x_o(i) ~ p(. | x_o(<i)),  i = 0 .. D-1         from `start`, `predict`, `observe`

`sample` walks with the model's cache inside one scan. `sample_by_passes` is the textbook sampler,
one whole pass for each element: the same draw from the same key, at D times the price of scoring.
It is the yardstick of the benchmarks and the witness of the tests.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Autoregressive, Distribution, Key, Params
from gm.numerics import block_size


def log_prob(
    model: Autoregressive, params: Params, x: Array, context: Array | None = None
) -> Array:
    """log p(x | y) in nats, in one parallel pass."""
    return model.conditionals(params, x, *_given(context)).log_prob(x)


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
      key: one key; the i-th of the D split from it draws the i-th element of the order.
      context: y, for a conditional model.
      adjust: what each element is drawn from in place of its conditional: temperature, top-k and
        nucleus in `gm.sampling.decoding`.
    """

    adjust = adjust or (lambda conditional: conditional)
    start = model.start(params, *_given(context))
    first = adjust(model.predict(params, start))
    noisy = hasattr(first, "from_noise")  # then what it draws owes nothing to its parameters

    def draw(carry, drawn):
        conditional = adjust(model.predict(params, carry))
        x_i = conditional.from_noise(drawn) if noisy else conditional.sample(drawn)
        return model.observe(params, carry, x_i), x_i

    def block(carry, keys):
        return jax.lax.scan(draw, carry, jax.vmap(first.noise)(keys) if noisy else keys)

    keys = jax.random.split(key, model.event.size)
    # Random numbers are made for a block of elements at once: by far the cheapest way, and all of
    # them at once would be as large as all the conditionals.
    _, x = jax.lax.scan(block, start, keys.reshape(-1, block_size(len(keys))))
    return from_order(model, x.reshape(-1))


def sample_by_passes(
    model: Autoregressive, params: Params, key: Key, context: Array | None = None
) -> Array:
    """One x ~ p(x | y), with one whole parallel pass for every element."""
    order = jnp.array(model.order)

    def draw(i, x):
        conditionals = model.conditionals(params, x.reshape(model.event.shape), *_given(context))
        x_i = dist.element(conditionals, model.event.shape, order[i]).sample(keys[i])
        return x.at[order[i]].set(x_i)

    keys = jax.random.split(key, model.event.size)
    x = jax.lax.fori_loop(0, model.event.size, draw, jnp.zeros(model.event.size, model.event.dtype))
    return x.reshape(model.event.shape)


def _given(context: Array | None) -> tuple[Array, ...]:
    """As an argument; a model that takes no context need not have the parameter."""
    return () if context is None else (context,)


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
    place = [0] * model.event.size
    for i, element in enumerate(model.order):
        place[element] = i
    return x[jnp.array(place)].reshape(*model.event.shape, *x.shape[1:])
