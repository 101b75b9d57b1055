r"""Bandwidths by cross-validation: the score of every example under all others.

    likelihood(x)      max_h  sum_i w_i log f_{-i}(x_i)
    least_squares(x)   min_h  \int f^2 - 2 sum_i w_i f_{-i}(x_i)

Habbema, Hermans & van den Broek (1974) and Duin (1976); Rudemo (1982) and Bowman (1984). Pure
functions of (x, weights), as those of `bandwidths`: x is [N] or [N, D], the result [D] in its
units, one factor times the standard deviations. The kernel is Gaussian. Costs of N examples:
O(N + G log G) on the line, binned; in more dimensions, or up to 300 of them, O(N^2) in blocks.

Likelihood is hurt by long tails, least squares by ties; for examples with many equal values either
finds no bandwidth of use, and the least one that is tried is the answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy import fft, optimize
from scipy.spatial import distance

from gm.models.classical import bandwidths, binning

FEW = 300  # examples on the line, up to which sums are over pairs
BLOCK = 2**22  # numbers at once
LEAST, MOST = 1e-3, 4.0  # standard deviations
NUM_TRIED = 48
NUM_NODES = 2**16


def likelihood(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The bandwidth [D] under which examples are likeliest, each under the others.

    Raises:
      ValueError: fewer than two examples, or an element that does not vary.
    """
    x, w, s = _standardized(x, weights, "likelihood")
    size = x.shape[1]
    exact = size > 1 or len(x) <= FEW
    rise = _rise_by_pairs(x, w) if exact else _rise_by_bins(x[:, 0], w)
    low = high = len(x) ** (-1.0 / (size + 4))
    while rise(low) <= 0.0 and low > LEAST:
        low /= 2.0
    while rise(high) > 0.0 and high < MOST:
        high *= 2.0
    if rise(low) <= 0.0 or rise(high) > 0.0:
        return s * (low if rise(low) <= 0.0 else high)
    return s * optimize.brentq(rise, low, high, xtol=1e-12, rtol=1e-11)


