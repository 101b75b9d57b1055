r"""Concrete distributions: Bernoulli and Categorical relaxed to real values, reparameterized.

    x = sigmoid((logits + L) / t)         L standard logistic noise, one for each element
    x = softmax((logits + G) / t)         G standard Gumbel noise, one for each value

Maddison, Mnih & Teh (2017), arXiv:1611.00712; Jang, Gu & Poole (2017), arXiv:1611.01144
(Gumbel-softmax). As the temperature t falls to zero x becomes the discrete sample of the same
noise (`hard`), and gradients have ever more variance. For t <= 1 (binary), 1 / (K - 1) (K values)
the density has no mode inside. Values are kept off the ends of float32, where log p is infinite.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special

from gm.core import Array, Distribution, Key, pytree
from gm.distributions import checks, noise
from gm.distributions.discrete import Bernoulli, Categorical
from gm.distributions.pathwise import Scored
from gm.numerics import log_softmax

_TINY = float(np.finfo(np.float32).tiny)


@pytree
class RelaxedBernoulli(Scored):
    """The binary Concrete distribution on (0, 1), elementwise.

    Attributes:
      logits: [...], log odds; P(x > 1/2) = sigmoid(logits).
      temperature: t > 0, a scalar.
    """

    logits: Array
    temperature: Array
    reparameterized = True

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for x: [...] in (0, 1)."""
        x = checks.reals(self, x, self.logits)
        return self._log_prob(jnp.log(x), jnp.log1p(-x))

    def _log_prob(self, log_x: Array, log_rest: Array) -> Array:
        t = self.logits - self.temperature * (log_x - log_rest)
        log_p = jax.nn.log_sigmoid(t) + jax.nn.log_sigmoid(-t) - log_x - log_rest
        return jnp.sum(log_p + jnp.log(self.temperature))

    def noise(self, key: Key) -> Array:
        """Standard logistic noise: [...]"""
        return checks.as_wide(noise.logistic(noise.bits(key, self.logits)), self.logits)

    def from_noise(self, noise: Array) -> Array:
        """sigmoid((logits + noise) / t): [...]"""
        x = jax.nn.sigmoid((self.logits + noise) / self.temperature)
        return jnp.clip(x, _TINY, float(np.float32(1.0 - 2.0**-24)))

    def sample(self, key: Key) -> Array:
        """One x: [...]"""
        return self.from_noise(self.noise(key))

    def mode(self) -> Array:
        """sigmoid(logits / t), where x lies without noise: [...]"""
        return jax.nn.sigmoid(self.logits / self.temperature)

    def hard(self, x: Array) -> Array:
        """The discrete sample of the same noise, as floats: [...]"""
        return jnp.asarray(x > 0.5, x.dtype)


@pytree
class RelaxedCategorical(Scored):
    """The Concrete distribution on the simplex of K values, for each element.

    Attributes:
      logits: [..., K], unnormalised log probabilities, finite; P(argmax x = k) = softmax(logits)_k.
      temperature: t > 0, a scalar.
    """

    logits: Array
    temperature: Array
    reparameterized = True

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for x: [..., K] in the interior of the simplex."""
        x = checks.reals(self, x, self.logits)
        size, log_x = self.logits.shape[-1], jnp.log(x)
        t = log_softmax(self.logits) - self.temperature * log_x
        log_p = jnp.sum(t - log_x, -1) - size * jax.nn.logsumexp(t, -1)
        constant = special.gammaln(float(size)) + (size - 1) * jnp.log(self.temperature)
        return jnp.sum(log_p + constant)

    def noise(self, key: Key) -> Array:
        """Standard Gumbel noise for each value: [..., K]"""
        return checks.as_wide(noise.gumbel(noise.bits(key, self.logits)), self.logits)

    def from_noise(self, noise: Array) -> Array:
        """softmax((logits + noise) / t): [..., K]"""
        x = jax.nn.softmax((self.logits + noise) / self.temperature)
        return jnp.maximum(x, _TINY)

    def sample(self, key: Key) -> Array:
        """One x: [..., K]"""
        return self.from_noise(self.noise(key))

    def mode(self) -> Array:
        """softmax(logits / t), where x lies without noise: [..., K]"""
        return jax.nn.softmax(self.logits / self.temperature)

    def hard(self, x: Array) -> Array:
        """The discrete sample of the same noise, one-hot, as floats: [..., K]"""
        return jax.nn.one_hot(jnp.argmax(x, -1), x.shape[-1], dtype=x.dtype)


def relax(d: Distribution, temperature: float | Array) -> RelaxedBernoulli | RelaxedCategorical:
    """The Concrete distribution of a discrete one with the same logits.

    Raises:
      TypeError: d is neither a Bernoulli nor a Categorical.
      ValueError: a known temperature is not positive.
    """
    if isinstance(temperature, int | float) and not temperature > 0.0:
        raise ValueError(f"relax needs a positive temperature; got {temperature}.")
    kinds = {Bernoulli: RelaxedBernoulli, Categorical: RelaxedCategorical}
    if type(d) not in kinds:
        raise TypeError(f"relax needs a Bernoulli or a Categorical; got {type(d).__name__}.")
    return kinds[type(d)](d.logits, jnp.asarray(temperature, d.logits.dtype))


def one_hot(z: Array, num_values: int) -> Array:
    """z as numbers for a network: integers [...] one-hot, [..., K]; relaxed ones as they are.

    So that a `decode` takes samples of a Categorical and of its relaxation alike.
    """
    if jnp.issubdtype(z.dtype, jnp.floating):
        return z
    return jax.nn.one_hot(z, num_values, dtype=jnp.float32)


def straight_through(hard: Array, soft: Array) -> Array:
    """The hard value with the gradient of the soft one: Bengio et al. (2013), arXiv:1308.3432."""
    return soft + jax.lax.stop_gradient(hard - soft)
