r"""WaveNet: dilated causal convolutions with gated units, for sequences of thousands of elements.

van den Oord, Dieleman, Zen, Simonyan, Vinyals, Graves, Kalchbrenner, Senior & Kavukcuoglu (2016),
"WaveNet: a generative model for raw audio", arXiv:1609.03499, sections 2.1, 2.3, 2.4 and 2.5. With
h_i the features of the element before i, in blocks l = 1 .. L of dilation d_l,

    x_0     = W h
    g_l     = tanh(a_l) ⊙ σ(b_l),    (a_l, b_l) = W_l *_{d_l} x_{l-1} + V_l y + c_l
    x_l     = x_{l-1} + R_l g_l
    outputs = W'' relu(W' relu(Σ_l S_l g_l))

Departures: x_0 is an elementwise map, where the paper has one more causal convolution; R_l and S_l
start at 1/sqrt(L) of the usual scale, so that neither sum grows with the depth.

Cost, for C channels, S skip channels and kernels of two taps: L C (5 C + S) multiplications per
element, in scoring and in sampling; incremental sampling keeps the last d_l + 1 inputs of block l.
"""

from __future__ import annotations

import flax.linen as nn
import jax
import jax.numpy as jnp

from gm.core import Array
from gm.networks.causal import CausalConv, CausalNetwork, Run, Shift, context_layer
from gm.networks.layers import Dense, add_bias, gated


class WaveNet(CausalNetwork):
    """A stack of dilated causal convolutions over the elements of an event in raster order.

    The sizes of the event do not enter the parameters: a model trained on T elements scores and
    samples any number of them, `dataclasses.replace(model, event=Event((T2,), K))`.

    Attributes:
      channels: C, of each gated unit and of the stream between the blocks.
      skip_channels: S, of what the blocks add up for the output.
      dilations: d_l of each block; `(1, 2, 4, 8) * 2` sees 31 elements back.
      size: taps of each kernel.
      local: whether the context has a part for each element, Event((*shape, E)), which moves the
        output that predicts it, rather than one for all of them.
    """

    channels: int = 32
    skip_channels: int = 64
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512) * 2
    size: int = 2
    local: bool = False

    @property
    def receptive_field(self) -> int:
        """How many elements before i the outputs at i see: 1 + (size - 1) Σ_l d_l."""
        return 1 + (self.size - 1) * sum(self.dilations)

    def setup(self) -> None:
        """The layers; the last block has no stream to add to."""
        depth, channels, skip = len(self.dilations), self.channels, self.skip_channels
        if not depth:
            raise ValueError("WaveNet needs at least one dilation; got none.")
        small = nn.initializers.variance_scaling(1.0 / depth, "fan_in", "truncated_normal")
        widths = [channels + skip] * (depth - 1) + [skip]
        self.shift = Shift()
        self.entry = Dense(channels, self.dtype)
        self.given = context_layer(self, 2 * channels * depth, self.local)
        self.convs = [
            CausalConv(channels, 2 * channels, self.size, dilation, self.dtype)
            for dilation in self.dilations
        ]
        self.mixes = [Dense(width, self.dtype, small) for width in widths]
        self.hidden = Dense(skip, self.dtype)
        self.exit = Dense(self.num_params, self.dtype)

    def body(self, f: Array, context: Array | None, run: Run) -> Array:
        """f: [*shape, num_features] -> [*shape, P], or [num_features] -> [P] of the next element"""
        x = f if f.ndim == 1 else f.reshape(-1, self.num_features)
        x = self.entry(run(self.shift, x))
        given = [None] * len(self.dilations)
        if context is not None:
            given = jnp.split(run(self.given, context), len(self.dilations), axis=-1)
        skips = jnp.zeros((*x.shape[:-1], self.skip_channels), jnp.float32)
        for conv, mix, bias in zip(self.convs, self.mixes, given, strict=True):
            h = run(conv, x)
            y = mix(gated(h if bias is None else add_bias(h, bias)))
            skips = skips + y[..., : self.skip_channels]
            if y.shape[-1] > self.skip_channels:  # every block but the last
                x = x + y[..., self.skip_channels :]
        raw = self.exit(jax.nn.relu(self.hidden(jax.nn.relu(skips))))
        return raw.reshape(*f.shape[:-1], self.num_params)
