r"""PixelCNN++: two streams of gated residual blocks at several resolutions, over pixels.

Salimans, Karpathy, Chen & Kingma (2017), "PixelCNN++: improving the PixelCNN with discretized
logistic mixture likelihood and other modifications", arXiv:1701.05517, section 2. An element
is a pixel, with no masks between its colours; `gm.models.autoregressive.PixelModel` couples them.

    block(x, s) = x + a σ(b),   [a, b] = W' * e(W * e(x) + V e(s)) + T y,   e(x) = elu([x, -x])

The row stream sees the rows above through 2 x 3 convolutions, two rows by three columns. The pixel
stream also sees the pixels to the left, through 2 x 2 convolutions, and takes the output of every
block of the row stream. Downward: `num_blocks` blocks, then half the resolution, and so on. Upward:
as many blocks, each with a shortcut s from the same block on the way down, and one more block above
the lowest level.

Departures: no dropout, so that log_prob is a function of x; no weight normalisation; both streams
are up-sampled by transposed convolutions of 2 x 2, where the authors' code has 2 x 3 for rows.

Incremental sampling computes the row stream once per row, and a level only at the rows and
pixels of that level; the outputs are cached for the others.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gm.core import Array, PyTree
from gm.networks.causal import Incremental, Once, Run, parallel
from gm.networks.layers import Dense, add_bias
from gm.networks.masked_conv import MaskedConv, RowConv, at
from gm.networks.pixelcnn import ImageNetwork, marked


def concat_elu(x: Array) -> Array:
    """elu([x, -x]): [..., C] -> [..., 2 C]; the gradient vanishes for no sign of x.

    Shang, Sohn, Almeida & Lee (2016), "Understanding and improving convolutional neural networks
    via concatenated rectified linear units", arXiv:1603.05201, with elu in place of relu.
    """
    return nn.elu(jnp.concatenate([x, -x], -1))


class Beginning(Incremental):
    """Incremental evaluation before the first element: keeps the initial caches of the layers.

    A layer made of layers starts with it; its first step is then like any other.
    """

    def __init__(self) -> None:
        super().__init__(jnp.zeros((), jnp.int32))

    def __call__(self, layer: Any, *inputs: Any) -> Any:
        """The layer's output at the first element."""
        cache = layer.start(*inputs)
        self.caches.append(cache)
        return layer.step(cache, self.time, *inputs)[1]


class GatedBlock(nn.Module):
    """x + a σ(b), [a, b] = W' * e(W * e(x) + given) + bias.

    Attributes:
      conv: makes a layer from its inputs and its outputs.
      channels: C, of x.
    """

    conv: Callable[[int, int], nn.Module]
    channels: int

    def setup(self) -> None:
        """Two layers of one kind."""
        self.first = self.conv(2 * self.channels, self.channels)
        self.second = self.conv(2 * self.channels, 2 * self.channels)

    def __call__(
        self, x: Array, run: Run, given: Array | None = None, bias: Array | None = None
    ) -> Array:
        """x, given: [..., C], bias: [2 C] -> [..., C]"""
        h = run(self.first, concat_elu(x))
        h = run(self.second, concat_elu(h if given is None else h + given))
        a, b = jnp.split(h if bias is None else add_bias(h, bias), 2, -1)
        return x + a * nn.sigmoid(b)


