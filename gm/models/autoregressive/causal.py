r"""Autoregressive models over causal networks: PixelCNN, PixelRNN, WaveNet, Transformers, others.

    p(x | y) = \prod_i p(x_o(i) | x_o(<i), y),    x_o(i) ~ head(network(x, y)_o(i))

in the network's order o: for most of them raster order, rows from the top, columns from the left,
colours inside a pixel, time. The network is what distinguishes them:

    CausalModel(event, head, networks.GatedPixelCNN(channels=32, num_layers=10))
    CausalModel(event, head, networks.WaveNet(channels=32, dilations=(1, 2, 4, 8)))

`log_prob` is one forward pass. `sample` takes the elements one at a time, with the caches of the
network's layers, and costs about the same (`gm.networks.causal`).
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp

from gm import core
from gm.core import Array, Distribution, Event, Head, Key, Params, PyTree
from gm.networks import BlockNetwork, CausalNetwork
from gm.networks.layers import frozen
from gm.sampling import ancestral


@core.pytree
class Carry:
    """State of incremental sampling: the cache, and raw parameters [P] of the next element."""

    cache: Any
    raw: Array


def check_order(name: str, event: Event, order: tuple[int, ...] | None) -> None:
    """Raises ValueError unless the order is None or permutes the elements of the event."""
    if order is not None and sorted(order) != list(range(event.size)):
        raise ValueError(f"{name} needs an order that permutes 0..{event.size - 1}; got {order}.")


def settle(model: CausalMethods, *, random_order: bool = False) -> None:
    """Normalizes and checks the fields of a new model: lists become tuples, None the default order.

    Args:
      model: in its `__post_init__`, with a field `order`.
      random_order: whether a seed chooses the order, in place of the one given.
    """
    for field in dataclasses.fields(model):
        object.__setattr__(model, field.name, frozen(getattr(model, field.name)))
    check_order(type(model).__name__, model.event, model.order)
    if random_order or model.order == tuple(range(model.event.size)):
        object.__setattr__(model, "order", None)
    check_parts(model)
    object.__setattr__(model, "order", model.sized_network.element_order())


def check_parts(model: CausalMethods) -> None:
    """Raises ValueError unless the model's head and network are for its event."""
    if model.head.num_values != model.event.num_values:
        raise ValueError(
            f"{type(model).__name__} needs a head over num_values={model.event.num_values}, "
            f"as its event; got {model.head}. gm.distributions.head_for(event) gives one "
            "that fits."
        )
    local, shape = getattr(model.network, "local", False), getattr(model.context, "shape", ())
    if local and shape[: len(model.event.shape)] != model.event.shape:
        raise ValueError(
            f"{type(model).__name__} with a local context needs a part of it for each element, "
            f"context=Event({(*model.event.shape, 'E')}); got {model.context}."
        )
    _ = model.sized_network  # raises where the sizes do not fit


