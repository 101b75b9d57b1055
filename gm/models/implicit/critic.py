"""Critic: a real number for every example, large for data.

The discriminator of Goodfellow et al. (2014), arXiv:1406.2661, as a logit; the critic of Arjovsky,
Chintala & Bottou (2017), "Wasserstein GAN", arXiv:1701.07875, as an unbounded function. With
`pack` = m one example is m samples side by side, so that the critic detects a lack of variety: Lin,
Khetan, Fanti & Oh (2018), "PacGAN", arXiv:1712.04086. An event of several parts is that of a
bidirectional game's pairs (x, z): Donahue, Krähenbühl & Darrell (2017), arXiv:1605.09782.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gm import core
from gm.core import Array, Event, Key, Network, Params, PyTree


@dataclasses.dataclass(frozen=True)
class Critic:
    """A real-valued function of one example, or of a pack of them.

    Attributes:
      event: the space of one sample, or a tuple of spaces, `(Event((8, 8)), Event((4,)))`.
      network: [*event] -> []; with several parts, of their vectors in one, [D] -> [], integers as
        one-hot. When pack > 1, [pack, *event] or [pack, D] -> [].
      pack: m, samples seen together.
      context: the space of y, `Event((), 10)` for labels; the network takes it too, as a vector:
        `network.apply(params, x, y)`. All samples of a pack share one.
    """

    event: Event | PyTree
    network: Network
    pack: int = 1
    context: Event | None = None

    def init(self, key: Key) -> Params:
        """Parameters of the network."""
        lead = () if self.pack == 1 else (self.pack,)
        x = jax.tree.map(lambda part: jnp.zeros((*lead, *part.shape), part.dtype), self.event)
        y = core.context_inputs(self, core.example_context(self))
        return self.network.init(key, self._input(x), *y)

    def score(self, params: Params, x: PyTree, context: Array | None = None) -> Array:
        """A scalar for x: [*event], or [pack, *event] when pack > 1, in each part of the event."""
        return self.network.apply(params, self._input(x), *core.context_inputs(self, context))

    def _input(self, x: PyTree) -> Array:
        if isinstance(self.event, Event):
            return x
        if self.pack > 1:
            return jax.vmap(self._vector)(x)
        return self._vector(x)

    def _vector(self, x: PyTree) -> Array:
        parts = jax.tree.map(lambda part, leaf: part.vector(leaf), self.event, x)
        return jnp.concatenate(jax.tree.leaves(parts))
