r"""Planar and radial flows: residual maps along one direction, and around one point.

Rezende & Mohamed (2015), "Variational inference with normalizing flows", arXiv:1505.05770, section
4.1 and appendix A.1.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from gm.bijections import roots
from gm.core import Array, Event, Key, Params, PyTree
from gm.numerics import safe_norm

LEAST = 1e-3  # by how much 1 + wᵀu and 1 + β/α stay above zero
START = math.log(math.expm1(1.0 - LEAST))  # softplus of it is 1 - LEAST


@dataclasses.dataclass(frozen=True)
class Planar:
    r"""y = x + û tanh(wᵀx + b), with log_det = log(1 + wᵀû tanh'(wᵀx + b)).

    û is u moved along w so that wᵀû = -1 + LEAST + softplus(wᵀu + c), above -1, as in appendix A.1,
    with c so that u ⊥ w stays as it is. The inverse has no closed form, yet moves along û alone:
    t = wᵀx solves t + wᵀû tanh(t + b) = wᵀy, one increasing function (`roots.increasing`).

    Attributes:
      event: the space of x and y, real.
    """

    event: Event

    def __post_init__(self) -> None:
        _check(self.event, "Planar")

    def init(self, key: Key) -> Params:
        """{"w": [D], "u": [D], "b": []}, near the identity."""
        key_w, key_u = jax.random.split(key)
        size = self.event.size
        scale = size**-0.5
        return {
            "w": scale * jax.random.normal(key_w, (size,), jnp.float32),
            "u": 0.1 * scale * jax.random.normal(key_u, (size,), jnp.float32),
            "b": jnp.zeros((), jnp.float32),
        }

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x + û tanh(wᵀx + b)"""
        del context
        u, along = self._direction(params)
        a = params["w"] @ x.reshape(-1) + params["b"]
        y = x + (u * jnp.tanh(a)).reshape(x.shape)
        return y, jnp.log1p(along * (1.0 - jnp.tanh(a) ** 2))

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """y - û tanh(t + b), to float32 rounding of wᵀy over 1 + wᵀû tanh'."""
        del context
        u, along = self._direction(params)
        t = roots.increasing(_along, (along, params["b"]), params["w"] @ y.reshape(-1))
        h = jnp.tanh(t + params["b"])
        return y - (u * h).reshape(y.shape), -jnp.log1p(along * (1.0 - h**2))

    def _direction(self, params: Params) -> tuple[Array, Array]:
        """û, and wᵀû."""
        w, u = params["w"], params["u"]
        along = LEAST - 1.0 + jax.nn.softplus(w @ u + START)
        return u + (along - w @ u) * w / jnp.maximum(w @ w, 1e-12), along


def _along(args: tuple[Array, Array], t: Array) -> Array:
    along, b = args
    return t + along * jnp.tanh(t + b)


@dataclasses.dataclass(frozen=True)
class Radial:
    r"""y = x + β h (x - c) with h = 1 / (α + r), r = |x - c|.

    log_det = (D - 1) log(1 + β h) + log(1 + α β h²), and β > -α. The inverse is in closed form:
    r² + (α + β - R) r - α R = 0 for R = |y - c|.

    Attributes:
      event: the space of x and y, real.
    """

    event: Event

    def __post_init__(self) -> None:
        _check(self.event, "Radial")

    def init(self, key: Key) -> Params:
        """{"centre": [*event], "log_alpha": [], "beta": []}, the identity around a random point."""
        return {
            "centre": jax.random.normal(key, self.event.shape, jnp.float32),
            "log_alpha": jnp.zeros((), jnp.float32),
            "beta": jnp.zeros((), jnp.float32),
        }

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x + β h (x - c)"""
        del context
        alpha, beta = self._alpha_and_beta(params)
        away = x - params["centre"]
        h = 1.0 / (alpha + safe_norm(away))
        return x + beta * h * away, self._log_det(alpha, beta, h)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """c + (y - c) / (1 + β h)"""
        del context
        alpha, beta = self._alpha_and_beta(params)
        away = y - params["centre"]
        distance = safe_norm(away)
        p = alpha + beta - distance
        root = jnp.sqrt(p**2 + 4.0 * alpha * distance)
        above = p > 0.0
        small = 2.0 * alpha * distance / jnp.where(above, p + root, 1.0)
        h = 1.0 / (alpha + jnp.where(above, small, 0.5 * (root - p)))
        return params["centre"] + away / (1.0 + beta * h), -self._log_det(alpha, beta, h)

    def _alpha_and_beta(self, params: Params) -> tuple[Array, Array]:
        alpha = jnp.exp(params["log_alpha"])
        return alpha, alpha * (LEAST - 1.0 + jax.nn.softplus(params["beta"] + START))

    def _log_det(self, alpha: Array, beta: Array, h: Array) -> Array:
        tangential = (self.event.size - 1) * jnp.log1p(beta * h)
        return tangential + jnp.log1p(alpha * beta * h**2)


def _check(event: Event, name: str) -> None:
    if event.discrete:
        raise ValueError(f"{name} needs a real event; got {event}.")
