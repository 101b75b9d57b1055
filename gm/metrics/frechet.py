r"""Fréchet distance between the features of data and of samples, as if both were Gaussian.

    |m_p - m_q|^2 + tr(C_p + C_q - 2 (C_p^(1/2) C_q C_p^(1/2))^(1/2))

Dowson & Landau (1982); Heusel et al. (2017), arXiv:1706.08500, whose features are those of an
Inception network (FID). Here features are an argument: raw values, those of a classifier, any
[N, D]. The number depends on them, on N and on preprocessing: compare only what shares all three.

How to read it. From N examples it is too large, by about c / N with a c that depends on the model:
of two models the better may have the larger distance at one N (Chong & Forsyth 2020,
arXiv:1911.07023). `extrapolated` estimates the value at N = infinity. Two distributions with the
same mean and covariance are at distance 0, whatever else differs.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from gm.core import Array
from gm.metrics.score import Score

GROUPS = 10


def distance(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array) -> float:
    """The squared Fréchet (2-Wasserstein) distance of two Gaussians, in float64.

    The trace of the root is the sum of singular values of a product of real roots, by
    eigenvalues: no root of a product that is not symmetric, which rounding makes complex.

    Args:
      mean_p, mean_q: [D]
      cov_p, cov_q: [D, D], symmetric, not negative; singular ones are right too.

    Raises:
      ValueError: the shapes do not fit, or a covariance has an eigenvalue below zero by more than
        rounding.
    """
    arrays = (np.asarray(a, np.float64) for a in (mean_p, cov_p, mean_q, cov_q))
    mean_p, cov_p, mean_q, cov_q = arrays
    dim = mean_p.shape
    if len(dim) != 1 or mean_q.shape != dim or not cov_p.shape == cov_q.shape == dim * 2:
        raise ValueError(
            "distance needs means [D] and covariances [D, D]; got "
            f"{mean_p.shape}, {cov_p.shape}, {mean_q.shape}, {cov_q.shape}."
        )
    root_p, root_q = _root(cov_p), _root(cov_q)
    both = np.linalg.svd(root_p.T @ root_q, compute_uv=False).sum()
    shift = float(np.sum((mean_p - mean_q) ** 2))
    return max(shift + float(np.trace(cov_p) + np.trace(cov_q) - 2.0 * both), 0.0)


def frechet(x: Array | np.ndarray, y: Array | np.ndarray, *, groups: int = GROUPS) -> Score:
    """The distance between features x of data and y of samples, at their numbers.

    Args:
      x: [N, D], y: [M, D], N and M above D.
      groups: G of the delete-a-group jackknife (each leaves out 1 / G of both sides) that gives
        the standard error; 0 for none. Each costs an eigendecomposition, O(D^3).

    Returns:
      Estimate, too large by about c / N; the standard error is of its spread alone.

    Raises:
      ValueError: features of different D, not finite, or no more examples than features: then the
        bias is larger than what is measured. Use fewer features, or `mmd.squared_mmd`.
    """
    return _scored("frechet", x, y, groups, _of_samples, 1)


def extrapolated(x: Array | np.ndarray, y: Array | np.ndarray, *, groups: int = GROUPS) -> Score:
    """The distance at N = infinity: the intercept of a line in 1 / N.

    Chong & Forsyth (2020), arXiv:1911.07023. The line is fitted to the distances of all examples,
    of both halves and of all four quarters of them, by least squares, each size with one weight.

    Args:
      x: [N, D], y: [M, D], N and M above 4 D.
      groups: as `frechet`; each costs seven eigendecompositions.

    Returns:
      Estimate; at p = q it may be negative. Its 95 % interval held the true distance in 95 % of 300
      repetitions (Normals one apart, D = 8, N = 400, where `frechet` has a bias of 0.12 on 1).

    Raises:
      ValueError: as `frechet`, with a quarter of the examples.
    """
    return _scored("extrapolated", x, y, groups, _intercept, 4)


def _scored(
    name: str,
    x: Array | np.ndarray,
    y: Array | np.ndarray,
    groups: int,
    statistic: Callable[[np.ndarray, np.ndarray], float],
    parts: int,
) -> Score:
    x, y = (np.asarray(a, np.float64) for a in (x, y))
    x, y = (a.reshape(len(a), -1) for a in (x, y))
    fewest = min(len(x), len(y)) // parts
    if x.shape[1] != y.shape[1] or fewest * (groups - 1 if groups else 1) <= x.shape[1] * max(
        groups, 1
    ):
        raise ValueError(
            f"{name} needs features [N, D] of one D, with more examples than features"
            f"{f' in each of {parts} parts' if parts > 1 else ''}; got {x.shape} and {y.shape}. "
            "Fewer features, more examples, or mmd.squared_mmd, which has no bias, would do."
        )
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError(f"{name} needs finite features; got nan or inf.")
    value, error = statistic(x, y), None
    if groups:
        left = [statistic(_without(x, g, groups), _without(y, g, groups)) for g in range(groups)]
        error = (groups - 1) * math.sqrt(np.var(left, ddof=1) / groups)
    return Score(value, error, len(y), unit="squared distance", kind="estimate")


def _of_samples(x: np.ndarray, y: np.ndarray) -> float:
    (mean_x, cov_x), (mean_y, cov_y) = ((a.mean(0), np.cov(a, rowvar=False)) for a in (x, y))
    return distance(mean_x, np.atleast_2d(cov_x), mean_y, np.atleast_2d(cov_y))


def _intercept(x: np.ndarray, y: np.ndarray) -> float:
    inverse, values = [], []
    for parts in (1, 2, 4):
        pieces = [(x[i::parts], y[i::parts]) for i in range(parts)]
        values.append(np.mean([_of_samples(*piece) for piece in pieces]))
        inverse.append(parts)  # 1 / N, up to a factor
    return float(np.polynomial.polynomial.polyfit(inverse, values, 1)[0])


def _without(x: np.ndarray, group: int, groups: int) -> np.ndarray:
    return x[np.arange(len(x)) % groups != group]


def _root(cov: np.ndarray) -> np.ndarray:
    """R with R R^T = cov."""
    values, vectors = np.linalg.eigh(0.5 * (cov + cov.T))
    if values[0] < -1e-8 * max(abs(values[-1]), 1e-300):
        raise ValueError(
            f"distance needs covariances without negative eigenvalues; got {values[0]:.3g}."
        )
    return vectors * np.sqrt(np.maximum(values, 0.0))
