r"""Adaptive quadrature over R or R^2, on a grid that is refined at samples and by its error.

    \int f(x) dx = \int f(x(u)) |dx/du| du,    x = m + s u / (1 - u^2),  u in (-1, 1)

m and s are the location and width of given samples, so that no scale is assumed and the grid covers
the whole space. Cells of u are halved along every axis while they contain many samples, or while
their integral differs from that of their halves, so that two resolutions are compared everywhere.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np

Integrand = Callable[[np.ndarray], np.ndarray]  # [N, d] -> [N, K]

MAX_POINTS = 2**18
MAX_LEVEL = 28  # two indices of this many bits fit in one integer
LOCAL = 3e-6  # tolerance between two resolutions of one cell
SHARE = 0.003  # largest fraction of the samples in one cell
MISSED = 6.0  # ratio of peak to mean in a cell beyond which the grid has missed a peak
NUM_NODES = {1: 8, 2: 4}  # Gauss-Legendre nodes along each axis of a cell


@dataclasses.dataclass(frozen=True)
class Map:
    """x = m + s u / (1 - u^2) along every axis."""

    middle: np.ndarray  # [d]
    width: np.ndarray  # [d]

    @classmethod
    def of(cls, x: np.ndarray) -> Map:
        """The map whose width is that of the middle two thirds of samples [N, d]."""
        low, middle, high = np.quantile(x.astype(np.float64), (1 / 6, 0.5, 5 / 6), axis=0)
        return cls(middle, np.maximum((high - low) / 2.0, 1e-6 * (1e-6 + np.abs(middle))))

    def x(self, u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x and |dx/du| at u: [..., d]."""
        inside = 1.0 - u * u
        slope = self.width * (1.0 + u * u) / (inside * inside)
        return self.middle + self.width * u / inside, np.prod(slope, axis=-1)

    def place(self, x: np.ndarray) -> np.ndarray:
        """u in [0, 1) in units of 2^-MAX_LEVEL, for x: [N, d]."""
        t = (x.astype(np.float64) - self.middle) / self.width
        u = 2.0 * t / (1.0 + np.sqrt(1.0 + 4.0 * t * t))  # exact near zero and for large t
        cell = np.floor((u + 1.0) * 2.0 ** (MAX_LEVEL - 1))
        return np.clip(cell, 0, 2**MAX_LEVEL - 1).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Quadrature:
    """Integrals, and the cells that they are sums of.

    Attributes:
      total: [K] integrals.
      error: the difference of two resolutions, summed over cells; relative if totals are large.
      mass: [C], the integral of the first integrand over every cell.
      begin: [C], ascending: the start of each cell along the curve of `_along`.
      map: the map from u to x.
    """

    total: np.ndarray
    error: float
    mass: np.ndarray
    begin: np.ndarray
    map: Map

    def cells_of(self, x: np.ndarray) -> np.ndarray:
        """The index of the cell of every x: [N, d]."""
        return np.searchsorted(self.begin, _along(self.map.place(x)), side="right") - 1

    def points(self, num: int, rng: np.random.Generator) -> np.ndarray:
        """[num, d] points where the first integrand is, uniform within each cell."""
        num_dims = len(self.map.middle)
        mass = np.cumsum(np.fmax(self.mass, 0.0))
        cell = np.searchsorted(mass, mass[-1] * rng.random(num))
        size = np.diff(self.begin, append=2 ** (MAX_LEVEL * num_dims))[cell]
        place = _apart(self.begin[cell] + (size * rng.random(num)).astype(np.int64), num_dims)
        return self.map.x(2.0 ** (1 - MAX_LEVEL) * (place + 0.5) - 1.0)[0]


