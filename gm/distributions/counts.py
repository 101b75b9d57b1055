"""Distributions over counts {0, 1, 2, ...}: Poisson and NegativeBinomial.

The parameters of both are logarithms, so that any real network output is valid. Rates are clipped
to at most 2^30 in all methods, which keeps counts within int32; a clipped rate still has a
gradient, that at 2^30. In float32 the log gamma functions give the negative binomial an absolute
error of about 1e-7 x log x nats; the error of a Poisson is below 1e-6 sqrt(x) nats.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax.scipy import special

from gm.core import Array, Key, pytree
from gm.distributions import checks, noise
from gm.distributions.pathwise import Scored

MAX_LOG_RATE = 30.0 * math.log(2.0)
TWO_PI = 2.0 * math.pi
LARGE_RATE = 2.0**16  # above it, rounding biases the rejection sampler `jax.random.poisson`


@pytree
class Poisson(Scored):
    """p(x) = rate^x exp(-rate) / x!

    Attributes:
      log_rate: [...], log of the mean, clipped to at most 30 log 2; -inf makes 0 certain.
    """

    log_rate: Array

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for integers x: [...]."""
        x = checks.integers(self, x, self.log_rate)
        log_rate = below_ceiling(self.log_rate)
        few = x < 16
        # Log gamma for small counts, where it is exact; Stirling's series for large ones, where
        # x log rate - rate cancels for rates near x. Each gets a safe count where it is not used.
        count = checks.as_wide(jnp.where(few, jnp.maximum(x, 0), 0), log_rate)
        log_power = count * jnp.where(few & (x > 0), log_rate, 0.0)
        log_few = log_power - jnp.exp(log_rate) - special.gammaln(count + 1.0)
        count = checks.as_wide(jnp.where(few, 16, x), log_rate)
        ratio = log_rate - jnp.log(count)
        series = 1.0 / (12.0 * count) - 1.0 / (360.0 * count**3)
        log_many = -count * (jnp.expm1(ratio) - ratio) - 0.5 * jnp.log(TWO_PI * count) - series
        return jnp.sum(jnp.where(x >= 0, jnp.where(few, log_few, log_many), -jnp.inf))

    def sample(self, key: Key) -> Array:
        """One x: [...] int32."""
        return _sample(key, self.log_rate)

    def mean(self) -> Array:
        """rate: [...]"""
        return jnp.exp(below_ceiling(self.log_rate))

    def mode(self) -> Array:
        """floor(rate): [...] int32."""
        return jnp.floor(self.mean()).astype(jnp.int32)

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element, by the regularised incomplete gamma function: [...]"""
        x = checks.integers(self, x, self.log_rate)
        count = checks.as_wide(jnp.maximum(x, 0), self.log_rate)
        return jnp.where(x >= 0, special.gammaincc(count + 1.0, self.mean()), 0.0)


@pytree
class NegativeBinomial(Scored):
    """A Poisson with a Gamma distributed rate, for counts with more variance than a Poisson's.

    With mean m and concentration r the variance is m + m^2 / r, and

        p(x) = Gamma(x + r) / (Gamma(r) x!) (r / (r + m))^r (m / (r + m))^x

    It converges to Poisson(m) as r -> inf; the mean m does not depend on r.

    Attributes:
      log_mean: [...], log m, clipped to at most 30 log 2.
      log_concentration: [...], log r.
    """

    log_mean: Array
    log_concentration: Array

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for integers x: [...]."""
        x = checks.integers(self, x, self.log_mean, self.log_concentration)
        r, logits = jnp.exp(self.log_concentration), self._logits()
        count = checks.as_wide(jnp.maximum(x, 0), r)
        # Gamma(x + r) / (Gamma(r) x!) via the Beta function, which does not cancel at large r.
        log_ways = -special.betaln(count + 1.0, r) - jnp.log(count + r)
        log_p = log_ways - r * jax.nn.softplus(logits) + count * jax.nn.log_sigmoid(logits)
        return jnp.sum(jnp.where(x >= 0, log_p, -jnp.inf))

    def sample(self, key: Key) -> Array:
        """One x: [...] int32."""
        key_rate, key_count = jax.random.split(key)
        r = jnp.exp(self.log_concentration)
        log_gamma = jax.random.loggamma(key_rate, r, dtype=r.dtype)
        return _sample(key_count, log_gamma + self._logits())

    def mean(self) -> Array:
        """m: [...]"""
        return jnp.exp(below_ceiling(self.log_mean))

    def mode(self) -> Array:
        """floor(m (r - 1) / r) where r > 1, else 0: [...] int32."""
        shrunk = self.mean() * (1.0 - jnp.exp(-self.log_concentration))
        return jnp.floor(jnp.maximum(shrunk, 0.0)).astype(jnp.int32)

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element, by the regularised incomplete beta function: [...]"""
        x = checks.integers(self, x, self.log_mean, self.log_concentration)
        success = jax.nn.sigmoid(-self._logits())
        count = checks.as_wide(jnp.maximum(x, 0), success)
        below = special.betainc(jnp.exp(self.log_concentration), count + 1.0, success)
        return jnp.where(x >= 0, below, 0.0)

    def _logits(self) -> Array:
        """log m - log r: [...]"""
        return below_ceiling(self.log_mean) - self.log_concentration


@jax.custom_jvp
def below_ceiling(log_rate: Array) -> Array:
    """The log rate clipped to at most 30 log 2, with the gradient of the unclipped one: [...]"""
    return jnp.minimum(log_rate, MAX_LOG_RATE)


below_ceiling.defjvp(lambda primals, tangents: (below_ceiling(*primals), *tangents))


def _sample(key: Key, log_rate: Array) -> Array:
    """One count for every rate: [...] int32."""
    key_few, key_many = jax.random.split(key)
    rate = jnp.exp(jnp.minimum(log_rate, MAX_LOG_RATE))
    few = jax.random.poisson(key_few, jnp.minimum(rate, LARGE_RATE), dtype=jnp.int32)
    # A Cornish-Fisher expansion with the skewness of a Poisson; its error is of order 1 / sd.
    z = checks.as_wide(noise.normal(noise.bits(key_many, rate)), rate)
    many = rate + jnp.sqrt(rate) * z + (z * z - 1.0) / 6.0
    many = jnp.round(jnp.maximum(many, 0.0)).astype(jnp.int32)
    return jnp.where(rate >= LARGE_RATE, many, few)
