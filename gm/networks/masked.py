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
from gm.networks.layers import Dense, add_bias, product


@dataclasses.dataclass(frozen=True)
class _Slots:
    """Where units lie when the times they are known at are cut into blocks.

    Attributes:
      units: all units that are due in a block, in the order of their times.
      edges: [num_blocks + 1], where in `units` each block begins and ends.
      first: [num_blocks, block], the slot of the first unit of each time.
      width: the largest number of units at one time, and at least the width asked for.
      size: slots of a block; the last ones are empty in blocks of fewer units.
    """

    units: np.ndarray
    edges: np.ndarray
    first: np.ndarray
    width: int
    size: int

    @classmethod
    def of(cls, times: np.ndarray, block: int, num_blocks: int, width: int) -> _Slots:
        units = np.argsort(times, kind="stable")
        edges = np.searchsorted(times[units], np.arange(num_blocks * block + 1))
        width = max(width, int(np.max(np.diff(edges))))
        starts = edges[:-1].reshape(num_blocks, block)
        first = starts - starts[:, :1]
        size = int(max(np.max(np.diff(edges[::block])), np.max(first) + width))
        return cls(units[edges[0] : edges[-1]], edges[::block] - edges[0], first, width, size)

    def blocks(self, x: Array, axis: int = 0) -> list[Array]:
        """x [..., units, ...] cut into blocks, with zeros in empty slots.

        Slices, once units are in order: a gather straight into the slots takes many times longer.
        """
        start = int(min(self.units, default=0))
        if np.array_equal(self.units, start + np.arange(len(self.units))):
            x = jax.lax.slice_in_dim(x, start, start + len(self.units), axis=axis)
        else:
            x = jnp.take(x, self.units, axis, mode="clip")
        parts = []
        for begin, end in itertools.pairwise(map(int, self.edges)):
            padding = [(0, 0)] * x.ndim
            padding[axis] = (0, self.size - (end - begin))
            parts.append(jnp.pad(jax.lax.slice_in_dim(x, begin, end, axis=axis), padding))
        return parts


