r"""Masked convolutions over images, and convolutions over rows; in parallel or step by step.

van den Oord, Kalchbrenner & Kavukcuoglu (2016), "Pixel recurrent neural networks",
arXiv:1601.06759, section 3.4. Pixels come in raster order, colours inside a pixel:

    y(r, c) = b + sum of W(dr, dc) x(r + dr, c + dc) over dr < 0, and over dr = 0, dc <= 0

and the tap at the pixel itself is masked between colours. Only unmasked taps have weights. The
forward pass fills the rest of the last row with zeros and convolves: on a CPU that takes a third to
an eighth of the time, gradient included, of one product with the shifted inputs side by side, which
computes no masked tap.

Incremental sampling keeps the last rows of a layer's input in a ring buffer; each step reads the
taps of one pixel.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, PyTree
from gm.networks.layers import add_bias, convolve, product


class MaskedConv(nn.Module):
    """A convolution that sees earlier pixels, and the earlier colours of its own.

    Channels belong to colours: x is [H, W, G, C], or [C] of one colour of one pixel in incremental
    sampling.

    Attributes:
      width: W.
      inputs: C, channels of each colour.
      features: channels of each colour of the output.
      num_colours: G.
      above: rows above that are seen.
      left: columns to the left that are seen.
      right: columns to the right that are seen in the rows above.
      strict: mask A: a colour does not see itself. The input then has one more channel, 1 inside
        the image, so that padding is not taken for a value; and a step is given the element before.
      dtype: of the factors of the product; all else is in float32 (`layers`).
    """

    width: int
    inputs: int
    features: int
    num_colours: int = 1
    above: int = 1
    left: int = 1
    right: int = 1
    strict: bool = False
    dtype: Any = jnp.float32

    @property
    def channels(self) -> int:
        """Channels of a pixel: of all its colours, and the one that marks the image."""
        return self.num_colours * (self.inputs + self.strict)

    @property
    def has_centre(self) -> bool:
        """Whether anything of the pixel itself is seen."""
        return not self.strict or self.num_colours > 1

    @property
    def is_dense(self) -> bool:
        """Whether each output sees one input, so that there is nothing to cache."""
        return not (self.above or self.left or self.strict or self.num_colours > 1)

    def setup(self) -> None:
        """Kernel [taps, G C, G, features], bias [features] of each colour."""
        num_taps = self.above * (self.left + 1 + self.right) + self.left + self.has_centre
        colours, inputs = self.num_colours, self.inputs + self.strict
        shape = (num_taps * self.channels, colours * self.features)
        init, zeros = nn.initializers.lecun_normal(), nn.initializers.zeros
        self.kernel = self.param("kernel", init, shape, jnp.float32)
        self.bias = self.param("bias", zeros, (colours, self.features), jnp.float32)
        seen = np.tril(np.ones((colours, colours), bool), -1 if self.strict else 0).T
        mask = np.ones((num_taps, colours, inputs, colours, self.features), bool)
        if self.has_centre:
            mask[-1] = seen[:, None, :, None]
        self.mask = mask.reshape(shape)

    def _weights(self) -> Array:
        kernel = jnp.where(self.mask, self.kernel, 0.0) if self.num_colours > 1 else self.kernel
        return kernel.astype(self.dtype)

    def __call__(self, x: Array) -> Array:
        """x: [H, W, G, C] -> [H, W, G, features]"""
        if self.strict:
            x = jnp.pad(x, ((0, 0),) * 3 + ((0, 1),), constant_values=1.0)
        height, width = x.shape[:2]
        x = x.reshape(height, width, -1).astype(self.dtype)
        weights = self._weights()
        if self.above or self.left:
            weights = weights.reshape(-1, self.channels, weights.shape[-1])
            columns = self.left + 1 + self.right
            unseen = (self.above + 1) * columns - len(weights)
            weights = jnp.pad(weights, ((0, unseen), (0, 0), (0, 0)))
            weights = weights.reshape(self.above + 1, columns, *weights.shape[1:])
            y = convolve(x, weights, ((self.above, 0), (self.left, self.right)))
        else:
            y = product(x, weights)
        y = add_bias(y, self.bias.reshape(-1))
        return y.reshape(height, width, self.num_colours, self.features)

    def start(self, x: Array) -> PyTree:
        """An empty ring of rows, and the weights of each colour; nothing for a dense layer."""
        del x
        if self.is_dense:
            return None
        columns = self.left + self.width + self.right
        weights = self._weights().reshape(-1, self.num_colours, self.features)
        return {
            "ring": jnp.zeros((self.above + 1, columns, self.channels), jnp.float32),
            "weights": jnp.moveaxis(weights, 1, 0),
        }

    def step(self, cache: PyTree, time: Array, x: Array) -> tuple[PyTree, Array]:
        """x: [C] -> [features], of the element's colour."""
        if self.is_dense:
            return None, product(x.astype(self.dtype), self._weights()) + self.bias[0]
        rows, colours = self.above + 1, self.num_colours
        if self.strict:
            x = jnp.append(x, (time > 0).astype(x.dtype))
        source = time - int(self.strict)
        pixel = source // colours
        row, column = pixel // self.width % rows, pixel % self.width + self.left
        where = at(row, column, source % colours * len(x))
        # Written before it is read, so that XLA need not copy the ring at each step.
        ring = jax.lax.dynamic_update_slice(cache["ring"], x[None, None], where)
        row, column = time // colours // self.width, time // colours % self.width

        def read(row: Array, size: int) -> Array:
            shape = (1, size, self.channels)
            return jax.lax.dynamic_slice(ring, at(row % rows, column, 0), shape).reshape(-1)

        taps = [read(row - back, self.left + 1 + self.right) for back in range(self.above, 0, -1)]
        if self.left + self.has_centre:
            taps.append(read(row, self.left + self.has_centre))
        colour = time % colours if colours > 1 else 0
        y = product(jnp.concatenate(taps).astype(self.dtype), cache["weights"][colour])
        return cache | {"ring": ring}, y + self.bias[colour]


