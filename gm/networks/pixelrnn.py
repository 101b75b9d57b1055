r"""PixelRNN: LSTMs that run over the rows, or along the diagonals, of an image.

van den Oord, Kalchbrenner & Kavukcuoglu (2016), "Pixel recurrent neural networks",
arXiv:1601.06759, sections 3.1 to 3.3. The state of a pixel comes from those of its neighbours:

    o, f, i, g = K_is * x + K_ss * h_before + b
    c = σ(f + 1) c_before + σ(i) tanh(g),    h = σ(o) tanh(c)

What is given by the input, K_is * x, is one masked convolution of the whole image; what is given by
states, K_ss * h_before, follows row after row (`RowLSTM`) or diagonal after diagonal
(`DiagonalBiLSTM`). As in `recurrent`, forget gates start open, by the 1 above; the paper does not
say how its own start.

Every colour of a pixel has its own state. It sees all colours of the pixels before, and of its own
pixel what the mask between colours lets through K_is.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gm.core import Array, PyTree
from gm.networks.causal import Once, Run
from gm.networks.layers import add_bias, product
from gm.networks.masked_conv import MaskedConv, at
from gm.networks.pixelcnn import ImageNetwork


class ImageLSTM(nn.Module):
    """Base of LSTMs over images: x is [H, W, G, C], or [C] of one colour in incremental sampling.

    A bias, [gates h], adds to the gates of every colour of every pixel.

    Attributes:
      width: W.
      inputs: C, channels of each colour.
      features: h, channels of each colour of the state.
      num_colours: G.
      dtype: of the factors of every product; states are in float32.
    """

    width: int
    inputs: int
    features: int
    num_colours: int = 1
    dtype: Any = jnp.float32

    num_gates = 0

    def _input_to_state(self, left: int) -> MaskedConv:
        """K_is and b: of the pixel and those on its left, masked between colours."""
        return MaskedConv(
            self.width,
            self.inputs,
            self.num_gates * self.features,
            self.num_colours,
            above=0,
            left=left,
            right=0,
            dtype=self.dtype,
        )

    def _gates(self, x: Array, bias: Array | None) -> Array:
        """What the input gives: [H, W, G, C] -> [H, W, G, gates h]"""
        gates = self.gates(x)
        return gates if bias is None else add_bias(gates, bias)

    def _gates_step(
        self, cache: PyTree, time: Array, x: Array, bias: Array | None
    ) -> tuple[PyTree, Array]:
        """What the input gives one colour of a pixel: [C] -> [gates h]"""
        cache, gates = self.gates.step(cache, time, x)
        return cache, gates if bias is None else gates + bias

    def _states(self, *shape: int) -> Array:
        """Zeros [*shape, G, h]: no state."""
        return jnp.zeros((*shape, self.num_colours, self.features), jnp.float32)

    def _recur(self, h: Array, kernel: Array) -> Array:
        """States side by side [..., taps G h] times a kernel [..., taps G h, outputs]."""
        return product(h.astype(self.dtype), kernel.astype(self.dtype))

    def _place(self, time: Array) -> tuple[Array, Array, Array]:
        """The column and the colour of an element, and whether it begins a row below the first."""
        pixel, colour = time // self.num_colours, time % self.num_colours
        begins = (time % (self.width * self.num_colours) == 0) & (time > 0)
        return pixel % self.width, colour, begins


class RowLSTM(ImageLSTM):
    """An LSTM from each row to the next, over the whole row at once.

        gates(r) = K_is * x(r) + K_ss * h(r - 1),    c(r), h(r) from gates(r) and c(r - 1)

    K_ss is a convolution of k x 1, and so is K_is, of which only the pixel and those on its left
    are seen. A state sees a triangle: x(r - d, c') for c - (d + 1) m <= c' <= c + d m, m = k // 2.

    Incremental sampling keeps one row of states. It computes K_ss * h once per row and the rest
    element by element.

    Attributes:
      size: k.
    """

    size: int = 3

    num_gates = 4

    def setup(self) -> None:
        """K_is, and K_ss: [k G h, G 4 h]."""
        self.gates = self._input_to_state(self.size // 2)
        states = self.num_colours * self.features
        shape = (self.size * states, 4 * states)
        init = nn.initializers.lecun_normal()
        self.recurrent = self.param("recurrent", init, shape, jnp.float32)

    def _from_above(self, h: Array) -> Array:
        """K_ss * h of a row: [W, G, h] -> [W, G, 4 h]"""
        reach = self.size // 2
        padded = jnp.pad(h.reshape(self.width, -1), ((reach, reach), (0, 0)))
        taps = [padded[column : column + self.width] for column in range(self.size)]
        sums = self._recur(jnp.concatenate(taps, -1), self.recurrent)
        return sums.reshape(self.width, self.num_colours, -1)

    def __call__(self, x: Array, bias: Array | None = None) -> Array:
        """x: [H, W, G, C] -> [H, W, G, h]"""

        def row(state: tuple[Array, Array], gates: Array) -> tuple[tuple[Array, Array], Array]:
            c, h = state
            c, h = lstm(gates + self._from_above(h), c)
            return (c, h), h

        none = self._states(self.width)
        return jax.lax.scan(row, (none, none), self._gates(x, bias))[1]

    def start(self, x: Array, bias: Array | None = None) -> PyTree:
        """No states in the row above, and what they give."""
        del bias
        none = self._states(self.width)
        above = jnp.zeros((self.width, self.num_colours, 4 * self.features), jnp.float32)
        return {"gates": self.gates.start(x), "c": none, "h": none, "above": above}

    def step(
        self, cache: PyTree, time: Array, x: Array, bias: Array | None = None
    ) -> tuple[PyTree, Array]:
        """x: [C] -> [h], of the element's colour."""
        column, colour, begins = self._place(time)
        kept, gates = self._gates_step(cache["gates"], time, x, bias)
        above = jax.lax.cond(begins, lambda: self._from_above(cache["h"]), lambda: cache["above"])
        c, h = lstm(gates + above[column, colour], cache["c"][column, colour])
        cache = {
            "gates": kept,
            "c": put(cache["c"], c, column, colour),
            "h": put(cache["h"], h, column, colour),
            "above": above,
        }
        return cache, h


class DiagonalBiLSTM(ImageLSTM):
    """Two LSTMs along the diagonals, from either side of the image: every earlier pixel is seen.

        left:   gates(r, c) = K_is x(r, c) + K_ss [h(r, c - 1), h(r - 1, c)],  cell of (r, c - 1)
        right:  the mirror image of it, with weights of its own
        y(r, c) = h_left(r, c) + h_right(r - 1, c)

    The right one would see pixels to come in its own row, so it is used one row below.

    The forward pass skews the image, row r by r columns, so that a diagonal is a column of it,
    computed at once from the one before; both directions are one scan of H + W - 1 steps.

    Incremental sampling computes the left state at each pixel. When a row begins, the row above is
    complete: its right states are computed, pixel by pixel, and its input to the new row is one
    product.
    """

    num_gates = 8

    def setup(self) -> None:
        """K_is of both directions, and K_ss of each: [2, 2 G h, G 4 h], beside and above."""
        self.gates = self._input_to_state(0)
        states = self.num_colours * self.features
        init, shape = nn.initializers.lecun_normal(batch_axis=(0,)), (2, 2 * states, 4 * states)
        self.recurrent = self.param("recurrent", init, shape, jnp.float32)

    def __call__(self, x: Array, bias: Array | None = None) -> Array:
        """x: [H, W, G, C] -> [H, W, G, h]"""

        def diagonal(state: tuple[Array, Array], gates: Array) -> tuple[tuple[Array, Array], Array]:
            c, h = state  # [2, H, G, h]; zeros left of the image, for the gates there are zeros
            beside = h.reshape(2, height, -1)
            above = jnp.pad(beside[:, :-1], ((0, 0), (1, 0), (0, 0)))
            sums = self._recur(jnp.concatenate([beside, above], -1), self.recurrent)
            c, h = lstm(gates + sums.reshape(gates.shape), c)
            return (c, h), h

        height = len(x)
        left, right = jnp.split(self._gates(x, bias), 2, -1)
        gates = skewed(jnp.stack([left, jnp.flip(right, 1)]))
        none = self._states(2, height)
        _, h = jax.lax.scan(diagonal, (none, none), jnp.moveaxis(gates, 2, 0))
        left, right = unskewed(jnp.moveaxis(h, 0, 2))
        return left + jnp.pad(jnp.flip(right, 1)[:-1], ((1, 0),) + ((0, 0),) * 3)

    def start(self, x: Array, bias: Array | None = None) -> PyTree:
        """No states in the row above, and what they give."""
        del bias
        halves = jnp.split(self.recurrent, 2, 1)
        beside = halves[0][0].reshape(-1, self.num_colours, 4 * self.features)
        row = jnp.zeros((self.width, self.num_colours, 4 * self.features), jnp.float32)
        return {
            "gates": self.gates.start(x),
            "beside": jnp.moveaxis(beside, 1, 0),  # K_ss of the left direction, for each colour
            "c": self._states(),  # of the pixel on the left
            "left": self._states(self.width + 1),  # h, after a column of zeros
            "right": self._states(self.width),  # h of the row above
            "right_gates": row,  # of the row that is being read
            "above": row,  # what the row above gives to the left direction
        }

    def step(
        self, cache: PyTree, time: Array, x: Array, bias: Array | None = None
    ) -> tuple[PyTree, Array]:
        """x: [C] -> [h], of the element's colour."""
        column, colour, begins = self._place(time)
        kept, gates = self._gates_step(cache["gates"], time, x, bias)
        gates, right_gates = jnp.split(gates, 2)
        above, right = jax.lax.cond(
            begins,
            lambda: self._next_row(cache),
            lambda: (cache["above"], cache["right"]),
        )
        beside = self._recur(cache["left"][column].reshape(-1), cache["beside"][colour])
        before = jnp.where(column == 0, 0.0, cache["c"][colour])
        c, h = lstm(gates + above[column, colour] + beside, before)
        cache = cache | {
            "gates": kept,
            "c": put(cache["c"], c, colour),
            "left": put(cache["left"], h, column + 1, colour),
            "right": right,
            "right_gates": put(cache["right_gates"], right_gates, column, colour),
            "above": above,
        }
        return cache, h + right[column, colour]

    def _next_row(self, cache: PyTree) -> tuple[Array, Array]:
        """What a complete row gives to the left direction below it, and its right states."""

        def pixel(state: tuple[Array, Array], gates: Array) -> tuple[tuple[Array, Array], Array]:
            c, h = state
            sums = self._recur(h.reshape(-1), beside[1])
            c, h = lstm(gates + sums.reshape(gates.shape), c)
            return (c, h), h

        beside, above = jnp.split(self.recurrent, 2, 1)
        rows = jnp.stack([cache["left"][1:], cache["right"]]).reshape(2, self.width, -1)
        sums = self._recur(rows, above).reshape(2, *cache["above"].shape)
        none = self._states()
        gates = cache["right_gates"] + sums[1]
        return sums[0], jax.lax.scan(pixel, (none, none), gates, reverse=True)[1]


class PixelRNN(ImageNetwork):
    """Residual LSTM layers over an image (Pixel recurrent neural networks, table 1).

    A first 7x7 convolution of mask A to 2 h channels; `num_layers` LSTMs of h channels, each with a
    1x1 convolution to 2 h after it and added to its input; then ReLU and 1x1 twice. A context adds
    to the gates of every layer. By mask A no state of a row has seen its last pixel: the row below
    sees that one as far as the first convolution reaches, and all others by Diagonal BiLSTMs.

    Attributes:
      channels: h, of each colour.
      layer: DiagonalBiLSTM, or RowLSTM.
      num_layers: LSTMs.
      first_size: of the first convolution.
      head_channels: of the layer before the last, of each colour.
    """

    layer: type[ImageLSTM] = DiagonalBiLSTM
    num_layers: int = 7
    first_size: int = 7
    head_channels: int = 32

    def setup(self) -> None:
        """The layers in their order."""
        h, far, count = self.channels, self.first_size // 2, range(self.num_layers)
        first = {"above": far, "left": far, "right": far, "strict": True}
        self.first = self._conv(self.num_features, 2 * h, **first)
        sizes = (self.width, 2 * h, h, self.num_colours, self.dtype)
        self.layers = [self.layer(*sizes) for _ in count]
        self.widen = [self._pointwise(h, 2 * h) for _ in count]
        self.contexts = [
            Once(self.layer.num_gates * h, self.dtype) for _ in count if self.context_dim
        ]
        self.hidden = self._pointwise(2 * h, self.head_channels)
        self.last = self._pointwise(self.head_channels, self.num_params)

    def body(self, f: Array, context: Array | None, run: Run) -> Array:
        """The first convolution, the residual layers, the head."""
        x = run(self.first, self._pixels(f))
        for number, (layer, widen) in enumerate(zip(self.layers, self.widen, strict=True)):
            given = (run(self.contexts[number], context),) if self.context_dim else ()
            x = x + run(widen, run(layer, x, *given))
        x = run(self.hidden, nn.relu(x))
        return self._elements(run(self.last, nn.relu(x)))


def lstm(gates: Array, c: Array) -> tuple[Array, Array]:
    """The next c and h: [..., h], from gates o, f, i, g: [..., 4 h] and the cell before."""
    o, f, i, g = jnp.split(gates, 4, -1)
    c = jax.nn.sigmoid(f + 1.0) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    return c, jax.nn.sigmoid(o) * jnp.tanh(c)


def put(rows: Array, x: Array, *place: Array) -> Array:
    """The rows with x at a place of their first axes, without a scatter."""
    x = x.reshape((1,) * len(place) + x.shape)
    return jax.lax.dynamic_update_slice(rows, x, at(*place, *[0] * (x.ndim - len(place))))


def skewed(x: Array) -> Array:
    """Row r moved r columns to the right, zeros around: [N, H, W, ...] -> [N, H, W + H - 1, ...]"""
    num, height, width, *rest = x.shape
    x = jnp.pad(x, ((0, 0), (0, 0), (0, height)) + ((0, 0),) * len(rest))
    # Row after row in memory, rows that are one shorter begin one further on each time.
    x = x.reshape(num, height * (width + height), *rest)[:, :-height]
    return x.reshape(num, height, width + height - 1, *rest)


def unskewed(x: Array) -> Array:
    """The inverse of `skewed`: [N, H, W + H - 1, ...] -> [N, H, W, ...]"""
    num, height, diagonals, *rest = x.shape
    x = x.reshape(num, height * diagonals, *rest)
    x = jnp.pad(x, ((0, 0), (0, height)) + ((0, 0),) * len(rest))
    return x.reshape(num, height, diagonals + 1, *rest)[:, :, : diagonals + 1 - height]
