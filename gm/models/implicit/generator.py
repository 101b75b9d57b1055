"""Generator: x = g(z) with z ~ N(0, I).

Goodfellow et al. (2014), "Generative adversarial networks", arXiv:1406.2661. The distribution of x
has no density that can be evaluated, only samples. `sample` costs one forward pass.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from gm import core
from gm import distributions as dist
from gm.core import Array, Event, Key, Network, Params


@dataclasses.dataclass(frozen=True)
class Generator:
    """x = g(z), z ~ N(0, I).

    Attributes:
      event: the space of x, real.
      network: [K] -> [*event].
      latent_dim: K.
      context: the space of y for p(x | y), `Event((), 10)` for labels; the network takes it too, as
        a vector: `network.apply(params, z, y)`.
    """

    event: Event
    network: Network
    latent_dim: int
    context: Event | None = None

    def __post_init__(self) -> None:
        if self.event.discrete:
            raise ValueError(
                "Generator needs a real event, since its loss is differentiated through x; got "
                f"{self.event}. Dequantize the data (gm.data.UniformDequantization)."
            )

    def init(self, key: Key) -> Params:
        """Parameters of g."""
        y = core.context_inputs(self, core.example_context(self))
        return self.network.init(key, jnp.zeros(self.latent_dim, jnp.float32), *y)

    def prior(self, params: Params, context: Array | None = None) -> dist.Normal:
        """p(z) = N(0, I)"""
        zeros = jnp.zeros(self.latent_dim, jnp.float32)
        return dist.Normal(zeros, jnp.ones_like(zeros))

    def generate(self, params: Params, z: Array, context: Array | None = None) -> Array:
        """g(z; y)"""
        return self.network.apply(params, z, *core.context_inputs(self, context))

    def sample(self, params: Params, key: Key, context: Array | None = None) -> Array:
        """g(z; y) with z ~ p(z)."""
        one = core.given(self, context)
        return one.generate(params, one.prior(params).sample(key))
