r"""A causal network as a model: PixelCNN, PixelRNN, WaveNet, recurrent nets and Transformers.

    p(x | y) = \prod_i p(x_i | x_<i, y),    x_i | x_<i, y ~ conditional(network(x, y)_i)

in raster order: rows from the top, columns from the left, colours inside a pixel, time. What the
literature gives a name of its own is the network:

    CausalModel(event, head, networks.GatedPixelCNN(channels=32, num_layers=10))
    CausalModel(event, head, networks.WaveNet(channels=32, dilations=(1, 2, 4, 8)))

`log_prob` is one parallel pass; `sample` walks the elements with the caches of the network's layers
and costs about the same (`gm.networks.causal`).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import flax.struct
import jax.numpy as jnp

from gm import core
from gm.core import Array, Distribution, Event, Head, Key, Params
from gm.models.autoregressive import walk
from gm.networks import CausalNetwork


@flax.struct.dataclass
class Carry:
    """Where a walk stands: the network's cache, and the raw parameters [P] of the next element."""

    cache: Any
    raw: Array


@dataclasses.dataclass(frozen=True)
class CausalModel:
    """An autoregressive model in raster order over any causal network.

    Attributes:
      event: the space of x.
      conditional: turns P raw outputs into the distribution of one element: Bernoulli, Categorical,
        a mixture of discretised logistics, ...
      network: a `gm.networks.CausalNetwork`; its sizes are set from the event and the head.
      context: the space of y for p(x | y): `Event((), 10)` for labels, `Event((E,))` for vectors.
    """

    event: Event
    conditional: Head
    network: CausalNetwork
    context: Event | None = None

    def __post_init__(self) -> None:
        walk.check_conditional(self)
        sized = self.network.clone(
            shape=self.event.shape,
            num_features=self.conditional.num_features,
            num_params=self.conditional.num_params,
            context_dim=0 if self.context is None else self.context.vector_size,
        )
        object.__setattr__(self, "network", sized)

    @property
    def order(self) -> tuple[int, ...]:
        """Raster order."""
        return tuple(range(self.event.size))

    def init(self, key: Key) -> Params:
        """Parameters of the network."""
        f = jnp.zeros((*self.event.shape, self.conditional.num_features))
        context = None if self.context is None else jnp.zeros(self.context.vector_size)
        return self.network.init(key, f, context)

    def conditionals(self, params: Params, x: Array, context: Array | None = None) -> Distribution:
        """p(x_i | x_<i, y) for every i, in the shape of x."""
        self.event.check(x)
        f = self.conditional.features(x)
        return self.conditional(self.network.apply(params, f, core.context_vector(self, context)))

    def log_prob(self, params: Params, x: Array, context: Array | None = None) -> Array:
        """log p(x | y) in nats, exact."""
        return walk.log_prob(self, params, x, context)

    def start(self, params: Params, context: Array | None = None) -> Carry:
        """The carry before any element is known."""
        context = core.context_vector(self, context)
        return Carry(*self.network.apply(params, context, method="start"))

    def predict(self, params: Params, carry: Carry) -> Distribution:
        """p(x_i | x_<i, y) of the next element, a scalar event."""
        return self.conditional(carry.raw)

    def observe(self, params: Params, carry: Carry, x_i: Array) -> Carry:
        """The carry once the next element is x_i."""
        f_i = self.conditional.features(x_i)
        return Carry(*self.network.apply(params, carry.cache, f_i, method="step"))

    def sample(self, params: Params, key: Key, context: Array | None = None) -> Array:
        """x ~ p(x | y), one element at a time."""
        return walk.sample(self, params, key, context)
