"""Small convolutional encoder and decoder, and residual blocks, for images [H, W, C]."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax.numpy as jnp

from gm.core import Array
from gm.networks.layers import Conv, Dense, Frozen, joined


class ConvBlock(nn.Module):
    """Pre-activation residual block: x + conv(act(norm(conv(act(norm(x)))))).

    He, Zhang, Ren & Sun (2016), arXiv:1603.05027, with group normalization (Wu & He, 2018,
    arXiv:1803.08494), which sees one example at a time. Starts as the identity.
    """

    channels: int
    activation: Callable[[Array], Array] = nn.silu
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [..., H, W, C] -> [..., H, W, channels]"""
        h = Conv(self.channels, dtype=self.dtype)(self.activation(_norm(x)))
        h = Conv(self.channels, dtype=self.dtype, kernel_init=nn.initializers.zeros)(
            self.activation(_norm(h))
        )
        if x.shape[-1] != self.channels:
            x = Conv(self.channels, size=1, dtype=self.dtype)(x)
        return x + h


class ConvEncoder(Frozen):
    """Image to vector: strided convolutions that halve the image, residual blocks between.

    Attributes:
      channels: of each resolution, from fine to coarse; each halves height and width.
      output_shape: shape of one output.
      num_blocks: residual blocks at each resolution.
      activation: as in `ConvBlock`.
      dtype: of the factors of every product; all else is in float32 (`layers`).
      remat: recompute a block's activations in the backward pass: memory for time.
    """

    channels: tuple[int, ...]
    output_shape: tuple[int, ...]
    num_blocks: int = 1
    activation: Callable[[Array], Array] = nn.silu
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, x: Array, context: Array | None = None) -> Array:
        """x: [..., H, W, C] -> [..., *output_shape]; a context [..., E] is E more channels."""
        batch = x.shape[:-3]
        x = joined(x, None if context is None else context[..., None, None, :])
        for level, channels in enumerate(self.channels):
            x = _blocks(self, level, Conv(channels, stride=2, dtype=self.dtype)(x))
        h = self.activation(_norm(x)).reshape(*batch, -1)
        y = Dense(math.prod(self.output_shape), self.dtype)(h)
        return y.reshape(*batch, *self.output_shape).astype(jnp.float32)


