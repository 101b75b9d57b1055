r"""Helmholtz machines: layers of latents, up by inference and down by generation.

Dayan, Hinton, Neal & Zemel (1995), "The Helmholtz machine". From the top, z = (h_1, ..., h_L):

    p(x, z) = p(h_L) p(h_{L-1} | h_L) ... p(x | h_1),    q(z | x) = q(h_1 | x) ... q(h_L | h_{L-1})

Each factor is a model of its own, conditional on the layer above or below through `context`:

    sigmoid belief network    `Factorized` factors, p(h_l | h_{l+1}) = Bernoulli(W h_{l+1} + b):
                              Neal (1992), "Connectionist learning of belief networks"

`sigmoid_belief_network` builds one. Samples of bits have no pathwise gradient:
`losses.wake_sleep` trains it, and score-function bounds. `sample` costs one of each factor of p.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import jax
import jax.numpy as jnp

from gm import core
from gm import distributions as dist
from gm.core import Array, Distribution, Event, Head, Key, Network, Params, PyTree
from gm.networks import MLP

Partial = jax.tree_util.Partial


@dataclasses.dataclass(frozen=True)
class Factorized:
    """p(x | y) = head(network(y)), elements independent given y; without y, head(parameters).

    Attributes:
      event: the space of x.
      head: turns P raw outputs into the distribution of one element.
      network: [E] -> [*event, P]; not used without a context.
      context: the space of y, or None.
    """

    event: Event
    head: Head
    network: Network | None = None
    context: PyTree = None

    def __post_init__(self) -> None:
        if self.head.num_values != self.event.num_values:
            raise ValueError(
                f"Factorized needs a head over num_values={self.event.num_values}, as its event; "
                f"got {self.head}. gm.distributions.head_for(event) gives one that fits."
            )
        if (self.network is None) != (self.context is None):
            raise ValueError(f"Factorized needs a network for its context, or neither; got {self}.")

    def init(self, key: Key) -> Params:
        """Parameters of the network, or zeros: [*event, P]."""
        if self.network is None:
            return jnp.zeros((*self.event.shape, self.head.num_params), jnp.float32)
        return self.network.init(key, core.context_vector(self, core.example_context(self)))

    def distribution(self, params: Params, context: PyTree = None) -> Distribution:
        """p(x | y)"""
        y = core.context_vector(self, context)
        return self.head(params if y is None else self.network.apply(params, y))

    def log_prob(self, params: Params, x: Array, context: PyTree = None) -> Array:
        """log p(x | y) in nats, exact."""
        self.event.check(x)
        return self.distribution(params, context).log_prob(x)

    def sample(self, params: Params, key: Key, context: PyTree = None) -> Array:
        """One x."""
        return self.distribution(params, context).sample(key)


@dataclasses.dataclass(frozen=True)
class HelmholtzMachine:
    """p by `generation`, q by `inference`: {"generation", "inference"}, tuples from x upwards.

    Attributes:
      generation: p(x | h_1), p(h_1 | h_2), ..., p(h_L): densities that sample, each conditional on
        the event of the next, the last without a context.
      inference: q(h_1 | x), q(h_2 | h_1), ...: the same, each conditional on what is below it.

    Raises:
      ValueError: there is no latent layer, or a factor's context is not the event beside it.
      TypeError: a factor does not score and sample.
    """

    generation: tuple[Any, ...]
    inference: tuple[Any, ...]

    def __post_init__(self) -> None:
        for name in ("generation", "inference"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        for factor in (*self.generation, *self.inference):
            core.require(factor, core.Density, "HelmholtzMachine")
            core.require(factor, core.Samplable, "HelmholtzMachine")
        events = [factor.event for factor in self.generation]
        above = [getattr(factor, "context", None) for factor in self.generation]
        up = [(getattr(q, "context", None), q.event) for q in self.inference]
        wanted = list(itertools.pairwise(events))
        if len(events) < 2 or above != [*events[1:], None] or up != wanted:
            raise ValueError(
                "HelmholtzMachine needs factors p(x | h_1), ..., p(h_L) and q(h_1 | x), ..., each "
                f"with the event of its neighbour as context; got events {events} given {above}, "
                f"and inference (given, event) {up}."
            )

    @property
    def event(self) -> Event:
        """The space of x."""
        return self.generation[0].event

    def init(self, key: Key) -> Params:
        """Parameters of every factor."""
        keys = iter(jax.random.split(key, len(self.generation) + len(self.inference)))
        return {
            "generation": tuple(factor.init(next(keys)) for factor in self.generation),
            "inference": tuple(factor.init(next(keys)) for factor in self.inference),
        }

    def prior(self, params: Params) -> dist.Reversed:
        """p(h_1, ..., h_L), from the top."""
        own = params["generation"]
        parts = [_given(self.generation[-1], own[-1])]
        for factor, p in zip(self.generation[-2:0:-1], own[-2:0:-1], strict=True):
            parts.append(Partial(_Last(factor), p))
        return dist.Reversed(dist.Joint(tuple(parts)))

    def encode(self, params: Params, x: Array) -> dist.Joint:
        """q(h_1, ..., h_L | x)"""
        self.event.check(x)
        first, *others = zip(self.inference, params["inference"], strict=True)
        parts = [_given(*first, x), *(Partial(_Last(factor), p) for factor, p in others)]
        return dist.Joint(tuple(parts))

    def decode(self, params: Params, z: tuple[Array, ...]) -> Distribution:
        """p(x | h_1)

        Raises:
          ValueError: z has another number of layers.
        """
        if not isinstance(z, tuple | list) or len(z) != len(self.inference):
            raise ValueError(
                f"HelmholtzMachine needs a tuple z of {len(self.inference)} layers, the lowest "
                f"first; got {type(z).__name__} of {len(jax.tree.leaves(z))}."
            )
        return _given(self.generation[0], params["generation"][0], z[0])

    def sample(self, params: Params, key: Key) -> Array:
        """x ~ p(x | z) with z ~ p(z)."""
        key_z, key_x = jax.random.split(key)
        return self.decode(params, self.prior(params).sample(key_z)).sample(key_x)


def sigmoid_belief_network(
    event: Event, sizes: tuple[int, ...], *, hidden: tuple[int, ...] = ()
) -> HelmholtzMachine:
    """Layers of independent bits: Neal (1992); with hidden units, as in Mnih & Gregor (2014), NVIL.

    Args:
      event: the space of x, discrete.
      sizes: bits of each layer, from the lowest to the top.
      hidden: units in each hidden layer between two layers of bits; none are linear.
    """

    def factor(event: Event, given: Event | None) -> Factorized:
        head = dist.head_for(event)
        if given is None:
            return Factorized(event, head)
        network = MLP(hidden, (*event.shape, head.num_params))
        return Factorized(event, head, network, given)

    return _layered(event, sizes, factor)


def _layered(event: Event, sizes: tuple[int, ...], factor: Any) -> HelmholtzMachine:
    """factor(event, context) between neighbouring layers, both ways."""
    events = [event, *(Event((size,), 2) for size in sizes)]
    generation = [factor(e, above) for e, above in zip(events, [*events[1:], None], strict=True)]
    inference = [factor(e, below) for below, e in itertools.pairwise(events)]
    return HelmholtzMachine(tuple(generation), tuple(inference))


def _given(factor: Any, params: Params, y: PyTree = None) -> Distribution:
    """A factor as a distribution, its own where it has one."""
    if isinstance(factor, Factorized):
        return factor.distribution(params, y)
    return dist.OfModel(factor, params, y)


@dataclasses.dataclass(frozen=True)
class _Last:
    """A factor given the last of the layers before it."""

    factor: Any

    def __call__(self, params: Params, *layers: Array) -> Distribution:
        """p(h | the layer beside it)"""
        return _given(self.factor, params, layers[-1])
