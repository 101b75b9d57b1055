"""Bijections of bijections: one after another, and backwards."""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gm.core import Array, Bijection, Key, Params, PyTree


@dataclasses.dataclass(frozen=True)
class Chain:
    r"""x -> f_L(... f_1(x)), with log_det = Σ_l log |det df_l|.

    Attributes:
      parts: f_1, ..., f_L, the first to be applied first.
    """

    parts: tuple[Bijection, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))

    def init(self, key: Key) -> Params:
        """Parameters of each part, a tuple."""
        keys = jax.random.split(key, len(self.parts))
        return tuple(part.init(k) for part, k in zip(self.parts, keys, strict=True))

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """f_L(... f_1(x)) and its log_det."""
        log_det = jnp.zeros((), x.dtype)
        for part, p in zip(self.parts, params, strict=True):
            x, change = part.forward(p, x, context)
            log_det = log_det + change
        return x, log_det

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """f_1^{-1}(... f_L^{-1}(y)) and its log_det."""
        log_det = jnp.zeros((), y.dtype)
        for part, p in zip(reversed(self.parts), reversed(params), strict=True):
            y, change = part.inverse(p, y, context)
            log_det = log_det + change
        return y, log_det


@dataclasses.dataclass(frozen=True)
class Inverse:
    """A bijection with its directions swapped.

    What is quick in one direction alone, as an autoregressive flow is, becomes quick in the other.

    Attributes:
      bijection: whose `inverse` is this one's `forward`.
    """

    bijection: Bijection

    def init(self, key: Key) -> Params:
        """Parameters of the bijection."""
        return self.bijection.init(key)

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """f^{-1}(x) and its log_det."""
        return self.bijection.inverse(params, x, context)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """f(y) and its log_det."""
        return self.bijection.forward(params, y, context)
