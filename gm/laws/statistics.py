"""Statistical tests of the laws."""

from __future__ import annotations

import numpy as np
from scipy import special

TOO_RARE = 1e-7  # probability that a correct model fails a check; thousands of checks are made
MIN_EXPECTED = 16.0  # below this a count is too skewed for chi-squared


def chi_squared(seen: np.ndarray, expected: np.ndarray) -> tuple[float, int, float]:
    """Pearson's test of counts against what is expected of them.

    Cells that expect less than MIN_EXPECTED are merged; where they expect too little even together,
    their count is held against a Poisson variable's.

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
        free = 0  # the rest need not add up
        if rare[1] > 0.0:
            p_rare = float(special.gammainc(rare[1], max(rare[0], 1e-3)))  # P(count >= seen)
    chi2 = float(np.sum((seen - expected) ** 2 / expected))
    freedom = max(len(expected) - free, 1)
    return chi2, freedom, min(p_rare, float(special.chdtrc(freedom, chi2)))


def two_samples(a: np.ndarray, b: np.ndarray, num_cells: int = 64) -> tuple[float, int, float]:
    """Whether as many real or whole numbers [N] of one set as of the other fall into each cell.

    Given that N each were taken, (a - b)^2 / (a + b) of the counts of cells add up to chi-squared.

    Returns:
      As `chi_squared`.
    """
    edges = np.unique(np.quantile(np.concatenate([a, b]), np.linspace(0, 1, num_cells + 1)[1:-1]))
    counts = [np.bincount(np.searchsorted(edges, x), minlength=len(edges) + 1) for x in (a, b)]
    both = counts[0] + counts[1]
    counts, both = [c[both > 0] for c in counts], both[both > 0]
    chi2 = float(np.sum((counts[0] - counts[1]) ** 2 / both))
    freedom = max(len(both) - 1, 1)
    return chi2, freedom, float(special.chdtrc(freedom, chi2))


def relative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """|a - b| / (1 + |b|); 0 where both are the same infinity."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    same = a == b
    a, b = np.where(same, 0.0, a), np.where(same, 0.0, b)
    return np.abs(a - b) / (1.0 + np.where(np.isfinite(b), np.abs(b), 0.0))