class Level(nn.Module):
    """One stream at one resolution and all coarser ones: blocks downward, then blocks upward.

    Attributes:
      shape: (H, W) at this resolution.
      channels: C.
      num_blocks: on the way down.
      num_levels: resolutions from this one down.
      by_rows: whether it is the row stream, a causal layer over rows, or the pixel stream.
      context_dim, dtype: as in `CausalNetwork`.
    """

    shape: tuple[int, int]
    channels: int
    num_blocks: int
    num_levels: int
    by_rows: bool
    context_dim: int
    dtype: Any

    def setup(self) -> None:
        """Blocks, shortcuts, and the layers between resolutions."""
        c, dense = self.channels, functools.partial(Dense, self.channels, self.dtype)
        conv = functools.partial(RowConv, above=1, reach=1, dtype=self.dtype)
        if not self.by_rows:
            taps = {"above": 1, "left": 1, "right": 0}
            conv = functools.partial(MaskedConv, self.shape[1], **taps, dtype=self.dtype)
        num_up = self.num_blocks + (self.num_levels > 1)
        self.down = [GatedBlock(conv, c) for _ in range(self.num_blocks)]
        self.up = [GatedBlock(conv, c) for _ in range(num_up)]
        self.shortcuts = [dense() for _ in self.up]
        if self.by_rows:
            self.across = [dense() for _ in range(self.num_blocks + num_up)]
        if self.context_dim:
            self.given = Once(2 * c * (self.num_blocks + num_up), self.dtype)
        if self.num_levels > 1:
            # Subsampled afterwards: four times the work of strides, in one of some 20 layers.
            self.shrink = conv(c, c)
            half = tuple((size + 1) // 2 for size in self.shape)
            sizes = (c, self.num_blocks, self.num_levels - 1, self.by_rows)
            level = Level(half, *sizes, self.context_dim, self.dtype)
            self.coarser = (CoarserRows if self.by_rows else CoarserPixels)(self.shape, level)

    def body(
        self, x: Array, rows: tuple[Array, ...], context: Array | None, run: Run
    ) -> tuple[Array, tuple[Array, ...]]:
        """x through the blocks, and the inputs of the pixel stream from the row stream.

        Args:
          x: [H, W, C] of rows, [H, W, 1, C] of pixels; in incremental sampling [W, C] or [C].
          rows: for the pixel stream, the outputs of the row stream, this level first.
          context: [E].
          run: runs the causal layers.

        Returns:
          x, and for each level from this one down [..., W, blocks, C].
        """
        count, row_outputs, deeper = len(self.down) + len(self.up), [], ()
        biases = [None] * count
        if self.context_dim:
            biases = jnp.split(run(self.given, context), count)
        if not self.by_rows:
            from_rows = run(Column(self.shape[1]), rows[0])

        def through(block: GatedBlock, x: Array, shortcut: Array | None) -> Array:
            number, given = len(row_outputs), shortcut
            if not self.by_rows:
                given = from_rows[..., number, :]
                given = given if shortcut is None else given + shortcut
            x = block(x, run, given, biases[number])
            row_outputs.append(self.across[number](concat_elu(x)) if self.by_rows else None)
            return x

        kept = [x]
        for block in self.down:
            kept.append(through(block, kept[-1], None))
        if self.num_levels > 1:
            x, deeper = run(self.coarser, run(self.shrink, kept[-1]), rows[1:], context)
        else:
            x = kept.pop()
        for block, dense in zip(self.up, self.shortcuts, strict=True):
            x = through(block, x, dense(concat_elu(kept.pop())))
        return x, ((jnp.stack(row_outputs, -2), *deeper) if self.by_rows else ())

    def zeros(self) -> tuple[Array, ...]:
        """Outputs of zeros, for one row."""
        deeper = self.coarser.level.zeros() if self.num_levels > 1 else ()
        count = len(self.down) + len(self.up)
        return (jnp.zeros((self.shape[1], count, self.channels), jnp.float32), *deeper)


class Coarser(nn.Module):
    """Halves the resolution, applies the next level, and doubles it by a transposed convolution.

    A causal layer: a pixel reads the coarse pixel at half its coordinates, rounded down.
    Incremental sampling keeps the two rows that the last coarse row becomes, [2, W, C].

    Attributes:
      shape: (H, W) of the input and of the output.
      level: of half the size, rounded up.
    """

    shape: tuple[int, int]
    level: Level

    def setup(self) -> None:
        """The transposed convolution of 2 x 2: each coarse pixel becomes four."""
        self.widen = Dense(4 * self.level.channels, self.level.dtype)

    def __call__(
        self, x: Array, rows: tuple[Array, ...], context: Array | None
    ) -> tuple[Array, tuple[Array, ...]]:
        """x: [H, W, ..., C] -> the same shape, and the second output of `Level.body`."""
        y, row_outputs = self._coarse(x[::2, ::2], rows, context, parallel)
        y = jnp.swapaxes(y.reshape(*self.level.shape, 2, 2, -1), 1, 2)
        y = y.reshape(2 * y.shape[0], 2 * y.shape[2], -1)
        return y[: self.shape[0], : self.shape[1]].reshape(x.shape), row_outputs

    def _coarse(
        self, x: Array, rows: tuple[Array, ...], context: Array | None, run: Run
    ) -> tuple[Array, tuple[Array, ...]]:
        """Coarse x: [..., C] -> [..., 4 C], and the outputs of the row stream."""
        x, row_outputs = self.level.body(x, rows, context, run)
        return self.widen(x), row_outputs


class CoarserRows(Coarser):
    """`Coarser` in the row stream: a step takes a row, and computes at every second one."""

    def _row(
        self, run: Incremental, x: Array, rows: tuple[Array, ...], context: Array | None
    ) -> tuple[PyTree, tuple[Array, ...]]:
        y, row_outputs = self._coarse(x[::2], rows, context, run)
        y = jnp.swapaxes(y.reshape(len(y), 2, 2, -1), 0, 1)
        y = y.reshape(2, 2 * y.shape[1], -1)[:, : self.shape[1]]
        return {"layers": run.caches, "rows": y}, row_outputs

    def start(self, x: Array, rows: tuple[Array, ...], context: Array | None) -> PyTree:
        """Empty caches and rows."""
        cache, _ = self._row(Beginning(), x, rows, context)
        return cache | {"rows": jnp.zeros_like(cache["rows"])}

    def step(
        self,
        cache: PyTree,
        time: Array,
        x: Array,
        rows: tuple[Array, ...],
        context: Array | None,
    ) -> tuple[PyTree, tuple[Array, tuple[Array, ...]]]:
        """x: [W, C] -> [W, C], and the outputs of the row stream; zeros in odd rows, unused."""
        cache, row_outputs = jax.lax.cond(
            time % 2 == 0,
            lambda: self._row(Incremental(time // 2, cache["layers"]), x, rows, context),
            lambda: (cache, self.level.zeros()),
        )
        return cache, (cache["rows"][time % 2], row_outputs)


class CoarserPixels(Coarser):
    """`Coarser` in the pixel stream: a step takes a pixel, and computes at one in four."""

    def _pixel(
        self, run: Incremental, x: Array, rows: tuple[Array, ...], context: Array | None
    ) -> tuple[list[PyTree], Array]:
        y, _ = self._coarse(x, rows, context, run)
        return run.caches, y.reshape(2, 2, -1)

    def start(self, x: Array, rows: tuple[Array, ...], context: Array | None) -> PyTree:
        """Empty caches and rows."""
        layers, _ = self._pixel(Beginning(), x, rows, context)
        empty = jnp.zeros((2, 2 * self.level.shape[1], self.level.channels), jnp.float32)
        return {"layers": layers, "rows": empty}

    def step(
        self,
        cache: PyTree,
        time: Array,
        x: Array,
        rows: tuple[Array, ...],
        context: Array | None,
    ) -> tuple[PyTree, tuple[Array, tuple[Array, ...]]]:
        """x: [C] -> [C]"""
        row, column = time // self.shape[1], time % self.shape[1]
        coarse_time = row // 2 * self.level.shape[1] + column // 2

        def next_pixel() -> PyTree:
            run = Incremental(coarse_time, cache["layers"])
            layers, y = self._pixel(run, x, rows, context)
            new = jax.lax.dynamic_update_slice(cache["rows"], y, at(0, column, 0))
            return {"layers": layers, "rows": new}

        begins = (row % 2 == 0) & (column % 2 == 0)
        cache = jax.lax.cond(begins, next_pixel, lambda: cache)
        return cache, (cache["rows"][row % 2, column], ())


class Column:
    """Outputs of the row stream as inputs of the pixel stream; incrementally, of one column.

    Attributes:
      width: W.
    """

    def __init__(self, width: int) -> None:
        self.width = width

    def __call__(self, x: Array) -> Array:
        """x: [H, W, blocks, C] -> [H, W, 1, blocks, C]"""
        return x[:, :, None]

    def start(self, x: Array) -> None:
        """There is nothing to keep."""
        del x

    def step(self, cache: None, time: Array, x: Array) -> tuple[None, Array]:
        """x: [W, blocks, C] -> [blocks, C]"""
        return cache, x[time % self.width]


class RowStream(nn.Module):
    """Inputs from the rows above to every block of the pixel stream; incrementally, row by row.

    Attributes:
      inputs: features of a pixel.
      level: the row stream, at the full resolution.
    """

    inputs: int
    level: Level

    def setup(self) -> None:
        """The first convolution, of the two rows above."""
        c, dtype = self.level.channels, self.level.dtype
        self.first = RowConv(self.inputs + 1, c, above=2, strict=True, dtype=dtype)

    def _body(self, x: Array, context: Array | None, run: Run) -> tuple[Array, ...]:
        """x: [..., W, inputs + 1] -> for each level [..., W, blocks, C]"""
        return self.level.body(run(self.first, x), (), context, run)[1]

    def __call__(self, f: Array, context: Array | None) -> tuple[Array, ...]:
        """f: [H, W, 1, inputs] -> for each level [H, W, blocks, C]"""
        return self._body(marked(f[:, :, 0]), context, parallel)

    def start(self, f: Array, context: Array | None) -> PyTree:
        """Empty caches, and an empty row."""
        del f
        row, run = jnp.zeros((self.level.shape[1], self.inputs + 1), jnp.float32), Beginning()
        self._body(row, context, run)
        return {"row": row, "layers": run.caches, "row_outputs": self.level.zeros()}

    def step(
        self, cache: PyTree, time: Array, f: Array, context: Array | None
    ) -> tuple[PyTree, tuple[Array, ...]]:
        """f of the pixel before: [inputs] -> for each level [W, blocks, C]"""
        width = self.level.shape[1]
        row = jax.lax.dynamic_update_slice(cache["row"], f[None], at((time - 1) % width, 0))
        row = row.at[:, -1].set((time > 0).astype(row.dtype))

        def next_row() -> tuple[list[PyTree], tuple[Array, ...]]:
            run = Incremental(time // width, cache["layers"])
            row_outputs = self._body(row, context, run)
            return run.caches, row_outputs

        layers, row_outputs = jax.lax.cond(
            time % width == 0, next_row, lambda: (cache["layers"], cache["row_outputs"])
        )
        return {"row": row, "layers": layers, "row_outputs": row_outputs}, row_outputs


class PixelCNNPlusPlus(ImageNetwork):
    """The network of PixelCNN++ over an event of pixels [H, W], each with its features.

    For colours use `gm.models.autoregressive.PixelModel`; for grey levels also `CausalModel` with
    any head. A context adds a bias to every block, before its gate, as in the authors' code.

    Attributes:
      channels: C of every block of both streams; 160 in the paper.
      num_blocks: at each resolution, on the way down and again on the way up.
      num_levels: resolutions, each half of the one before, rounded up.
    """

    num_blocks: int = 5
    num_levels: int = 3

    def check_image(self) -> None:
        """Raises ValueError unless the event is an array of pixels."""
        if len(self.shape) != 2:
            raise ValueError(
                f"PixelCNNPlusPlus needs an event of pixels, [H, W]; got {self.shape}. Of "
                "gm.models.autoregressive, PixelModel has [H, W, colours], MADE and NADE vectors."
            )

    def setup(self) -> None:
        """Both streams, and the last layer."""

        def stream(by_rows: bool) -> Level:
            sizes = (self.shape, self.channels, self.num_blocks, self.num_levels)
            return Level(*sizes, by_rows, self.context_dim, self.dtype)

        self.rows = RowStream(self.num_features, stream(True))
        self.first = self._conv(self.num_features, self.channels, strict=True)
        self.pixels = stream(False)
        self.last = Dense(self.num_params, self.dtype)

    def body(self, f: Array, context: Array | None, run: Run) -> Array:
        """The row stream, then the pixel stream, which takes its outputs."""
        f = self._pixels(f)
        rows = run(self.rows, f, context)
        x, _ = self.pixels.body(run(self.first, f), rows, context, run)
        return self._elements(self.last(nn.elu(x)))