def least_squares(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """The bandwidth [D] of the least estimated integrated squared error.

    Raises:
      ValueError: fewer than two examples, or an element that does not vary.
    """
    x, w, s = _standardized(x, weights, "least_squares")
    size = x.shape[1]
    if size > 1 or len(x) <= FEW:
        pairs, least = _all_pairs(x, w), 0.02
    else:
        lags, mass, step = _binned_pairs(x[:, 0], w)
        pairs, least = (lambda: iter([(lags**2, mass)])), max(LEAST, 4.0 * step)
    value, slope = _least_squares(pairs, float(np.sum(w * w)), size)
    tried = np.geomspace(least, MOST, NUM_TRIED if size == 1 else NUM_TRIED // 2)
    best = int(np.argmin([value(h) for h in tried]))
    if best in (0, len(tried) - 1):
        return s * tried[best]
    low, high = tried[best - 1], tried[best + 1]
    if not slope(low) < 0.0 < slope(high):
        return s * tried[best]
    return s * optimize.brentq(slope, low, high, xtol=1e-12, rtol=1e-11)


def _standardized(
    x: np.ndarray, weights: np.ndarray | None, name: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x at unit scale [N, D], weights of sum one, and the scales [D]."""
    x, w, n = bandwidths.prepared(x, weights, name)
    if len(x) < 2:
        raise ValueError(f"{name} needs at least two examples, one under the other; got {len(x)}.")
    s = bandwidths.spreads(x, w, n, name)
    return (x - x[0]) / s, w, s


def _rise_by_pairs(x: np.ndarray, w: np.ndarray) -> Callable[[float], float]:
    """d/d log h of the leave-one-out log-likelihood, by all pairs."""
    size, rows = x.shape[1], max(1, BLOCK // len(x))

    def rise(h: float) -> float:
        total = 0.0
        for begin in range(0, len(x), rows):
            square = distance.cdist(x[begin : begin + rows], x, "sqeuclidean")
            at = np.arange(len(square))
            square[at, begin + at] = np.inf
            square /= h * h
            nearest = np.min(square, axis=1, keepdims=True)  # its term is one, so none underflows
            share = w * np.exp(-0.5 * (square - nearest))
            square[at, begin + at] = 0.0
            ratio = np.sum(share * square, axis=1) / np.sum(share, axis=1)
            total += float(np.dot(w[begin : begin + rows], ratio - size))
        return total

    return rise


def _rise_by_bins(x: np.ndarray, w: np.ndarray) -> Callable[[float], float]:
    """The same on the line, from binned examples; exact for those that are nearly alone."""
    low, high = np.min(x), np.max(x)
    grid = np.linspace(low - 1e-9, high + 1e-9, NUM_NODES)
    step = grid[1] - grid[0]
    held = fft.rfft(binning.counts(x, w, grid), 2 * NUM_NODES)
    place = (x - grid[0]) / step
    left = np.minimum(place.astype(np.intp), NUM_NODES - 2)
    part = place - left
    same, next_one = part**2 + (1 - part) ** 2, 2.0 * part * (1 - part)  # of an example with itself

    def others(kernel: np.ndarray) -> np.ndarray:
        """Sums over the other examples, at each: [N]."""
        around = np.concatenate([kernel, [0.0], kernel[:0:-1]])
        values = fft.irfft(held * fft.rfft(around), 2 * NUM_NODES)
        at = values[left] * (1 - part) + values[left + 1] * part
        return at - w * (kernel[0] * same + kernel[1] * next_one)

    def rise(h: float) -> float:
        square = (step * np.arange(NUM_NODES) / h) ** 2
        kernel = np.exp(-0.5 * square)
        density, moment = others(kernel), others(square * kernel)
        alone = np.flatnonzero(density < 1e-9 * np.max(density))  # below the rounding of the FFT
        ratio = moment / np.where(density > 0.0, density, 1.0)
        ratio[alone] = _ratio_alone(x, w, alone, h)
        return float(np.dot(w, ratio - 1.0))

    return rise


def _ratio_alone(x: np.ndarray, w: np.ndarray, alone: np.ndarray, h: float) -> np.ndarray:
    """sum_j w_j z^2 K(z) / sum_j w_j K(z) over the others, at some examples."""
    ratios = np.zeros(len(alone))
    for k, i in enumerate(alone):
        square = ((x - x[i]) / h) ** 2
        square[i] = np.inf
        share = w * np.exp(-0.5 * (square - np.min(square)))
        square[i] = 0.0
        ratios[k] = np.dot(share, square) / np.sum(share)
    return ratios


Pairs = Callable[[], Iterator[tuple[np.ndarray, np.ndarray]]]  # squared distances, products of w


def _all_pairs(x: np.ndarray, w: np.ndarray) -> Pairs:
    """All ordered pairs of different examples, in blocks."""
    rows = max(1, BLOCK // len(x))

    def pairs() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for begin in range(0, len(x), rows):
            square = distance.cdist(x[begin : begin + rows], x, "sqeuclidean")
            mass = w[begin : begin + rows, None] * w
            at = np.arange(len(square))
            mass[at, begin + at] = 0.0
            yield square, mass

    return pairs


def _binned_pairs(x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Lags of an even grid, what ordered pairs of different examples have at each, and the step."""
    grid = np.linspace(np.min(x) - 1e-9, np.max(x) + 1e-9, NUM_NODES)
    step = grid[1] - grid[0]
    held = fft.rfft(binning.counts(x, w, grid), 2 * NUM_NODES)
    mass = fft.irfft(held * np.conj(held), 2 * NUM_NODES)[:NUM_NODES]
    part = (x - grid[0]) / step % 1.0
    itself = np.sum(w**2 * (part**2 + (1 - part) ** 2)), np.sum(w**2 * part * (1 - part))
    mass[:2] -= itself
    mass[1:] *= 2.0
    return step * np.arange(NUM_NODES), mass, step


def _least_squares(
    pairs: Pairs, own: float, size: int
) -> tuple[Callable[[float], float], Callable[[float], float]]:
    """The criterion without constants, and its derivative by log h.

    With u = d^2 / h^2 and c = (2 pi)^(-D/2) h^-D, the pairs give 2^(-D/2) c exp(-u/4) to the
    integral and c exp(-u/2) to the rest; own is what examples give to the integral by themselves.
    """
    half = 2.0 ** (-size / 2)
    rest = 2.0 / (1.0 - own)

    def sums(h: float) -> np.ndarray:
        total = np.zeros(4)
        for square, mass in pairs():
            u = square / (h * h)
            wide = mass * np.exp(-0.25 * u)
            narrow = mass * np.exp(-0.5 * u)
            total += np.sum(wide), np.sum(narrow), np.sum(wide * u), np.sum(narrow * u)
        return total

    def value(h: float) -> float:
        wide, narrow, _, _ = sums(h)
        c = (2.0 * math.pi) ** (-size / 2) * h**-size
        return c * (half * (own + wide) - rest * narrow)

    def slope(h: float) -> float:
        wide, narrow, wide_u, narrow_u = sums(h)
        integral = half * (-size * (own + wide) + 0.5 * wide_u)
        return (integral - rest * (-size * narrow + narrow_u)) * h**-size

    return value, slope