class MaskedDense(nn.Module):
    """A dense layer whose weights never look forward.

    Attributes:
      inputs: n.
      features: m.
      use_bias: whether to add a bias.
      dtype: of the factors of the product; all else is in float32 (`layers`).
      rewired: whether one set of weights is to serve many masks; then all of them start at random,
        not only those that the first mask keeps.
      zero: whether weights start at zero, for a layer that is alone (a logistic regression).
    """

    inputs: int
    features: int
    use_bias: bool = True
    dtype: Any = jnp.float32
    rewired: bool = False
    zero: bool = False

    @nn.compact
    def parts(self, mask: Array) -> tuple[Array, Array | None]:
        """Kernel [n, m] with zeros where it would look forward, and bias [m]."""

        def draw(key: Array) -> Array:
            if self.zero:
                return jnp.zeros(mask.shape)
            # At the scale of each output's own fan-in.
            fan_in = jnp.maximum(jnp.sum(mask, axis=0, keepdims=True), 1)
            if self.rewired:
                fan_in = jnp.full_like(fan_in, max(self.inputs // 2, 1))
            kept = jnp.ones_like(mask) if self.rewired else mask
            return jax.random.normal(key, mask.shape) * kept / jnp.sqrt(fan_in)

        kernel = self.param("kernel", draw)
        bias = (
            self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None
        )
        return jnp.where(mask, kernel, 0.0).astype(self.dtype), bias

    def __call__(self, x: Array, times_in: Array, times_out: Array) -> Array:
        """x: [..., n] -> [..., m]; output k sees input j where times_in[j] <= times_out[k]."""
        kernel, bias = self.parts(earlier(times_in, times_out))
        y = product(x.astype(self.dtype), kernel)
        return y if bias is None else add_bias(y, bias)


def earlier(times_in: Array, times_out: Array) -> Array:
    """The mask [n, m] of what may be seen: times_in[j] <= times_out[k]."""
    return jnp.asarray(times_in)[:, None] <= jnp.asarray(times_out)[None, :]


class MaskedMLP(nn.Module):
    """Causal network over D elements of C features; an element's outputs see those before it.

    Which elements come before is the wiring: the order of the elements, and the degree of each
    hidden unit, the number of the last element that it may see. `wiring_seed` draws another one for
    the same parameters; so can a wiring be given to the parallel call as arrays.

    Attributes:
      shape, num_features, num_params, context_dim, dtype: as in `CausalNetwork`.
      hidden: units in each hidden layer.
      direct: adds masked connections from inputs to outputs.
      activation: of the hidden units.
      order: a permutation of the D elements in raster order; that order by default.
      degrees: of the units of each hidden layer; spread evenly over 0..D-2 by default.
      wiring_seed: of a draw of the wiring: each layer's degrees in another place, and
        another order too if `shuffled`.
      shuffled: whether the draw is of the order too.
    """

    shape: tuple[int, ...] = ()
    num_features: int = 1
    num_params: int = 1
    hidden: tuple[int, ...] = (500,)
    direct: bool = False
    activation: Callable[[Array], Array] = nn.relu
    dtype: Any = jnp.float32
    order: tuple[int, ...] | None = None
    degrees: tuple[tuple[int, ...], ...] | None = None
    wiring_seed: int | None = None
    shuffled: bool = True
    context_dim: int = 0

    @property
    def num_elements(self) -> int:
        """D"""
        return math.prod(self.shape)

    def wiring(self) -> tuple[np.ndarray, ...]:
        """The order [D], and the degrees of each hidden layer."""
        d = self.num_elements
        order = np.arange(d) if self.order is None else np.array(self.order)
        degrees = self.degrees or [spread(d, h) for h in self.hidden]
        degrees = [np.array(layer) for layer in degrees]
        if self.wiring_seed is not None:
            rng = np.random.default_rng(self.wiring_seed)
            order = rng.permutation(order) if self.shuffled else order
            degrees = [rng.permutation(layer) for layer in degrees]
        return (order, *degrees)

    def element_order(self) -> tuple[int, ...]:
        """The order of the elements."""
        return tuple(map(int, self.wiring()[0]))

    def _times(self, wiring: tuple[Array, ...]) -> list[Array]:
        """When the inputs, the units of each hidden layer, and the outputs are known or due."""
        order, *degrees = wiring
        rank = jnp.argsort(order) if isinstance(order, jax.Array) else np.argsort(order)
        repeat = jnp.repeat if isinstance(order, jax.Array) else np.repeat
        return [
            repeat(rank, self.num_features),
            *degrees,
            repeat(rank - 1, self.num_params),
        ]

    def setup(self) -> None:
        """A masked layer per hidden layer, one for the outputs, one for the direct connections."""
        d = self.num_elements
        sizes = [d * self.num_features, *self.hidden, d * self.num_params]
        options = {"dtype": self.dtype, "rewired": self.wiring_seed is not None}
        options["zero"] = not self.hidden
        self.layers = [MaskedDense(a, b, **options) for a, b in itertools.pairwise(sizes)]
        has_shortcut = self.direct and self.hidden
        self.shortcut = (
            MaskedDense(sizes[0], sizes[-1], use_bias=False, **options) if has_shortcut else None
        )
        self.contexts = [Dense(size, self.dtype) for size in sizes[1:] if self.context_dim]
        self.block = max(1, math.isqrt(d))
        self.num_blocks = math.ceil(d / self.block)

    def __call__(
        self, f: Array, context: Array | None = None, wiring: tuple[Array, ...] | None = None
    ) -> Array:
        """f: [..., *shape, C] -> [..., *shape, P], in raster order."""
        batch = f.shape[: f.ndim - len(self.shape) - 1]
        times = self._times(self.wiring() if wiring is None else wiring)
        h = inputs = f.reshape(*batch, -1)
        for number, layer in enumerate(self.layers):
            h = layer(h if number == 0 else self.activation(h), *times[number : number + 2])
            if self.context_dim:
                h = h + self.contexts[number](context)
        if self.shortcut is not None:
            h = h + self.shortcut(inputs, times[0], times[-1])
        return h.reshape(*batch, *self.shape, self.num_params).astype(jnp.float32)

    def _slots(self) -> list[_Slots]:
        """Where inputs, hidden units and outputs lie, by the blocks of their times."""
        widths = [self.num_features, *(1 for _ in self.hidden), self.num_params]
        return [
            _Slots.of(t, self.block, self.num_blocks, w)
            for t, w in zip(self._times(self.wiring()), widths, strict=True)
        ]

    def start(self, context: Array | None = None) -> tuple[dict, Array]:
        """The cache before any element is known, and the raw parameters [P] of the first."""
        times, slots = self._times(self.wiring()), self._slots()
        ends = [(i, i + 1) for i in range(len(self.layers))]
        kernels, biases = zip(
            *(layer.parts(earlier(times[a], times[b])) for layer, (a, b) in self._joined(ends)),
            strict=True,
        )
        biases = biases[: len(self.layers)]
        if self.context_dim:
            biases = [b + c(context) for b, c in zip(biases, self.contexts, strict=True)]
        packed = [
            _pack(kernel, slots[a], slots[b])
            for kernel, (_, (a, b)) in zip(kernels, self._joined(ends), strict=True)
        ]
        sums = [jnp.stack(s.blocks(bias)) for bias, s in zip(biases, slots[1:], strict=True)]
        cache = {
            "time": jnp.zeros((), jnp.int32),
            "weights": {"past": [p for p, _ in packed], "near": [n for _, n in packed]},
            "bias": sums,
            "units": [jnp.zeros((self.num_blocks, s.size), self.dtype) for s in slots[:-1]],
            "sums": [bias[0] for bias in sums],
        }
        first = int(self.wiring()[0][0])
        return cache, biases[-1].reshape(self.num_elements, self.num_params)[first]

    def _joined(self, ends: list[tuple[int, int]]) -> list[tuple[MaskedDense, tuple[int, int]]]:
        """Every layer with the two kinds of unit that it joins; the shortcut comes last."""
        joined = [*zip(self.layers, ends, strict=True)]
        if self.shortcut is not None:
            joined.append((self.shortcut, (0, len(self.layers))))
        return joined

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
        for number, slots in enumerate(self._slots()[1:]):
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


def _pack(w: Array, rows: _Slots, columns: _Slots) -> tuple[Array, Array]:
    """[n, m] weights as products by block: past [nb, nb * n', m'] and near [nb, m', n']."""
    parts = columns.blocks(jnp.concatenate(rows.blocks(w)), axis=1)
    n = rows.size
    near = [part[b * n : (b + 1) * n] for b, part in enumerate(parts)]
    return jnp.stack(parts), jnp.stack(near).swapaxes(1, 2)
