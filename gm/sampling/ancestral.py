r"""Ancestral sampling, and other scans over the elements of an autoregressive model.

    x_o(i) = choose(o(i), p(. | x_o(<i), y), random_i, given_i),   i = 0 .. D-1

There is one scan over the elements, with the model's cache; `choose` is a function of the index of
an element, its distribution and given data. `sample` samples; `gm.tasks.completion` samples the
unknown elements; a coder returns the interval of a given value; PixelDefend (Song et al., 2018,
arXiv:1710.10766) takes the likeliest value near the given one:

    def defend(i, p, random, x_i):
        near = jnp.abs(jnp.arange(K) - x_i) <= 16
        return jnp.argmax(jnp.where(near, p.log_probs, -jnp.inf)), ()

    x, _ = ancestral.scan(model, params, None, defend, x)

A logits processor can change each distribution first (`gm.sampling.decoding`). The scan goes by
single elements or, where that is faster (`core.BlockAutoregressive`), by blocks found as fixed
points. `sample_by_forward_passes` is the naive sampler, one forward pass per element: the same
sample from the same key at D times the cost of scoring, the reference of benchmarks and tests.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.core import (
    Array,
    Autoregressive,
    BlockAutoregressive,
    Distribution,
    Key,
    Params,
    PyTree,
    given,
)
from gm.numerics import block_size
from gm.sampling.decoding import LogitsProcessor

Choose = Callable[[Array, Distribution, PyTree, PyTree], tuple[Array, PyTree]]


def scan(
    model: Autoregressive,
    params: Params,
    key: Key | None,
    choose: Choose,
    data: PyTree = None,
    context: PyTree = None,
    *,
    logits_processor: LogitsProcessor | None = None,
) -> tuple[Array, PyTree]:
    """One x, chosen element by element in the model's order, and the outputs of `choose`.

    Args:
      model: any autoregressive model.
      params: of the model.
      key: one key, split for blocks of elements (`dist.randomness_of_event`); None where nothing is
        random.
      choose: (i, p, random, data_i) -> (x_i, out_i), a pure function of one element: its raster
        index i; its distribution p given the elements before it; its own part of the randomness,
        for `dist.sample_with(p, random)`, None without a key; and of the data.
      data: a pytree of arrays that lead with the event's shape, in raster order.
      context: y, for a conditional model.
      logits_processor: maps each conditional to p: temperature, top-k, nucleus (`decoding`).

    Returns:
      x: [*event], and every out_i, leaves [*event, ...].
    """
    num, size = model.event.size, block_size(model.event.size)
    process = logits_processor or (lambda conditional: conditional)
    start = given(model, context).start(params)
    first = process(model.predict(params, start))

    def one(p: Distribution, inputs: tuple[Array, PyTree, PyTree]) -> tuple[Array, PyTree]:
        i, random, data_i = inputs
        x_i, out = choose(i, process(p), random, data_i)
        return jnp.asarray(x_i).astype(model.event.dtype), out

    def element(carry: PyTree, inputs: tuple) -> tuple[PyTree, tuple[Array, PyTree]]:
        x_i, out = one(model.predict(params, carry), inputs)
        return model.observe(params, carry, x_i), (x_i, out)

    def block(carry: PyTree, inputs: tuple) -> tuple[PyTree, tuple[Array, PyTree]]:
        i, key, data = inputs
        # Randomness of the whole event at once would be as large as all the conditionals.
        inputs = i, None if key is None else dist.randomness(first, key, size), data
        if isinstance(model, BlockAutoregressive) and model.samples_blocks:
            return _fixed_point(model, params, carry, inputs, one)
        return jax.lax.scan(element, carry, inputs)

    keys = None if key is None else jax.random.split(key, num // size)
    order = jnp.array(model.order, jnp.int32)
    elements = order, jax.tree.map(lambda leaf: in_order(model, leaf), data)
    i, data = jax.tree.map(lambda leaf: leaf.reshape(-1, size, *leaf.shape[1:]), elements)
    _, blocks = jax.lax.scan(block, start, (i, keys, data))
    chosen = jax.tree.map(lambda leaf: leaf.reshape(num, *leaf.shape[2:]), blocks)
    return jax.tree.map(lambda leaf: from_order(model, leaf), chosen)


def _fixed_point(
    model: BlockAutoregressive, params: Params, carry: PyTree, inputs: tuple, one: Callable
) -> tuple[PyTree, tuple[Array, PyTree]]:
    """The next block of elements, by Jacobi iteration until nothing changes.

    Each forward pass makes at least one more element final (Song, Meng, Liao & Ermon, 2021,
    arXiv:2002.03629); for 28 pixels of MNIST about six suffice.
    """
    size, known = len(inputs[0]), (params, carry, inputs)

    def again(x: Array, params: Params, carry: PyTree, inputs: tuple) -> tuple[Array, PyTree]:
        return jax.vmap(one)(model.predict_block(params, carry, x), inputs)

    def step(state: tuple) -> tuple[Array, Array, Array | int]:
        x, _, num_forward_passes = state
        # Discrete values have no gradients, nor has a loop of unknown length.
        new, _ = again(x, *jax.lax.stop_gradient(known))
        return new, jnp.any(new != x), num_forward_passes + 1

    first = jnp.zeros(size, model.event.dtype), jnp.ones((), jnp.bool_), 0
    x, *_ = jax.lax.while_loop(lambda state: state[1] & (state[2] < size), step, first)
    return model.observe_block(params, carry, x), (x, again(x, *known)[1])


def sample(
    model: Autoregressive,
    params: Params,
    key: Key,
    context: PyTree = None,
    *,
    logits_processor: LogitsProcessor | None = None,
) -> Array:
    """One x ~ p(x | y), element by element with the model's cache: [*event].

    Args:
      model, params, context, logits_processor: as in `scan`.
      key: one key.
    """

    def sample_one(i: Array, p: Distribution, random: PyTree, data_i: None) -> tuple[Array, tuple]:
        return dist.sample_with(p, random), ()

    return scan(model, params, key, sample_one, None, context, logits_processor=logits_processor)[0]


def sample_by_forward_passes(
    model: Autoregressive, params: Params, key: Key, context: PyTree = None
) -> Array:
    """One x ~ p(x | y), with one forward pass for every element."""
    order = jnp.array(model.order)
    x = jnp.zeros(model.event.shape, model.event.dtype)

    def one(i, x):
        conditionals = given(model, context).conditionals(params, x)
        return dist.element(conditionals, model.event.shape, order[i])

    def sample_one(i, x):
        x_i = dist.sample_with(one(i, x), jax.tree.map(lambda leaf: leaf[i], random))
        return x.reshape(-1).at[order[i]].set(x_i).reshape(x.shape)

    random = dist.randomness_of_event(one(0, x), key, model.event.size)
    return jax.lax.fori_loop(0, model.event.size, sample_one, x)


def in_order(model: Autoregressive, x: Array) -> Array:
    """The elements of x: [*event, ...] in the model's order, [D, ...]."""
    x = jnp.asarray(x)
    if x.shape[: len(model.event.shape)] != model.event.shape:
        raise ValueError(
            f"ancestral.scan needs data that leads with the shape {model.event.shape} of the "
            f"event, an entry for each element; got {x.shape}. Use jax.vmap for a batch."
        )
    return x.reshape(model.event.size, *x.shape[len(model.event.shape) :])[jnp.array(model.order)]


def from_order(model: Autoregressive, x: Array) -> Array:
    """The inverse of `in_order`: elements [D, ...] in the model's order to [*event, ...]."""
    place = np.argsort(model.order)
    if not np.array_equal(place, np.arange(len(place))):  # for a gather is slow
        x = x[place]
    return x.reshape(*model.event.shape, *x.shape[1:])
