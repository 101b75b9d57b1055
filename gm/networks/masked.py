r"""Degree-masked dense networks: every output in one pass, or one element at a time.

Germain, Gregor, Murray & Larochelle (2015), "MADE: masked autoencoder for distribution
estimation", arXiv:1502.03509. Element i arrives at time i. A hidden unit of degree d may see
elements 0..d, so its value is known at time d; the parameters of element i may see units of degree
below i. A weight is kept where it never looks forward:

    W^l[j, k] != 0 only if degree(j) <= degree(k),      V[k, i] != 0 only if degree(k) < i.

The parallel call costs one dense product per layer. The walk costs the same: `step` takes one
element and computes the units of that one degree, each once. Their sums over the past are split in
two. Times come in blocks of about sqrt(D): what lies in earlier blocks is summed for a whole block
by one matrix product when the block begins, and what lies in the block itself is a short product at
each step.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array
from gm.networks.layers import add_bias, product


@dataclasses.dataclass(frozen=True)
class _Slots:
    """Where units with sorted times lie when the times are cut into blocks.

    Attributes:
      index: [num_blocks, n], the unit in each slot, or the number of units for an empty slot.
      first: [num_blocks, block], the slot of the first unit of each time.
      width: the largest number of units at one time, and at least the width asked for.
      times: [num_units].
    """

    index: np.ndarray
    first: np.ndarray
    width: int
    times: np.ndarray

    @classmethod
    def of(cls, times: np.ndarray, block: int, num_blocks: int, width: int) -> _Slots:
        edges = np.searchsorted(times, np.arange(num_blocks * block + 1))
        width = max(width, int(np.max(np.diff(edges))))
        starts = edges[:-1].reshape(num_blocks, block)
        first = starts - starts[:, :1]
        counts = edges[block::block] - edges[:-1:block]
        n = int(max(np.max(counts), np.max(first) + width))
        slot = np.arange(n)
        index = np.where(slot < counts[:, None], starts[:, :1] + slot, len(times))
        return cls(index, first, width, times)


class MaskedDense(nn.Module):
    """A dense layer whose weights never look forward.

    Attributes:
      times_in: sorted times at which the inputs are known, [n].
      times_out: sorted times at which the outputs are due, [m]; an output sees the inputs whose
        time is at most its own.
      use_bias: whether to add a bias.
      dtype: of the factors of the product; all else is in float32 (`layers`).
    """

    times_in: tuple[int, ...]
    times_out: tuple[int, ...]
    use_bias: bool = True
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Kernel [n, m], drawn at the scale of each output's own fan-in, and bias [m]."""
        self.kernel = self.param("kernel", self._init_kernel)
        self.bias = (
            self.param("bias", nn.initializers.zeros, (len(self.times_out),))
            if self.use_bias
            else None
        )

    def _mask(self) -> Array:
        times_in, times_out = jnp.array(self.times_in), jnp.array(self.times_out)
        return times_in[:, None] <= times_out[None, :]

    def _init_kernel(self, key: Array) -> Array:
        mask = self._mask()
        fan_in = jnp.maximum(jnp.sum(mask, axis=0, keepdims=True), 1)
        return jax.random.normal(key, mask.shape) * mask / jnp.sqrt(fan_in)

    def weights(self) -> Array:
        """The kernel with zeros where it would look forward, [n, m]."""
        return jnp.where(self._mask(), self.kernel, 0.0).astype(self.dtype)

    def __call__(self, x: Array) -> Array:
        """x: [..., n] -> [..., m]"""
        y = product(x.astype(self.dtype), self.weights())
        return y if self.bias is None else add_bias(y, self.bias)


