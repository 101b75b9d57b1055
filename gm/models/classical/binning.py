"""Linear binning: examples as weights of the nodes of an even grid, in any number of dimensions.

Wand (1994), "Fast computation of multivariate kernel estimators": an example between nodes counts
for each of them the more, the nearer it is. Sums over examples of a smooth function are then sums
over nodes, with an error of the order of the squared step; a step of a fifth of the bandwidth costs
less than a percent of the density.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
from scipy import fft


def counts(x: np.ndarray, weights: np.ndarray | None, grid: np.ndarray) -> np.ndarray:
    """What each node of an even grid holds: [G], for x: [N]; what lies outside is left out.

    Args:
      x: [N].
      weights: [N]; by default 1.
      grid: [G], ascending nodes of one step.
    """
    num, step = len(grid), (grid[-1] - grid[0]) / (len(grid) - 1)
    place = (x - grid[0].astype(x.dtype)) * x.dtype.type(1.0 / step)
    kept = (place >= 0.0) & (place <= num - 1)
    if not np.all(kept):
        place, weights = place[kept], None if weights is None else weights[kept]
    left = place.astype(np.intp)
    place -= left
    if weights is not None:
        place *= weights
    whole = np.bincount(left, weights, minlength=num).astype(np.float64)
    right = np.bincount(left, place, minlength=num)
    whole -= right
    whole[1:] += right[:-1]
    return whole


def product_counts(
    x: np.ndarray, weights: np.ndarray | None, grids: Sequence[np.ndarray]
) -> np.ndarray:
    """As `counts`, on a product of grids: [G_1, ..., G_D] for x: [N, D], 2^D nodes an example."""
    if len(grids) == 1:
        return counts(x[:, 0], weights, grids[0])
    shape, x = tuple(map(len, grids)), x.astype(np.float64)
    step = np.array([(grid[-1] - grid[0]) / (len(grid) - 1) for grid in grids])
    place = (x - [grid[0] for grid in grids]) / step
    kept = np.all((place >= 0.0) & (place <= np.array(shape) - 1), axis=1)
    weights = np.ones(len(x)) if weights is None else weights
    place, weights = place[kept], weights[kept]
    left = np.minimum(place.astype(np.intp), np.array(shape) - 2)
    part = place - left
    total = np.zeros(shape).reshape(-1)
    for corner in itertools.product((0, 1), repeat=len(grids)):
        at = np.ravel_multi_index(tuple((left + corner).T), shape)
        share = np.prod(np.where(corner, part, 1.0 - part), axis=1)
        total += np.bincount(at, weights * share, minlength=len(total))
    return total.reshape(shape)


def smoothed(held: np.ndarray, kernels: Sequence[np.ndarray]) -> np.ndarray:
    """Convolved along every axis with a kernel of odd length, by FFT: the shape of `held`."""
    for axis, kernel in enumerate(kernels):
        size, middle = held.shape[axis], len(kernel) // 2
        num = fft.next_fast_len(size + len(kernel) - 1, real=True)
        along = [-1 if d == axis else 1 for d in range(held.ndim)]
        response = fft.rfft(kernel, num).reshape(along)
        values = fft.irfft(fft.rfft(held, num, axis) * response, num, axis)
        held = np.take(values, np.arange(middle, middle + size), axis)
    return held
