r"""Autoregressive models of pixels with coupled colours: PixelCNN++ and PixelSNAIL.

    p(x | y) = \prod_pixels \sum_m π_m \prod_g P_m(x_g | x_<g),   π, P = head(network(x_before, y))

Salimans, Karpathy, Chen & Kingma (2017), "PixelCNN++", arXiv:1701.05517, section 2.2; Chen, Mishra,
Rohaninejad & Abbeel (2018), "PixelSNAIL", arXiv:1712.09763, has the same mixture. The network works
for a pixel once, and its colours come one after the other from what it gives
(`gm.distributions.coupled`), so each of the D = H W G elements has a conditional in closed form.

    PixelModel(event, networks.PixelCNNPlusPlus(channels=32))
    PixelModel(event, networks.PixelSNAIL(channels=32))

`log_prob` is one forward pass; incremental sampling takes one step of the network per pixel.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from gm import core
from gm import distributions as dist
from gm.core import Array, Event, Key, Params
from gm.networks import CausalNetwork
from gm.sampling import ancestral


@core.pytree
class Carry:
    """State of incremental sampling: within a pixel whose parameters the network has given.

    Attributes:
      cache: of the network.
      raw: [P], of the pixel.
      pixel: [G], its colours so far, zeros behind them.
      time: the number of the element.
    """

    cache: Any
    raw: Array
    pixel: Array
    time: Array


@dataclasses.dataclass(frozen=True)
class PixelModel:
    """An autoregressive model of images, whose network sees pixels and not colours.

    Attributes:
      event: of [H, W] or [H, W, G] integers.
      network: a `gm.networks.CausalNetwork` over [H, W]; the model works with `sized_network`,
        in the sizes of the event, the mixture and the context.
      num_components: M of each pixel's mixture.
      context: the space of y for p(x | y): `Event((), 10)` for labels, `Event((E,))` for vectors.
    """

    event: Event
    network: CausalNetwork
    num_components: int = 10
    context: Event | None = None

    def __post_init__(self) -> None:
        if not self.event.discrete or len(self.event.shape) not in (2, 3):
            raise ValueError(
                f"PixelModel needs an event of integers [H, W] or [H, W, G]; got {self.event}. "
                "Quantize real images, or give CausalModel a network and a head of real values; "
                "for vectors there are MADE and NADE."
            )
        _ = self.sized_network  # which refuses what does not fit

    @functools.cached_property
    def sized_network(self) -> CausalNetwork:
        """The network in the sizes of the event, the mixture and the context."""
        return self.network.clone(
            shape=self.event.shape[:2],
            num_features=self.head.num_features,
            num_params=self.head.num_params,
            context_dim=core.context_size(self),
        )

    @property
    def head(self) -> dist.CoupledLogisticMixtureHead:
        """What makes the mixture of a pixel's colours."""
        colours = self.event.shape[2] if len(self.event.shape) == 3 else 1
        return dist.CoupledLogisticMixtureHead(self.event.num_values, colours, self.num_components)

    @property
    def order(self) -> tuple[int, ...]:
        """Raster order of the pixels, colours inside a pixel."""
        return tuple(range(self.event.size))

    def init(self, key: Key) -> Params:
        """Parameters of the network."""
        f = jnp.zeros((*self.event.shape[:2], self.head.num_features), jnp.float32)
        y = core.context_vector(self, core.example_context(self))
        return self.sized_network.init(key, f, y)

    def conditionals(self, params: Params, x: Array, context: Array | None = None) -> dist.Mixture:
        """p(x_i | x_<i, y) for every i, in the shape of x."""
        self.event.check(x)
        context = core.context_vector(self, context)
        pixels = x.reshape(*self.event.shape[:2], -1)
        raw = self.sized_network.apply(params, self.head.features(pixels), context)
        mixture, whole = self.head(raw, pixels), self.event.shape
        return jax.tree.map(lambda leaf: leaf.reshape(*whole, leaf.shape[-1]), mixture)

    def log_prob(self, params: Params, x: Array, context: Array | None = None) -> Array:
        """log p(x | y) in nats, exact."""
        return self.conditionals(params, x, context).log_prob(x)

    def start(self, params: Params, context: Array | None = None) -> Carry:
        """The carry before any element is known."""
        context = core.context_vector(self, context)
        cache, raw = self.sized_network.apply(params, context, method="start")
        pixel = jnp.zeros(self.head.num_colours, jnp.int32)
        return Carry(cache, raw, pixel, jnp.zeros((), jnp.int32))

    def predict(self, params: Params, carry: Carry) -> dist.Mixture:
        """p(x_i | x_<i, y) of the next element, a scalar event."""
        del params
        colours = (self.head.num_colours,)
        return dist.element(self.head(carry.raw, carry.pixel), colours, carry.time % colours[0])

    def observe(self, params: Params, carry: Carry, x_i: Array) -> Carry:
        """The carry once the next element is x_i; the last of a pixel takes the network a step."""
        colour, num_colours = carry.time % self.head.num_colours, self.head.num_colours
        pixel = carry.pixel.at[colour].set(jnp.asarray(x_i, jnp.int32))

        def next_pixel() -> tuple[Any, Array, Array]:
            f = self.head.features(pixel)
            cache, raw = self.sized_network.apply(params, carry.cache, f, method="step")
            return cache, raw, jnp.zeros_like(pixel)

        if num_colours == 1:
            return Carry(*next_pixel(), carry.time + 1)
        state = jax.lax.cond(
            colour == num_colours - 1, next_pixel, lambda: (carry.cache, carry.raw, pixel)
        )
        return Carry(*state, carry.time + 1)

    def sample(self, params: Params, key: Key, context: Array | None = None) -> Array:
        """x ~ p(x | y), one element at a time."""
        return ancestral.sample(self, params, key, context)
