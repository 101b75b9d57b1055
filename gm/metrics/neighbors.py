r"""Entropy and KL divergence of samples by distances to nearest neighbours: no density is needed.

A ball around x that reaches its k-th neighbour out of N has about k / N of the probability, so that

    entropy        H(p)       psi(N) - psi(k) + log V_D + (D / N) sum_i log r_k(x_i)
    kl_divergence  KL(p || q)   (D / N) sum_i log (s_k(x_i) / r_k(x_i)) + log (M / (N - 1))

with r_k the distance to the k-th neighbour among the other x, s_k among M samples y of q, and V_D
the volume of the unit ball: Kozachenko & Leonenko (1987); Wang, Kulkarni & Verdú (2009),
"Divergence estimation for multidimensional densities via k-nearest-neighbor distances".

Both are consistent for every fixed k; more neighbours have less variance and more bias. The bias
falls as N^(-2/D) or slower (Berrett, Samworth & Yuan 2019, arXiv:1606.00304), so that in five and
more dimensions it is larger than the standard error that is stated, which is of the spread alone.
"""

from __future__ import annotations

import math

import numpy as np
from scipy import special
from scipy.spatial import cKDTree

from gm.core import Array
from gm.losses import batches
from gm.metrics.score import Score


def entropy(x: Array | np.ndarray, *, k: int = 3) -> Score:
    """Differential entropy of what x was sampled from, in nats.

    Coverage of its 95 % interval, N = 500, k = 3, Normals (`benchmarks/estimator_coverage.py`):
    95 % in one dimension, 93 % in two; 78 % in five, where the bias is most of the error.

    Args:
      x: [N, D], N > k; real values, of which no k + 1 coincide.
      k: of the neighbour.

    Returns:
      Estimate in nats, with its standard error.

    Raises:
      ValueError: too few points, or points that coincide: their density has no finite entropy.
    """
    x = _points("entropy", x, k)
    size, dim = x.shape
    terms = dim * np.log(_radii(x, x, k, "entropy"))
    terms += special.psi(size) - special.psi(k) + _log_ball(dim)
    error = math.sqrt(_error(terms) ** 2 + _shared(k) / size)
    return Score(float(terms.mean()), error, size, kind="estimate")


def kl_divergence(x: Array | np.ndarray, y: Array | np.ndarray, *, k: int = 3) -> Score:
    """KL(p || q) of samples x of p and y of q, in nats; around zero it may be negative.

    Coverage of its 95 % interval, as for `entropy`: 97 % in one dimension and in two, 88 % in five.

    Args:
      x: [N, D], N > k; y: [M, D], M >= k.
      k: of the neighbour.

    Returns:
      Estimate in nats. Its standard error holds the spread over x, and that over y by the ratios
      p / q at y, with twenty neighbours at most, and what neighbours share.

    Raises:
      ValueError: too few points, points of two dimensions, or points that coincide.
    """
    batches.two_samples("kl_divergence", np.asarray(x), np.asarray(y))
    x, y = _points("kl_divergence", x, k), _points("kl_divergence", y, k - 1)
    (n, dim), m = x.shape, len(y)
    ratio = np.log(_radii(y, x, k, "kl_divergence")) - np.log(_radii(x, x, k, "kl_divergence"))
    terms = dim * ratio + math.log(m / (n - 1))
    many = max(min(20, n - 1, m - 1), 1)
    near_x = _radii(x, y, many, "kl_divergence")
    at_y = np.log(_radii(y, y, many, "kl_divergence")) - np.log(near_x)
    weights = np.exp(np.minimum(dim * at_y + math.log((m - 1) / n), 50.0))
    error = math.hypot(_error(terms), _error(weights))
    error = math.sqrt(error**2 + _shared(k) * (1.0 / n + 1.0 / m))
    return Score(float(terms.mean()), error, n + m, kind="estimate")


def _points(name: str, x: Array | np.ndarray, k: int) -> np.ndarray:
    """[N, ...] -> [N, D] in float64."""
    x = np.asarray(x, np.float64)
    if x.ndim < 2 or len(x) <= k or k < 0:
        raise ValueError(
            f"{name} needs more points [N, D] than neighbours, at least one; got {x.shape} "
            f"for k = {k}."
        )
    if not np.isfinite(x).all():
        raise ValueError(f"{name} needs finite values; got nan or inf.")
    return x.reshape(len(x), -1)


def _radii(points: np.ndarray, at: np.ndarray, k: int, name: str) -> np.ndarray:
    """The distance to the k-th neighbour of each `at` among points, itself left out: [len(at)]."""
    others = k + (points is at)
    distance = cKDTree(points).query(at, k=[others], workers=-1)[0][:, 0]
    if not np.all(distance > 0.0):
        raise ValueError(
            f"{name} needs values that hardly ever coincide; {np.sum(distance == 0.0)} points have "
            f"{k} others at no distance. Integers need a histogram, or noise: "
            "data.UniformDequantization."
        )
    return distance


def _log_ball(dim: int) -> float:
    return 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim + 1.0)


def _shared(k: int) -> float:
    """N times the variance that neighbours share, for they are each other's neighbours.

    Seen in uniform samples of 400 points, for k from 1 to 10 and D from 1 to 5: 0.4 to 0.8 of
    psi'(k), the variance of one log volume.
    """
    return 0.7 * float(special.polygamma(1, k))


def _error(terms: np.ndarray) -> float:
    return float(terms.std(ddof=1) / math.sqrt(len(terms)))
