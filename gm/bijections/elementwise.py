"""Elementwise maps, fixed or with parameters of their own."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from gm.bijections.transformers import Transformer, each
from gm.core import Array, Event, Key, Params, PyTree


@dataclasses.dataclass(frozen=True)
class Elementwise:
    """y_i = τ(x_i; raw_i), with raw_i a parameter; log_det = Σ_i log dτ/dx_i.

    Fixed maps are transformers without parameters: `Elementwise(event, transformers.Sigmoid())`.

    Attributes:
      event: the space of x and y, real.
      transformer: τ, any of `gm.bijections.transformers`.

    Raises:
      ValueError: the event is discrete.
    """

    event: Event
    transformer: Transformer

    def __post_init__(self) -> None:
        if self.event.discrete:
            raise ValueError(f"Elementwise needs a real event; got {self.event}.")

    def init(self, key: Key) -> Params:
        """Zeros: {"raw": [*event, P]}, or {} where P is 0."""
        del key
        if self.transformer.num_params == 0:
            return {}
        return {"raw": jnp.zeros((*self.event.shape, self.transformer.num_params), jnp.float32)}

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """τ of every element."""
        del context
        return each(self.transformer.forward, self._raw(params), x)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """τ^{-1} of every element."""
        del context
        return each(self.transformer.inverse, self._raw(params), y)

    def _raw(self, params: Params) -> Array:
        shape = (*self.event.shape, self.transformer.num_params)
        return params["raw"] if params else jnp.zeros(shape, jnp.float32)
