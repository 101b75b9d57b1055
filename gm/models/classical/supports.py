"""Boundaries of densities: kernels that reach over an edge are folded back (reflection).

A support is one (low, high) for each element, infinite where there is no edge. A kernel K centred
at y becomes the sum of K centred at every image of y, mirrored in the edges again and again, and
integrates to one over the support: Boneva, Kendall & Stefanov (1971); Silverman (1986), section
2.10. Between two edges the seven nearest images are taken, which leaves out less than 1e-8 where
the bandwidth is at most half of the width.
"""

from __future__ import annotations

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from gm.core import Array

Support = tuple[tuple[float, float], ...]


def checked(support: Any, size: int, name: str) -> Support | None:
    """One pair for each of `size` elements, from one for all or one for each; None for no edges.

    Raises:
      ValueError: another number of them, or a low edge that is not below the high one.
    """
    if support is None:
        return None
    pairs = np.asarray(support, np.float64)
    if pairs.shape not in ((2,), (size, 2)) or not np.all(pairs[..., 0] < pairs[..., 1]):
        raise ValueError(
            f"{name} needs a support (low, high), low < high, for all elements or for each of the "
            f"{size}; got {support!r}."
        )
    rows = np.broadcast_to(pairs, (size, 2)).tolist()
    return None if np.all(np.isinf(pairs)) else tuple((low, high) for low, high in rows)


def check_inside(x: np.ndarray, support: Support | None, name: str) -> None:
    """Raises ValueError where an example of x: [N, D] is outside."""
    if support is None:
        return
    low, high = np.array(support).T
    outside = np.any((x < low) | (x > high), axis=1)
    if np.any(outside):
        raise ValueError(
            f"{name} needs examples inside its support {support}; {int(np.sum(outside))} of "
            f"{len(x)} are not, as {x[np.argmax(outside)]}."
        )


def images(x: Any, low: float, high: float) -> list[Any]:
    """x and what is mirrored in the edges: one, two or seven arrays of its shape."""
    if math.isinf(low) and math.isinf(high):
        return [x]
    if math.isinf(high):
        return [x, 2.0 * low - x]
    if math.isinf(low):
        return [x, 2.0 * high - x]
    period = 2.0 * (high - low)
    moved = [x + k * period for k in (0, -1, 1)]
    return moved + [2.0 * low - x + k * period for k in (0, 1, -1, 2)]


def folded(x: Array, support: Support | None) -> Array:
    """x: [D] mirrored back into the support."""
    if support is None:
        return x
    return jnp.stack([_fold(x[d], *edges) for d, edges in enumerate(support)])


def _fold(x: Array, low: float, high: float) -> Array:
    if math.isinf(low) and math.isinf(high):
        return x
    if math.isinf(high):
        return low + jnp.abs(x - low)
    if math.isinf(low):
        return high - jnp.abs(high - x)
    width = high - low
    return low + width - jnp.abs((x - low) % (2.0 * width) - width)


def inside(x: Array, support: Support | None) -> Array:
    """Whether x: [D] is in the support, a scalar."""
    if support is None:
        return jnp.array(True)
    low, high = jnp.asarray(support, jnp.float32).T
    return jnp.all((x >= low) & (x <= high))
