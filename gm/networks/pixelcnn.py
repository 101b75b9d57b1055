r"""PixelCNN and Gated PixelCNN.

van den Oord, Kalchbrenner & Kavukcuoglu (2016), "Pixel recurrent neural networks",
arXiv:1601.06759; van den Oord, Kalchbrenner, Vinyals, Espeholt, Graves & Kavukcuoglu (2016),
"Conditional image generation with PixelCNN decoders", arXiv:1606.05328.

Images are [H, W] or [H, W, G]; each of the G colours of a pixel sees the pixels before it and the
colours before it. Channels are those of each colour.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from gm.core import Array, PyTree
from gm.networks.causal import CausalNetwork, Incremental, Once, Run, parallel
from gm.networks.layers import Dense, add_bias, gated
from gm.networks.masked_conv import MaskedConv, RowConv, at


class ImageNetwork(CausalNetwork):
    """What causal networks over images share: sizes, and the first and last steps of a body.

    Attributes:
      channels: of each colour.
      pixel_bias: whether the first layer adds a learned bias per pixel, a map [H, W, channels], for
        objects that are centred in their image.
    """

    channels: int = 32
    pixel_bias: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.shape:  # a model gives it
            self.check_image()

    def check_image(self) -> None:
        """Raises ValueError unless the event is an image."""
        if len(self.shape) not in (2, 3):
            raise ValueError(
                f"{type(self).__name__} needs an event of images, [H, W] or [H, W, G]; got "
                f"{self.shape}. For vectors gm.models.autoregressive has MADE and NADE; for "
                "sequences gm.networks has WaveNet, Transformer and RecurrentNetwork."
            )

    @property
    def width(self) -> int:
        """W"""
        self.check_image()  # a scalar event cannot be told from none before
        return self.shape[1]

    @property
    def num_colours(self) -> int:
        """G"""
        return self.shape[2] if len(self.shape) == 3 else 1

    def _pixels(self, f: Array) -> Array:
        """Features with an axis of colours, [H, W, G, C]; one element's, [C], as they are."""
        return f if f.ndim == 1 else f.reshape(*self.shape[:2], self.num_colours, -1)

    def _elements(self, raw: Array) -> Array:
        """The inverse of `_pixels`, for outputs."""
        return raw if raw.ndim == 1 else raw.reshape(*self.shape, -1)

    def _pointwise(self, inputs: int, features: int) -> MaskedConv:
        """A layer of one pixel: dense, and masked between colours."""
        return self._conv(inputs, features, above=0, left=0, right=0)

    def _map(self, features: int) -> PixelBias | None:
        return PixelBias(self.shape[:2], self.num_colours, features) if self.pixel_bias else None

    def _biased(self, x: Array, run: Run) -> Array:
        """x plus the bias of its pixel, where there is one."""
        return x if self.map is None else run(self.map, x)

    def _conv(self, inputs: int, features: int, **options) -> MaskedConv:
        return MaskedConv(
            self.width, inputs, features, self.num_colours, dtype=self.dtype, **options
        )


class PixelBias(nn.Module):
    """A causal layer that adds a learned bias to each pixel.

    Attributes:
      shape: (H, W).
      num_colours: G.
      features: C, of each colour.
    """

    shape: tuple[int, int]
    num_colours: int
    features: int

    def setup(self) -> None:
        """The map, [H, W, G, C], zero at first."""
        shape = (*self.shape, self.num_colours, self.features)
        self.table = self.param("table", nn.initializers.zeros, shape, jnp.float32)

    def __call__(self, x: Array) -> Array:
        """x: [H, W, G, C] -> [H, W, G, C]"""
        return x + self.table

    def start(self, x: Array) -> None:
        """There is nothing to keep."""
        del x

    def step(self, cache: None, time: Array, x: Array) -> tuple[None, Array]:
        """x: [C] -> [C]"""
        return cache, x + self.table.reshape(-1, self.features)[time]


