r"""Rational-quadratic splines: with linear tails, and on a circle.

Durkan, Bekasov, Murray & Papamakarios (2019), "Neural spline flows", arXiv:1906.04032, section 3.1
and appendix A; Gregory & Delbourgo (1982). On circles: Rezende et al. (2020), arXiv:2002.02428.

Between knots (x_k, y_k) and (x_{k+1}, y_{k+1}) with derivatives d_k, d_{k+1}, slope s = Δy/Δx,
ξ = (x - x_k)/Δx and η = 1 - ξ:

    y = y_k + Δy (s ξ² + d_k ξ η) / q,                    q = s (ξ² + η²) + (d_k + d_{k+1}) ξ η
    dy/dx = s² (d_{k+1} ξ² + 2 s ξ η + d_k η²) / q²

and back, with θ = (y - y_k)/Δy and g = d_k (1 - θ) - d_{k+1} θ,

    ξ = 2 s θ / (2 s θ + g + r),                          r² = g² + 4 s² θ (1 - θ)

Every sum here is one of positive numbers (g + r is 4 s² θ (1 - θ) / (r - g) where g < 0): the
paper's discriminant b² - 4ac is r², and in the paper's form float32 makes it negative at times.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from gm.core import Array


@dataclasses.dataclass(frozen=True)
class Spline:
    """A spline of K bins in [-B, B], the identity outside.

    raw = (K widths, K heights, K - 1 slopes at the inner knots); all zeros is the identity.

    In float32, `inverse(forward(x))` is x to about 1e-6 B over the least slope, at knots too.

    Attributes:
      num_bins: K, at least 2.
      bound: B.
      min_size: the least width and height of a bin, as a share of 2 B.
      min_slope: the least derivative at a knot.

    Raises:
      ValueError: bins are too few, or so many that K min_size is above 1; a bound or a least size
        or slope is not positive.
    """

    num_bins: int = 8
    bound: float = 4.0
    min_size: float = 1e-3
    min_slope: float = 1e-3

    def __post_init__(self) -> None:
        _check(self)

    @property
    def num_params(self) -> int:
        """3 K - 1"""
        return 3 * self.num_bins - 1

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """The spline, and the logarithm of its derivative."""
        inside = jnp.abs(x) <= self.bound
        y, log_det = _forward(self._knots(raw), jnp.where(inside, x, 0.0))
        return jnp.where(inside, y, x), jnp.where(inside, log_det, 0.0)

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """The inverse of the spline."""
        inside = jnp.abs(y) <= self.bound
        x, log_det = _inverse(self._knots(raw), jnp.where(inside, y, 0.0))
        return jnp.where(inside, x, y), jnp.where(inside, log_det, 0.0)

    def _knots(self, raw: Array) -> tuple[Array, Array, Array]:
        """x, y: [K + 1] of the knots and derivatives there, 1 at the ends."""
        widths, heights, slopes = jnp.split(raw, [self.num_bins, 2 * self.num_bins])
        ends = jnp.ones(1, raw.dtype)
        slopes = jnp.concatenate([ends, _slopes(self, slopes), ends])
        return _places(self, widths), _places(self, heights), slopes


@dataclasses.dataclass(frozen=True)
class CircularSpline:
    """A spline of K bins from a circle [-B, B) to itself; raw = (widths, heights, slopes, shift).

    Going round once more adds 2 B on both sides, y(x + 2 B) = y(x) + 2 B, so that this is a map of
    the line too; take x modulo 2 B where angles are wanted. Derivatives agree where the ends meet.

    Attributes:
      num_bins, min_size, min_slope: as in `Spline`.
      bound: B, π for angles.

    Raises:
      ValueError: as of `Spline`.
    """

    num_bins: int = 8
    bound: float = 3.141592653589793
    min_size: float = 1e-3
    min_slope: float = 1e-3

    def __post_init__(self) -> None:
        _check(self)

    @property
    def num_params(self) -> int:
        """3 K + 1"""
        return 3 * self.num_bins + 1

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """The spline turned by the shift."""
        inside, turns = self._unwound(x)
        y, log_det = _forward(self._knots(raw), inside)
        return y + (turns + raw[-1]), log_det

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """The inverse of the spline, turned back before."""
        inside, turns = self._unwound(y - raw[-1])
        x, log_det = _inverse(self._knots(raw), inside)
        return x + turns, log_det

    def _unwound(self, x: Array) -> tuple[Array, Array]:
        """x in [-B, B), and what was taken from it, a multiple of 2 B."""
        turns = 2.0 * self.bound * jnp.floor((x + self.bound) / (2.0 * self.bound))
        return x - turns, turns

    def _knots(self, raw: Array) -> tuple[Array, Array, Array]:
        """x, y: [K + 1] of the knots and derivatives there, the last that of the first."""
        ends = [self.num_bins, 2 * self.num_bins, 3 * self.num_bins]
        widths, heights, slopes, _ = jnp.split(raw, ends)
        slopes = _slopes(self, slopes)
        return (
            _places(self, widths),
            _places(self, heights),
            jnp.concatenate([slopes, slopes[:1]]),
        )


def _check(spline: Spline | CircularSpline) -> None:
    name, k = type(spline).__name__, spline.num_bins
    if k < 2:
        raise ValueError(f"{name} needs at least 2 bins, and a knot between them; got {k}.")
    if not (spline.bound > 0.0 and spline.min_slope > 0.0 and 0.0 < k * spline.min_size < 1.0):
        raise ValueError(
            f"{name} needs a positive bound and min_slope, and a positive min_size below "
            f"1 / num_bins = {1.0 / k:.3g}; got {spline}."
        )


def _places(spline: Spline | CircularSpline, raw: Array) -> Array:
    """Knots from -B to B, each bin of at least the least size: [K + 1]"""
    k = spline.num_bins
    sizes = spline.min_size + (1.0 - k * spline.min_size) * jax.nn.softmax(raw)
    inner = 2.0 * jnp.cumsum(sizes)[:-1] - 1.0
    end = jnp.ones(1, raw.dtype)
    return spline.bound * jnp.concatenate([-end, inner, end])


def _slopes(spline: Spline | CircularSpline, raw: Array) -> Array:
    """Derivatives of at least the least slope; 1 where raw is 0."""
    return spline.min_slope + jax.nn.softplus(raw + math.log(math.expm1(1.0 - spline.min_slope)))


def _bin(
    knots: tuple[Array, Array, Array], table: Array, value: Array
) -> tuple[Array, Array, Array, Array, Array, Array]:
    """x_k, Δx, y_k, Δy, d_k, d_{k+1} of the bin of a value in a table of knots.

    A masked sum over the bins: a gather, and its gradient's scatter, take longer.
    """
    x, y, d = knots
    bins = jnp.arange(len(x) - 1, dtype=jnp.int32)
    here = bins == jnp.sum(value >= table[1:-1], dtype=jnp.int32)

    def pick(values: Array) -> Array:
        return jnp.sum(jnp.where(here, values, 0.0))

    return tuple(map(pick, (x[:-1], jnp.diff(x), y[:-1], jnp.diff(y), d[:-1], d[1:])))


def _log_slope(s: Array, d0: Array, d1: Array, xi: Array, eta: Array) -> Array:
    """log dy/dx"""
    q = s * (xi**2 + eta**2) + (d0 + d1) * xi * eta
    top = d1 * xi**2 + 2.0 * s * xi * eta + d0 * eta**2
    return 2.0 * (jnp.log(s) - jnp.log(q)) + jnp.log(top)


def _forward(knots: tuple[Array, Array, Array], x: Array) -> tuple[Array, Array]:
    """y and log dy/dx at an x between the first and the last knot."""
    x0, dx, y0, dy, d0, d1 = _bin(knots, knots[0], x)
    s = dy / dx
    xi = (x - x0) / dx
    eta = 1.0 - xi
    q = s * (xi**2 + eta**2) + (d0 + d1) * xi * eta
    return y0 + dy * (s * xi**2 + d0 * xi * eta) / q, _log_slope(s, d0, d1, xi, eta)


def _inverse(knots: tuple[Array, Array, Array], y: Array) -> tuple[Array, Array]:
    """x and log dx/dy at a y between the first and the last knot."""
    x0, dx, y0, dy, d0, d1 = _bin(knots, knots[1], y)
    s = dy / dx
    theta = (y - y0) / dy
    rest = 1.0 - theta
    g = d0 * rest - d1 * theta
    square = 4.0 * s**2 * theta * rest
    r = jnp.sqrt(g**2 + square)
    falling = g < 0.0
    # Where it is not taken, r - g is r + g in the other sign, and may be 0.
    right = jnp.where(falling, square / (r - jnp.where(falling, g, -r)), g + r)
    xi, eta = (part / (2.0 * s * theta + right) for part in (2.0 * s * theta, right))
    return x0 + dx * xi, -_log_slope(s, d0, d1, xi, eta)
