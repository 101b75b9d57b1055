"""Permutations of elements, between layers of a flow that change only some of them; reshaping."""

from __future__ import annotations

import dataclasses
import math

import jax.numpy as jnp
import numpy as np

from gm.core import Array, Key, Params, PyTree


@dataclasses.dataclass(frozen=True)
class Permutation:
    """y_i = x_order(i) over the elements in raster order; log_det = 0.

    Attributes:
      order: a permutation of the D elements; `range(D)[::-1]` reverses them.

    Raises:
      ValueError: order is no permutation.
    """

    order: tuple[int, ...]

    def __post_init__(self) -> None:
        order = tuple(int(i) for i in self.order)
        if sorted(order) != list(range(len(order))):
            raise ValueError(
                f"Permutation needs each of 0, ..., {len(order) - 1} once; got {self.order}."
            )
        object.__setattr__(self, "order", order)

    def init(self, key: Key) -> Params:
        """Nothing: {}."""
        del key
        return {}

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x in the order."""
        del params, context
        return self._take(x, np.array(self.order))

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """y as it was before."""
        del params, context
        return self._take(y, np.argsort(self.order))

    def _take(self, x: Array, order: np.ndarray) -> tuple[Array, Array]:
        if x.size != len(order):
            raise ValueError(
                f"Permutation of {len(order)} elements needs as many; got an x of shape {x.shape}."
            )
        if np.array_equal(order, np.arange(len(order))[::-1]):  # for a gather is slow
            return jnp.flip(x.reshape(-1)).reshape(x.shape), jnp.zeros((), x.dtype)
        return x.reshape(-1)[order].reshape(x.shape), jnp.zeros((), x.dtype)


@dataclasses.dataclass(frozen=True)
class Reshape:
    """y has the elements of x, in raster order, in another shape; log_det = 0.

    Attributes:
      before: the shape of x.
      after: the shape of y.

    Raises:
      ValueError: they do not have the same number of elements.
    """

    before: tuple[int, ...]
    after: tuple[int, ...]

    def __post_init__(self) -> None:
        if math.prod(self.before) != math.prod(self.after):
            raise ValueError(
                f"Reshape needs shapes of as many elements; got {self.before} and {self.after}."
            )

    def init(self, key: Key) -> Params:
        """Nothing: {}."""
        del key
        return {}

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x in the shape `after`."""
        del params, context
        return x.reshape(self.after), jnp.zeros((), x.dtype)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """y in the shape `before`."""
        del params, context
        return y.reshape(self.before), jnp.zeros((), y.dtype)