class MaskedMLP(nn.Module):
    """Causal network over D elements of C features; output i sees the elements before i.

    Attributes:
      num_elements: D.
      num_features: C, inputs per element.
      num_params: P, outputs per element.
      hidden: units in each hidden layer.
      degrees: sorted degrees of the units of each hidden layer; spread evenly over 0..D-2 by
        default.
      direct: adds masked connections from inputs to outputs.
      activation: of the hidden units.
      dtype: of the factors of every product; all else is in float32 (`layers`).
    """

    num_elements: int
    num_features: int
    num_params: int
    hidden: tuple[int, ...] = (500,)
    direct: bool = False
    activation: Callable[[Array], Array] = nn.relu
    dtype: Any = jnp.float32
    degrees: tuple[tuple[int, ...], ...] | None = None

    def setup(self) -> None:
        """A masked layer per hidden layer, one for the outputs, one for the direct connections."""
        d = self.num_elements
        self.times = [
            np.repeat(np.arange(d), self.num_features),
            *(map(np.array, self.degrees) if self.degrees else (spread(d, h) for h in self.hidden)),
            np.repeat(np.arange(d) - 1, self.num_params),
        ]
        times = [tuple(map(int, t)) for t in self.times]
        self.layers = [MaskedDense(a, b, dtype=self.dtype) for a, b in itertools.pairwise(times)]
        self.shortcut = (
            MaskedDense(times[0], times[-1], use_bias=False, dtype=self.dtype)
            if self.direct and self.hidden
            else None
        )
        self.block = max(1, math.isqrt(d))
        self.num_blocks = math.ceil(d / self.block)
        widths = [self.num_features, *(1 for _ in self.hidden), self.num_params]
        self.slots = [
            _Slots.of(t, self.block, self.num_blocks, w)
            for t, w in zip(self.times, widths, strict=True)
        ]

    def __call__(self, f: Array) -> Array:
        """f: [..., D, C] -> [..., D, P]"""
        h = inputs = f.reshape(*f.shape[:-2], -1)
        for layer in self.layers[:-1]:
            h = self.activation(layer(h))
        raw = self.layers[-1](h)
        if self.shortcut is not None:
            raw = raw + self.shortcut(inputs)
        return raw.reshape(*f.shape[:-2], self.num_elements, self.num_params).astype(jnp.float32)

    def start(self) -> tuple[dict, Array]:
        """The cache before any element is known, and the raw parameters [P] of element 0."""
        layers = [*self.layers, *([self.shortcut] if self.shortcut is not None else [])]
        ends = [*zip(range(len(self.layers)), range(1, len(self.slots)), strict=True)]
        if self.shortcut is not None:
            ends.append((0, len(self.slots) - 1))
        packed = [
            _pack(layer.weights(), self.slots[a], self.slots[b])
            for layer, (a, b) in zip(layers, ends, strict=True)
        ]
        biases = [
            _gather(layer.bias, slots.index)
            for layer, slots in zip(self.layers, self.slots[1:], strict=True)
        ]
        cache = {
            "time": jnp.zeros((), jnp.int32),
            "weights": {"past": [p for p, _ in packed], "near": [n for _, n in packed]},
            "bias": biases,
            "units": [jnp.zeros(s.index.shape, self.dtype) for s in self.slots[:-1]],
            "sums": [bias[0] for bias in biases],
        }
        return cache, self.layers[-1].bias[: self.num_params]

    def step(self, cache: dict, f_i: Array) -> tuple[dict, Array]:
        """Takes the features [C] of the next element; returns the raw parameters of the one after.

        Under `vmap` keep the cache's `time` unbatched (map over the whole walk, as `walk.sample`
        does), or every step pays for the start of a block.
        """
        time, weights = cache["time"], cache["weights"]
        block, offset = time // self.block, time % self.block
        units, sums = list(cache["units"]), cache["sums"]
        units[0] = _write(units[0], f_i, block, offset * self.num_features)
        last = len(self.layers) - 1
        for number, slots in enumerate(self.slots[1:]):
            first = jnp.asarray(slots.first, jnp.int32)[block, offset]

            def due(x: Array, first: Array = first, width: int = slots.width) -> Array:
                return jax.lax.dynamic_slice_in_dim(x, first, width)

            h = due(sums[number])
            h = h + product(due(weights["near"][number][block]), units[number][block])
            if number < last:
                units[number + 1] = _write(units[number + 1], self.activation(h), block, first)
            elif self.shortcut is not None:
                h = h + product(due(weights["near"][-1][block]), units[0][block])
        # The units are written before they are read, so that XLA need not copy them at each step.
        cache = cache | {"time": time + 1, "units": units}
        sums = jax.lax.cond(
            offset == self.block - 1, lambda: self._sum_past(cache, block + 1), lambda: sums
        )
        return cache | {"sums": sums}, h.astype(jnp.float32)

    def _sum_past(self, cache: dict, block: Array) -> list[Array]:
        """What earlier blocks contribute to every unit of a block."""
        units = [u.reshape(-1) for u in cache["units"]]
        kernels = [w[block] for w in cache["weights"]["past"]]
        parts = zip(cache["bias"], units, kernels, strict=False)
        sums = [b[block] + product(u, w) for b, u, w in parts]
        if self.shortcut is not None:
            sums[-1] = sums[-1] + product(units[0], kernels[-1])
        return sums


def spread(num_elements: int, num_units: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Sorted degrees in 0..D-2 for the units of a layer, in proportion to weights: [num_units].

    Args:
      num_elements: D.
      num_units: units in the layer.
      weights: [D], the share of the units that should know each element last; even by default.
    """
    if weights is None:
        return np.arange(num_units) * max(num_elements - 1, 1) // num_units
    cumulative = np.cumsum(np.asarray(weights, np.float64))
    marks = (np.arange(num_units) + 0.5) / num_units * cumulative[-1]
    return np.minimum(np.searchsorted(cumulative, marks), max(num_elements - 2, 0))


def _write(units: Array, values: Array, block: Array, first: Array) -> Array:
    """units with values at [block, first:]."""
    return jax.lax.dynamic_update_slice(units, values[None].astype(units.dtype), (block, first))


def _gather(x: Array, index: np.ndarray) -> Array:
    """x[index] along the first axis, with zeros for index = len(x)."""
    return x.at[index].get(mode="fill", fill_value=0.0)


def _pack(w: Array, rows: _Slots, columns: _Slots) -> tuple[Array, Array]:
    """[n, m] weights as products by block: past [nb, nb * n', m'] and near [nb, m', n']."""
    w = _gather(w, rows.index.reshape(-1))
    w = _gather(w.T, columns.index.reshape(-1)).T
    num_blocks, n = rows.index.shape
    w = w.reshape(num_blocks * n, num_blocks, -1).swapaxes(0, 1)
    blocks = jnp.arange(num_blocks)
    near = w.reshape(num_blocks, num_blocks, n, -1)[blocks, blocks]
    return w, near.swapaxes(1, 2)