class ConvDecoder(Frozen):
    """Vector to image: the mirror of `ConvEncoder`, doubling by nearest-neighbour resizing.

    Resizing before an ordinary convolution leaves no checkerboard (Odena, Dumoulin & Olah, 2016,
    "Deconvolution and checkerboard artifacts"). Any output size works: what is grown beyond it is
    cut off.

    Attributes:
      channels: of each resolution, from coarse to fine; each doubles height and width.
      output_shape: (H, W, C) of one output.
      num_blocks, activation, dtype, remat: as in `ConvEncoder`.
      output_activation: after the last layer.
    """

    channels: tuple[int, ...]
    output_shape: tuple[int, int, int]
    num_blocks: int = 1
    activation: Callable[[Array], Array] = nn.silu
    output_activation: Callable[[Array], Array] | None = None
    dtype: Any = jnp.float32
    remat: bool = False

    @nn.compact
    def __call__(self, z: Array, context: Array | None = None) -> Array:
        """z: [..., K] -> [..., H, W, C]; a context [..., E] is beside z."""
        batch = z.shape[:-1]
        z = joined(z, context)
        height, width, out_channels = self.output_shape
        shrink = 2 ** len(self.channels)
        base = (-(-height // shrink), -(-width // shrink), self.channels[0])
        x = Dense(math.prod(base), self.dtype)(z).reshape(*batch, *base)
        for level, channels in enumerate(self.channels):
            x = jnp.repeat(jnp.repeat(x, 2, axis=-3), 2, axis=-2)
            x = _blocks(self, level, Conv(channels, dtype=self.dtype)(x))
        x = x[..., :height, :width, :]
        x = Conv(out_channels, dtype=self.dtype)(self.activation(_norm(x)))
        if self.output_activation is not None:
            x = self.output_activation(x)
        return x.astype(jnp.float32)


class ConvResize(Frozen):
    """Image to image of another size: one convolution that resizes, then residual blocks.

    Smaller images by a stride, larger ones by nearest-neighbour resizing; what is grown beyond the
    output is cut off. For the layers of a hierarchy (`models.latent.LadderVAE`).

    Attributes:
      channels: of the blocks.
      output_shape: (H, W, ...) of one output, whose further axes are channels.
      num_blocks, activation, dtype: as in `ConvEncoder`.
      output_scale: multiplies the initial weights of the last layer, as in `MLP`.
    """

    channels: int
    output_shape: tuple[int, ...]
    num_blocks: int = 1
    activation: Callable[[Array], Array] = nn.silu
    output_scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """x: [..., H, W, C] -> [..., *output_shape]"""
        batch, (height, width) = x.shape[:-3], self.output_shape[:2]
        grow = max(-(-height // x.shape[-3]), -(-width // x.shape[-2]))
        shrink = max(-(-x.shape[-3] // height), -(-x.shape[-2] // width))
        x = jnp.repeat(jnp.repeat(x, grow, axis=-3), grow, axis=-2)
        h = Conv(self.channels, stride=shrink, dtype=self.dtype)(x)[..., :height, :width, :]
        if h.shape[-3:-1] != (height, width):
            raise ValueError(
                f"ConvResize shrinks by whole factors; from {x.shape[-3:-1]} to "
                f"{(height, width)} it cannot: {h.shape[-3:-1]} is what a stride of {shrink} gives."
            )
        for _ in range(self.num_blocks):
            h = ConvBlock(self.channels, self.activation, self.dtype)(h)
        return _last(self, self.activation(_norm(h)), batch)


class ConvNet(Frozen):
    """Image to image of the same size: convolutions 3x3, 1x1, ..., 3x3, as between Glow's layers.

    Kingma & Dhariwal (2018), arXiv:1807.03039, section 4 (channels of 512, 512 there).

    Attributes:
      channels: of each hidden layer; the first has a kernel of 3x3, the others of 1x1.
      output_shape: (H, W, ...) of one output, whose further axes are channels.
      activation: between layers.
      output_scale: multiplies the initial weights of the last layer, as in `MLP`.
      dtype: of the factors of every product; all else is in float32 (`layers`).
    """

    channels: tuple[int, ...]
    output_shape: tuple[int, ...]
    activation: Callable[[Array], Array] = nn.relu
    output_scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, context: Array | None = None) -> Array:
        """x: [..., H, W, C] -> [..., *output_shape]; a context [..., E] is E more channels."""
        batch = x.shape[:-3]
        h = joined(x, None if context is None else context[..., None, None, :])
        for number, channels in enumerate(self.channels):
            h = self.activation(Conv(channels, 1 if number else 3, dtype=self.dtype)(h))
        return _last(self, h, batch)


class ResidualConvNet(Frozen):
    """Image to image of the same size: a 3x3 convolution, residual blocks, a 3x3 convolution.

    Attributes:
      channels: of the residual stream.
      output_shape: (H, W, ...) of one output, whose further axes are channels.
      num_blocks: residual blocks, `ConvBlock`.
      activation: as in `ConvBlock`.
      output_scale: multiplies the initial weights of the last layer, as in `MLP`.
      dtype: of the factors of every product; all else is in float32 (`layers`).
    """

    channels: int
    output_shape: tuple[int, ...]
    num_blocks: int = 2
    activation: Callable[[Array], Array] = nn.silu
    output_scale: float = 1.0
    dtype: Any = jnp.float32

    @nn.compact
    def __call__(self, x: Array, context: Array | None = None) -> Array:
        """x: [..., H, W, C] -> [..., *output_shape]; a context [..., E] is E more channels."""
        batch = x.shape[:-3]
        h = joined(x, None if context is None else context[..., None, None, :])
        h = Conv(self.channels, dtype=self.dtype)(h)
        for _ in range(self.num_blocks):
            h = ConvBlock(self.channels, self.activation, self.dtype)(h)
        return _last(self, self.activation(_norm(h)), batch)


def _last(
    module: ConvResize | ConvNet | ResidualConvNet, h: Array, batch: tuple[int, ...]
) -> Array:
    """The last convolution, in float32, its channels as the further axes of the output."""
    init = nn.initializers.variance_scaling(
        max(module.output_scale, 1e-12) ** 2, "fan_in", "truncated_normal"
    )
    size = math.prod(module.output_shape[2:])
    y = Conv(size, dtype=module.dtype, kernel_init=init)(h)
    return y.reshape(*batch, *module.output_shape).astype(jnp.float32)


def _blocks(module: ConvEncoder | ConvDecoder, level: int, x: Array) -> Array:
    """The residual blocks of one resolution."""
    block = nn.remat(ConvBlock) if module.remat else ConvBlock
    for i in range(module.num_blocks):
        name = f"ConvBlock_{level * module.num_blocks + i}"  # remat would add a prefix of its own
        x = block(module.channels[level], module.activation, module.dtype, name=name)(x)
    return x


def _norm(x: Array) -> Array:
    """Group normalization over one example, with the axes named: its default takes the batch.

    Groups of at least four channels: one channel alone would lose its mean, and its bias with it.
    """
    channels = x.shape[-1]
    groups = max(g for g in range(1, 9) if channels % g == 0 and (g == 1 or channels // g >= 4))
    return nn.GroupNorm(num_groups=groups, reduction_axes=(-3, -2, -1))(x)
