r"""NADE, RNADE, and the deep and order-agnostic NADE.

Larochelle & Murray (2011), "The neural autoregressive distribution estimator", AISTATS;
Uria, Murray & Larochelle (2013), "RNADE: the real-valued neural autoregressive density-estimator",
arXiv:1306.0186; Uria, Murray & Larochelle (2014), "A deep and tractable density estimator",
arXiv:1310.1757.

    p(x_o(i) | x_o(<i)) = head(V_o(i) h_i + b_o(i)),
    h_i = act(rho_o(i) (c + sum_{j < i} W_o(j) x_o(j)))

Bernoulli conditionals and logistic units make NADE; Categorical ones, NADE of K values; mixtures of
Normals, Laplaces or Logistics with `rescaled` units make RNADE, whose paper found rectified ones
better than logistic ones.

`DeepNADE` has more layers and the set of observed elements as an input, so that one set of
parameters models every order; `losses.order_agnostic` trains it in one forward pass per example,
and `Ensemble` of it over several orders is EoNADE.

Cost, for H units: `log_prob` and `sample` each take D H (C + P) multiplications, for C features and
P parameters per element. Each further layer takes D H^2 more: a deep NADE computes it again
for every element.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from gm import core, networks
from gm.core import Array, Distribution, Event, Head, Params
from gm.models.autoregressive.causal import CausalMethods, settle


@dataclasses.dataclass(frozen=True)
class NADE(CausalMethods):
    """Neural autoregressive distribution estimator.

    Attributes:
      event: the space of x; D elements.
      head: turns P raw outputs into the distribution of one element.
      hidden: H.
      activation: of the hidden units; `jax.nn.relu` in RNADE.
      rescaled: a learned factor for each element before the activation, as in RNADE.
      order: a permutation of the D elements of x in raster order; o(0) comes first. Raster order by
        default.
      mask_seed: seed of a random order in place of that; `Ensemble` averages over several.
      dtype: of the computation; parameters stay in float32.
      context: the space of y for p(x | y), which moves every bias.

    Raises:
      ValueError: an order or a head that does not fit the event.
    """

    event: Event
    head: Head
    hidden: int = 500
    _: dataclasses.KW_ONLY
    activation: Callable[[Array], Array] = jax.nn.sigmoid
    rescaled: bool = False
    order: tuple[int, ...] | None = None
    mask_seed: int | None = None
    dtype: Any = jnp.float32
    context: Event | None = None

    def __post_init__(self) -> None:
        settle(self, random_order=self.mask_seed is not None)

    @functools.cached_property
    def network(self) -> networks.NADE:
        """One hidden layer that grows by an element at a time."""
        return networks.NADE(
            hidden=(self.hidden,),
            activation=self.activation,
            rescaled=self.rescaled,
            order=self.order,
            mask_seed=self.mask_seed,
            dtype=self.dtype,
        )


@dataclasses.dataclass(frozen=True)
class DeepNADE(CausalMethods):
    """Deep, order-agnostic NADE: the set of observed elements is an input.

    Attributes:
      event, head, order, mask_seed, dtype, context: as in `NADE`.
      hidden: units of each hidden layer, at least one.
      activation: of the hidden units.

    Raises:
      ValueError: an order or a head that does not fit the event, or no hidden layer.
    """

    event: Event
    head: Head
    hidden: tuple[int, ...] = (500, 500)
    _: dataclasses.KW_ONLY
    activation: Callable[[Array], Array] = jax.nn.relu
    order: tuple[int, ...] | None = None
    mask_seed: int | None = None
    dtype: Any = jnp.float32
    context: Event | None = None

    def __post_init__(self) -> None:
        if not self.hidden:
            raise ValueError("DeepNADE needs at least one hidden layer; got hidden=().")
        settle(self, random_order=self.mask_seed is not None)

    @functools.cached_property
    def network(self) -> networks.NADE:
        """Hidden layers that are told which elements they see."""
        return networks.NADE(
            hidden=self.hidden,
            activation=self.activation,
            order_agnostic=True,
            order=self.order,
            mask_seed=self.mask_seed,
            dtype=self.dtype,
        )

    def conditionals_given(
        self, params: Params, x: Array, observed: Array, context: Array | None = None
    ) -> Distribution:
        """p(x_i | x_observed, y) of every element that is not observed, in the shape of x.

        Args:
          params: of the network.
          x: [*event]; what is not observed is not looked at.
          observed: [*event], booleans.
          context: y, where the model is conditional.
        """
        self.event.check(x)
        f, context = self.head.features(x), core.context_vector(self, context)
        raw = self.sized_network.apply(params, f, observed, context, method="given")
        return self.head(raw)