class PixelCNN(ImageNetwork):
    """Residual blocks of masked convolutions (Pixel recurrent neural networks, figure 5 right).

    A first 7x7 convolution of mask A; `num_layers` blocks of ReLU, 1x1 to h, ReLU, 3x3 of mask B,
    ReLU, 1x1 to 2h, added to their input of 2h channels; then ReLU and 1x1 twice. It has the blind
    spot of the paper: pixels above and to the right, further with every row, are never seen.

    Attributes:
      channels: h, of each colour.
      num_layers: residual blocks.
      first_size: of the first convolution.
      size: of the others.
      head_channels: of the layer before the last, of each colour.
    """

    num_layers: int = 15
    first_size: int = 7
    size: int = 3
    head_channels: int = 32

    def setup(self) -> None:
        """The layers in their order."""
        h, reach, far = self.channels, self.size // 2, self.first_size // 2
        first = {"above": far, "left": far, "right": far, "strict": True}
        later = {"above": reach, "left": reach, "right": reach}
        self.first = self._conv(self.num_features, 2 * h, **first)
        self.map = self._map(2 * h)
        self.blocks = [
            (self._pointwise(2 * h, h), self._conv(h, h, **later), self._pointwise(h, 2 * h))
            for _ in range(self.num_layers)
        ]
        self.contexts = [Once(h, self.dtype) for _ in self.blocks if self.context_dim]
        self.hidden = self._pointwise(2 * h, self.head_channels)
        self.last = self._pointwise(self.head_channels, self.num_params)

    def body(self, f: Array, context: Array | None, run: Run) -> Array:
        """The first convolution, the residual blocks, the head."""
        x = self._biased(run(self.first, self._pixels(f)), run)
        for number, (narrow, conv, widen) in enumerate(self.blocks):
            h = run(conv, nn.relu(run(narrow, nn.relu(x))))
            if self.context_dim:
                h = add_bias(h, run(self.contexts[number], context))
            x = x + run(widen, nn.relu(h))
        x = run(self.hidden, nn.relu(x))
        return self._elements(run(self.last, nn.relu(x)))


