"""Access to the distribution of one element of an event.

These functions need a distribution with independent elements whose leaves have the event's shape as
leading axes: all of this package except Dirichlet. Elements are numbered in raster order.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp

from gm.core import Array, Distribution
from gm.distributions.discrete import Categorical


def element(dist: Distribution, shape: tuple[int, ...], i: int | Array) -> Distribution:
    """The distribution of the i-th element, over a scalar event.

    Args:
      dist: a distribution over an event of the given shape.
      shape: the event's shape.
      i: raster index in [0, D); may be traced.

    Raises:
      ValueError: a parameter of dist does not have the event's shape as leading axes.
    """
    return jax.tree.map(lambda leaf: leaf[i], _raster(dist, shape))


def element_log_probs(dist: Distribution, x: Array) -> Array:
    """log p(x_i) of every element, nats, in the shape of x; their sum is `dist.log_prob(x)`."""
    x = jnp.asarray(x)
    log_probs = jax.vmap(lambda d, x_i: d.log_prob(x_i))(_raster(dist, x.shape), x.reshape(-1))
    return log_probs.reshape(x.shape)


def tabulate(dist: Distribution, shape: tuple[int, ...], num_values: int) -> Categorical:
    """The Categorical with the same probability of every value in {0, ..., K - 1}.

    It is exact for a distribution over those values, and truncated and renormalised for one over
    all counts. Entropy coders and temperatures work on this form.

    Args:
      dist: a discrete distribution over an event of the given shape.
      shape: the event's shape.
      num_values: K.

    Returns:
      A Categorical whose logits [..., K] are log probabilities.

    Raises:
      ValueError: a parameter of dist does not have the event's shape as leading axes.
    """
    column = jax.vmap(lambda k: element_log_probs(dist, jnp.full(shape, k)), out_axes=-1)
    return Categorical(column(jnp.arange(num_values)))


def _raster(dist: Distribution, shape: tuple[int, ...]) -> Distribution:
    """The same distribution with its event axes flattened into one."""

    def flatten(leaf: Array) -> Array:
        leaf = jnp.asarray(leaf)
        if leaf.shape[: len(shape)] != shape:
            raise ValueError(
                f"{type(dist).__name__} needs parameters whose leading axes are the event's shape "
                f"{shape}, one distribution per element; got {leaf.shape}."
            )
        return leaf.reshape(math.prod(shape), *leaf.shape[len(shape) :])

    return jax.tree.map(flatten, dist)
