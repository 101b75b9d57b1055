"""Reconstruction: a critic that is minus the error of an autoencoder.

Zhao, Mathieu & LeCun (2017), "Energy-based generative adversarial network", arXiv:1609.03126;
Berthelot, Schumm & Metz (2017), "BEGAN", arXiv:1703.10717.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from gm.core import Array, Event, Key, Network, Params


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """c(x) = -(1/D) sum_i |x_i - network(x)_i|, large for what the autoencoder knows.

    Attributes:
      event: the space of x, real.
      network: [*event] -> [*event], with a bottleneck.
    """

    event: Event
    network: Network

    def __post_init__(self) -> None:
        if self.event.discrete:
            raise ValueError(
                f"Reconstruction needs a real event, as its game does; got {self.event}. "
                "Dequantize the data (gm.data.UniformDequantization)."
            )

    def init(self, key: Key) -> Params:
        """Parameters of the network."""
        return self.network.init(key, jnp.zeros(self.event.shape, jnp.float32))

    def score(self, params: Params, x: Array) -> Array:
        """Minus the mean absolute error of x: a scalar."""
        return -jnp.mean(jnp.abs(x - self.network.apply(params, x)))
