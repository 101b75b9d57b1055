r"""Permutation tests: whether a distance between two samples is larger than by chance.

    p = (1 + #{permutations whose statistic is at least the observed one}) / (1 + permutations)

Under the null hypothesis that both samples are from the same distribution, the p-value is at most
alpha with probability at most alpha, for any statistic and any sizes: Phipson & Smyth (2010),
arXiv:1603.05766. With a kernel all permutations share one matrix (Gretton et al. 2012, section 8).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm.core import Array, Key
from gm.losses import moments


def two_sample(
    key: Key,
    statistic: Callable[[Array, Array], Array],
    x: Array,
    y: Array,
    *,
    num_permutations: int = 199,
) -> tuple[Array, Array]:
    """The statistic of two samples and its permutation p-value; larger values of the statistic
    mean a larger difference.

    Args:
      key: the key of the permutations.
      statistic: (x: [M, ...], y: [N, ...]) -> scalar.
      x: [M, ...].
      y: [N, ...].
      num_permutations: the p-value is a multiple of 1 / (1 + this).

    Returns:
      (value, p_value).
    """
    pooled = jnp.concatenate([x, y])

    def permuted(key: Key) -> Array:
        z = jax.random.permutation(key, pooled)
        return statistic(z[: len(x)], z[len(x) :])

    value = statistic(x, y)
    others = jax.lax.map(permuted, jax.random.split(key, num_permutations))
    return value, _p_value(value, others)


@functools.partial(jax.jit, static_argnames=("num_permutations",))
def mmd(
    key: Key, kernel: moments.Kernel, x: Array, y: Array, *, num_permutations: int = 199
) -> tuple[Array, Array]:
    """The unbiased MMD^2 and its p-value; with `moments.negative_distance` it is the energy test.

    It needs memory for (M + N) (M + N + num_permutations) numbers.

    Args:
      key: the key of the permutations.
      kernel: a pytree such as `moments.RBF`, or `jax.tree_util.Partial` of a function.
      x: [M, D].
      y: [N, D].
      num_permutations: as in `two_sample`.

    Returns:
      (value, p_value).
    """
    pooled, m, n = jnp.concatenate([x, y]), len(x), len(y)
    pairs = kernel(pooled, pooled)
    pairs = pairs * (1.0 - jnp.eye(m + n, dtype=pairs.dtype))
    first = (jnp.arange(m + n) < m).astype(pairs.dtype)
    keys = jax.random.split(key, num_permutations)
    groups = jax.vmap(jax.random.permutation, (0, None))(keys, first)  # [P, M + N]
    groups = jnp.concatenate([first[None], groups])
    sums = jnp.matmul(groups, pairs, precision="highest")
    within_x, total = jnp.sum(sums * groups, 1), jnp.sum(pairs)
    between = jnp.sum(sums, 1) - within_x
    within_y = total - within_x - 2.0 * between
    values = within_x / (m * (m - 1)) + within_y / (n * (n - 1)) - 2.0 * between / (m * n)
    return values[0], _p_value(values[0], values[1:])


def _p_value(value: Array, others: Array) -> Array:
    """The p-value, in which ties, up to rounding, count as larger."""
    slack = 1e-6 * (jnp.abs(value) + jnp.abs(others))
    return (1.0 + jnp.sum(others >= value - slack)) / (1.0 + len(others))
