"""Integrals over latents of any type: quadrature, enumeration, or samples with a standard error.

A latent is a pytree. With at most two real elements, these are integrated over by quadrature, for
every combination of the discrete elements. With more of either, integrals are estimated from
samples of two densities, half from each, so that no weight exceeds two.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import PyTree

MAX_STATES = 2**12  # states of discrete elements without real ones
MAX_MIXED = 2**5  # states of discrete elements with real ones


@dataclasses.dataclass(frozen=True)
class Space:
    """The space of latents, as vectors of real elements and of discrete ones.

    Attributes:
      tree, shapes, dtypes: the structure of one latent and the shapes and dtypes of its leaves.
      ranges: [n, 2], the smallest and largest value of each discrete element in samples.
    """

    tree: Any
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[np.dtype, ...]
    ranges: np.ndarray

    @classmethod
    def of(cls, *samples: PyTree) -> Space:
        """The space of samples, leaves [N, ...]."""
        leaves, tree = jax.tree.flatten(samples[0])
        shapes = tuple(leaf.shape[1:] for leaf in leaves)
        space = cls(tree, shapes, tuple(leaf.dtype for leaf in leaves), np.zeros((0, 2)))
        seen = np.concatenate([space.split(sample)[1] for sample in samples])
        return dataclasses.replace(space, ranges=np.stack([seen.min(0), seen.max(0)], axis=1))

    @property
    def num_reals(self) -> int:
        """The number of real elements."""
        return sum(
            int(np.prod(s)) for s, real in zip(self.shapes, self._real(), strict=True) if real
        )

    @property
    def num_states(self) -> float:
        """The number of combinations of discrete elements; 1 without any."""
        return float(np.prod(self.ranges[:, 1] - self.ranges[:, 0] + 1.0))

    def states(self) -> np.ndarray:
        """All combinations of discrete elements: [num_states, n]."""
        values = [range(int(low), int(high) + 1) for low, high in self.ranges]
        states = list(itertools.product(*values))
        return np.array(states, np.int64).reshape(len(states), len(values))

    def every(self) -> PyTree:
        """All latents of a space without real elements, in the order of `states`."""
        states = self.states()
        return self.join(np.zeros((len(states), 0)), states)

    def number(self, z: PyTree) -> np.ndarray:
        """The place in `states` of what is discrete in z, leaves [N, ...]: [N]"""
        low, high = self.ranges.T.astype(np.int64)
        return np.ravel_multi_index((self.split(z)[1] - low).T, tuple(high - low + 1))

    def split(self, z: PyTree) -> tuple[np.ndarray, np.ndarray]:
        """Splits leaves [N, ...] into real elements [N, d] in float64 and discrete ones [N, n]."""
        leaves = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(z)]
        parts = [[], []]
        for leaf, real in zip(leaves, self._real(), strict=True):
            parts[not real].append(leaf)
        none = np.zeros((len(leaves[0]), 0))
        reals = np.concatenate([none, *parts[0]], axis=1).astype(np.float64)
        return reals, np.concatenate([none.astype(np.int64), *parts[1]], axis=1).astype(np.int64)

    def join(self, reals: np.ndarray, discrete: np.ndarray) -> PyTree:
        """Joins real elements [N, d] and discrete ones [N, n] to leaves [N, ...]."""
        leaves, at = [], {True: 0, False: 0}
        for shape, dtype, real in zip(self.shapes, self.dtypes, self._real(), strict=True):
            size = int(np.prod(shape))
            values = (reals if real else discrete)[:, at[real] : at[real] + size]
            leaves.append(values.reshape(-1, *shape).astype(dtype))
            at[real] += size
        return jax.tree.unflatten(self.tree, leaves)

    def _real(self) -> list[bool]:
        return [bool(jnp.issubdtype(dtype, jnp.floating)) for dtype in self.dtypes]


Integrand = Callable[[PyTree], np.ndarray]  # leaves [N, ...] -> [N, K]


def exactly(
    f: Integrand, space: Space, integrate: Callable[[Integrand], np.ndarray]
) -> np.ndarray | None:
    """[K] sums over all states of integrals over real elements; None if there are too many.

    Args:
      f: K integrands.
      space: the space of the latents.
      integrate: maps a function of [N, d] points to its integrals over R^d, d = 1 or 2.
    """
    if space.num_reals > 2 or space.num_states > (MAX_MIXED if space.num_reals else MAX_STATES):
        return None
    if not space.num_reals:
        return np.sum(f(space.every()), axis=0)
    states = space.states()

    def summed(x: np.ndarray) -> np.ndarray:
        return sum(f(space.join(x, np.broadcast_to(s, (len(x), len(s))))) for s in states)

    return integrate(summed)


def by_samples(f: Integrand, halves: tuple[PyTree, PyTree]) -> tuple[np.ndarray, np.ndarray]:
    """[K] integrals and their standard errors, from equally many samples of two densities.

    Args:
      f: K integrands, divided by half the sum of the two densities.
      halves: samples of each density, leaves [N, ...].
    """
    values = np.stack([f(half) for half in halves])  # [2, N, K]
    error = np.sqrt(np.sum(np.var(values, axis=1), axis=0) / values.shape[1]) / 2.0
    return np.mean(values, axis=(0, 1)), error