class RowConv(nn.Module):
    """A convolution that sees whole rows: its own and those above, or only those above.

    A causal layer over rows: the step takes a row [W, C].

    Attributes:
      inputs: C.
      features: channels of the output.
      above: rows above that are seen.
      reach: columns seen on either side.
      strict: whether a row does not see itself; a step is then given the row above.
      dtype: as in `MaskedConv`.
    """

    inputs: int
    features: int
    above: int = 1
    reach: int = 1
    strict: bool = False
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Kernel [taps C, features] and bias [features]."""
        taps = (self.above + (not self.strict)) * (2 * self.reach + 1)
        shape = (taps * self.inputs, self.features)
        init, zeros = nn.initializers.lecun_normal(), nn.initializers.zeros
        self.kernel = self.param("kernel", init, shape, jnp.float32)
        self.bias = self.param("bias", zeros, (self.features,), jnp.float32)

    def _convolve(self, x: Array, above: int) -> Array:
        """x: [R, W, C], below so many rows of zeros -> [R + above - rows seen + 1, W, features]"""
        kernel = self.kernel.reshape(-1, 2 * self.reach + 1, self.inputs, self.features)
        padding = ((above, 0), (self.reach, self.reach))
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), padding)
        return add_bias(y, self.bias)

    def __call__(self, x: Array) -> Array:
        """x: [H, W, C] -> [H, W, features]"""
        if self.strict:
            x = jnp.pad(x[:-1], ((1, 0), (0, 0), (0, 0)))
        return self._convolve(x, self.above - self.strict)

    def start(self, x: Array) -> Array:
        """An empty ring of rows."""
        return jnp.zeros((self.above + (not self.strict), *x.shape), jnp.float32)

    def step(self, ring: Array, time: Array, x: Array) -> tuple[Array, Array]:
        """x: [W, C] -> [W, features]"""
        rows = len(ring)
        newest = time - int(self.strict)
        ring = jax.lax.dynamic_update_index_in_dim(ring, x, newest % rows, 0)
        read = [
            jax.lax.dynamic_index_in_dim(ring, (newest - back) % rows, 0, keepdims=False)
            for back in range(rows - 1, -1, -1)
        ]
        return ring, self._convolve(jnp.stack(read), 0)[0]


def at(*place: Array | int) -> tuple[Array, ...]:
    """Indices as int32; beside them a number of Python would be int64 where JAX has 64 bits."""
    return tuple(jnp.asarray(index, jnp.int32) for index in place)
