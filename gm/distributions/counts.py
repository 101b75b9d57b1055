"""Distributions over counts {0, 1, 2, ...}: Poisson and NegativeBinomial.

Both take logarithms, so that any real network output is a legal parameter. Rates have a ceiling,
2^30, that keeps counts within int32: a larger one stands for the ceiling in all methods, and has
its gradient. Log gamma functions leave a negative binomial an absolute error of about 1e-7 x log x
nats in float32; a Poisson's stays below 1e-6 sqrt(x).
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
LARGE_RATE = 2.0**16  # from here on float32 spoils the acceptance test of `jax.random.poisson`


@pytree
class Poisson(Scored):
    """p(x) = rate^x exp(-rate) / x!

    Attributes:
      log_rate: [...], log of the mean; -inf is certainty of 0, above 30 log 2 it is 30 log 2.
    """

    log_rate: Array

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for integers x: [...]."""
        x = checks.integers(self, x, self.log_rate)
        log_rate = below_ceiling(self.log_rate)
        few = x < 16
        # By log gamma while that is exact, and by Stirling's series for many, for rates near x
        # would cancel in x log rate - rate. Each sees a harmless count where it is not taken.
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
        """P(X <= x) of every element, a regularised incomplete gamma function: [...]"""
        x = checks.integers(self, x, self.log_rate)
        count = checks.as_wide(jnp.maximum(x, 0), self.log_rate)
        return jnp.where(x >= 0, special.gammaincc(count + 1.0, self.mean()), 0.0)


@pytree
class NegativeBinomial(Scored):
    """A Poisson whose rate is Gamma distributed: counts that vary more than Poisson ones.

    With mean m and concentration r the variance is m + m^2 / r, and

        p(x) = Gamma(x + r) / (Gamma(r) x!) (r / (r + m))^r (m / (r + m))^x

    so r -> inf is Poisson(m), and m keeps its meaning whatever r is.

    Attributes:
      log_mean: [...], log m; above 30 log 2 it is 30 log 2.
      log_concentration: [...], log r.
    """

    log_mean: Array
    log_concentration: Array

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for integers x: [...]."""
        x = checks.integers(self, x, self.log_mean, self.log_concentration)
        r, logits = jnp.exp(self.log_concentration), self._logits()
        count = checks.as_wide(jnp.maximum(x, 0), r)
        # Gamma(x + r) / (Gamma(r) x!) through the Beta function, which does not cancel at large r.
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
        """P(X <= x) of every element, a regularised incomplete beta function: [...]"""
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
    """The log rate, at most 30 log 2, with the gradient of one that is not held back: [...]"""
    return jnp.minimum(log_rate, MAX_LOG_RATE)


below_ceiling.defjvp(lambda primals, tangents: (below_ceiling(*primals), *tangents))


def _sample(key: Key, log_rate: Array) -> Array:
    """One count for every rate: [...] int32."""
    key_few, key_many = jax.random.split(key)
    rate = jnp.exp(jnp.minimum(log_rate, MAX_LOG_RATE))
    few = jax.random.poisson(key_few, jnp.minimum(rate, LARGE_RATE), dtype=jnp.int32)
    # Cornish & Fisher's normal with the skewness of a Poisson: what is left out is of order 1 / sd.
    z = checks.as_wide(noise.normal(noise.bits(key_many, rate)), rate)
    many = rate + jnp.sqrt(rate) * z + (z * z - 1.0) / 6.0
    many = jnp.round(jnp.maximum(many, 0.0)).astype(jnp.int32)
    return jnp.where(rate >= LARGE_RATE, many, few)
