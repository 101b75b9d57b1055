r"""The discretised logistic distribution over ordered integers (grey levels, audio samples).

Salimans, Karpathy, Chen & Kingma (2017), "PixelCNN++", arXiv:1701.05517, section 2.1. Value k is
at v_k = 2k/(K-1) - 1 in [-1, 1], and its bin is v_k ± 1/(K-1); the first and the last bin extend to
infinity, so that the K probabilities sum to 1:

    P(k) = sigmoid(b_k) - sigmoid(a_k),   a_k, b_k = (v_k ∓ 1/(K-1) - loc) / scale

The paper falls back to the density where this difference cancels. No fallback is needed, because

    sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(-(b - a)))

is a product whose last factor depends only on the bin's width: its logarithm is accurate, with
finite gradients, for any loc, scale and k.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Key, pytree, static
from gm.distributions import checks, noise
from gm.distributions.discrete import Categorical
from gm.distributions.elements import tabulate
from gm.distributions.pathwise import Scored
from gm.numerics import log1mexp


@pytree
class DiscretizedLogistic(Scored):
    """A logistic variable rounded to K levels in [-1, 1], x in {0, ..., K - 1}.

    Attributes:
      loc: [...], location, in units where -1 is the first value and 1 the last.
      scale: [...], scale of the logistic, in the units of loc.
      num_values: K.
    """

    loc: Array
    scale: Array
    num_values: int = static()

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats, for integers x: [...]."""
        x = checks.integers(self, x, self.loc, self.scale)
        last = self.num_values - 1
        log_above_left = jax.nn.log_sigmoid(-self._z(x, -1.0))
        log_below_right = jax.nn.log_sigmoid(self._z(x, 1.0))
        log_p = (
            jnp.where(x == 0, 0.0, log_above_left)
            + jnp.where(x == last, 0.0, log_below_right)
            + jnp.where((x == 0) | (x == last), 0.0, log1mexp(2.0 / (last * self.scale)))
        )
        return jnp.sum(jnp.where((x >= 0) & (x <= last), log_p, -jnp.inf))

    def noise(self, key: Key) -> Array:
        """Standard logistic noise: [...]"""
        return checks.as_wide(noise.logistic(noise.bits(key, self.loc)), self.loc, self.scale)

    def from_noise(self, noise: Array) -> Array:
        """loc + scale noise, rounded to the nearest level: [...] int32."""
        v = self.loc + self.scale * noise
        last = self.num_values - 1
        return jnp.round(jnp.clip(0.5 * (v + 1.0) * last, 0.0, last)).astype(jnp.int32)

    def sample(self, key: Key) -> Array:
        """One x: [...] int32."""
        return self.from_noise(self.noise(key))

    def mean(self) -> Array:
        """Σ_k k P(k): [...]"""
        return self._table().mean()

    def mode(self) -> Array:
        """The most probable value, which may be at an end even if loc is inside: [...] int32."""
        return self._table().mode()

    def entropy(self) -> Array:
        """-Σ_k P(k) log P(k) of every element, summed, nats."""
        return self._table().entropy()

    def cdf(self, x: Array) -> Array:
        """P(X <= x) of every element: [...]"""
        x = checks.integers(self, x, self.loc, self.scale)
        below = jnp.where(x < 0, 0.0, jax.nn.sigmoid(self._z(x, 1.0)))
        return jnp.where(x >= self.num_values - 1, 1.0, below)

    def _z(self, x: Array, side: float) -> Array:
        """The standardised left (side -1) or right (side 1) end of the bin of x."""
        x = checks.as_wide(x, self.loc, self.scale)
        end = (2.0 * x + side) / (self.num_values - 1) - 1.0
        return (end - self.loc) / self.scale

    def _table(self) -> Categorical:
        return tabulate(self, jnp.shape(self.loc), self.num_values)
