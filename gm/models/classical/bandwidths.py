r"""Bandwidths of kernel densities, from examples: pure functions of (x, weights).

    silverman(x)                   0.9 min(s, IQR / 1.34) n^(-1/5): Silverman (1986), eq. 3.31
    scott(x)                       s n^(-1/(D + 4)): Scott (1992)
    normal_reference(x)            (4 / (D + 2))^(1/(D + 4)) scott, the best for Gaussian data
    improved_sheather_jones(x)     Botev, Grotowski & Kroese (2010): no normal reference
    NearestNeighbors(k)(x)         one for each example: Breiman, Meisel & Purcell (1977)

and by cross-validation `bandwidth_search.likelihood` and `least_squares`. x is [N] or [N, D]; the
result is [D] in the units of x, or [N, D]: the standard deviation of the kernel. n is
(sum w)^2 / sum w^2, Kish's effective number of examples, so that only ratios of weights matter. All
is in float64, and follows a change of units. One repeated point has no bandwidth: ValueError.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from scipy import fft, optimize, spatial

from gm import core
from gm.models.classical import binning

STAGES = 7  # of the plug-in estimates of improved Sheather-Jones, as in the paper
NUM_NODES = 2**14


def prepared(
    x: np.ndarray, weights: np.ndarray | None, name: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """x: [N, D] in float64, weights [N] that sum to one, n; without examples of weight zero.

    Raises:
      ValueError: no examples, or values that are not finite.
    """
    x = np.asarray(x, np.float64)
    x = x[:, None] if x.ndim == 1 else x
    w = core.example_weights(weights, len(x), name)
    x, w = x[w > 0.0], w[w > 0.0]
    if x.ndim != 2 or x.size == 0 or not np.all(np.isfinite(x)):
        raise ValueError(
            f"{name} needs finite examples [N] or [N, D], at least one of positive weight; got "
            f"shape {x.shape}."
        )
    w = w / np.sum(w)
    return x, w, 1.0 / float(np.sum(w * w))


def spreads(x: np.ndarray, w: np.ndarray, n: float, name: str) -> np.ndarray:
    """Standard deviations [D], with n - 1 degrees of freedom.

    Raises:
      ValueError: an element has one value in all examples.
    """
    varies = np.any(x != x[:1], axis=0)
    if not np.all(varies):
        d = int(np.argmin(varies))
        raise ValueError(
            f"{name} needs examples that differ in every element; element {d} is {x[0, d]:g} in "
            f"all {len(x)} of them. Leave it out, or give a bandwidth."
        )
    mean = w @ x
    return np.sqrt((w @ (x - mean) ** 2) * n / (n - 1.0))


def scott(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """s n^(-1/(D + 4)): [D], as scipy's."""
    x, w, n = prepared(x, weights, "scott")
    return spreads(x, w, n, "scott") * n ** (-1.0 / (x.shape[1] + 4))


