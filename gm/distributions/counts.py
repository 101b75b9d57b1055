"""Distributions over counts {0, 1, 2, ...}: Poisson and NegativeBinomial.

Both take logarithms, so that any real network output is a legal parameter. Sums of log gamma
functions leave an absolute error of about 1e-7 x log x nats in float32.
"""

from __future__ import annotations

import flax.struct
import jax
import jax.numpy as jnp
from jax.scipy import special

from gm.core import Array, Key
from gm.distributions import checks
from gm.distributions.pathwise import Scored


@flax.struct.dataclass
class Poisson(Scored):
    """p(x) = rate^x exp(-rate) / x!

    Attributes:
      log_rate: [...], log of the mean; -inf is certainty of 0.
    """

    log_rate: Array

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for integers x: [...]."""
        x = checks.integers(self, x, self.log_rate)
        count = jnp.maximum(x, 0).astype(jnp.float32)
        log_power = count * jnp.where(x > 0, self.log_rate, 0.0)
        log_p = log_power - jnp.exp(self.log_rate) - special.gammaln(count + 1.0)
        return jnp.sum(jnp.where(x >= 0, log_p, -jnp.inf))

    def sample(self, key: Key) -> Array:
        """One x: [...] int32."""
        return jax.random.poisson(key, self.mean(), dtype=jnp.int32)

    def mean(self) -> Array:
        """rate: [...]"""
        return jnp.exp(self.log_rate)

    def mode(self) -> Array:
        """floor(rate): [...] int32."""
        return jnp.floor(self.mean()).astype(jnp.int32)

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element, a regularised incomplete gamma function: [...]"""
        x = checks.integers(self, x, self.log_rate)
        count = jnp.maximum(x, 0).astype(jnp.float32)
        return jnp.where(x >= 0, special.gammaincc(count + 1.0, self.mean()), 0.0)


@flax.struct.dataclass
class NegativeBinomial(Scored):
    """A Poisson whose rate is Gamma distributed: counts that vary more than Poisson ones.

    With mean m and concentration r the variance is m + m^2 / r, and

        p(x) = Gamma(x + r) / (Gamma(r) x!) (r / (r + m))^r (m / (r + m))^x

    so r -> inf is Poisson(m), and m keeps its meaning whatever r is.

    Attributes:
      log_mean: [...], log m.
      log_concentration: [...], log r.
    """

    log_mean: Array
    log_concentration: Array

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for integers x: [...]."""
        x = checks.integers(self, x, self.log_mean, self.log_concentration)
        count = jnp.maximum(x, 0).astype(jnp.float32)
        logits, r = self.log_mean - self.log_concentration, jnp.exp(self.log_concentration)
        # Gamma(x + r) / (Gamma(r) x!) through the Beta function, which does not cancel at large r.
        log_ways = -special.betaln(count + 1.0, r) - jnp.log(count + r)
        log_p = log_ways - r * jax.nn.softplus(logits) + count * jax.nn.log_sigmoid(logits)
        return jnp.sum(jnp.where(x >= 0, log_p, -jnp.inf))

    def sample(self, key: Key) -> Array:
        """One x: [...] int32."""
        key_rate, key_count = jax.random.split(key)
        log_gamma = jax.random.loggamma(key_rate, jnp.exp(self.log_concentration))
        rate = jnp.exp(log_gamma + self.log_mean - self.log_concentration)
        return jax.random.poisson(key_count, rate, dtype=jnp.int32)

    def mean(self) -> Array:
        """m: [...]"""
        return jnp.exp(self.log_mean)

    def mode(self) -> Array:
        """floor(m (r - 1) / r) where r > 1, else 0: [...] int32."""
        shrunk = self.mean() * (1.0 - jnp.exp(-self.log_concentration))
        return jnp.floor(jnp.maximum(shrunk, 0.0)).astype(jnp.int32)

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element, a regularised incomplete beta function: [...]"""
        x = checks.integers(self, x, self.log_mean, self.log_concentration)
        count = jnp.maximum(x, 0).astype(jnp.float32)
        success = jax.nn.sigmoid(self.log_concentration - self.log_mean)
        below = special.betainc(jnp.exp(self.log_concentration), count + 1.0, success)
        return jnp.where(x >= 0, below, 0.0)
