r"""NADE's network: a first hidden layer whose sums accumulate element by element.

Larochelle & Murray (2011), "The neural autoregressive distribution estimator"; Uria, Murray &
Larochelle (2013), "RNADE", arXiv:1306.0186; Uria, Murray & Larochelle (2014), "A deep and tractable
density estimator", arXiv:1310.1757.

    a_1 = c,   h_i = act(rho_i a_i),   raw_i = V_i h_i + b_i,   a_{i+1} = a_i + W_i f_i

The order-agnostic network also has the set of observed elements as an input, a_{i+1} = a_i +
W_i f_i + M_i; one forward pass, `given`, predicts all others from any observed set. A deep network
has dense layers from h_i to raw_i, computed for each conditional.

Every element has its own rows of V and W, so a forward pass costs D H (C + P) products, none of
them in a large matrix product (a deep network costs D H^2 more for each layer). It also needs
memory: all h_i of a batch are B D H numbers. The parallel call keeps B H of them at a time: it
scans the elements in blocks of sqrt(D), over the whole batch at once under `vmap`, and the backward
pass computes each block's h_i again from a at its beginning.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, PyTree
from gm.networks.layers import Dense, Frozen, product
from gm.numerics import block_size


class NADE(Frozen):
    """Causal network over D elements of C features whose first layer of H units accumulates.

    Attributes:
      shape, num_features, num_params, context_dim, dtype: as in `CausalNetwork`.
      hidden: units of each hidden layer; H of the first.
      activation: of the hidden units.
      order_agnostic: whether the set of observed elements is an input too.
      rescaled: whether each element has a factor rho_i before the activation, as in RNADE; without
        it the sums of later elements, being longer, saturate.
      order: a permutation of the D elements in raster order; that order by default.
      mask_seed: seed of a random order; None leaves `order` as it is.
    """

    shape: tuple[int, ...] = ()
    num_features: int = 1
    num_params: int = 1
    hidden: tuple[int, ...] = (500,)
    activation: Callable[[Array], Array] = nn.sigmoid
    order_agnostic: bool = False
    rescaled: bool = False
    order: tuple[int, ...] | None = None
    mask_seed: int | None = None
    dtype: Any = jnp.float32
    context_dim: int = 0

    def ordering(self) -> tuple[np.ndarray]:
        """The order [D]."""
        order = np.arange(math.prod(self.shape)) if self.order is None else np.array(self.order)
        if self.mask_seed is not None:
            order = np.random.default_rng(self.mask_seed).permutation(order)
        return (order,)

    def element_order(self) -> tuple[int, ...]:
        """The order of the elements."""
        return tuple(map(int, self.ordering()[0]))

    def setup(self) -> None:
        """W [D, C, H], M [D, H], c [H], V [D, H, P], b [D, P], rho [D]; rows in raster order."""
        d, normal, zeros = math.prod(self.shape), nn.initializers.normal, nn.initializers.zeros
        first, last, outputs = self.hidden[0], self.hidden[-1], self.num_params
        scale = 1.0 / math.sqrt(max(d * self.num_features, 1))
        self.inputs = self._weights("inputs", normal(scale), d, self.num_features, first)
        self.seen = self._weights("seen", normal(scale), d, first) if self.order_agnostic else None
        self.bias = self._weights("bias", zeros, first)
        self.deeper = [Dense(units, self.dtype) for units in self.hidden[1:]]
        self.outputs = self._weights("outputs", normal(last**-0.5), d, last, outputs)
        self.output_bias = self._weights("output_bias", zeros, d, outputs)
        ones = jnp.ones(d, jnp.float32)
        self.scales = self._weights("scales", self._init_scales, d) if self.rescaled else ones
        if self.context_dim:
            self.contexts = [Dense(first, self.dtype), Dense(d * outputs, self.dtype)]

    def _weights(self, name: str, init: Callable[..., Array], *shape: int) -> Array:
        """A parameter in float32."""
        return self.param(name, init, shape, jnp.float32)

    def _init_scales(self, key: Array, shape: tuple[int, ...], dtype: Any) -> Array:
        """1 at first, then falling as the sums grow: 1 / sqrt(1 + number of terms / D)."""
        del key
        rank = jnp.argsort(jnp.asarray(self.ordering()[0])).astype(dtype)
        return 1.0 / jnp.sqrt(1.0 + rank / shape[0])

    def _parts(self, context: Array | None, order: Array | None) -> tuple[Array, dict]:
        """c, and the parameters of each element, in the order of the elements."""
        bias, output_bias = self._biases(context)
        rows = {
            "inputs": self.inputs.astype(self.dtype),
            "outputs": self.outputs.astype(self.dtype),
            "bias": output_bias,
            "scale": self.scales,
        }
        if self.order_agnostic:
            rows["seen"] = self.seen
        return bias, rows if order is None else jax.tree.map(lambda x: x[order], rows)

    def _biases(self, context: Array | None) -> tuple[Array, Array]:
        """c and b, moved by the context."""
        if not self.context_dim:
            return self.bias, self.output_bias
        moved = self.contexts[1](context).reshape(self.output_bias.shape)
        return self.bias + self.contexts[0](context), self.output_bias + moved

    def _order(self, ordering: tuple[Array] | None) -> Array | None:
        """The order of the elements; None for raster order."""
        if ordering is not None:
            return ordering[0]
        natural = self.order is None and self.mask_seed is None
        return None if natural else jnp.asarray(self.ordering()[0])

    def _raw(self, a: Array, row: dict) -> Array:
        """V h + b: [P]"""
        return product(self._hidden(a * row["scale"]), row["outputs"]) + row["bias"]

    def _hidden(self, a: Array) -> Array:
        """The last hidden layer from the sums of the first."""
        h = self.activation(a)
        for layer in self.deeper:
            h = self.activation(layer(h))
        return h.astype(self.dtype)

    def _seen(self, a: Array, f_i: Array, row: dict) -> Array:
        """a + W f, and M where the network is told what it has seen."""
        a = a + product(f_i.astype(self.dtype), row["inputs"])
        return a + row["seen"] if self.order_agnostic else a

    def __call__(
        self, f: Array, context: Array | None = None, ordering: tuple[Array] | None = None
    ) -> Array:
        """f: [*shape, C] -> [*shape, P], both in raster order."""
        order = self._order(ordering)
        f = f.reshape(-1, self.num_features)
        bias, rows = self._parts(context, order)
        rows["f"] = f if order is None else f[order]

        def step(a: Array, row: dict) -> tuple[Array, Array]:
            return self._seen(a, row["f"], row), self._raw(a, row)

        if self.is_initializing():
            self._hidden(bias)  # parameters cannot be made inside a scan
        raw = scan_in_blocks(step, bias, rows, block_size(len(f)))
        if order is not None:
            raw = raw[jnp.argsort(order)]
        return raw.reshape(*self.shape, self.num_params).astype(jnp.float32)

    def given(self, f: Array, observed: Array, context: Array | None = None) -> Array:
        """Every element's parameters, [*shape, P], given those that are observed.

        Args:
          f: [*shape, C]; only rows of observed elements are used.
          observed: [*shape], booleans.
          context: [E], or None.
        """
        seen = observed.reshape(-1, 1)
        f = jnp.where(seen, f.reshape(len(seen), self.num_features), 0.0).astype(self.dtype)
        a, b = self._biases(context)
        a = a + product(f.reshape(-1), self.inputs.astype(self.dtype).reshape(f.size, -1))
        a = a + product(seen[:, 0].astype(self.dtype), self.seen.astype(self.dtype))
        outputs = jnp.moveaxis(self.outputs, 1, 0).astype(self.dtype)
        raw = product(self._hidden(a), outputs.reshape(self.hidden[-1], -1))
        return (raw.reshape(b.shape) + b).reshape(*self.shape, self.num_params).astype(jnp.float32)

    def start(
        self, context: Array | None = None, ordering: tuple[Array] | None = None
    ) -> tuple[dict, Array]:
        """The cache before any element is known, and the raw parameters [P] of the first."""
        bias, rows = self._parts(context, self._order(ordering))
        cache = {"time": jnp.zeros((), jnp.int32), "a": bias, "rows": rows}
        return cache, self._raw(bias, jax.tree.map(lambda x: x[0], rows))

    def step(self, cache: dict, f_i: Array) -> tuple[dict, Array]:
        """Takes the features [C] of the next element; returns the raw parameters after it."""
        time, rows = cache["time"], cache["rows"]
        a = self._seen(cache["a"], f_i, jax.tree.map(lambda x: x[time], rows))
        row = jax.tree.map(lambda x: x[jnp.minimum(time + 1, len(x) - 1)], rows)
        return cache | {"time": time + 1, "a": a}, self._raw(a, row).astype(jnp.float32)


def scan_in_blocks(
    step: Callable[[Array, PyTree], tuple[Array, Array]], carry: Array, rows: PyTree, block: int
) -> Array:
    """The outputs of `jax.lax.scan(step, carry, rows)`, with carries kept once a block.

    The backward pass runs each block again: sqrt(D) carries are kept in place of D.

    Args:
      step: (carry, row) -> (carry, output).
      carry: before the first row.
      rows: a tree of arrays [D, ...].
      block: rows between carries that are kept; divides D.
    """
    rows = jax.tree.map(lambda x: x.reshape(-1, block, *x.shape[1:]), rows)
    several = jax.checkpoint(lambda carry, rows: jax.lax.scan(step, carry, rows))
    _, outputs = jax.lax.scan(several, carry, rows)
    return outputs.reshape(-1, *outputs.shape[2:])
