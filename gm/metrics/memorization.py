r"""Memorization: are samples nearer to the training set than unseen examples are?

    copying        z-value of the rank test of d(sample, training) against d(unseen, training),
                   far below zero where samples are copies
    authenticity   share of samples that are farther from their nearest training example than that
                   example is from its own nearest neighbour in the training set

Meehan, Chaudhuri & Dasgupta (2020), "A non-parametric test to detect data-copying in generative
models", arXiv:2004.05675, whose C_T is this z over one cell; Alaa et al. (2022), "How faithful is
your synthetic data?", arXiv:2102.08921. Distances are Euclidean in the features given.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import stats
from scipy.spatial import distance

from gm.core import Array
from gm.metrics.prdc import ROWS, radii
from gm.metrics.score import Score


def copying(
    training: Array | np.ndarray, unseen: Array | np.ndarray, samples: Array | np.ndarray
) -> Score:
    """z-value of the Mann-Whitney U test of distances to the training set.

    About N(0, 1) where samples are as far from the training set as unseen examples are; below -3
    samples are copies, above 3 they are farther, as of a model that underfits. Both are averages:
    a few copies among many samples that are too far go unseen.

    Args:
      training: [N, ...], what the model was trained on.
      unseen: [K, ...], other examples of the data.
      samples: [M, ...], of the model.

    Returns:
      Estimate of unit "z", whose p_value is one-sided, for copies.

    Raises:
      ValueError: shapes that do not fit, empty sides, or values that are not finite.
    """
    training, unseen, samples = _checked("copying", training, unseen, samples)
    of_unseen, of_samples = (_nearest(training, x)[0] for x in (unseen, samples))
    k, m = len(of_unseen), len(of_samples)
    u = stats.mannwhitneyu(of_samples, of_unseen, alternative="less", method="asymptotic")
    _, ties = np.unique(np.concatenate([of_samples, of_unseen]), return_counts=True)
    n = k + m
    variance = k * m / 12.0 * (n + 1 - np.sum(ties**3 - ties) / max(n * (n - 1), 1))
    z = (u.statistic - 0.5 * k * m) / math.sqrt(variance) if variance > 0.0 else 0.0
    return Score(float(z), 1.0, m, "z", "estimate", p_value=float(stats.norm.cdf(z)))


def authenticity(training: Array | np.ndarray, samples: Array | np.ndarray) -> Score:
    """Share of authentic samples, 0 where all are copies.

    Where samples follow the data it is c / (1 + c), c the share of a ball of D dimensions outside
    an equal one through its centre: 0.33 in one dimension, 0.38 in two, below 0.5 in any.

    Args:
      training: [N, ...], N >= 2.
      samples: [M, ...]

    Raises:
      ValueError: as `copying`.
    """
    training, samples = _checked("authenticity", training, samples)
    if len(training) < 2:
        raise ValueError("authenticity needs at least 2 training examples; got 1.")
    far, which = _nearest(training, samples)
    authentic = (far > radii(training, 1)[which]).astype(np.float64)
    return Score.mean(authentic, unit="share", kind="estimate")


def _nearest(points: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distance of each `at` to the nearest of points, and which one that is: [M], [M]."""
    far, which = [], []
    for i in range(0, len(at), ROWS):
        rows = distance.cdist(at[i : i + ROWS], points)
        which.append(rows.argmin(1))
        far.append(rows.min(1))
    return np.concatenate(far), np.concatenate(which)


def _checked(name: str, *sides: Array | np.ndarray) -> tuple[np.ndarray, ...]:
    """Every side as [N, D] in float64."""
    found = tuple(np.asarray(side, np.float64) for side in sides)
    if any(not side.size or side.shape[1:] != found[0].shape[1:] for side in found):
        raise ValueError(
            f"{name} needs examples of one shape, at least one of each side; got "
            f"{', '.join(str(side.shape) for side in found)}."
        )
    if not all(np.isfinite(side).all() for side in found):
        raise ValueError(f"{name} needs finite values; got nan or inf.")
    return tuple(side.reshape(len(side), -1) for side in found)
