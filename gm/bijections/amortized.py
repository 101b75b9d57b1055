"""Any bijection, given a context: its parameters are moved by a network of the context."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import jax

from gm.bijections import context as given
from gm.core import Array, Bijection, Key, Params, PyTree
from gm.networks import MLP


@dataclasses.dataclass(frozen=True)
class Amortized:
    """f(x; θ + network(context)), for all parameters θ of f.

    Amortized flow parameters, as of the posteriors in van den Berg et al. (2018), arXiv:1803.05649:
    what makes affine, planar, Sylvester and elementwise maps conditional. The network has an output
    for each parameter of f; couplings and autoregressive layers take contexts for less.

    Attributes:
      bijection: f, with real parameters; itself without a context.
      context_dim: E, the size of the context vector.
      network: [E] -> parameters; its `output_shape` is set here.

    Raises:
      ValueError: there is no context, or the bijection has no parameters.
    """

    bijection: Bijection
    context_dim: int
    network: Any = MLP((64,), (), output_scale=0.0)

    def __post_init__(self) -> None:
        if self.context_dim < 1 or not self._shapes:
            raise ValueError(
                "Amortized needs a context_dim of at least 1 and a bijection with parameters; got "
                f"{self}."
            )

    def init(self, key: Key) -> Params:
        """{"bijection", "network"}, with no influence of the context at first."""
        key_bijection, key_network = jax.random.split(key)
        return {
            "bijection": self.bijection.init(key_bijection),
            "network": self.sized_network.init(key_network, *given.example(self)),
        }

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """f(x)"""
        return self.bijection.forward(self._moved(params, context), x)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """f^{-1}(y)"""
        return self.bijection.inverse(self._moved(params, context), y)

    @functools.cached_property
    def sized_network(self) -> Any:
        """The network with an output for each parameter."""
        size = sum(math.prod(leaf.shape) for leaf in self._shapes)
        return self.network.clone(output_shape=(size,))

    @functools.cached_property
    def _shapes(self) -> list[jax.ShapeDtypeStruct]:
        return jax.tree.leaves(jax.eval_shape(self.bijection.init, jax.random.key(0)))

    def _moved(self, params: Params, context: PyTree) -> Params:
        """The parameters of f at a context."""
        out = self.sized_network.apply(params["network"], *given.inputs(self, context))
        leaves, tree = jax.tree.flatten(params["bijection"])
        moved, begin = [], 0
        for leaf in leaves:
            part = jax.lax.slice_in_dim(out, begin, begin + leaf.size)
            moved.append(leaf + part.reshape(leaf.shape))
            begin += leaf.size
        return jax.tree.unflatten(tree, moved)
