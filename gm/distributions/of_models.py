"""OfModel: a model with parameters, as a distribution."""

from __future__ import annotations

from typing import Any

from gm.core import Array, Key, Params, PyTree, given, pytree, static
from gm.distributions.pathwise import Scored


@pytree
class OfModel(Scored):
    """p(x) or p(x | y) of any density that samples, such as a flow as the prior of a VAE.

    Attributes:
      model: has `log_prob(params, x)` and `sample(params, key)`.
      params: its parameters.
      context: y, or None for a model without context.
    """

    model: Any = static()
    params: Params
    context: PyTree = None

    def log_prob(self, x: Array) -> Array:
        """log p(x), nats."""
        return given(self.model, self.context).log_prob(self.params, x)

    def sample(self, key: Key) -> Array:
        """One x."""
        return given(self.model, self.context).sample(self.params, key)
