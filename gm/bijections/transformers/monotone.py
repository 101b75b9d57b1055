r"""Monotone networks of one number: mixture CDFs, deep sigmoidal flows, sums of squares.

Their inverses have no closed form: see `gm.bijections.roots` for how they are found, to what error,
and how they are differentiated. `transformers.Inverse` makes the closed form the direction of
scoring, for training by maximum likelihood.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gm.bijections import roots
from gm.bijections.transformers.affine import Affine
from gm.core import Array
from gm.numerics import log_sum_exp

MAX_LOG_SLOPE = 7.0


class _Numerical:
    """A transformer whose inverse is found by bisection, from its `forward`."""

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """x, as near as float32 can tell from y, and log dx/dy there; 32 evaluations of forward."""
        x = roots.increasing(self._value, raw, y)
        return x, -self.forward(raw, x)[1]

    def _value(self, raw: Array, x: Array) -> Array:
        return self.forward(raw, x)[0]


@dataclasses.dataclass(frozen=True)
class DeepSigmoidal(_Numerical):
    r"""σ^{-1}(Σ_m w_m σ(a_m x + b_m)), repeated in L layers; raw holds (log w, log a, b) of each.

    Huang, Krueger, Lacoste & Courville (2018), "Neural autoregressive flows", arXiv:1804.00779,
    equation 8. Weights are a softmax, slopes positive with logarithms in [-7, 7] (`Affine`). It is
    computed in the log domain, and is finite wherever x is: linear far from zero. With all raw
    parameters zero the units lie side by side in [-2, 2].

    Attributes:
      num_units: M.
      num_layers: L.

    Raises:
      ValueError: there are no units or no layers.
    """

    num_units: int = 8
    num_layers: int = 1

    def __post_init__(self) -> None:
        if self.num_units < 1 or self.num_layers < 1:
            raise ValueError(f"DeepSigmoidal needs a unit and a layer at least; got {self}.")

    @property
    def num_params(self) -> int:
        """3 M L"""
        return 3 * self.num_units * self.num_layers

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """The layers one after the other."""
        log_det = jnp.zeros_like(x)
        for layer in raw.reshape(self.num_layers, 3, self.num_units):
            x, change = sigmoidal(layer, x)
            log_det = log_det + change
        return x, log_det


@dataclasses.dataclass(frozen=True)
class MixtureCDF(_Numerical):
    r"""σ^{-1}(Σ_m w_m σ((x - μ_m)/s_m)), the CDF of a mixture of logistics, then an affine map.

    Ho, Chen, Srinivas, Duan & Abbeel (2019), "Flow++", arXiv:1902.00275, section 3.2. raw holds the
    two of `Affine`, then (log w, log 1/s, -μ/s).

    Attributes:
      num_components: M.
      affine: what follows.

    Raises:
      ValueError: there are no components.
    """

    num_components: int = 8
    affine: Affine = Affine()

    def __post_init__(self) -> None:
        if self.num_components < 1:
            raise ValueError(f"MixtureCDF needs a component at least; got {self}.")

    @property
    def num_params(self) -> int:
        """2 + 3 M"""
        return 2 + 3 * self.num_components

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """The logit of the mixture's CDF, then scaled and moved."""
        h, first = sigmoidal(raw[2:].reshape(3, self.num_components), x)
        y, second = self.affine.forward(raw[:2], h)
        return y, first + second


def sigmoidal(raw: Array, x: Array) -> tuple[Array, Array]:
    """σ^{-1}(Σ_m w_m σ(a_m x + b_m)) and the logarithm of its derivative, for raw: [3, M].

    With responsibilities p_m of the units for σ and q_m for 1 - σ, both of which sum to one, the
    derivative is Σ_m a_m p_m q_m / w_m.
    """
    num = raw.shape[-1]
    log_weights = jax.nn.log_softmax(raw[0])
    log_slopes = raw[1] / (1.0 + jnp.abs(raw[1]) / MAX_LOG_SLOPE)
    places = jnp.linspace(-2.0, 2.0, num, dtype=raw.dtype) if num > 1 else 0.0
    t = jnp.exp(log_slopes) * x + raw[2] - places
    below, above = log_weights + jax.nn.log_sigmoid(t), log_weights + jax.nn.log_sigmoid(-t)
    y = log_sum_exp(below) - log_sum_exp(above)
    shares = jax.nn.log_softmax(below) + jax.nn.log_softmax(above) - log_weights
    return y, log_sum_exp(log_slopes + shares)


@dataclasses.dataclass(frozen=True)
class SumOfSquares(_Numerical):
    r"""y = b + ∫_0^x (ε + Σ_k p_k(u)^2) du for polynomials p_k of degree L; raw = (b, the p_k).

    Jaini, Selby & Yu (2019), "Sum-of-squares polynomial flow", arXiv:1905.02325, equation 8. ε is
    10^-3, so that it inverts in float32; beyond |x| = B it goes on along its tangent, so that no
    power overflows; and where raw is zero p_0 is 1, the others 0.1 u^k, so that gradients differ.

    Attributes:
      num_squares: how many polynomials.
      degree: L, of each.
      bound: B.

    Raises:
      ValueError: there is no polynomial, or the bound is not positive.
    """

    num_squares: int = 3
    degree: int = 3
    bound: float = 8.0

    def __post_init__(self) -> None:
        if self.num_squares < 1 or self.degree < 0 or not self.bound > 0.0:
            raise ValueError(
                "SumOfSquares needs at least one square, a degree of at least 0 and a positive "
                f"bound; got {self}."
            )

    @property
    def num_params(self) -> int:
        """1 + num_squares (L + 1)"""
        return 1 + self.num_squares * (self.degree + 1)

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """The integral, of degree 2 L + 1."""
        start = np.zeros((self.num_squares, self.degree + 1), np.float32)
        for k in range(self.num_squares):
            start[k, min(k, self.degree)] = 0.1 if k else 1.0
        p = raw[1:].reshape(start.shape) + start
        # Coefficients of u^0 .. u^{2L} of the sum of squares: sums over antidiagonals.
        products = p.T @ p
        powers = jnp.arange(self.degree + 1, dtype=jnp.int32)
        both = (powers[:, None] + powers[None, :]).reshape(-1)
        squares = jnp.zeros(2 * self.degree + 1, raw.dtype).at[both].add(products.reshape(-1))
        squares = squares.at[0].add(1e-3)
        inside = jnp.where(jnp.abs(x) <= self.bound, x, self.bound * jnp.sign(x))
        slope = jnp.polyval(squares[::-1], inside)
        order = jnp.arange(1.0, 2 * self.degree + 2, dtype=raw.dtype)
        area = inside * jnp.polyval((squares / order)[::-1], inside)
        return raw[0] + area + slope * (x - inside), jnp.log(slope)
