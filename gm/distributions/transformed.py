"""Transformed: the pushforward of a distribution through a bijection."""

from __future__ import annotations

from gm.core import Array, Bijection, Distribution, Key, Params, PyTree, pytree, static
from gm.distributions.pathwise import Scored, is_reparameterized, sample_and_log_prob


@pytree
class Transformed(Scored):
    """p(y) = p_base(f^{-1}(y)) |det df^{-1}/dy|, the density of y = f(x) with x ~ base.

    It makes a flow a posterior, prior or likelihood: `sample` and `sample_and_log_prob` evaluate
    only f, and `log_prob` only its inverse.

    Attributes:
      base: the distribution of x.
      bijection: f, any object with `forward` and `inverse` as in `gm.bijections`.
      params: the parameters of the bijection.
      context: the context of the bijection, or None.
    """

    base: Distribution
    bijection: Bijection = static()
    params: Params
    context: PyTree = None

    @property
    def reparameterized(self) -> bool:
        """Whether the base is reparameterized."""
        return is_reparameterized(self.base)

    def log_prob(self, y: Array) -> Array:
        """log p(y), nats, for y in the output shape of f."""
        x, log_det = self.bijection.inverse(self.params, y, self.context)
        return self.base.log_prob(x) + log_det

    def sample(self, key: Key) -> Array:
        """f(x) with x ~ base."""
        return self.bijection.forward(self.params, self.base.sample(key), self.context)[0]

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """y = f(x) and log p(y) in nats, without the inverse of f."""
        x, log_prob = sample_and_log_prob(self.base, key)
        y, log_det = self.bijection.forward(self.params, x, self.context)
        return y, log_prob - log_det
