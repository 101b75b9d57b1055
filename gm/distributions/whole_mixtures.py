"""Mixtures of whole events: one component for all elements of x."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Distribution, Key, PyTree, pytree
from gm.distributions.pathwise import Scored
from gm.numerics import log_softmax, log_sum_exp


@pytree
class MixtureOfEvents(Scored):
    """p(x) = Σ_m softmax(logits)_m p_m(x), where `Mixture` has one mixture for each element.

    Attributes:
      logits: [M], unnormalised log weights.
      components: a batch of distributions of one kind, every leaf [M, ...], as `jax.vmap` makes it.
    """

    logits: Array
    components: Distribution

    def log_prob(self, x: PyTree) -> Array:
        """log p(x), nats."""
        log_p = jax.vmap(lambda p: p.log_prob(x))(self.components)
        return log_sum_exp(log_softmax(self.logits) + log_p)

    def sample(self, key: Key) -> PyTree:
        """One x; gradients flow to the component, not to the logits."""
        key_index, key_x = jax.random.split(key)
        m = jax.random.categorical(key_index, self.logits)
        one = jax.tree.map(lambda leaf: jnp.take(leaf, m, axis=0), self.components)
        return one.sample(key_x)
