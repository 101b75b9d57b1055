"""Sampling in two steps: randomness for many elements at once, then values from it one by one.

A sequential sampler knows the distribution of an element only when it reaches that element, but the
random numbers do not depend on the distribution. Random numbers for many elements from one key cost
a tenth of what they cost with a key for each.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Distribution, Key, PyTree
from gm.numerics import block_size


def randomness(one: Distribution, key: Key, num: int) -> PyTree:
    """What `sample_with` needs for num elements distributed like `one`: leaves [num, ...].

    Noise where the distribution has `noise` and `from_noise`, keys otherwise.
    """
    if not hasattr(one, "from_noise"):
        return jax.random.split(key, num)
    many = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num, *jnp.shape(leaf))), one)
    return many.noise(key)


def sample_with(one: Distribution, random: PyTree) -> Array:
    """A sample of one element from its own part of `randomness`."""
    return one.from_noise(random) if hasattr(one, "from_noise") else one.sample(random)


def randomness_of_event(one: Distribution, key: Key, size: int) -> PyTree:
    """The randomness of all elements of an event in their order: leaves [size, ...].

    One key is split for blocks of `block_size(size)` elements. A sampler that makes the randomness
    of each block from these keys when it reaches the block samples the same values in less memory.
    """
    block = block_size(size)
    blocks = jax.vmap(lambda k: randomness(one, k, block))(jax.random.split(key, size // block))
    return jax.tree.map(lambda leaf: leaf.reshape(size, *leaf.shape[2:]), blocks)
