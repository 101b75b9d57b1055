"""Compositions and inverses of bijections."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Bijection, Key, Params, PyTree


@dataclasses.dataclass(frozen=True)
class Chain:
    r"""x -> f_L(... f_1(x)), with log_det = Σ_l log |det df_l|.

    Attributes:
      parts: f_1, ..., f_L, the first to be applied first.

    Raises:
      TypeError: a part is no bijection, as one without `inverse`.
    """

    parts: tuple[Bijection, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", tuple(self.parts))
        for part in self.parts:
            core.require(part, core.Bijection, "Chain")

    def init(self, key: Key) -> Params:
        """Parameters of each part, a tuple."""
        keys = jax.random.split(key, len(self.parts))
        return tuple(part.init(k) for part, k in zip(self.parts, keys, strict=True))

    def init_from(self, key: Key, x: np.ndarray, context: Array | None = None) -> Params:
        """Each part, from the last on, started from what the later ones leave of x: [N, *event].

        Parts look at their examples as `core.init_from` says: this is the start of activation
        normalisation, Kingma & Dhariwal (2018), "Glow", arXiv:1807.03039, section 3.1.
        """

        def of_part(part: Bijection, key: Key, x: np.ndarray) -> Params:
            return core.init_from(part, key, x, context)

        return self._from_data(key, x, of_part, context)

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        """Each part that fits, from the last on, fitted to what the later ones leave of x.

        The others are as `init` makes them.

        Args:
          x: [N, *event].
          key: for the parts that do not fit, or fit at random.
          weights: [N], at least 0; by default 1.

        Raises:
          ValueError: there is no key.
        """
        if key is None:
            raise ValueError("Chain.fit needs a key, for parts that start at random; got none.")

        def of_part(part: Bijection, key: Key, x: np.ndarray) -> Params:
            fits = isinstance(part, core.Fittable)
            return part.fit(x, key, weights=weights) if fits else part.init(key)

        return self._from_data(key, x, of_part, None)

    def _from_data(
        self, key: Key, x: np.ndarray, start: Callable[..., Params], context: Array | None
    ) -> Params:
        """Parameters start(part, key, x) of each part, which later ones have led back to x."""
        found = []
        keys = jax.random.split(key, len(self.parts))
        for part, k in zip(reversed(self.parts), reversed(keys), strict=True):
            params = start(part, k, x)
            x = np.asarray(_led_back(part, params, x, context))
            found.append(params)
        return tuple(reversed(found))

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

    Raises:
      TypeError: it is no bijection, as a map without `inverse`.
    """

    bijection: Bijection

    def __post_init__(self) -> None:
        core.require(self.bijection, core.Bijection, "Inverse")

    def init(self, key: Key) -> Params:
        """Parameters of the bijection."""
        return self.bijection.init(key)

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """f^{-1}(x) and its log_det."""
        return self.bijection.inverse(params, x, context)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """f(y) and its log_det."""
        return self.bijection.forward(params, y, context)


@functools.partial(jax.jit, static_argnums=0)
def _led_back(part: Bijection, params: Params, x: Array, context: Array | None) -> Array:
    """The inverse at each of x: [N, *event]; compiled once for all parts that are equal."""
    axes = None, 0, None if context is None else 0
    return jax.vmap(part.inverse, axes)(params, x, context)[0]
