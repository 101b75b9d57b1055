"""Densities that are hard to sample for a chain or a model, with exact samples and normalisers.

Targets of variational inference: each is a frozen dataclass with an `event`, a normalised
`log_prob(x)` of one example in nats, and `sample(key)`. `EightSchools` is a posterior, whose
`log_joint` is what a model of data gives; its normaliser is an integral over one number.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Event, Key

LOG_TWO_PI = math.log(2.0 * math.pi)


@dataclasses.dataclass(frozen=True)
class Banana:
    """x_1 ~ N(0, s²), x_2 | x_1 ~ N(b (x_1² - s²), 1).

    Haario, Saksman & Tamminen (1999), Computational Statistics 14, whose moderately twisted one is
    `Banana(10.0, 0.03)`.

    Attributes:
      scale: s.
      bend: b.
    """

    scale: float = 2.0
    bend: float = 0.25

    @property
    def event(self) -> Event:
        """Points of the plane."""
        return Event((2,))

    def log_prob(self, x: Array) -> Array:
        """log p(x) for x: [2], nats."""
        middle = self.bend * (x[0] ** 2 - self.scale**2)
        return _log_normal(x[0], 0.0, self.scale) + _log_normal(x[1], middle, 1.0)

    def sample(self, key: Key) -> Array:
        """One x: [2]."""
        first, second = jax.random.normal(key, (2,), jnp.float32)
        first = self.scale * first
        return jnp.stack([first, self.bend * (first**2 - self.scale**2) + second])


@dataclasses.dataclass(frozen=True)
class Funnel:
    """v ~ N(0, s²), x_i | v ~ N(0, e^v): Neal (2003), "Slice sampling", section 8; (v, x_1, ...).

    Attributes:
      num_dims: D, v among them.
      scale: s.
    """

    num_dims: int = 10
    scale: float = 3.0

    @property
    def event(self) -> Event:
        """Real vectors of D elements."""
        return Event((self.num_dims,))

    def log_prob(self, x: Array) -> Array:
        """log p(x) for x: [D], nats."""
        rest = _log_normal(x[1:], 0.0, jnp.exp(0.5 * x[0]))
        return _log_normal(x[0], 0.0, self.scale) + jnp.sum(rest)

    def sample(self, key: Key) -> Array:
        """One x: [D]."""
        z = jax.random.normal(key, (self.num_dims,), jnp.float32)
        v = self.scale * z[0]
        return jnp.concatenate([v[None], jnp.exp(0.5 * v) * z[1:]])


@dataclasses.dataclass(frozen=True)
class EightSchools:
    r"""The posterior of (μ, log τ, θ_1, ..., θ_J) given effects y_j ~ N(θ_j, σ_j²).

        μ ~ N(0, 5²),  τ ~ half-Cauchy(5),  θ_j ~ N(μ, τ²)

    Rubin (1981), "Estimation in parallel randomized experiments"; the priors are those of Stan's
    documentation. θ and μ integrate in closed form, so that the normaliser p(y) and samples of
    log τ are sums over a grid.

    Attributes:
      effects: y.
      errors: σ.
      prior_scale: of μ and of τ.
    """

    effects: tuple[float, ...] = (28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0)
    errors: tuple[float, ...] = (15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0)
    prior_scale: float = 5.0

    @property
    def event(self) -> Event:
        """Real vectors of 2 + J elements."""
        return Event((2 + len(self.effects),))

    def log_joint(self, x: Array) -> Array:
        """log p(y, x), which is p(x | y) up to a constant, nats."""
        y, errors = (jnp.asarray(a, x.dtype) for a in (self.effects, self.errors))
        mean, log_tau, effects = x[0], x[1], x[2:]
        prior = _log_normal(mean, 0.0, self.prior_scale) + self._log_prior(log_tau, jnp)
        inner = _log_normal(effects, mean, jnp.exp(log_tau)) + _log_normal(y, effects, errors)
        return prior + jnp.sum(inner)

    def log_prob(self, x: Array) -> Array:
        """log p(x | y) for x: [2 + J], nats."""
        return self.log_joint(x) - self.log_normalizer

    def sample(self, key: Key) -> Array:
        """One x: [2 + J]: log τ, μ given it, θ given both."""
        key_tau, key_rest = jax.random.split(key)
        grid, log_p = self._grid
        below = np.cumsum(np.exp(log_p - np.max(log_p)))
        u = jax.random.uniform(key_tau, (), jnp.float32)
        log_tau = jnp.interp(u, jnp.float32(below / below[-1]), jnp.float32(grid))
        y, errors = jnp.float32(self.effects), jnp.float32(self.errors)
        z = jax.random.normal(key_rest, (1 + len(self.effects),), jnp.float32)
        precisions = 1.0 / (errors**2 + jnp.exp(2.0 * log_tau))
        precision = jnp.sum(precisions) + self.prior_scale**-2
        mean = jnp.sum(precisions * y) / precision + z[0] / jnp.sqrt(precision)
        inner = errors**-2 + jnp.exp(-2.0 * log_tau)
        middle = (y * errors**-2 + mean * jnp.exp(-2.0 * log_tau)) / inner
        effects = middle + z[1:] / jnp.sqrt(inner)
        return jnp.concatenate([jnp.stack([mean, log_tau]), effects])

    @functools.cached_property
    def log_normalizer(self) -> float:
        """log p(y), nats, by the trapezoidal rule in log τ."""
        grid, log_p = self._grid
        top = np.max(log_p)
        return float(top + np.log(np.sum(np.exp(log_p - top)) * (grid[1] - grid[0])))

    @functools.cached_property
    def _grid(self) -> tuple[np.ndarray, np.ndarray]:
        """log τ and log p(y, log τ) there; its tails fall like τ below, like 1 / τ^(J+1) above."""
        grid = np.linspace(-18.0, 8.0, 8001)
        y, errors = np.array(self.effects), np.array(self.errors)
        variances = errors**2 + np.exp(2.0 * grid)[:, None]
        weights = 1.0 / variances
        precision = weights.sum(1) + self.prior_scale**-2
        # y ~ N(0, diag(variances) + s² 1 1ᵀ): the determinant and the inverse of a rank-one change.
        square = (weights * y**2).sum(1) - (weights * y).sum(1) ** 2 / precision
        log_det = np.log(variances).sum(1) + np.log(precision * self.prior_scale**2)
        log_likelihood = -0.5 * (square + log_det + len(y) * LOG_TWO_PI)
        return grid, log_likelihood + self._log_prior(grid, np)

    def _log_prior(self, log_tau: Array, library: Any) -> Array:
        """log p(log τ): half-Cauchy, and log τ as the derivative of τ."""
        s = self.prior_scale
        square = library.exp(2.0 * (log_tau - math.log(s)))
        return math.log(2.0 / (math.pi * s)) - library.log1p(square) + log_tau


def _log_normal(x: Array, mean: Array | float, scale: Array | float) -> Array:
    """log N(x; mean, scale²)"""
    return -0.5 * (((x - mean) / scale) ** 2 + LOG_TWO_PI) - jnp.log(jnp.asarray(scale, x.dtype))


BANANA = Banana()
FUNNEL = Funnel()
EIGHT_SCHOOLS = EightSchools()
