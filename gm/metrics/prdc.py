r"""Precision, recall, density and coverage of samples: quality and variety apart.

With B(x_i) the ball around x_i that reaches its k-th neighbour among the other x:

    precision   share of fake y in any B of a real x          quality; one outlier's ball spoils it
    recall      share of real x in any B of a fake y          variety; rewards spread-out fakes
    density     real balls that hold a fake y, over k         quality; 1 in the mean at p = q
    coverage    share of real x with a fake y in B(x)         variety; below 1 even at p = q

Kynkäänniemi et al. (2019), arXiv:1904.06991; Naeem et al. (2020), arXiv:2002.09797. Distances are
Euclidean in the features given; values depend on k, N and M: compare only what shares all three.
"""

from __future__ import annotations

import dataclasses

import numpy as np
from scipy.spatial import distance

from gm.core import Array
from gm.metrics.score import Score

ROWS = 1024  # of a matrix of distances in memory at once


@dataclasses.dataclass(frozen=True)
class PRDC:
    """Quality and variety of M samples against N examples.

    Attributes:
      precision, recall, coverage: shares, in [0, 1].
      density: at least 0; 1 in the mean where samples follow the data.
      k: of the neighbours.
      num_real, num_fake: N, M.
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    num_real: int
    num_fake: int
    _spread: float = dataclasses.field(default=0.0, repr=False)

    @property
    def expected_coverage(self) -> float:
        """E coverage where samples follow the data: 1 - prod_(j=1..k) (N - j) / (N + M - j)."""
        j = np.arange(1, self.k + 1)
        return float(1.0 - np.prod((self.num_real - j) / (self.num_real + self.num_fake - j)))

    def scores(self) -> dict[str, Score]:
        """The four by name; standard errors are over one side, the balls being given."""

        def share(p: float, count: int) -> Score:
            error = float(np.sqrt(p * (1.0 - p) / count))
            return Score(p, error, count, "share", "estimate")

        density = Score(self.density, self._spread, self.num_fake, "balls / k", "estimate")
        return {
            "precision": share(self.precision, self.num_fake),
            "recall": share(self.recall, self.num_real),
            "density": density,
            "coverage": share(self.coverage, self.num_real),
        }

    def __str__(self) -> str:
        """`precision 0.91, recall 0.85, density 1.02, coverage 0.93 (k = 5)`"""
        names = ("precision", "recall", "density", "coverage")
        return f"{', '.join(f'{name} {getattr(self, name):.3f}' for name in names)} (k = {self.k})"


def prdc(real: Array | np.ndarray, fake: Array | np.ndarray, *, k: int = 5) -> PRDC:
    """Precision, recall, density and coverage.

    Args:
      real: [N, ...], fake: [M, ...], features or raw values; flattened, in float64.
      k: of the neighbours, below N and M. The papers take 3 (precision, recall) and 5.

    Raises:
      ValueError: shapes that do not fit, too few examples, or values that are not finite.
    """
    real, fake = (np.asarray(a, np.float64) for a in (real, fake))
    real, fake = (a.reshape(len(a), -1) for a in (real, fake))
    if real.shape[1] != fake.shape[1] or not 0 < k < min(len(real), len(fake)):
        raise ValueError(
            "prdc needs real and fake examples of one shape, more than k >= 1 of each; got "
            f"{real.shape} and {fake.shape} for k = {k}."
        )
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("prdc needs finite values; got nan or inf.")
    around_real, around_fake = radii(real, k), radii(fake, k)
    held, recalled, covered = np.zeros(len(fake)), np.zeros(len(real), bool), np.zeros(0, bool)
    for i in range(0, len(real), ROWS):
        rows = slice(i, i + ROWS)
        between = distance.cdist(real[rows], fake)
        within = between < around_real[rows, None]
        held += within.sum(0)
        recalled[rows] = np.any(between < around_fake, axis=1)
        covered = np.concatenate([covered, within.any(1)])
    return PRDC(
        float(np.mean(held > 0)),
        float(recalled.mean()),
        float(held.mean() / k),
        float(covered.mean()),
        k,
        len(real),
        len(fake),
        float(held.std(ddof=1) / k / np.sqrt(len(fake))),
    )


def radii(x: np.ndarray, k: int) -> np.ndarray:
    """The distance of each x, [N, D], to its k-th neighbour among the others: [N]."""
    found = []
    for i in range(0, len(x), ROWS):
        rows = distance.cdist(x[i : i + ROWS], x)
        rows[np.arange(len(rows)), i + np.arange(len(rows))] = 0.0  # itself, whatever rounding says
        found.append(np.partition(rows, k, axis=1)[:, k])
    return np.concatenate(found)
