"""Critic: a real number for every example, large for data.

The discriminator of Goodfellow et al. (2014), arXiv:1406.2661, as a logit; the critic of Arjovsky,
Chintala & Bottou (2017), "Wasserstein GAN", arXiv:1701.07875, as an unbounded function. With
`pack` = m one example is m draws side by side, so that the critic can tell a lack of variety: Lin,
Khetan, Fanti & Oh (2018), "PacGAN", arXiv:1712.04086.
"""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from gm import core
from gm.core import Array, Event, Key, Network, Params


@dataclasses.dataclass(frozen=True)
class Critic:
    """A real-valued function of one example, or of a pack of them.

    Attributes:
      event: the space of one draw, real.
      network: [*event] -> [], or [pack, *event] -> [] when pack > 1.
      pack: m, draws seen together.
      context: the space of y, `Event((), 10)` for labels; the network takes it too, as a vector:
        `network.apply(params, x, y)`. All draws of a pack share one.
    """

    event: Event
    network: Network
    pack: int = 1
    context: Event | None = None

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of what one score looks at."""
        return self.event.shape if self.pack == 1 else (self.pack, *self.event.shape)

    def init(self, key: Key) -> Params:
        """Parameters of the network."""
        y = core.context_inputs(self, core.example_context(self))
        return self.network.init(key, jnp.zeros(self.input_shape, jnp.float32), *y)

    def score(self, params: Params, x: Array, context: Array | None = None) -> Array:
        """A scalar for x: [*event], or [pack, *event] when pack > 1."""
        return self.network.apply(params, x, *core.context_inputs(self, context))
