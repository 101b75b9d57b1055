"""Fully connected networks: multilayer perceptrons and residual ones."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gm.core import Array
from gm.networks.layers import Dense, Frozen, joined


class MLP(Frozen):
    """Dense layers from inputs with `input_ndim` axes to outputs of `output_shape`.

    Attributes:
      hidden: units in each hidden layer.
      output_shape: shape of one output; () for a scalar.
      input_ndim: axes of one input; those before them are batch axes.
      activation: between layers.
      output_activation: after the last layer.
      output_scale: multiplies the initial weights of the last layer; 0 starts from a constant.
      dtype: of the factors of every product; all else is in float32 (`layers`).
    """

    hidden: tuple[int, ...]
    output_shape: tuple[int, ...]
    input_ndim: int = 1
    activation: Callable[[Array], Array] = nn.relu
    output_activation: Callable[[Array], Array] | None = None
    output_scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, context: Array | None = None) -> Array:
        """x: [..., *input], and y: [..., E] where there is a context, -> [..., *output_shape]"""
        batch = x.shape[: x.ndim - self.input_ndim]
        h = joined(x.reshape(*batch, -1), context)
        for size in self.hidden:
            h = self.activation(Dense(size, self.dtype)(h))
        return _output(self, h, batch)


class ResidualBlock(nn.Module):
    """x + W act(V act(x) + b) + c, which starts as the identity.

    Attributes:
      activation, dtype: as in `MLP`.
    """

    activation: Callable[[Array], Array] = nn.relu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [..., width] -> [..., width]"""
        width = x.shape[-1]
        h = Dense(width, self.dtype)(self.activation(x))
        return x + Dense(width, self.dtype, nn.initializers.zeros)(self.activation(h))


class ResidualMLP(Frozen):
    """x -> x + f(x), repeated: pre-activation residual blocks of two dense layers.

    He, Zhang, Ren & Sun (2016), "Identity mappings in deep residual networks", arXiv:1603.05027.
    Each block starts as the identity.

    Attributes:
      width: units of the residual stream.
      num_blocks: residual blocks.
      output_shape, input_ndim, activation, output_activation, output_scale, dtype: as in `MLP`.
      remat: recompute a block's activations in the backward pass: memory for time.
    """

    width: int
    num_blocks: int
    output_shape: tuple[int, ...]
    input_ndim: int = 1
    activation: Callable[[Array], Array] = nn.relu
    output_activation: Callable[[Array], Array] | None = None
    output_scale: float = 1.0
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, context: Array | None = None) -> Array:
        """x: [..., *input], and y: [..., E] where there is a context, -> [..., *output_shape]"""
        batch = x.shape[: x.ndim - self.input_ndim]
        h = Dense(self.width, self.dtype)(joined(x.reshape(*batch, -1), context))
        block = nn.remat(ResidualBlock) if self.remat else ResidualBlock
        for i in range(self.num_blocks):  # named, for remat would add a prefix of its own
            h = block(self.activation, self.dtype, name=f"ResidualBlock_{i}")(h)
        return _output(self, self.activation(h), batch)


def _output(module: MLP | ResidualMLP, h: Array, batch: tuple[int, ...]) -> Array:
    """The last layer, in float32 and in its shape."""
    init = nn.initializers.variance_scaling(
        max(module.output_scale, 1e-12) ** 2, "fan_in", "truncated_normal"
    )
    y = Dense(math.prod(module.output_shape), module.dtype, init)(h)
    if module.output_activation is not None:
        y = module.output_activation(y)
    return y.reshape(*batch, *module.output_shape).astype(jnp.float32)
