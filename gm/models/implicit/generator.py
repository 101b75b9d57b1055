"""Generator: x = g(z) with z ~ N(0, I).

Goodfellow et al. (2014), "Generative adversarial networks", arXiv:1406.2661. The distribution of x
has no density that can be evaluated: it is known by its draws. `sample` costs one pass.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Event, Key, Network, Params


@dataclasses.dataclass(frozen=True)
class Generator:
    """x = g(z), z ~ N(0, I).

    Attributes:
      event: the space of x, real.
      network: [K] -> [*event].
      latent_dim: K.
    """

    event: Event
    network: Network
    latent_dim: int

    def __post_init__(self) -> None:
        if self.event.discrete:
            raise ValueError(
                "Generator needs a real event, since its loss is differentiated through x; got "
                f"{self.event}. Dequantize the data (gm.data.UniformDequantization)."
            )

    def init(self, key: Key) -> Params:
        """Parameters of g."""
        return self.network.init(key, jnp.zeros(self.latent_dim, jnp.float32))

    def prior(self, params: Params) -> dist.Normal:
        """p(z) = N(0, I)"""
        zeros = jnp.zeros(self.latent_dim, jnp.float32)
        return dist.Normal(zeros, jnp.ones_like(zeros))

    def generate(self, params: Params, z: Array) -> Array:
        """g(z)"""
        return self.network.apply(params, z)

    def sample(self, params: Params, key: Key) -> Array:
        """g(z) with z ~ p(z)."""
        return self.generate(params, self.prior(params).sample(key))
