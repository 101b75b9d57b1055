"""Statistical tests of the laws."""

from __future__ import annotations

import numpy as np
from scipy import special

TOO_RARE = 1e-7  # probability that a correct model fails a check; there are thousands of checks
MIN_EXPECTED = 16.0  # below this a count is too skewed for chi-squared


def chi_squared(seen: np.ndarray, expected: np.ndarray) -> tuple[float, int, float]:
    """Pearson's chi-squared test of counts against expected counts.

    Cells with expected counts below MIN_EXPECTED are merged; if their sum is still below it, it is
    tested as a Poisson variable.

    Returns:
      The statistic, its degrees of freedom, and the probability of one at least as large.
    """
    small = expected < MIN_EXPECTED
    rare = float(expected[small].sum()), float(seen[small].sum())
    seen, expected = seen[~small], expected[~small]
    free, p_rare = 1, 1.0
    if rare[0] >= MIN_EXPECTED:
        seen, expected = np.append(seen, rare[1]), np.append(expected, rare[0])
    elif rare[0] > 0.0 or rare[1] > 0.0:
        free = 0  # the total of the other cells is not fixed
        if rare[1] > 0.0:
            p_rare = float(special.gammainc(rare[1], max(rare[0], 1e-3)))  # P(count >= seen)
    chi2 = float(np.sum((seen - expected) ** 2 / expected))
    freedom = max(len(expected) - free, 1)
    return chi2, freedom, min(p_rare, float(special.chdtrc(freedom, chi2)))


def two_samples(a: np.ndarray, b: np.ndarray, num_cells: int = 64) -> tuple[float, int, float]:
    """A chi-squared test that two sets [N] of real numbers or integers have the same distribution.

    For equal sizes the statistic is the sum of (a - b)^2 / (a + b) over the counts of cells.

    Returns:
      As in `chi_squared`.
    """
    edges = np.unique(np.quantile(np.concatenate([a, b]), np.linspace(0, 1, num_cells + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) for x in (a, b)]
    both = counts[0] + counts[1]
    counts, both = [c[both > 0] for c in counts], both[both > 0]
    chi2 = float(np.sum((counts[0] - counts[1]) ** 2 / both))
    freedom = max(len(both) - 1, 1)
    return chi2, freedom, float(special.chdtrc(freedom, chi2))


def relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| / (1 + |b|); 0 if both are the same infinity."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    same = a == b
    a, b = np.where(same, 0.0, a), np.where(same, 0.0, b)
    return np.abs(a - b) / (1.0 + np.where(np.isfinite(b), np.abs(b), 0.0))
