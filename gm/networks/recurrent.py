r"""Recurrent networks: LSTM and GRU layers over a sequence of any length.

    h_i = cell(h_{i-1}, x_i)

All elements at once, a layer multiplies its inputs by their weights in one product and then scans;
one at a time, it keeps its hidden state. Training by truncated backpropagation through time takes
one window of elements after another: `network.apply(params, hidden, f, method="window")`.
"""

from __future__ import annotations

from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp

from gm.core import Array, Key, PyTree
from gm.networks.causal import CausalNetwork, Run, Shift, context_layer
from gm.networks.layers import Dense, add_bias, product


class RecurrentLayer(nn.Module):
    """What recurrent layers share; a layer says how many gates it has, and what they do.

    Recurrent weights start as one orthogonal matrix a gate (Saxe, McClelland & Ganguli, 2014,
    arXiv:1312.6120), so that the state neither grows nor fades at first.

    Attributes:
      features: H, of the state.
      dtype: of the factors of every product; states are in float32.
    """

    features: int
    dtype: Any = jnp.float32

    num_gates = 0

    def setup(self) -> None:
        """A dense layer of the inputs, and the recurrent weights."""
        self.inputs = Dense(self.num_gates * self.features, self.dtype)
        shape = (self.features, self.num_gates * self.features)
        self.recurrent = self.param("recurrent", _orthogonal, shape, jnp.float32)

    def cell(self, state: PyTree, x: Array) -> tuple[PyTree, Array]:
        """The next state and the output h: [H], from the gates' inputs x: [gates H]."""
        raise NotImplementedError

    def __call__(self, x: Array, bias: Array | None = None) -> Array:
        """x: [T, C], bias: [gates H] for the gates of every element, or [T, gates H],
        -> [T, H]
        """
        return self.window(None, x, bias)[1]

    def start(self, x: Array, bias: Array | None = None) -> PyTree:
        """The state before the first element: zeros."""
        raise NotImplementedError

    def step(
        self, state: PyTree, time: Array, x: Array, bias: Array | None = None
    ) -> tuple[PyTree, Array]:
        """x: [C] -> [H]"""
        del time
        return self.cell(state, self._gates(x, bias))

    def window(
        self, state: PyTree | None, x: Array, bias: Array | None = None
    ) -> tuple[PyTree, Array]:
        """x: [T, C] -> [T, H], from a hidden state; None for the initial one."""
        state = self.start(x, bias) if state is None else state
        return jax.lax.scan(self.cell, state, self._gates(x, bias))

    def _gates(self, x: Array, bias: Array | None) -> Array:
        """What the inputs give the gates: [..., gates H]."""
        gates = self.inputs(x)
        return gates if bias is None else add_bias(gates, bias)

    def _recur(self, h: Array) -> Array:
        """What the state h: [H] gives the gates: [gates H]."""
        return product(h.astype(self.dtype), self.recurrent.astype(self.dtype))


class LSTM(RecurrentLayer):
    r"""Long short-term memory.

        i, f, g, o = W x_t + R h_{t-1} + b
        c_t = σ(f + 1) c_{t-1} + σ(i) tanh(g),    h_t = σ(o) tanh(c_t)

    Hochreiter & Schmidhuber (1997); forget gates by Gers, Schmidhuber & Cummins (2000), which start
    open, by a bias of 1 (Jozefowicz, Zaremba & Sutskever, 2015).

    Attributes:
      features, dtype: as in `RecurrentLayer`.
    """

    num_gates = 4

    def start(self, x: Array, bias: Array | None = None) -> tuple[Array, Array]:
        """c and h: zeros [H]."""
        del x, bias
        return jnp.zeros(self.features, jnp.float32), jnp.zeros(self.features, jnp.float32)

    def cell(self, state: tuple[Array, Array], x: Array) -> tuple[tuple[Array, Array], Array]:
        """The next c and h, and h, from x: [4 H]."""
        c, h = state
        i, f, g, o = jnp.split(x + self._recur(h), 4)
        c = jax.nn.sigmoid(f + 1.0) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
        h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (c, h), h


class GRU(RecurrentLayer):
    r"""Gated recurrent unit, with the reset gate behind the recurrent product.

        r, z = σ(W x_t + R h_{t-1} + b),    n = tanh(W_n x_t + b_n + r (R_n h_{t-1} + d))
        h_t = (1 - z) n + z h_{t-1}

    Cho et al. (2014), arXiv:1406.1078. There r multiplies h_{t-1} itself; here, as in cuDNN, its
    product, so that one product serves all gates.

    Attributes:
      features, dtype: as in `RecurrentLayer`.
    """

    num_gates = 3

    def setup(self) -> None:
        """One more bias, d, that the reset gate multiplies."""
        super().setup()
        self.bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)

    def start(self, x: Array, bias: Array | None = None) -> Array:
        """h: zeros [H]."""
        del x, bias
        return jnp.zeros(self.features, jnp.float32)

    def cell(self, state: Array, x: Array) -> tuple[Array, Array]:
        """The next h, twice, from x: [3 H]."""
        (r, z, n), (r_h, z_h, n_h) = jnp.split(x, 3), jnp.split(self._recur(state), 3)
        z = jax.nn.sigmoid(z + z_h)
        n = jnp.tanh(n + jax.nn.sigmoid(r + r_h) * (n_h + self.bias))
        h = (1.0 - z) * n + z * state
        return h, h


def _orthogonal(key: Key, shape: tuple[int, int], dtype: Any) -> Array:
    """[H, gates H], one orthogonal matrix beside the other."""
    size, width = shape
    initializer = nn.initializers.orthogonal()
    keys = jax.random.split(key, width // size)
    return jnp.concatenate([initializer(k, (size, size), dtype) for k in keys], 1)


class RecurrentNetwork(CausalNetwork):
    """Recurrent layers, one on the other, over the elements of an event in raster order.

    Graves (2013), "Generating sequences with recurrent neural networks", arXiv:1308.0850, section
    2: every layer sees the element too, and the output sees every layer, so that deep networks
    learn as soon as shallow ones. Nothing depends on how many elements there are: a model with the
    same parameters samples and scores longer ones, `dataclasses.replace(model,
    event=Event((10_000,), K))`.

    A context adds to the gates of every layer at every element.

    Attributes:
      cell: LSTM or GRU.
      widths: features of each layer.
      local: whether the context has a part for each element, Event((*shape, E)), which moves the
        output that predicts it, rather than one for all of them.
    """

    cell: type[RecurrentLayer] = LSTM
    widths: tuple[int, ...] = (512, 512)
    local: bool = False

    def setup(self) -> None:
        """The layers and the output."""
        self.shift = Shift()
        self.layers = [self.cell(width, self.dtype) for width in self.widths]
        if self.context_dim:
            gates = [self.cell.num_gates * width for width in self.widths]
            self.given = [context_layer(self, size, self.local) for size in gates]
        self.output = Dense(self.num_params, self.dtype)

    def body(self, f: Array, context: Array | None, run: Run) -> Array:
        """f: [*shape, features] -> [*shape, params], or of one element"""
        x = run(self.shift, f if f.ndim == 1 else f.reshape(-1, self.num_features))
        states: list[Array] = []
        for i, layer in enumerate(self.layers):
            bias = [run(self.given[i], context)] if self.context_dim else []
            states.append(run(layer, jnp.concatenate([x, *states[-1:]], -1), *bias))
        return self.output(jnp.concatenate(states, -1)).reshape(*f.shape[:-1], self.num_params)
