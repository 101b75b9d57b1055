"""Pushforward distributions through a bijection: Transformed."""

from __future__ import annotations

from gm.core import Array, Bijection, Distribution, Key, Params, PyTree, pytree, static
from gm.distributions.pathwise import Scored, is_reparameterized, sample_and_log_prob


@pytree
class Transformed(Scored):
    """p(y) = p_base(f^{-1}(y)) |det df^{-1}/dy|, that of y = f(x) with x ~ base.

    A flow as a posterior, a prior or a likelihood: `sample` and `sample_and_log_prob` go forward
    alone, `log_prob` goes back.

    Attributes:
      base: of x.
      bijection: f, any object with `forward` and `inverse` as in `gm.bijections`.
      params: of the bijection.
      context: what the bijection is given, if anything.
    """

    base: Distribution
    bijection: Bijection = static()
    params: Params
    context: PyTree = None

    @property
    def reparameterized(self) -> bool:
        """Whether the base is."""
        return is_reparameterized(self.base)

    def log_prob(self, y: Array) -> Array:
        """log p(y), nats, for y in the shape that f gives."""
        x, log_det = self.bijection.inverse(self.params, y, self.context)
        return self.base.log_prob(x) + log_det

    def sample(self, key: Key) -> Array:
        """f(x) with x ~ base."""
        return self.bijection.forward(self.params, self.base.sample(key), self.context)[0]

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """y = f(x) and log p(y), by f alone: what is slow to invert need not be."""
        x, log_prob = sample_and_log_prob(self.base, key)
        y, log_det = self.bijection.forward(self.params, x, self.context)
        return y, log_prob - log_det
