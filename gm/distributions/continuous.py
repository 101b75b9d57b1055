"""Distributions over real arrays with independent elements: Normal, Laplace, Logistic, Uniform.

`log_prob` and `entropy` sum over elements; `cdf` and `icdf` are elementwise and have a small
relative error in the lower tail (for the upper tail reflect x, since 1 - cdf cancels in floating
point). Samples are reparameterized: gradients flow from x to the parameters.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy import special

from gm.core import Array, Key, pytree
from gm.distributions import checks, noise
from gm.distributions.pathwise import Scored

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


@pytree
class Normal(Scored):
    """p(x) = exp(-z^2 / 2) / (scale sqrt(2 pi)), z = (x - loc) / scale.

    Attributes:
      loc: [...], mean.
      scale: [...], standard deviation.
    """

    loc: Array
    scale: Array
    reparameterized = True

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for x: [...]."""
        x = checks.reals(self, x, self.loc, self.scale)
        z = (x - self.loc) / self.scale
        return jnp.sum(-0.5 * z * z - jnp.log(self.scale) - HALF_LOG_2PI)

    def noise(self, key: Key) -> Array:
        """Standard normal noise: [...]"""
        return checks.as_wide(noise.normal(noise.bits(key, self.loc)), self.loc, self.scale)

    def from_noise(self, noise: Array) -> Array:
        """loc + scale noise: [...]"""
        return self.loc + self.scale * noise

    def sample(self, key: Key) -> Array:
        """One x: [...]"""
        return self.from_noise(self.noise(key))

    def mean(self) -> Array:
        """loc: [...]"""
        return self.loc

    def mode(self) -> Array:
        """loc: [...]"""
        return self.loc

    def entropy(self) -> Array:
        """Σ 1/2 + log(2 pi)/2 + log scale, nats."""
        return jnp.sum(0.5 + HALF_LOG_2PI + jnp.log(self.scale))

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element: [...]"""
        return special.ndtr((x - self.loc) / self.scale)

    def icdf(self, u: Array) -> Array:
        """The x with cdf(x) = u, for u in [0, 1]: [...]"""
        return self.loc + self.scale * special.ndtri(u)


@pytree
class Laplace(Scored):
    """p(x) = exp(-|x - loc| / scale) / (2 scale).

    Attributes:
      loc: [...], median.
      scale: [...], mean absolute deviation; the standard deviation is sqrt(2) scale.
    """

    loc: Array
    scale: Array
    reparameterized = True

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for x: [...]."""
        x = checks.reals(self, x, self.loc, self.scale)
        return jnp.sum(-jnp.abs(x - self.loc) / self.scale - jnp.log(2.0 * self.scale))

    def noise(self, key: Key) -> Array:
        """Standard Laplace noise: [...]"""
        return checks.as_wide(noise.laplace(noise.bits(key, self.loc)), self.loc, self.scale)

    def from_noise(self, noise: Array) -> Array:
        """loc + scale noise: [...]"""
        return self.loc + self.scale * noise

    def sample(self, key: Key) -> Array:
        """One x: [...]"""
        return self.from_noise(self.noise(key))

    def mean(self) -> Array:
        """loc: [...]"""
        return self.loc

    def mode(self) -> Array:
        """loc: [...]"""
        return self.loc

    def entropy(self) -> Array:
        """Σ 1 + log(2 scale), nats."""
        return jnp.sum(1.0 + jnp.log(2.0 * self.scale))

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element: [...]"""
        z = (x - self.loc) / self.scale
        # At the median the gradient is that of the lower tail, where exp(z) is correct.
        tail = 0.5 * jnp.exp(jnp.where(z > 0.0, -z, z))
        return jnp.where(z > 0.0, 1.0 - tail, tail)

    def icdf(self, u: Array) -> Array:
        """The x with cdf(x) = u, for u in [0, 1]: [...]"""
        upper = u > 0.5
        tail = jnp.log(2.0 * jnp.where(upper, 1.0 - u, u))
        return self.loc + self.scale * jnp.where(upper, -tail, tail)


@pytree
class Logistic(Scored):
    """p(x) = sigmoid(z) sigmoid(-z) / scale, z = (x - loc) / scale.

    Attributes:
      loc: [...], mean.
      scale: [...]; the standard deviation is scale pi / sqrt(3).
    """

    loc: Array
    scale: Array
    reparameterized = True

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for x: [...]."""
        x = checks.reals(self, x, self.loc, self.scale)
        z = (x - self.loc) / self.scale
        return jnp.sum(jax.nn.log_sigmoid(z) + jax.nn.log_sigmoid(-z) - jnp.log(self.scale))

    def noise(self, key: Key) -> Array:
        """Standard logistic noise: [...]"""
        return checks.as_wide(noise.logistic(noise.bits(key, self.loc)), self.loc, self.scale)

    def from_noise(self, noise: Array) -> Array:
        """loc + scale noise: [...]"""
        return self.loc + self.scale * noise

    def sample(self, key: Key) -> Array:
        """One x: [...]"""
        return self.from_noise(self.noise(key))

    def mean(self) -> Array:
        """loc: [...]"""
        return self.loc

    def mode(self) -> Array:
        """loc: [...]"""
        return self.loc

    def entropy(self) -> Array:
        """Σ 2 + log scale, nats."""
        return jnp.sum(2.0 + jnp.log(self.scale))

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element: [...]"""
        return jax.nn.sigmoid((x - self.loc) / self.scale)

    def icdf(self, u: Array) -> Array:
        """The x with cdf(x) = u, for u in [0, 1]: [...]"""
        return self.loc + self.scale * special.logit(u)


@pytree
class Uniform(Scored):
    """p(x) = 1 / (high - low) for low <= x <= high, elementwise.

    Attributes:
      low: [...], lower bounds.
      high: [...], upper bounds, greater than low.
    """

    low: Array
    high: Array
    reparameterized = True

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for x: [...]; -inf outside the closed box."""
        x = checks.reals(self, x, self.low, self.high)
        inside = (x >= self.low) & (x <= self.high)
        return jnp.sum(jnp.where(inside, -jnp.log(self.high - self.low), -jnp.inf))

    def sample(self, key: Key) -> Array:
        """One x: [...]"""
        u = checks.as_wide(noise.uniform(noise.bits(key, self.low)), self.low, self.high)
        return jnp.minimum(self.icdf(u), self.high)  # rounding may exceed high

    def mean(self) -> Array:
        """The centre: [...]"""
        return 0.5 * (self.low + self.high)

    def mode(self) -> Array:
        """The centre, since the density is constant: [...]"""
        return self.mean()

    def entropy(self) -> Array:
        """Σ log(high - low), nats."""
        return jnp.sum(jnp.log(self.high - self.low))

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element: [...]"""
        return jnp.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)

    def icdf(self, u: Array) -> Array:
        """The x with cdf(x) = u, for u in [0, 1]: [...]"""
        return self.low + (self.high - self.low) * u
