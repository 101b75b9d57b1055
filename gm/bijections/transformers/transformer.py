"""The protocol of transformers, and what is done with all of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from gm.core import Array


@runtime_checkable
class Transformer(Protocol):
    """An increasing map of one number, given P raw parameters; a value, as a bijection is.

    Raw parameters are any real numbers, outputs of a network or parameters themselves; near zero
    the map is near the identity, where it can be.
    """

    @property
    def num_params(self) -> int:
        """P; 0 for a fixed map."""

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """y = τ(x; raw) and log dy/dx, for a scalar x and raw: [P]."""

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """x = τ^{-1}(y; raw) and log dx/dy."""


@dataclasses.dataclass(frozen=True)
class Inverse:
    """A transformer with its directions swapped.

    Where `inverse` is numerical, as that of monotone networks, this one makes it the direction of
    sampling, and leaves the closed form to scoring.

    Attributes:
      transformer: whose `inverse` is this one's `forward`.
    """

    transformer: Transformer

    @property
    def num_params(self) -> int:
        """P of the transformer."""
        return self.transformer.num_params

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """τ^{-1}(x; raw) and its log-derivative."""
        return self.transformer.inverse(raw, x)

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """τ(y; raw) and its log-derivative."""
        return self.transformer.forward(raw, y)


def each(
    method: Callable[[Array, Array], tuple[Array, Array]], raw: Array, x: Array
) -> tuple[Array, Array]:
    """One direction of a transformer at every element, and the sum of the log-derivatives.

    Args:
      method: `forward` or `inverse` of a transformer.
      raw: [..., P]
      x: [...]
    """
    y, log_det = jax.vmap(method)(raw.reshape(x.size, raw.shape[-1]), x.reshape(-1))
    return y.reshape(x.shape), jnp.sum(log_det)


def check_transformer(transformer: Transformer, name: str) -> None:
    """Raises a clear error unless this is a transformer with parameters to be given."""
    if isinstance(transformer, type) or not isinstance(transformer, Transformer):
        got = transformer.__name__ if isinstance(transformer, type) else type(transformer).__name__
        raise TypeError(
            f"{name} needs a transformer with num_params, forward, inverse, as "
            f"gm.bijections.transformers.Affine(); got {got}."
        )
    if transformer.num_params < 1:
        raise ValueError(
            f"{name} needs a transformer that takes parameters; got {transformer}, which is fixed. "
            "gm.bijections.Elementwise applies it."
        )
