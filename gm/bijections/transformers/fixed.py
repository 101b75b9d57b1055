"""Maps of one number that are fixed, or nearly: sigmoid, tanh, softplus, sinh-arcsinh, leaky ReLU.

Their inverses are `transformers.Inverse(Sigmoid())`, the logit, and so on. Where such a map
saturates, its value is the last float32 inside its range, so that its inverse is finite; and what
is given to an inverse from outside the range has no x: its log_det is -inf, so that a density there
is 0.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from gm.core import Array
from gm.numerics import log1mexp

BELOW_ONE = 1.0 - 2.0**-24  # the largest float32 below 1
SMALLEST = 2.0**-126  # the smallest normal one above 0


@dataclasses.dataclass(frozen=True)
class Sigmoid:
    """y = (σ(x) - α) / (1 - 2 α), onto [0, 1] and, with a margin α, a little beyond on both sides.

    Inverted it is the start of RealNVP on images, logit(α + (1 - 2 α) y). In float32 y near 1 is
    rounded to 6e-8, and x is known from it to 6e-8 e^x; from x = 16.6 on, y and x are those there,
    and with a margin from |x| = 15.2 on.

    Attributes:
      margin: α, at least 0 and below 1/2.

    Raises:
      ValueError: α is outside.
    """

    margin: float = 0.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.margin < 0.5:
            raise ValueError(f"Sigmoid needs a margin in [0, 0.5); got {self.margin}.")

    @property
    def num_params(self) -> int:
        """0"""
        return 0

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """(σ(x) - α) / (1 - 2 α)"""
        width = 1.0 - 2.0 * self.margin
        y = (jnp.clip(jax.nn.sigmoid(x), *self._ends) - self.margin) / width
        return y, jax.nn.log_sigmoid(x) + jax.nn.log_sigmoid(-x) - math.log(width)

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """log u - log (1 - u) of u = α + (1 - 2 α) y"""
        width = 1.0 - 2.0 * self.margin
        u = self.margin + width * y
        inside = (u > 0.0) & (u < 1.0)
        low, high = (math.log(end / (1.0 - end)) for end in self._ends)
        nearest = jnp.where(u > 0.5, high, low)
        u = jnp.where(inside, u, 0.5)
        below, above = jnp.log(u), jnp.log1p(-u)
        log_det = math.log(width) - below - above
        return jnp.where(inside, below - above, nearest), jnp.where(inside, log_det, -jnp.inf)

    @property
    def _ends(self) -> tuple[float, float]:
        """Of the values that σ takes: what α + (1 - 2 α) y is rounded to lies inside (0, 1) too."""
        return (SMALLEST, BELOW_ONE) if self.margin == 0.0 else (2.0**-22, 1.0 - 2.0**-22)


@dataclasses.dataclass(frozen=True)
class Tanh:
    """y = tanh(x), onto (-1, 1); or along its tangents beyond |x| = a, onto all numbers.

    In float32 tanh alone loses x: y near 1 is rounded to 6e-8, and x is known from it to
    1.5e-8 e^{2 |x|}; from |x| = 8.7 on, y and x are those there. With a = 3 the error is 1e-5.

    Attributes:
      linear_beyond: a, or None for tanh alone.

    Raises:
      ValueError: a is not between 0 and 8.
    """

    linear_beyond: float | None = None

    def __post_init__(self) -> None:
        if self.linear_beyond is not None and not 0.0 < self.linear_beyond <= 8.0:
            raise ValueError(
                "Tanh needs linear_beyond above 0 and at most 8, for float32 has no slope there; "
                f"got {self.linear_beyond}."
            )

    @property
    def num_params(self) -> int:
        """0"""
        return 0

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """tanh(x), or its tangent at ±a"""
        if self.linear_beyond is None:
            return jnp.clip(jnp.tanh(x), -BELOW_ONE, BELOW_ONE), self._log_slope(x)
        a = self.linear_beyond
        outer = jnp.abs(x) > a
        near = jnp.where(outer, 0.0, x)
        tangent = jnp.sign(x) * (math.tanh(a) + (jnp.abs(x) - a) / math.cosh(a) ** 2)
        log_det = jnp.where(outer, -2.0 * math.log(math.cosh(a)), self._log_slope(near))
        return jnp.where(outer, tangent, jnp.tanh(near)), log_det

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """(log (1 + y) - log (1 - y)) / 2, or along the tangent at ±a"""
        a, size = self.linear_beyond, jnp.abs(y)
        outer = size > (1.0 if a is None else math.tanh(a))
        near = jnp.where(outer | (size == 1.0), 0.0, y)
        x = 0.5 * (jnp.log1p(near) - jnp.log1p(-near))
        log_det = -jnp.log1p(near) - jnp.log1p(-near)
        if a is None:
            last = 0.5 * (math.log1p(BELOW_ONE) - math.log1p(-BELOW_ONE))
            outer = outer | (size == 1.0)
            return jnp.where(outer, jnp.sign(y) * last, x), jnp.where(outer, -jnp.inf, log_det)
        tangent = jnp.sign(y) * (a + (size - math.tanh(a)) * math.cosh(a) ** 2)
        log_det = jnp.where(outer, 2.0 * math.log(math.cosh(a)), log_det)
        return jnp.where(outer, tangent, x), log_det

    def _log_slope(self, x: Array) -> Array:
        """log (1 - tanh² x), which 1 - y² loses where y is rounded to 1."""
        return 2.0 * (math.log(2.0) - jnp.abs(x) - jnp.log1p(jnp.exp(-2.0 * jnp.abs(x))))


@dataclasses.dataclass(frozen=True)
class Softplus:
    """y = log (1 + e^x), onto the positive numbers. In float32, x is at least -87."""

    @property
    def num_params(self) -> int:
        """0"""
        return 0

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """log (1 + e^x)"""
        return jnp.maximum(jax.nn.softplus(x), SMALLEST), jax.nn.log_sigmoid(x)

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """y + log (1 - e^-y)"""
        inside = y > 0.0
        near = jnp.where(inside, y, 1.0)
        log_slope = log1mexp(near)
        x = jnp.where(inside, near + log_slope, math.log(SMALLEST))
        return x, jnp.where(inside, -log_slope, -jnp.inf)


@dataclasses.dataclass(frozen=True)
class LeakyReLU:
    """y = x above zero and a x below.

    Attributes:
      slope: a, positive; None for a parameter, raw = (log a), with a = 1 where it is zero.

    Raises:
      ValueError: a is not positive.
    """

    slope: float | None = 0.01

    def __post_init__(self) -> None:
        if self.slope is not None and not self.slope > 0.0:
            raise ValueError(
                f"LeakyReLU needs a positive slope, or it has no inverse; got {self.slope}."
            )

    @property
    def num_params(self) -> int:
        """1 where the slope is a parameter, 0 where it is fixed."""
        return int(self.slope is None)

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """x, or a x below zero"""
        log_slope = jnp.where(x < 0.0, self._log_slope(raw), 0.0)
        return x * jnp.exp(log_slope), log_slope

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """y, or y / a below zero"""
        log_slope = jnp.where(y < 0.0, self._log_slope(raw), 0.0)
        return y * jnp.exp(-log_slope), -log_slope

    def _log_slope(self, raw: Array) -> Array | float:
        if self.slope is None:
            return raw[0] / (1.0 + jnp.abs(raw[0]) / 7.0)
        return math.log(self.slope)


@dataclasses.dataclass(frozen=True)
class SinhArcsinh:
    """y = sinh(δ arcsinh(x) + ε): raw = (ε, log δ), skewness and the weight of the tails.

    Jones & Pewsey (2009), "Sinh-arcsinh distributions". ε is bounded by 10 and log δ by 1.5
    (a / (1 + |a| / bound)), so that |x| up to 1e6 overflows in neither direction.
    """

    @property
    def num_params(self) -> int:
        """2"""
        return 2

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """sinh(δ arcsinh(x) + ε)"""
        skew, log_tail = self._bounded(raw)
        u = jnp.arcsinh(x)
        v = jnp.exp(log_tail) * u + skew
        return jnp.sinh(v), log_tail + _log_cosh(v) - _log_cosh(u)

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """sinh((arcsinh(y) - ε) / δ)"""
        skew, log_tail = self._bounded(raw)
        v = jnp.arcsinh(y)
        u = (v - skew) * jnp.exp(-log_tail)
        return jnp.sinh(u), _log_cosh(u) - _log_cosh(v) - log_tail

    def _bounded(self, raw: Array) -> tuple[Array, Array]:
        return raw[0] / (1.0 + jnp.abs(raw[0]) / 10.0), raw[1] / (1.0 + jnp.abs(raw[1]) / 1.5)


def _log_cosh(x: Array) -> Array:
    return jnp.abs(x) + jnp.log1p(jnp.exp(-2.0 * jnp.abs(x))) - math.log(2.0)
