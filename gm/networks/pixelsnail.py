r"""PixelSNAIL: causal convolutions, and self-attention to all earlier elements.

Chen, Mishra, Rohaninejad & Abbeel (2018), "PixelSNAIL: an improved autoregressive generative
model", arXiv:1712.09763, section 3. Each of `num_blocks` blocks is, with h_i the features of
element i, x_i its value and p_i its coordinates,

    h  <- `num_layers` gated residual blocks of convolutions of 2 x 2, as in PixelCNN++
    r_i = \sum_{j < i} softmax_j(q_i k_j / sqrt(d)) v_j,   q_i from (h_i, p_i), k_j and v_j from
          (x_j, h_j, p_j)
    h  <- a gated residual block of 1 x 1, given r

so that an element attends to the elements that followed similar surroundings. Scoring D elements
costs D^2 products of queries and keys; so does incremental sampling, which caches keys and values.

Departures: no dropout and no weight normalisation, as in `gm.networks.pixelcnnpp`; the first
element attends to a learned key, which the others see too.
"""

from __future__ import annotations

import functools
from typing import Any

import flax.linen as nn
import jax.numpy as jnp
import numpy as np

from gm.core import Array
from gm.networks.attention import CausalSelfAttention
from gm.networks.causal import Once, Run, Shift, parallel
from gm.networks.layers import Dense
from gm.networks.masked_conv import MaskedConv
from gm.networks.pixelcnn import ImageNetwork
from gm.networks.pixelcnnpp import GatedBlock, concat_elu


class Coordinates:
    """Appends to each element its coordinates, each from -1/2 to 1/2.

    Attributes:
      shape: of the event.
    """

    def __init__(self, shape: tuple[int, ...]) -> None:
        sizes = np.reshape(shape, (-1,) + (1,) * len(shape))
        table = (np.indices(shape) - (sizes - 1) / 2) / np.maximum(sizes - 1, 1)
        self._table = table.reshape(len(shape), -1).T.astype(np.float32)

    def __call__(self, x: Array) -> Array:
        """x: [T, C] -> [T, C + axes]"""
        return jnp.concatenate([x, self._table], -1)

    def start(self, x: Array) -> None:
        """There is nothing to keep."""
        del x

    def step(self, cache: None, time: Array, x: Array) -> tuple[None, Array]:
        """x: [C] -> [C + axes]"""
        return cache, jnp.concatenate([x, jnp.asarray(self._table)[time]], -1)


class Delay:
    """Replaces the input of each element by that of the element before; zeros at the first."""

    def __call__(self, x: Array) -> Array:
        """x: [T, C] -> [T, C]"""
        return jnp.pad(x, ((1, 0), (0, 0)))[:-1]

    def start(self, x: Array) -> Array:
        """Nothing before the first."""
        return jnp.zeros_like(x)

    def step(self, cache: Array, time: Array, x: Array) -> tuple[Array, Array]:
        """x: [C] -> [C]"""
        del time
        return x, cache


class AttentionBlock(nn.Module):
    """h with what it reads from all elements before it.

    Attributes:
      shape: of the event.
      inputs: features of an element.
      channels: C, of h.
      key_channels: of queries and keys.
      value_channels: of what is read.
      num_heads: divides both.
      dtype: as in `CausalNetwork`.
    """

    shape: tuple[int, ...]
    inputs: int
    channels: int
    key_channels: int
    value_channels: int
    num_heads: int
    dtype: Any

    def setup(self) -> None:
        """Blocks of 1 x 1 around the attention."""

        def dense(inputs: int, features: int) -> Dense:
            del inputs
            return Dense(features, self.dtype)

        axes = len(self.shape)
        self.shift, self.coordinates, self.delay = Shift(), Coordinates(self.shape), Delay()
        self.asks = GatedBlock(dense, self.channels + axes)
        self.tells = GatedBlock(dense, self.inputs + 1 + self.channels + axes)
        self.attention = CausalSelfAttention(
            int(np.prod(self.shape)),
            self.value_channels,
            self.num_heads,
            self.key_channels,
            # As other layers here: queries and keys of size one tell elements apart at once.
            scale=self.channels**-0.5,
            dtype=self.dtype,
        )
        self.read = Dense(self.channels, self.dtype)
        self.merge = GatedBlock(dense, self.channels)

    def __call__(self, f: Array, h: Array, run: Run) -> Array:
        """f: [T, inputs], of the element before in incremental sampling; h: [T, C] -> [T, C]"""
        located = run(self.coordinates, h)
        before = jnp.concatenate([run(self.shift, f), run(self.delay, located)], -1)
        asked, told = self.asks(located, parallel), self.tells(before, parallel)
        read = run(self.attention, asked, told)
        return self.merge(h, parallel, self.read(concat_elu(read)))


class PixelSNAIL(ImageNetwork):
    """The network of PixelSNAIL.

    Over [H, W] an element is a pixel, as in the paper, whatever its features; give it colours with
    `gm.models.autoregressive.PixelModel`. Over [H, W, G] (`CausalModel`) an element is a colour,
    convolutions are masked between colours, and attention is over all colours before. A context is
    a bias of every convolutional block.

    Attributes:
      channels: C, of each colour; 256 in the paper.
      num_blocks: of convolutions and attention; 12 in the paper.
      num_layers: convolutional blocks in each; 4 in the paper.
      key_channels: of queries and keys; 16 in the paper.
      value_channels: of what is read; 128 in the paper.
      num_heads: of each attention; 1 in the paper.
    """

    num_blocks: int = 4
    num_layers: int = 4
    key_channels: int = 16
    value_channels: int = 32
    num_heads: int = 1

    def setup(self) -> None:
        """The first convolution, the blocks, the last layer."""
        near = {"num_colours": self.num_colours, "above": 1, "left": 1, "right": 0}
        conv = functools.partial(MaskedConv, self.width, **near, dtype=self.dtype)
        c, keys, values = self.channels, self.key_channels, self.value_channels
        self.first = self._conv(self.num_features, c, strict=True)
        self.convs = [
            [GatedBlock(conv, c) for _ in range(self.num_layers)] for _ in range(self.num_blocks)
        ]
        sizes = (self.shape, self.num_features, c, keys, values, self.num_heads, self.dtype)
        self.attentions = [AttentionBlock(*sizes) for _ in range(self.num_blocks)]
        if self.context_dim:
            self.given = Once(2 * c * self.num_blocks * self.num_layers, self.dtype)
        self.last = Dense(self.num_params, self.dtype)

    def body(self, f: Array, context: Array | None, run: Run) -> Array:
        """Blocks of convolutions, then attention."""
        biases = iter([None] * self.num_blocks * self.num_layers)
        if self.context_dim:
            given = run(self.given, context)
            biases = iter(jnp.split(given, self.num_blocks * self.num_layers))
        x = run(self.first, self._pixels(f))
        elements = f if f.ndim == 1 else f.reshape(-1, self.num_features)
        for convs, attention in zip(self.convs, self.attentions, strict=True):
            for conv in convs:
                x = conv(x, run, bias=next(biases))
            h = attention(elements, x.reshape(*elements.shape[:-1], -1), run)
            x = h.reshape(x.shape)
        return self._elements(self.last(nn.elu(x)))
