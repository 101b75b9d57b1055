r"""Block neural autoregressive bijections.

De Cao, Titov & Aziz (2019), "Block neural autoregressive flow", arXiv:1904.04676: one network from
x to y whose weights are in blocks B_ij, B units for each of D elements: zero above the diagonal,
positive on it, free below, so that y_i increases with x_i and sees x_0 .. x_i.

    h_1 = a(W_1 x + b_1),  ...,  y = W_L h_{L-1} + b_L,     W = scale of each row · Ŵ / |Ŵ|,
    Ŵ_ii = exp(V_ii),      log dy_i/dx_i = log of the product of the blocks B_ii and diag(a')

computed in the log domain. a(x) = x/10 + 9/10 tanh(x) is a departure: with the paper's tanh alone
the image is bounded, there is no inverse outside it, and the density does not integrate to one.
"""

from __future__ import annotations

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np

from gm.bijections import context as given
from gm.bijections import roots
from gm.core import Array, Event, Key, Params, PyTree
from gm.numerics import log_sum_exp


@dataclasses.dataclass(frozen=True)
class BlockAutoregressive:
    """y = network(x), in raster order; `inverse` one element at a time, by bisection.

    `inverse` takes 32 D forward passes (`roots.triangular`): put it in `Inverse` for a flow that is
    trained by maximum likelihood. It is found to float32 rounding of the network.

    Attributes:
      event: the space of x and y, real; D elements.
      block: B, hidden units for each element.
      num_hidden: hidden layers.
      context_dim: E, the size of the context vector that hidden units see; 0 for none.

    Raises:
      ValueError: the event is discrete, or there are no hidden units.
    """

    event: Event
    block: int = 8
    num_hidden: int = 1
    context_dim: int = 0

    def __post_init__(self) -> None:
        if self.event.discrete:
            raise ValueError(f"BlockAutoregressive needs a real event; got {self.event}.")
        if self.block < 1 or self.num_hidden < 1:
            raise ValueError(
                "BlockAutoregressive needs at least one hidden layer and one hidden unit for each "
                f"element; got {self}."
            )

    def init(self, key: Key) -> Params:
        """A list of {"kernel": [n, m], "log_scale": [m], "bias": [m]} by layers, and "context"."""
        layers = []
        for rows, columns in itertools.pairwise(self._units):
            key, key_kernel, key_context = jax.random.split(key, 3)
            n, m = self.event.size * rows, self.event.size * columns
            kernel = jax.random.normal(key_kernel, (n, m), jnp.float32)
            layer = {
                # Of about the same size on the diagonal and, all together, below it.
                "kernel": jnp.where(self._blocks(rows, columns)[0], 0.3, 0.3 / n**0.5) * kernel,
                "log_scale": jnp.zeros(m, jnp.float32),
                "bias": jnp.zeros(m, jnp.float32),
            }
            if self.context_dim:
                shape, scale = (self.context_dim, m), self.context_dim**-0.5
                layer["context"] = scale * jax.random.normal(key_context, shape, jnp.float32)
            layers.append(layer)
        return layers

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """The network, and Σ_i log dy_i/dx_i."""
        y, log_slopes = self._network((params, given.inputs(self, context)), x.reshape(-1))
        return y.reshape(x.shape), jnp.sum(log_slopes)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x, one element after another."""
        args = params, given.inputs(self, context)
        x = roots.triangular(self._value, args, y.reshape(-1))
        return x.reshape(y.shape), -jnp.sum(self._network(args, x)[1])

    @property
    def _units(self) -> tuple[int, ...]:
        """Units for each element: of the input, the hidden layers, the output."""
        return (1, *(self.block for _ in range(self.num_hidden)), 1)

    def _blocks(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Where a kernel [n, m] is on the diagonal, and where below it (inputs before outputs)."""
        source = np.repeat(np.arange(self.event.size), rows)[:, None]
        target = np.repeat(np.arange(self.event.size), columns)[None, :]
        return source == target, source < target

    def _value(self, args: tuple[Params, tuple[Array, ...]], x: Array) -> Array:
        return self._network(args, x)[0]

    def _network(self, args: tuple[Params, tuple[Array, ...]], x: Array) -> tuple[Array, Array]:
        """y: [D] and log dy_i/dx_i: [D]"""
        params, context = args
        size, last = self.event.size, len(params) - 1
        log_slopes = jnp.zeros((size, 1), x.dtype)  # of the units of element i by x_i: [D, units]
        for number, layer in enumerate(params):
            rows, columns = self._units[number : number + 2]
            kernel, log_diagonal = self._weights(layer, rows, columns)
            x = x @ kernel + layer["bias"]
            if context:
                x = x + context[0] @ layer["context"]
            log_slopes = log_sum_exp(log_slopes[:, :, None] + log_diagonal, axis=1)
            if number < last:
                h = jnp.tanh(x)
                log_slopes = log_slopes + jnp.log(1.0 - 0.9 * h**2).reshape(size, -1)
                x = 0.1 * x + 0.9 * h
        return x, log_slopes[:, 0]

    def _weights(self, layer: Params, rows: int, columns: int) -> tuple[Array, Array]:
        """The kernel [n, m], and the logarithms of its diagonal blocks: [D, rows, columns]."""
        on, below = self._blocks(rows, columns)
        raw = layer["kernel"]
        kernel = jnp.where(on, jnp.exp(raw), jnp.where(below, raw, 0.0))
        log_norm = 0.5 * jnp.log(jnp.sum(kernel**2, axis=0))
        log_row = layer["log_scale"] - log_norm
        size = self.event.size
        blocks = raw.reshape(size, rows, size, columns)
        own = jnp.arange(size, dtype=jnp.int32)
        log_diagonal = blocks[own, :, own] + log_row.reshape(size, 1, columns)
        return kernel * jnp.exp(log_row)[None, :], log_diagonal