def normal_reference(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """(4 / (D + 2))^(1/(D + 4)) s n^(-1/(D + 4)): [D]; 1.06 s n^(-1/5) on the line."""
    x, w, n = prepared(x, weights, "normal_reference")
    power = 1.0 / (x.shape[1] + 4)
    return spreads(x, w, n, "normal_reference") * (4.0 / (x.shape[1] + 2) / n) ** power


def silverman(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    """0.9 min(s, IQR / 1.34) n^(-1/5) on the line, eq. 3.31; `normal_reference` in more dimensions.

    The smaller of two scales, for distributions with long tails; s where the middle half of the
    examples is one point.
    """
    x, w, n = prepared(x, weights, "silverman")
    if x.shape[1] > 1:
        return normal_reference(x, w)
    s = spreads(x, w, n, "silverman")
    quartiles = np.quantile(x[:, 0], (0.25, 0.75), weights=w, method="inverted_cdf")
    iqr = quartiles[1] - quartiles[0]
    return 0.9 * np.minimum(s, iqr / 1.34 if iqr > 0.0 else s) * n**-0.2


def improved_sheather_jones(x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
    r"""The fixed point of the plug-in rule, [1], for examples on the line.

    Botev, Grotowski & Kroese (2010), "Kernel density estimation via diffusion", Annals of
    Statistics 38(5), algorithm 1: `h^2 = xi gamma^[7](h^2)`, each of seven stages a bandwidth for
    the next derivative, all as sums of squared cosine coefficients of the binned examples on twice
    their range. Where no root is there, as for few examples, `silverman`.

    Raises:
      ValueError: x is not on the line.
    """
    x, w, n = prepared(x, weights, "improved_sheather_jones")
    if x.shape[1] > 1:
        raise ValueError(
            f"improved_sheather_jones needs examples on the line; got {x.shape[1]} dimensions. "
            "Take silverman, scott or a cross-validated bandwidth."
        )
    spreads(x, w, n, "improved_sheather_jones")
    x = x[:, 0]
    width = 2.0 * np.ptp(x)
    place = (x - np.min(x)) / width + 0.25  # in (0, 1), a quarter of it empty on either side
    nodes = (np.arange(NUM_NODES) + 0.5) / NUM_NODES
    cosines = fft.dct(binning.counts(place, w, nodes))[1:] / 2.0
    square = (math.pi * np.arange(1, NUM_NODES)) ** 2
    powers = [2.0 * cosines**2]
    for _ in range(STAGES):
        powers.append(powers[-1] * square)

    def gap(t: float) -> float:
        return t - _next_time(t, n, square, powers)

    times = np.geomspace(1e-12, 0.1, 80)
    gaps = np.array([gap(t) for t in times])
    rises = np.flatnonzero((gaps[:-1] < 0.0) & (gaps[1:] >= 0.0))
    if not rises.size:
        return silverman(x, w)
    t = optimize.brentq(gap, times[rises[0]], times[rises[0] + 1], xtol=1e-18, rtol=1e-13)
    return np.array([math.sqrt(t) * width])


def _next_time(t: float, n: float, square: np.ndarray, powers: list[np.ndarray]) -> float:
    """xi gamma^[7](t): the time that the plug-in estimates give, begun at t.

    Args:
      t: the squared bandwidth, of the unit interval.
      n: examples.
      square: [G], of the frequencies.
      powers: of each order [G], the squares of coefficients of a derivative.
    """

    def norm(order: int, time: float) -> float:
        """The squared norm of the derivative of that order, smoothed for that time."""
        few = int(min(math.sqrt(745.0 / max(time, 1e-300)) / math.pi + 1.0, len(square)))
        return float(np.dot(powers[order][:few], np.exp(-square[:few] * time)))

    found = norm(STAGES, t)
    for s in range(STAGES - 1, 1, -1):
        odd = math.prod(range(1, 2 * s, 2)) / math.sqrt(2.0 * math.pi)
        constant = (1.0 + 0.5 ** (s + 0.5)) / 3.0
        found = norm(s, (2.0 * constant * odd / (n * max(found, 1e-300))) ** (2.0 / (3 + 2 * s)))
    return (2.0 * n * math.sqrt(math.pi) * max(found, 1e-300)) ** -0.4


@dataclasses.dataclass(frozen=True)
class NearestNeighbors:
    """The distance to the k-th nearest neighbour, one bandwidth for each example: [N, D].

    Breiman, Meisel & Purcell (1977), "Variable kernel estimates of multivariate densities". It is
    the k-nearest-neighbour density that integrates to one and samples. Elements are measured by
    their standard deviations.

    Attributes:
      k: which neighbour; k examples of one place are refused, for theirs has no distance.
      factor: of the distance.
    """

    k: int = 10
    factor: float = 1.0

    def __call__(self, x: np.ndarray, weights: np.ndarray | None = None) -> np.ndarray:
        """[N, D]"""
        core.example_weights(weights, len(x), "NearestNeighbors")
        x, w, n = prepared(x, None, "NearestNeighbors")
        if not 1 <= self.k < len(x):
            raise ValueError(
                f"NearestNeighbors needs k from 1 to {len(x) - 1}, one less than there are "
                f"examples; got {self.k}."
            )
        s = spreads(x, w, n, "NearestNeighbors")
        distances, _ = spatial.KDTree(x / s).query(x / s, [self.k + 1])  # each is its own first
        found = self.factor * distances[:, 0]
        if not np.min(found) > 0.0:
            raise ValueError(
                f"NearestNeighbors needs less than {self.k + 1} examples at one place; got more. "
                "Take a larger k."
            )
        return found[:, None] * s
