"""Distributions over proportions: Dirichlet."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy import special

from gm.core import Array, Key, pytree
from gm.distributions import checks
from gm.distributions.pathwise import Scored

TOLERANCE = 1e-4  # of Σ x = 1, for x normalised in float32


@pytree
class Dirichlet(Scored):
    """p(x) = Gamma(Σ a_k) / Π Gamma(a_k) Π x_k^(a_k - 1) on the simplex Σ x_k = 1, x_k >= 0.

    It is a density with respect to the first K - 1 coordinates.

    Attributes:
      concentration: [K], a, positive.
    """

    concentration: Array
    reparameterized = True

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for x: [K]; -inf off the simplex.

        At x_k = 0 the density is 0 if a_k > 1 and infinite if a_k < 1; it is 0 if both occur.
        """
        x = checks.reals(self, x, self.concentration)
        a, inner = self.concentration, x > 0.0
        on_simplex = jnp.all(x >= 0.0) & (jnp.abs(jnp.sum(x) - 1.0) <= TOLERANCE)
        possible = on_simplex & jnp.all(inner | (a <= 1.0))
        log_powers = jnp.where(inner, (a - 1.0) * jnp.log(jnp.where(inner, x, 1.0)), 0.0)
        log_powers = jnp.where(~inner & (a < 1.0), jnp.inf, log_powers)
        return jnp.where(possible, jnp.sum(log_powers) - self.log_normalizer(), -jnp.inf)

    def sample(self, key: Key) -> Array:
        """One x: [K]; gradients flow to the concentration.

        Values are at least the smallest normal float, since 0 may have infinite density; for
        a_k = 0.01 about half of them are clipped to it.
        """
        a = jnp.asarray(self.concentration)
        # In logarithms, since Gamma variables may be as small as exp(-1 / a_k).
        x = jax.nn.softmax(jax.random.loggamma(key, a, dtype=a.dtype))
        return jnp.maximum(x, jnp.finfo(x.dtype).tiny)

    def mean(self) -> Array:
        """a / Σ a: [K]"""
        return self.concentration / jnp.sum(self.concentration)

    def mode(self) -> Array:
        """(a - 1) / (Σ a - K): [K]; nan unless every a_k > 1, since there is no interior mode."""
        excess = self.concentration - 1.0
        return jnp.where(jnp.all(excess > 0.0), excess / jnp.sum(excess), jnp.nan)

    def entropy(self) -> Array:
        """log B(a) + (Σ a - K) ψ(Σ a) - Σ (a_k - 1) ψ(a_k), nats."""
        excess = self.concentration - 1.0
        return self.log_normalizer() - jnp.sum(excess * self.mean_log())

    def mean_log(self) -> Array:
        """E log x_k = ψ(a_k) - ψ(Σ a): [K]"""
        return special.digamma(self.concentration) - special.digamma(jnp.sum(self.concentration))

    def log_normalizer(self) -> Array:
        """log B(a) = Σ log Gamma(a_k) - log Gamma(Σ a)"""
        total = jnp.sum(self.concentration)
        return jnp.sum(special.gammaln(self.concentration)) - special.gammaln(total)
