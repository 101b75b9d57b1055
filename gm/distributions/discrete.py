"""Distributions over finitely many values: Bernoulli and Categorical.

Outside the support log_prob is -inf with gradient 0. Logits may be infinite.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Key, pytree
from gm.distributions import checks, noise
from gm.distributions.pathwise import Scored
from gm.numerics import certain, exp_times, log_softmax


@pytree
class Bernoulli(Scored):
    """P(x = 1) = sigmoid(logits), for x in {0, 1}.

    Attributes:
      logits: [...], log odds of x = 1; ±inf makes a value certain.
    """

    logits: Array

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for integers x: [...]."""
        x = checks.integers(self, x, self.logits)
        log_p = jax.nn.log_sigmoid(jnp.where(x == 1, self.logits, -self.logits))
        return jnp.sum(jnp.where((x == 0) | (x == 1), log_p, -jnp.inf))

    def noise(self, key: Key) -> Array:
        """Uniform numbers in (0, 1), one for each element: [...]"""
        return checks.as_wide(noise.uniform(noise.bits(key, self.logits)), self.logits)

    def from_noise(self, noise: Array) -> Array:
        """1 where the uniform number is below P(x = 1): [...] int32."""
        return (noise < self.mean()).astype(jnp.int32)

    def sample(self, key: Key) -> Array:
        """One x: [...] int32."""
        return self.from_noise(self.noise(key))

    def mean(self) -> Array:
        """P(x = 1): [...]"""
        return jax.nn.sigmoid(self.logits)

    def mode(self) -> Array:
        """The more probable value, 0 on a tie: [...] int32."""
        return jnp.asarray(self.logits > 0.0, jnp.int32)

    def entropy(self) -> Array:
        """-Σ_x p(x) log p(x), nats."""
        log_one, log_zero = jax.nn.log_sigmoid(self.logits), jax.nn.log_sigmoid(-self.logits)
        return -jnp.sum(exp_times(log_one, log_one) + exp_times(log_zero, log_zero))

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element: [...]"""
        x = checks.integers(self, x, self.logits)
        below = jnp.where(x < 0, 0.0, jax.nn.sigmoid(-self.logits))
        return jnp.where(x >= 1, 1.0, below)


@pytree
class Categorical(Scored):
    """P(x = k) = softmax(logits)_k, for x in {0, ..., K - 1}.

    Attributes:
      logits: [..., K], unnormalised log probabilities; -inf excludes a value, +inf makes it certain
        (several values with +inf are equally likely). At least one must not be -inf.
    """

    logits: Array

    @property
    def num_values(self) -> int:
        """K"""
        return self.logits.shape[-1]

    @property
    def log_probs(self) -> Array:
        """log P(x = k) of every element and value: [..., K]"""
        return log_softmax(self.logits)

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for integers x: [...]."""
        x = checks.integers(self, x, self.logits[..., 0])
        # A mask excludes the other values from the sum, and avoids a scatter in the gradient.
        chosen = jax.nn.one_hot(x, self.num_values, dtype=jnp.bool_)
        log_p = jnp.sum(self.log_probs, -1, where=chosen)
        return jnp.sum(jnp.where((x >= 0) & (x < self.num_values), log_p, -jnp.inf))

    def noise(self, key: Key) -> Array:
        """Standard Gumbel noise for each value: [..., K]"""
        return checks.as_wide(noise.gumbel(noise.bits(key, self.logits)), self.logits)

    def from_noise(self, noise: Array) -> Array:
        """argmax_k (log P(x = k) + noise_k): [...] int32."""
        return jnp.argmax(certain(self.logits) + noise, -1).astype(jnp.int32)

    def sample(self, key: Key) -> Array:
        """One x: [...] int32."""
        return self.from_noise(self.noise(key))

    def mean(self) -> Array:
        """Σ_k k P(x = k), useful for ordered values: [...]"""
        return jnp.exp(self.log_probs) @ jnp.arange(self.num_values, dtype=self.logits.dtype)

    def mode(self) -> Array:
        """The most probable value, the smallest on a tie: [...] int32."""
        return jnp.argmax(self.logits, -1).astype(jnp.int32)

    def entropy(self) -> Array:
        """-Σ_k p_k log p_k, nats."""
        return -jnp.sum(exp_times(self.log_probs, self.log_probs))

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element: [...]"""
        x = checks.integers(self, x, self.logits[..., 0])
        values = jax.lax.broadcasted_iota(jnp.int32, self.logits.shape, x.ndim)
        return jnp.sum(jnp.exp(self.log_probs), -1, where=values <= x[..., None])
