r"""Dense networks masked by degrees: MADE's, and FVSBN's without hidden layers.

Germain, Gregor, Murray & Larochelle (2015), "MADE: masked autoencoder for distribution
estimation", arXiv:1502.03509. Element i arrives at time i. A hidden unit of degree d may see
elements 0..d, so its value is known at time d; the parameters of element i may see units of degree
below i. A weight is kept only where it connects to the past:

    W^l[j, k] != 0 only if degree(j) <= degree(k),      V[k, i] != 0 only if degree(k) < i.

A forward pass costs one dense product per layer. Incremental sampling costs the same: every unit
is computed once, at its time, and its sum over the past is split in three. Times come in blocks of
about sqrt(D), and blocks in groups: earlier groups are summed by one large matrix product when a
group begins, earlier blocks of the group when a block begins, and the block by a short product.
It goes by elements (`step`) or by blocks (`block_logits`, then `extend_block`).
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array
from gm.networks.layers import Dense, Frozen, add_bias, product
from gm.numerics import block_size


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
    """A dense layer with masked weights.

    Attributes:
      inputs: n.
      features: m.
      use_bias: whether to add a bias.
      dtype: of the factors of the product; all else is in float32 (`layers`).
      many_masks: whether one set of weights serves many masks; then all weights are initialized,
        not only those that the first mask keeps.
      scale: multiplies initial weights; 0 for a layer that is alone (a logistic regression).
    """

    inputs: int
    features: int
    use_bias: bool = True
    dtype: Any = jnp.float32
    many_masks: bool = False
    scale: float = 1.0

    @nn.compact
    def parts(self, mask: Array) -> tuple[Array, Array | None]:
        """Kernel [n, m] with zeros outside the mask, and bias [m]."""

        def initial(key: Array) -> Array:
            # At the scale of each output's own fan-in.
            fan_in = jnp.maximum(jnp.sum(mask, axis=0, keepdims=True, dtype=jnp.float32), 1.0)
            if self.many_masks:
                fan_in = jnp.full_like(fan_in, max(self.inputs // 2, 1))
            kept = jnp.ones_like(mask) if self.many_masks else mask
            weights = self.scale * jax.random.normal(key, mask.shape, jnp.float32)
            return jnp.where(kept & bool(self.scale), weights, 0.0) / jnp.sqrt(fan_in)

        kernel = self.param("kernel", initial)
        bias = None
        if self.use_bias:
            bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        return jnp.where(mask, kernel, 0.0).astype(self.dtype), bias

    def __call__(self, x: Array, times_in: Array, times_out: Array) -> Array:
        """x: [..., n] -> [..., m]; output k sees input j where times_in[j] <= times_out[k]."""
        kernel, bias = self.parts(earlier(times_in, times_out))
        y = product(x.astype(self.dtype), kernel)
        return y if bias is None else add_bias(y, bias)


def earlier(times_in: Array, times_out: Array) -> Array:
    """The mask [n, m] of what may be seen: times_in[j] <= times_out[k]."""
    times_in, times_out = (jnp.asarray(times, jnp.int32) for times in (times_in, times_out))
    return times_in[:, None] <= times_out[None, :]


class MaskedMLP(Frozen):
    """Causal network over D elements of C features; an element's outputs see those before it.

    The masks follow from an ordering: the order of the elements, and the degree of each hidden
    unit, which is the number of the last element that it may see. `mask_seed` samples another
    ordering for the same parameters; the parallel call also takes an ordering as arrays.

    Attributes:
      shape, num_features, num_params, context_dim, dtype: as in `CausalNetwork`.
      hidden: units in each hidden layer.
      direct: adds masked connections from inputs to outputs.
      activation: of the hidden units.
      order: a permutation of the D elements in raster order; that order by default.
      degrees: of the units of each hidden layer; evenly spaced over 0..D-2 by default.
      mask_seed: seed that permutes the degrees of each layer, and the order if `random_order`.
      output_scale: multiplies the initial weights into the outputs, as in `MLP`.
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
    mask_seed: int | None = None
    random_order: bool = True
    context_dim: int = 0
    output_scale: float = 1.0

    @property
    def num_elements(self) -> int:
        """D"""
        return math.prod(self.shape)

    @property
    def block(self) -> int:
        """Elements of a block."""
        return block_size(self.num_elements)

    @property
    def num_blocks(self) -> int:
        """D / block"""
        return self.num_elements // self.block

    @property
    def group(self) -> int:
        """Blocks of a group."""
        return block_size(self.num_blocks)

    def ordering(self) -> tuple[np.ndarray, ...]:
        """The order [D], and the degrees of each hidden layer."""
        d = self.num_elements
        order = np.arange(d) if self.order is None else np.array(self.order)
        degrees = self.degrees or [evenly_spaced_degrees(d, h) for h in self.hidden]
        degrees = [np.array(layer) for layer in degrees]
        if self.mask_seed is not None:
            rng = np.random.default_rng(self.mask_seed)
            order = rng.permutation(order) if self.random_order else order
            degrees = [rng.permutation(layer) for layer in degrees]
        return (order, *degrees)

    def element_order(self) -> tuple[int, ...]:
        """The order of the elements."""
        return tuple(map(int, self.ordering()[0]))

    def _times(self, ordering: tuple[Array, ...]) -> list[Array]:
        """When the inputs, the units of each hidden layer, and the outputs are known or due."""
        order, *degrees = ordering
        rank = jnp.argsort(order) if isinstance(order, jax.Array) else np.argsort(order)
        repeat = jnp.repeat if isinstance(order, jax.Array) else np.repeat
        return [repeat(rank, self.num_features), *degrees, repeat(rank - 1, self.num_params)]

    def setup(self) -> None:
        """A masked layer per hidden layer, one for the outputs, one for the direct connections."""
        d = self.num_elements
        sizes = [d * self.num_features, *self.hidden, d * self.num_params]
        options = {"dtype": self.dtype, "many_masks": self.mask_seed is not None}
        scales = [1.0 for _ in self.hidden] + [self.output_scale if self.hidden else 0.0]
        layers = zip(sizes[:-1], sizes[1:], scales, strict=True)
        self.layers = [MaskedDense(a, b, scale=scale, **options) for a, b, scale in layers]
        self.shortcut = None
        if self.direct and self.hidden:
            options |= {"use_bias": False, "scale": self.output_scale}
            self.shortcut = MaskedDense(sizes[0], sizes[-1], **options)
        self.contexts = [Dense(size, self.dtype) for size in sizes[1:] if self.context_dim]

    def __call__(
        self, f: Array, context: Array | None = None, ordering: tuple[Array, ...] | None = None
    ) -> Array:
        """f: [..., *shape, C] -> [..., *shape, P], in raster order."""
        batch = f.shape[: f.ndim - len(self.shape) - 1]
        times = self._times(self.ordering() if ordering is None else ordering)
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
            for t, w in zip(self._times(self.ordering()), widths, strict=True)
        ]

    def start(self, context: Array | None = None) -> tuple[dict, Array]:
        """The cache before any element is known, and the raw parameters [P] of the first."""
        times, slots = self._times(self.ordering()), self._slots()
        weights, biases = [], []
        for layer, a, b in self._joins():
            kernel, bias = layer.parts(earlier(times[a], times[b]))
            weights.append(_by_group(kernel, slots[a], slots[b], self.group))
            biases += [bias] if layer.use_bias else []
        if self.context_dim:
            biases = [b + c(context) for b, c in zip(biases, self.contexts, strict=True)]
        sums = [jnp.stack(s.blocks(bias)) for bias, s in zip(biases, slots[1:], strict=True)]
        cache = {
            "time": jnp.zeros((), jnp.int32),
            "weights": weights,
            "bias": sums,
            "far": [bias[: self.group] for bias in sums],
            "units": [jnp.zeros((self.num_blocks, s.size), self.dtype) for s in slots[:-1]],
            "sums": [bias[0] for bias in sums],
        }
        first = int(self.ordering()[0][0])
        return cache, biases[-1].reshape(self.num_elements, self.num_params)[first]

    def _joins(self) -> list[tuple[MaskedDense, int, int]]:
        """Every layer, from which kind of unit to which; inputs are kind 0."""
        joins = [(layer, i, i + 1) for i, layer in enumerate(self.layers)]
        shortcut = [(self.shortcut, 0, len(self.layers))] if self.shortcut is not None else []
        return joins + shortcut

    def _into(self, kind: int) -> list[tuple[int, int]]:
        """The numbers of the layers into a kind of unit, and the kind that each comes from."""
        return [(number, a) for number, (_, a, b) in enumerate(self._joins()) if b == kind]

    def step(self, cache: dict, f_i: Array) -> tuple[dict, Array]:
        """Takes the features [C] of the next element; returns the raw parameters of the one after.

        `time` must stay unbatched under `vmap` (`gm.networks.causal`).
        """
        block, offset = cache["time"] // self.block, cache["time"] % self.block
        units = list(cache["units"])
        units[0] = _write(units[0], f_i, block, offset * self.num_features)
        for kind, slots in enumerate(self._slots()[1:], 1):
            first = jnp.asarray(slots.first, jnp.int32)[block, offset]
            h = jax.lax.dynamic_slice_in_dim(cache["sums"][kind - 1], first, slots.width)
            for number, source in self._into(kind):
                near = self._weights(cache, number, block, rows=1)
                near = jax.lax.dynamic_slice_in_dim(near, first, slots.width, axis=1)
                h = h + product(units[source][block], near)
            if kind < len(units):
                units[kind] = _write(units[kind], self.activation(h), block, first)
        # The units are written before they are read, so that XLA need not copy them at each step.
        cache = cache | {"time": cache["time"] + 1, "units": units}
        far, sums = jax.lax.cond(
            offset == self.block - 1,
            lambda: self._sum_past(cache, block + 1),
            lambda: (cache["far"], cache["sums"]),
        )
        return cache | {"far": far, "sums": sums}, h.astype(jnp.float32)

    def block_logits(self, cache: dict, f: Array) -> Array:
        """The raw parameters of the elements after each of the next block of them.

        Args:
          cache: at the beginning of a block.
          f: [block, C], features of the elements of the block.

        Returns:
          [block, P]; those of element i see the elements of the block up to i.
        """
        return self._block(cache, f)[1]

    def extend_block(self, cache: dict, f: Array) -> tuple[dict, Array]:
        """Takes the features [block, C] of a block; returns the raw parameters of what follows."""
        block = cache["time"] // self.block
        units, raw = self._block(cache, f)
        units = [_write(u, new, block, 0) for u, new in zip(cache["units"], units, strict=True)]
        cache = cache | {"time": cache["time"] + self.block, "units": units}
        far, sums = self._sum_past(cache, block + 1)
        return cache | {"far": far, "sums": sums}, raw[-1]

    def _block(self, cache: dict, f: Array) -> tuple[list[Array], Array]:
        """All units of a block from its inputs and from the sums over earlier blocks."""
        block, slots = cache["time"] // self.block, self._slots()
        units = [jnp.pad(f.reshape(-1), (0, slots[0].size - f.size)).astype(self.dtype)]
        for kind, h in enumerate(cache["sums"], 1):
            for number, source in self._into(kind):
                h = h + product(units[source], self._weights(cache, number, block, rows=1))
            units.append(self.activation(h).astype(self.dtype))
        raw = h[: self.block * self.num_params].reshape(self.block, self.num_params)
        return units[:-1], raw.astype(jnp.float32)

    def _weights(self, cache: dict, number: int, block: Array, rows: int) -> Array:
        """A layer's weights into a block from it alone (rows=1), or from all of its group."""
        source, target = self._joins()[number][1:]
        n, m = cache["units"][source].shape[-1], cache["bias"][target - 1].shape[-1]
        start = block // self.group, block // rows * rows * n, block % self.group * m
        return jax.lax.dynamic_slice(cache["weights"][number], start, (1, rows * n, m))[0]

    def _sum_past(self, cache: dict, block: Array) -> tuple[list[Array], list[Array]]:
        """Sums over earlier groups for all blocks of a group, over all earlier blocks for one."""
        group, place = block // self.group, block % self.group
        groups = range(self.num_blocks // self.group)
        far = jax.lax.cond(
            (place == 0) & (block < self.num_blocks),
            lambda: jax.lax.switch(group, [functools.partial(self._far, cache, g) for g in groups]),
            lambda: cache["far"],
        )
        sums = [s[place] for s in far]
        for kind in range(1, len(sums) + 1):
            for number, source in self._into(kind):
                units = cache["units"][source]
                units = jax.lax.dynamic_slice_in_dim(units, group * self.group, self.group)
                weights = self._weights(cache, number, block, rows=self.group)
                sums[kind - 1] += product(units.reshape(-1), weights)
        return far, sums

    def _far(self, cache: dict, group: int) -> list[Array]:
        """Sums over earlier groups for every block of a group: [blocks, size] of each kind."""
        end = group * self.group
        sums = [bias[end : end + self.group] for bias in cache["bias"]]
        for kind in range(1, len(sums) + 1):
            for number, source in self._into(kind):
                units = cache["units"][source][:end].reshape(-1)
                weights = cache["weights"][number][group, : len(units)]
                sums[kind - 1] += product(units, weights).reshape(sums[kind - 1].shape)
        return sums


def evenly_spaced_degrees(
    num_elements: int, num_units: int, weights: np.ndarray | None = None
) -> np.ndarray:
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
    place = block, jnp.asarray(first, block.dtype)  # of one type where JAX has 64 bits, too
    return jax.lax.dynamic_update_slice(units, values[None].astype(units.dtype), place)


def _by_group(w: Array, rows: _Slots, columns: _Slots, group: int) -> Array:
    """[n, m] weights by groups of blocks of the columns, in slots: [groups, nb n', group m']."""
    parts = columns.blocks(jnp.concatenate(rows.blocks(w)), axis=1)
    groups = [parts[i : i + group] for i in range(0, len(parts), group)]
    return jnp.stack([jnp.concatenate(blocks, axis=1) for blocks in groups])