class VerticalStack(nn.Module):
    """The vertical stack: features of the rows above, for every layer of the horizontal stack.

    Incremental sampling computes one row at a time.

    v_1 sees the rows above, v_l the rows of v_{l-1} up to its own; gates as in the horizontal
    stack, which is given a 1x1 convolution of the sums before each gate.

    Attributes:
      shape: (H, W).
      num_colours: G.
      inputs: C, features of each colour.
      channels: p of the vertical stack.
      outputs: channels that each layer gives to the horizontal stack.
      num_layers: L.
      first_size, size: of the convolutions.
      context_dim, dtype: as in `CausalNetwork`.
    """

    shape: tuple[int, int]
    num_colours: int
    inputs: int
    channels: int
    outputs: int
    num_layers: int
    first_size: int
    size: int
    context_dim: int
    dtype: jnp.dtype

    def setup(self) -> None:
        """A convolution over rows, a context and a 1x1 convolution for every layer."""
        wide, reach = 2 * self.channels, self.size // 2
        first = {"above": self.first_size // 2, "reach": self.first_size // 2, "strict": True}
        inputs = self.num_colours * self.inputs + 1
        self.convs = [
            RowConv(inputs, wide, **first, dtype=self.dtype)
            if number == 0
            else RowConv(self.channels, wide, above=reach, reach=reach, dtype=self.dtype)
            for number in range(self.num_layers)
        ]
        self.contexts = [Once(wide, self.dtype) for _ in self.convs if self.context_dim]
        self.across = [Dense(self.outputs, self.dtype) for _ in self.convs]

    def _body(self, v: Array, context: Array | None, run: Run) -> list[Array]:
        """v: [..., W, G C + 1] -> L times [..., W, outputs]"""
        given = []
        for number, (conv, across) in enumerate(zip(self.convs, self.across, strict=True)):
            sums = run(conv, v)
            if self.context_dim:
                sums = add_bias(sums, run(self.contexts[number], context))
            given.append(across(sums))
            v = gated(sums)
        return given

    def __call__(self, f: Array, context: Array | None) -> list[Array]:
        """f: [H, W, G, C] -> L times [H, W, outputs]"""
        return self._body(marked(f.reshape(*self.shape, -1)), context, parallel)

    def start(self, f: Array, context: Array | None) -> PyTree:
        """The caches after the first row, whose outputs see nothing."""
        del f
        row = jnp.zeros((self.shape[1], self.num_colours * self.inputs + 1), jnp.float32)
        run = Incremental(jnp.zeros((), jnp.int32))
        outputs = jnp.stack(self._body(row, context, run), -2)
        return {"row": row, "layers": run.caches, "outputs": outputs}

    def step(
        self, cache: PyTree, time: Array, f: Array, context: Array | None
    ) -> tuple[PyTree, Array]:
        """f of the element before: [C] -> [L, outputs]; a new row is computed when it begins."""
        colours, width = self.num_colours, self.shape[1]
        source = time - 1
        where = at(source // colours % width, source % colours * self.inputs)
        row = jax.lax.dynamic_update_slice(cache["row"], f[None], where)
        row = row.at[:, -1].set((time > 0).astype(row.dtype))

        def next_row() -> tuple[list[PyTree], Array]:
            run = Incremental(time // (width * colours), cache["layers"])
            outputs = jnp.stack(self._body(row, context, run), -2)
            return run.caches, outputs

        layers, outputs = jax.lax.cond(
            (time % (width * colours) == 0) & (time > 0),
            next_row,
            lambda: (cache["layers"], cache["outputs"]),
        )
        return {"row": row, "layers": layers, "outputs": outputs}, outputs[time // colours % width]


class GatedPixelCNN(ImageNetwork):
    """Vertical and horizontal stacks of gated convolutions, without the blind spot.

        v' = tanh(a) sigmoid(b),   [a, b] = W_v * v + U y
        h' = h + W_1 (tanh(a) sigmoid(b)),   [a, b] = W_h * h + V [W_v * v + U y] + T y

    with * a convolution of n x n over the rows above in the vertical stack and of 1 x n over the
    pixels to the left in the horizontal one. The context y enters every gate; `Event((), 10)` makes
    it class-conditional, `Event((E,))` conditional on an embedding.

    Attributes:
      channels: p, of each colour in the horizontal stack; the vertical stack has as many in all.
      num_layers: L.
      first_size: n of the first layer.
      size: n of the others.
      head_channels: of the layer before the last, of each colour.
    """

    num_layers: int = 10
    first_size: int = 7
    size: int = 3
    head_channels: int = 64

    def setup(self) -> None:
        """Both stacks, and the head."""
        p, colours = self.channels, self.num_colours
        self.vertical = VerticalStack(
            self.shape[:2],
            colours,
            self.num_features,
            p * colours,
            2 * p * colours,
            self.num_layers,
            self.first_size,
            self.size,
            self.context_dim,
            self.dtype,
        )
        self.convs = [
            self._conv(
                self.num_features if number == 0 else p,
                2 * p,
                above=0,
                right=0,
                left=(self.first_size if number == 0 else self.size) // 2,
                strict=number == 0,
            )
            for number in range(self.num_layers)
        ]
        self.contexts = [Once(2 * p, self.dtype) for _ in self.convs if self.context_dim]
        self.outs = [self._pointwise(p, p) for _ in self.convs]
        self.map = self._map(p)
        self.hidden = self._pointwise(p, self.head_channels)
        self.last = self._pointwise(self.head_channels, self.num_params)

    def body(self, f: Array, context: Array | None, run: Run) -> Array:
        """Layer by layer, each with what the rows above say to it."""
        x = self._pixels(f)
        rows = run(self.vertical, x, context)
        for number in range(self.num_layers):
            sums = run(self.convs[number], x)
            sums = sums + run(Colour(self.num_colours), rows[number])
            if self.context_dim:
                sums = add_bias(sums, run(self.contexts[number], context))
            out = run(self.outs[number], gated(sums))
            x = self._biased(out, run) if number == 0 else x + out
        x = run(self.hidden, nn.relu(x))
        return self._elements(run(self.last, nn.relu(x)))


class Colour:
    """Channels of a pixel by colour; of one colour in incremental sampling.

    Attributes:
      num_colours: G.
    """

    def __init__(self, num_colours: int) -> None:
        self.num_colours = num_colours

    def __call__(self, x: Array) -> Array:
        """x: [..., G C] -> [..., G, C]"""
        return x.reshape(*x.shape[:-1], self.num_colours, -1)

    def start(self, x: Array) -> None:
        """There is nothing to keep."""
        del x

    def step(self, cache: None, time: Array, x: Array) -> tuple[None, Array]:
        """x: [G C] -> [C]"""
        return cache, x.reshape(self.num_colours, -1)[time % self.num_colours]


def marked(x: Array) -> Array:
    """x: [..., C] with one more channel that is 1, so that padding is not taken for a value."""
    return jnp.concatenate([x, jnp.ones((*x.shape[:-1], 1), x.dtype)], -1)