@np.errstate(over="ignore", invalid="ignore")  # of functions that are not densities
def integrate(f: Integrand, samples: Sequence[np.ndarray], fineness: int = 1) -> Quadrature:
    """The integrals of f over R^d.

    Args:
      f: K integrands at [N, d] points, with integrals of order one.
      samples: sets [N, d] of points where f is large; the first defines the scale.
      fineness: the fineness of the grid, relative to the default.
    """
    grid = Map.of(samples[0])
    places = [grid.place(x) for x in samples]
    peaks = np.concatenate([_heights(f, grid, x) for x in samples])
    where = np.concatenate(places)
    num_dims, level, num_points = samples[0].shape[1], 2, 0
    corners = np.indices((2,) * num_dims).reshape(num_dims, -1).T  # [2^d, d]
    cells = np.indices((4,) * num_dims).reshape(num_dims, -1).T
    before, done, error = None, [], 0.0
    while True:
        values, fine = _integrals(f, grid, cells, level)
        num_points += len(cells) * NUM_NODES[num_dims] ** num_dims
        if before is None:
            gap = np.full(len(cells), np.inf)
        else:
            size = np.maximum(1.0, np.abs(sum((v.sum(0) for _, v in done), values.sum(0))))
            gaps = values.reshape(len(before), len(corners), -1).sum(1) - before
            gaps = np.max(np.abs(gaps) / size, axis=1)
            gap = np.repeat(gaps / len(corners), len(corners))
        # A ridge between the nodes shows at samples, where f is too large for the cell's integral.
        highest = _highest(where, peaks, cells, level) * 2.0 ** (num_dims * (1 - level))
        missed = highest > MISSED * values[:, 0] + LOCAL
        rough = missed | (gap * len(corners) > LOCAL / fineness**2)
        crowded = (
            np.max([_share(place, cells, level) for place in places], axis=0) > SHARE / fineness
        )
        split = (rough | crowded) & fine & (level < MAX_LEVEL)
        if (
            num_points + np.sum(split) * len(corners) * NUM_NODES[num_dims] ** num_dims
            > MAX_POINTS * fineness
        ):
            split = np.zeros_like(split)
        done.append((cells[~split] << (MAX_LEVEL - level), values[~split]))
        error += float(np.sum(gap[~split])) / 3.0  # remaining error for convergence of order two
        if not np.any(split):
            break
        cells = (2 * cells[split][:, None] + corners).reshape(-1, num_dims)
        before, level = values[split], level + 1
    begin, values = (np.concatenate(parts) for parts in zip(*done, strict=True))
    order = np.argsort(begin := _along(begin))
    return Quadrature(values.sum(0), error, values[order, 0], begin[order], grid)


def _integrals(
    f: Integrand, grid: Map, cells: np.ndarray, level: int
) -> tuple[np.ndarray, np.ndarray]:
    """[C, K] integrals over cells [C, d] of a level, and whether they can be halved in float32."""
    num_dims = cells.shape[1]
    node, weight = np.polynomial.legendre.leggauss(NUM_NODES[num_dims])
    nodes = np.stack(np.meshgrid(*[node] * num_dims, indexing="ij"), -1).reshape(-1, num_dims)
    weights = np.prod(np.meshgrid(*[weight] * num_dims, indexing="ij"), axis=0).reshape(-1)
    half = 2.0**-level
    u = -1.0 + half * (2.0 * cells[:, None] + 1.0 + nodes)
    x, slope = grid.x(u)
    slope = slope * half**num_dims * weights
    values = f(x.reshape(-1, num_dims).astype(np.float32)).reshape(*slope.shape, -1)
    size = np.max(np.abs(x), axis=(1, 2))
    fine = np.min(np.ptp(x, axis=1), axis=1) > 256 * np.finfo(np.float32).eps * size
    return np.einsum("cn,cnk->ck", slope, values), fine


def _share(place: np.ndarray, cells: np.ndarray, level: int) -> np.ndarray:
    """The fraction of samples at places [N, d] in every cell [C, d] of a level."""
    held = _along(_floor(place, level))
    keys, counts = np.unique(held, return_counts=True)
    wanted = _along(cells << (MAX_LEVEL - level))
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, counts[at], 0) / len(place)


def _heights(f: Integrand, grid: Map, x: np.ndarray) -> np.ndarray:
    """The first integrand as a density of u, at samples [N, d]."""
    u = 2.0 ** (1 - MAX_LEVEL) * (grid.place(x) + 0.5) - 1.0
    return f(x.astype(np.float32))[:, 0] * grid.x(u)[1]


def _highest(place: np.ndarray, height: np.ndarray, cells: np.ndarray, level: int) -> np.ndarray:
    """The largest of heights [N] at places [N, d] in every cell [C, d] of a level; 0 if empty."""
    keys, index = np.unique(_along(_floor(place, level)), return_inverse=True)
    highest = np.zeros(len(keys))
    np.maximum.at(highest, index, height)
    wanted = _along(cells << (MAX_LEVEL - level))
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, highest[at], 0.0)


def _floor(place: np.ndarray, level: int) -> np.ndarray:
    """The start of the cell of a level that contains each place."""
    return place >> (MAX_LEVEL - level) << (MAX_LEVEL - level)


def _along(place: np.ndarray) -> np.ndarray:
    """Interleaves the bits of d indices: the position on a space-filling (Morton) curve."""
    along = np.zeros(len(place), np.int64)
    for bit in reversed(range(MAX_LEVEL)):
        for axis in range(place.shape[1]):
            along = 2 * along + (place[:, axis] >> bit & 1)
    return along


def _apart(along: np.ndarray, num_dims: int) -> np.ndarray:
    """The indices [N, d] whose bits `_along` interleaved."""
    place = np.zeros((len(along), num_dims), np.int64)
    for bit in range(MAX_LEVEL):
        for axis in range(num_dims):
            place[:, axis] |= (along >> (bit * num_dims + num_dims - 1 - axis) & 1) << bit
    return place
