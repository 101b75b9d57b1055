"""Kernels of density estimation: symmetric densities on the line, of mean 0 and variance 1.

A bandwidth is then the standard deviation of every kernel, and a bandwidth that is right for one
kernel is right for all within a few percent (Marron & Nolan 1988, "Canonical kernels for density
estimation").

    Gaussian()          exp(-u^2 / 2)
    Polynomial(power)   (1 - t^2)^power, |t| < 1: box, Epanechnikov, biweight, triweight
    Triangular()        1 - |t|, |t| < 1
    Cosine()            cos(pi t / 2), |t| < 1
    Logistic()          1 / (2 + e^t + e^-t)

with t = u / r, and r such that the variance is 1. In D dimensions a kernel is their product.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special

from gm.core import Array, Key


class Kernel(Protocol):
    """A density K(u) of mean 0 and variance 1, and its distribution function.

    Attributes:
      reach: the |u| beyond which K is zero, or below 1e-9.
    """

    @property
    def reach(self) -> float:
        """Where it ends."""

    def log_density(self, u: Array) -> Array:
        """log K(u), elementwise."""

    def cdf(self, u: Array) -> Array:
        """The integral of K up to u, elementwise."""

    def sample(self, key: Key, shape: tuple[int, ...]) -> Array:
        """Independent u ~ K."""


@dataclasses.dataclass(frozen=True)
class Gaussian:
    """K(u) = exp(-u^2 / 2) / sqrt(2 pi)."""

    @property
    def reach(self) -> float:
        """K(6.5) < 1e-9"""
        return 6.5

    def log_density(self, u: Array) -> Array:
        """log K(u)"""
        return -0.5 * u * u - 0.5 * math.log(2.0 * math.pi)

    def cdf(self, u: Array) -> Array:
        """The integral of K up to u."""
        return special.ndtr(u)

    def sample(self, key: Key, shape: tuple[int, ...]) -> Array:
        """u ~ K"""
        return jax.random.normal(key, shape, jnp.float32)


@dataclasses.dataclass(frozen=True)
class Polynomial:
    """K(u) = c (1 - t^2)^power / r on |t| < 1, t = u / r, r = sqrt(2 power + 3).

    A symmetric beta density: samples are medians of 2 power + 1 uniform numbers.

    Attributes:
      power: 0 is the box, 1 Epanechnikov's kernel, 2 the biweight, 3 the triweight.
    """

    power: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.power <= 8:
            raise ValueError(f"Polynomial needs a power from 0 to 8; got {self.power}.")

    @property
    def reach(self) -> float:
        """r"""
        return math.sqrt(2 * self.power + 3)

    def _coefficients(self) -> np.ndarray:
        """Of c (1 - t^2)^power, the highest first; c makes its integral 1."""
        p = np.poly1d([-1.0, 0.0, 1.0]) ** self.power
        whole = np.polyint(p.coeffs)
        return p.coeffs / (np.polyval(whole, 1.0) - np.polyval(whole, -1.0))

    def log_density(self, u: Array) -> Array:
        """log K(u), -inf outside."""
        t = u / self.reach
        inside = jnp.abs(t) < 1.0
        log_c = math.log(self._coefficients()[-1] / self.reach)
        bump = jnp.log1p(-jnp.where(inside, t * t, 0.0))
        return jnp.where(inside, log_c + self.power * bump, -jnp.inf)

    def cdf(self, u: Array) -> Array:
        """The integral of K up to u, a polynomial."""
        t = jnp.clip(u / self.reach, -1.0, 1.0)
        whole = np.polyint(self._coefficients())
        whole[-1] -= np.polyval(whole, -1.0)
        return jnp.polyval(jnp.asarray(whole, jnp.float32), t)

    def sample(self, key: Key, shape: tuple[int, ...]) -> Array:
        """u ~ K"""
        num = 2 * self.power + 1
        uniform = jax.random.uniform(key, (num, *shape), jnp.float32, -1.0, 1.0)
        return self.reach * jnp.sort(uniform, axis=0)[self.power]


@dataclasses.dataclass(frozen=True)
class Triangular:
    """K(u) = (1 - |t|) / r on |t| < 1, t = u / r, r = sqrt(6)."""

    @property
    def reach(self) -> float:
        """r"""
        return math.sqrt(6.0)

    def log_density(self, u: Array) -> Array:
        """log K(u), -inf outside."""
        t = jnp.abs(u) / self.reach
        inside = t < 1.0
        bump = jnp.log1p(-jnp.where(inside, t, 0.0))
        return jnp.where(inside, bump - math.log(self.reach), -jnp.inf)

    def cdf(self, u: Array) -> Array:
        """The integral of K up to u."""
        t = jnp.clip(u / self.reach, -1.0, 1.0)
        return 0.5 + t - 0.5 * t * jnp.abs(t)

    def sample(self, key: Key, shape: tuple[int, ...]) -> Array:
        """u ~ K, a difference of two uniform numbers."""
        one, other = jax.random.uniform(key, (2, *shape), jnp.float32)
        return self.reach * (one - other)


@dataclasses.dataclass(frozen=True)
class Cosine:
    """K(u) = (pi / 4r) cos(pi t / 2) on |t| < 1, t = u / r, r = 1 / sqrt(1 - 8 / pi^2)."""

    @property
    def reach(self) -> float:
        """r"""
        return 1.0 / math.sqrt(1.0 - 8.0 / math.pi**2)

    def log_density(self, u: Array) -> Array:
        """log K(u), -inf outside."""
        t = u / self.reach
        inside = jnp.abs(t) < 1.0
        bump = jnp.log(jnp.cos(0.5 * math.pi * jnp.where(inside, t, 0.0)))
        return jnp.where(inside, bump + math.log(math.pi / 4.0 / self.reach), -jnp.inf)

    def cdf(self, u: Array) -> Array:
        """The integral of K up to u."""
        t = jnp.clip(u / self.reach, -1.0, 1.0)
        return 0.5 + 0.5 * jnp.sin(0.5 * math.pi * t)

    def sample(self, key: Key, shape: tuple[int, ...]) -> Array:
        """u ~ K, by the inverse of the distribution function."""
        v = jax.random.uniform(key, shape, jnp.float32, -1.0, 1.0)
        return self.reach * (2.0 / math.pi) * jnp.arcsin(v)


@dataclasses.dataclass(frozen=True)
class Logistic:
    """K(u) = 1 / (s (2 + e^t + e^-t)), t = u / s, s = sqrt(3) / pi: heavier tails."""

    @property
    def reach(self) -> float:
        """K(11.8) < 1e-9"""
        return 11.8

    def log_density(self, u: Array) -> Array:
        """log K(u)"""
        t = u * (math.pi / math.sqrt(3.0))
        bump = jax.nn.log_sigmoid(t) + jax.nn.log_sigmoid(-t)
        return bump + math.log(math.pi / math.sqrt(3.0))

    def cdf(self, u: Array) -> Array:
        """The integral of K up to u."""
        return jax.nn.sigmoid(u * (math.pi / math.sqrt(3.0)))

    def sample(self, key: Key, shape: tuple[int, ...]) -> Array:
        """u ~ K"""
        return jax.random.logistic(key, shape, jnp.float32) * (math.sqrt(3.0) / math.pi)


def box() -> Polynomial:
    """The uniform kernel."""
    return Polynomial(0)


def epanechnikov() -> Polynomial:
    """The kernel of least asymptotic error: Epanechnikov (1969)."""
    return Polynomial(1)


def biweight() -> Polynomial:
    """The quartic kernel, once differentiable."""
    return Polynomial(2)


def triweight() -> Polynomial:
    """Twice differentiable."""
    return Polynomial(3)