class CausalMethods:
    """Methods of a model over a causal network, from its event, head, network and context.

    `CausalModel` takes any network; MADE, NADE and others build their own.
    """

    event: Event
    head: Head
    network: CausalNetwork
    context: PyTree

    @functools.cached_property
    def sized_network(self) -> CausalNetwork:
        """The network in the sizes of the event, the head and the context."""
        return self.network.clone(
            shape=self.event.shape,
            num_features=self.head.num_features,
            num_params=self.head.num_params,
            context_dim=core.context_size(self),
        )

    @property
    def order(self) -> tuple[int, ...]:
        """The order of the elements, which is the network's."""
        return self.sized_network.element_order()

    def init(self, key: Key) -> Params:
        """Parameters of the network."""
        f = jnp.zeros((*self.event.shape, self.head.num_features), jnp.float32)
        y = core.context_vector(self, core.example_context(self))
        return self.sized_network.init(key, f, y)

    def conditionals(
        self,
        params: Params,
        x: Array,
        context: Array | None = None,
        ordering: PyTree | None = None,
    ) -> Distribution:
        """p(x_o(i) | x_o(<i), y) for every i, in the shape of x.

        `ordering` replaces the network's own order (and masks) by another, as arrays that
        may be traced; `network.ordering()` has its form.
        """
        self.event.check(x)
        f, y = self.head.features(x), core.context_vector(self, context)
        own = () if ordering is None else (ordering,)  # not every network takes one
        return self.head(self.sized_network.apply(params, f, y, *own))

    def log_prob(self, params: Params, x: Array, context: Array | None = None) -> Array:
        """log p(x | y) in nats, exact."""
        return self.conditionals(params, x, context).log_prob(x)

    def start(self, params: Params, context: Array | None = None) -> Carry:
        """The carry before any element is known."""
        context = core.context_vector(self, context)
        return Carry(*self.sized_network.apply(params, context, method="start"))

    def predict(self, params: Params, carry: Carry) -> Distribution:
        """p(x_i | x_<i, y) of the next element, a scalar event."""
        return self.head(carry.raw)

    def observe(self, params: Params, carry: Carry, x_i: Array) -> Carry:
        """The carry once the next element is x_i."""
        f_i = self.head.features(x_i)
        return Carry(*self.sized_network.apply(params, carry.cache, f_i, method="step"))

    def with_mask_seed(self, seed: int) -> CausalMethods:
        """The same model with another `mask_seed`."""
        return dataclasses.replace(self, mask_seed=seed)

    @property
    def samples_blocks(self) -> bool:
        """Whether sampling by blocks is faster: the network takes them, and elements are binary.

        With more values it takes more forward passes, and each has more outputs: measured as fast
        as one element after another with four values, slower with seventeen.
        """
        return isinstance(self.sized_network, BlockNetwork) and self.event.num_values == 2

    def predict_block(self, params: Params, carry: Carry, x: Array) -> Distribution:
        """p(x_i | x_<i, y) of the next elements, were they to be x: [block]."""
        f = self.head.features(x)
        raw = self.sized_network.apply(params, carry.cache, f, method="block_logits")
        return self.head(jnp.concatenate([carry.raw[None], raw[:-1]]))

    def observe_block(self, params: Params, carry: Carry, x: Array) -> Carry:
        """The carry once the next elements are x: [block]."""
        f = self.head.features(x)
        return Carry(*self.sized_network.apply(params, carry.cache, f, method="extend_block"))

    def sample(self, params: Params, key: Key, context: Array | None = None) -> Array:
        """x ~ p(x | y), one element at a time."""
        return ancestral.sample(self, params, key, context)

    def log_prob_with_dropout(
        self, params: Params, key: Key, x: Array, context: Array | None = None
    ) -> Array:
        """log p(x | y) in nats of the network with dropout, for training."""
        self.event.check(x)
        f, given = self.head.features(x), core.context_vector(self, context)
        raw = self.sized_network.apply(params, f, given, rngs={"dropout": key})
        return self.head(raw).log_prob(x)

    def initial_hidden_state(self, params: Params) -> PyTree:
        """The hidden state before any element: zeros."""
        f = jnp.zeros((1, self.head.num_features), jnp.float32)
        given = core.context_vector(self, core.example_context(self))
        after = functools.partial(self.sized_network.apply, method="window")
        shapes, _ = jax.eval_shape(after, params, None, f, given)
        return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def log_prob_from(
        self, params: Params, hidden: PyTree, x: Array, context: Array | None = None
    ) -> tuple[Array, PyTree]:
        """log p(x_t..x_{t+T-1} | x_<t, y) in nats, and the hidden state after them.

        Args:
          params: of a network of recurrent layers (`networks.Window`).
          hidden: `initial_hidden_state(params)`, or the hidden state after the window before.
          x: [T], the next elements, any number of them.
          context: y, for a conditional model.
        """
        dataclasses.replace(self.event, shape=x.shape).check(x)
        f, given = self.head.features(x), core.context_vector(self, context)
        hidden, raw = self.sized_network.apply(params, hidden, f, given, method="window")
        return self.head(raw).log_prob(x), hidden


@dataclasses.dataclass(frozen=True)
class CausalModel(CausalMethods):
    """An autoregressive model over any causal network.

    Attributes:
      event: the space of x.
      head: turns P raw outputs into the distribution of one element: Bernoulli, Categorical,
        a mixture of discretised logistics, ...
      network: a `gm.networks.CausalNetwork`, or one with the same methods; the model works with
        `sized_network`, in the sizes of the event, the head and the context.
      context: the space of y for p(x | y): `Event((), 10)` for labels, `Event((E,))` for vectors,
        a pytree of events for several; with `network.local`, `Event((*event.shape, E))`.
    """

    event: Event
    head: Head
    network: CausalNetwork
    context: PyTree = None

    def __post_init__(self) -> None:
        check_parts(self)

    def with_mask_seed(self, seed: int) -> CausalModel:
        """The same model with another `mask_seed`, where the network has one."""
        return dataclasses.replace(self, network=self.network.clone(mask_seed=seed))
