"""Mixtures of elementwise distributions, one mixture per element.

Mixture(logits, Normal(loc, scale))                        # mixture of Normals
Mixture(logits, Logistic(loc, scale))                      # mixture of logistics
Mixture(logits, DiscretizedLogistic(loc, scale, 256))      # PixelCNN++
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Distribution, Key, pytree
from gm.distributions import checks
from gm.distributions.discrete import Categorical
from gm.distributions.elements import element, element_log_probs
from gm.distributions.pathwise import Scored
from gm.numerics import log_softmax, log_sum_exp


@pytree
class Mixture(Scored):
    """p(x) = Π_i Σ_m softmax(logits_i)_m p_im(x_i).

    Mean and cdf are weighted averages of those of the components; mode and entropy have no closed
    form (for values {0, ..., K - 1}, `tabulate(mixture, shape, K)` has both).

    Attributes:
      logits: [..., M], unnormalised log weights; a weight of -inf removes the component, and one
        of +inf removes the others.
      components: an elementwise distribution over an event of shape [..., M].
    """

    logits: Array
    components: Distribution

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for x: [...]."""
        log_p = element_log_probs(self.components, self._repeat(x))
        return jnp.sum(log_sum_exp(log_softmax(self.logits) + log_p))

    def noise(self, key: Key) -> tuple[Array, Array]:
        """Gumbel noise for each weight, [..., M], and the noise of one component."""
        key_index, key_value = jax.random.split(key)
        one = self._chosen(jnp.zeros(jnp.shape(self.logits)[:-1], jnp.int32))
        return Categorical(self.logits).noise(key_index), one.noise(key_value)

    def from_noise(self, noise: tuple[Array, Array]) -> Array:
        """The value of the selected component: [...]"""
        index = Categorical(self.logits).from_noise(noise[0])
        return self._chosen(index).from_noise(noise[1])

    def sample(self, key: Key) -> Array:
        """One x: [...]; gradients flow to the selected components, not to the logits."""
        if hasattr(self.components, "noise"):
            return self.from_noise(self.noise(key))
        key_index, key_value = jax.random.split(key)
        return self._chosen(Categorical(self.logits).sample(key_index)).sample(key_value)

    def _chosen(self, index: Array) -> Distribution:
        """The distribution of component index_i for every element i."""
        first = jnp.arange(0, self.logits.size, self.logits.shape[-1], jnp.int32)
        raster = first.reshape(index.shape) + index
        return element(self.components, self.logits.shape, raster)

    def mean(self) -> Array:
        """Σ_m w_m mean_m: [...]"""
        return self._weigh(self.components.mean())

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element: [...]"""
        return self._weigh(self.components.cdf(self._repeat(x)))

    def _repeat(self, x: Array) -> Array:
        """x: [...] -> [..., M]"""
        x = jnp.asarray(x)
        checks.one_event(self, x, self.logits[..., 0])
        return jnp.broadcast_to(x[..., None], self.logits.shape)

    def _weigh(self, values: Array) -> Array:
        """[..., M] -> [...]"""
        return jnp.sum(jnp.exp(log_softmax(self.logits)) * values, -1)
