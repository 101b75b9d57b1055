r"""Bins of histograms, from examples on the line: pure functions of (x, weights) to edges.

    equal_width(x, num=...)       as many as asked
    sturges(x)                    log2 n + 1: Sturges (1926)
    scott(x)                      width 3.49 s n^(-1/3): Scott (1979)
    freedman_diaconis(x)          width 2 IQR n^(-1/3): Freedman & Diaconis (1981)
    cross_validated(x)            the width of least estimated squared error: Rudemo (1982)
    bayesian_blocks(x)            uneven ones: Scargle et al. (2013), arXiv:1207.5578

x is [N], the result [B + 1], ascending, from the least to the largest example. n is Kish's
effective number, (sum w)^2 / sum w^2. One repeated point has no bins: ValueError.
"""

from __future__ import annotations

import math

import numpy as np

from gm.models.classical import bandwidths

MAX_BINS = 4096
MAX_BLOCKS = 20_000  # examples of bayesian_blocks, whose cost is quadratic


def _line(
    x: np.ndarray, weights: np.ndarray | None, name: str
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """x: [N], weights of sum one, n, and the standard deviation."""
    x, w, n = bandwidths.prepared(np.asarray(x).reshape(-1), weights, name)
    return x[:, 0], w, n, float(bandwidths.spreads(x, w, n, name)[0])


def _of_width(x: np.ndarray, width: float) -> np.ndarray:
    """Even edges whose width is at most the one asked."""
    num = math.ceil(min(max(np.ptp(x) / max(width, 1e-300), 1.0), MAX_BINS) - 1e-9)
    return np.linspace(np.min(x), np.max(x), num + 1)


def equal_width(x: np.ndarray, weights: np.ndarray | None = None, *, num: int = 32) -> np.ndarray:
    """As many bins as asked, of one width."""
    x, _, _, _ = _line(x, weights, "equal_width")
    if not 1 <= num <= MAX_BINS:
        raise ValueError(f"equal_width needs from 1 to {MAX_BINS} bins; got {num}.")
    return np.linspace(np.min(x), np.max(x), num + 1)


def sturges(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """log2 n + 1 bins, for data near Gaussian."""
    x, _, n, _ = _line(x, weights, "sturges")
    return _of_width(x, np.ptp(x) / (math.log2(n) + 1.0))


def scott(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Width 3.49 s n^(-1/3), of the least error for Gaussian data."""
    x, _, n, s = _line(x, weights, "scott")
    return _of_width(x, (24.0 * math.sqrt(math.pi) / n) ** (1.0 / 3.0) * s)


def freedman_diaconis(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """Width 2 IQR n^(-1/3); that of `scott` where half of the examples are one point."""
    x, w, n, _ = _line(x, weights, "freedman_diaconis")
    low, high = np.quantile(x, (0.25, 0.75), weights=w, method="inverted_cdf")
    if not high > low:
        return scott(x, w)
    return _of_width(x, 2.0 * (high - low) * n ** (-1.0 / 3.0))


def cross_validated(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    r"""Even bins of the least unbiased estimate of the integrated squared error, without constants.

    (2 - (n + 1) \sum_b p_b^2) / (h (n - 1)) for bins of width h and shares p_b: every number of
    bins to 64, then steps of 5 %, up to n or MAX_BINS. Values that are often equal, as rounded
    ones, are found again by narrow bins: give such data a number of bins.
    """
    x, w, n, _ = _line(x, weights, "cross_validated")
    most = int(min(max(n, 2), MAX_BINS))
    more = np.geomspace(64, MAX_BINS, 86).astype(int)
    tried = [num for num in dict.fromkeys([*range(1, 65), *more]) if num <= most]

    def estimate(num: int) -> float:
        share, _ = np.histogram(x, num, weights=w)
        return num * (2.0 - (n + 1.0) * float(np.sum(share**2))) / (n - 1.0)

    return np.linspace(np.min(x), np.max(x), min(tried, key=estimate) + 1)


def bayesian_blocks(
    x: np.ndarray, weights: np.ndarray | None = None, *, false_positives: float = 0.05
) -> np.ndarray:
    """Uneven bins, the likeliest division of the line into blocks of constant density.

    Scargle, Norris, Jackson & Chiang (2013), "Studies in astronomical time series analysis VI",
    arXiv:1207.5578: dynamic programming over the midpoints of neighbours, N (log N - log T) for a
    block of N examples and length T, and a price for each from their equation 21. O(N^2).

    Args:
      x: [N], at most 20,000 different values.
      weights: [N], at least 0, examples; by default 1.
      false_positives: the probability of an edge too many, in data of one block.
    """
    if not 0.0 < false_positives < 1.0:
        raise ValueError(f"bayesian_blocks needs false_positives in (0, 1); got {false_positives}.")
    x, w, n, _ = _line(x, weights, "bayesian_blocks")
    values, place = np.unique(x, return_inverse=True)
    if len(values) > MAX_BLOCKS:
        raise ValueError(
            f"bayesian_blocks needs at most {MAX_BLOCKS:,} different values; got {len(values):,}. "
            "Take fewer of them, or freedman_diaconis."
        )
    count = np.bincount(place, n * w)
    price = 4.0 - math.log(73.53 * false_positives * n**-0.478)
    edges = np.concatenate([values[:1], 0.5 * (values[1:] + values[:-1]), values[-1:]])
    best, last = np.zeros(len(values)), np.zeros(len(values), np.intp)
    before = np.concatenate([[0.0], np.cumsum(count)])
    for i in range(len(values)):
        held = before[i + 1] - before[: i + 1]
        length = edges[i + 1] - edges[: i + 1]
        fit = held * (np.log(held) - np.log(length)) - price
        fit[1:] += best[:i]
        last[i] = np.argmax(fit)
        best[i] = fit[last[i]]
    found, i = [len(values)], len(values)
    while i > 0:
        i = int(last[i - 1])
        found.append(i)
    return edges[found[::-1]]
