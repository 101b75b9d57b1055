r"""Masked autoregressive bijections: MAF, and IAF as its inverse.

Papamakarios, Pavlakou & Murray (2017), "Masked autoregressive flow for density estimation",
arXiv:1705.07057; Kingma et al. (2016), "Improved variational inference with inverse autoregressive
flow", arXiv:1606.04934.

    y_o(i) = τ(x_o(i); network(y_o(<i), context)),    log_det = Σ_i log dτ/dx_i

`inverse` is one forward pass of the network. `forward` takes one element after another, each hidden
unit computed once, when its last input arrives (`gm.networks.MaskedMLP`), and so costs about as
much arithmetic, not D times it. A flow of noise through `forward` is MAF: quick to score.
`Inverse(MaskedAutoregressive(...))` is IAF: quick to sample, and to score its own samples.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gm.bijections import context as given
from gm.bijections.transformers import Transformer, check_transformer, each
from gm.core import Array, Event, Key, Params, PyTree
from gm.networks import MaskedMLP
from gm.networks.layers import frozen
from gm.sampling import ancestral


@dataclasses.dataclass(frozen=True)
class MaskedAutoregressive:
    """τ of every element, its parameters from the elements of y before it.

    Attributes:
      event: the space of x and y, real; D elements.
      transformer: τ, as in `Coupling`.
      hidden: units in each hidden layer.
      order: a permutation of the D elements in raster order; o(0) comes first. Raster order by
        default. Layers that follow each other should differ, as an order and its reverse do.
      direct: masked connections straight from inputs to outputs.
      activation: of the hidden units.
      context_dim: E, the size of the context vector that every unit sees; 0 for none.
      dtype: of the network's products; parameters stay in float32.

    Raises:
      ValueError: the event is discrete, or the order is no permutation of its elements.
      TypeError: there is no transformer.
    """

    event: Event
    transformer: Transformer
    hidden: tuple[int, ...] = (64, 64)
    _: dataclasses.KW_ONLY
    order: tuple[int, ...] | None = None
    direct: bool = False
    activation: Callable[[Array], Array] = jax.nn.relu
    context_dim: int = 0
    dtype: Any = jnp.float32

    def __post_init__(self) -> None:
        check_transformer(self.transformer, "MaskedAutoregressive")
        object.__setattr__(self, "hidden", frozen(self.hidden))
        object.__setattr__(self, "order", frozen(self.order))
        if self.event.discrete:
            raise ValueError(
                f"MaskedAutoregressive needs a real event; got {self.event}. Dequantize integers "
                "(gm.data.UniformDequantization)."
            )
        if self.order is not None and sorted(self.order) != list(range(self.event.size)):
            raise ValueError(
                "MaskedAutoregressive needs an order that permutes "
                f"0..{self.event.size - 1}; got {self.order}."
            )

    @functools.cached_property
    def network(self) -> MaskedMLP:
        """The raw parameters of every element, from those before it."""
        return MaskedMLP(
            shape=self.event.shape,
            num_params=self.transformer.num_params,
            hidden=self.hidden,
            direct=self.direct,
            activation=self.activation,
            order=self.order,
            context_dim=self.context_dim,
            dtype=self.dtype,
            output_scale=0.0,
        )

    def init(self, key: Key) -> Params:
        """Parameters of the network; outputs start at zero, or as a linear map of the context."""
        y = jnp.zeros((*self.event.shape, 1), jnp.float32)
        return self.network.init(key, y, *given.example(self))

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x, in one forward pass of the network."""
        raw = self.network.apply(params, y[..., None], *given.inputs(self, context))
        return each(self.transformer.inverse, raw, y)

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """y, one element after another."""
        model = _Incremental(self.event, self.network)
        vector = given.inputs(self, context)

        def choose(i: Array, raw: Array, random: None, x_i: Array) -> tuple[Array, Array]:
            return self.transformer.forward(raw, x_i)

        y, log_dets = ancestral.scan(model, params, None, choose, x, *vector)
        return y, jnp.sum(log_dets)


@dataclasses.dataclass(frozen=True)
class _Incremental:
    """The network one element at a time, for the one ancestral scan.

    In the place of a distribution of the next element stand the raw parameters of its transformer.
    """

    event: Event
    network: MaskedMLP

    @property
    def order(self) -> tuple[int, ...]:
        """The network's."""
        return self.network.element_order()

    def start(self, params: Params, context: Array | None = None) -> tuple[PyTree, Array]:
        """The cache before any element is known, and raw: [P] of the first."""
        return self.network.apply(params, context, method="start")

    def predict(self, params: Params, carry: tuple[PyTree, Array]) -> Array:
        """raw: [P] of the next element."""
        return carry[1]

    def observe(self, params: Params, carry: tuple, y_i: Array) -> tuple[PyTree, Array]:
        """The cache after the next element is y_i, and raw: [P] of the one after it."""
        return self.network.apply(params, carry[0], y_i[None], method="step")
