"""Causal networks: one `body` for the forward pass and for incremental sampling.

An element is one dimension of x in the model's order. A causal layer maps elements so that output i
sees inputs up to i. It has two modes: `layer(x)` on all elements at once, and one at a time,

    cache = layer.start(x_0)                    # an empty cache, for inputs like x_0
    cache, y_i = layer.step(cache, i, x_i)      # for i = 0, 1, 2, ...

A causal network composes such layers in one method, `body(f, context, run)`, where `run(layer, x)`
is the only way a causal layer is called; a layer that acts on each element alone is called
directly. So the forward pass and incremental sampling are the same lines of code, and all steps
together do the arithmetic of one forward pass.

Recurrent layers, and networks of them, also take one window of elements after another (truncated
BPTT), `hidden, y = layer.window(hidden, x)`.

Networks here describe one example; `vmap` makes the batch. The element number `i` must stay
unbatched (apply `vmap` outside the scan over elements), or every step does the work of all
branches.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import flax.linen as nn
import jax
import jax.numpy as jnp

from gm.core import Array, PyTree
from gm.networks.layers import Dense, Frozen, add_bias, convolve, product

Run = Callable[..., Any]


def parallel(layer: Any, *inputs: Any) -> Any:
    """Runs a layer on all elements at once."""
    return layer(*inputs)


class Incremental:
    """Runs layers on one element, each with its own cache, in the order of their calls.

    Attributes:
      time: the number of the element, an int32 scalar.
      caches: of the layers that have run: what the next element needs.
    """

    def __init__(self, time: Array, caches: list[PyTree] | None = None) -> None:
        self.time, self.caches = time, []
        self._before = None if caches is None else iter(caches)

    def __call__(self, layer: Any, *inputs: Any) -> Any:
        """The layer's output at this element."""
        cache = layer.start(*inputs) if self._before is None else next(self._before)
        cache, y = layer.step(cache, self.time, *inputs)
        self.caches.append(cache)
        return y


class Window:
    """Runs recurrent layers on a window of elements, each from its own hidden state.

    Such a layer has `window(hidden, *inputs) -> (hidden, outputs)`; a hidden state of None, or of
    zeros, is the initial one.

    Attributes:
      hidden: states of the layers that have run, in the order of their calls.
    """

    def __init__(self, hidden: list[PyTree] | None = None) -> None:
        self.hidden: list[PyTree] = []
        self._before = None if hidden is None else iter(hidden)

    def __call__(self, layer: Any, *inputs: Any) -> Any:
        """The layer's output at these elements."""
        if not hasattr(layer, "window"):
            raise TypeError(
                f"truncated BPTT needs layers with a `window` method; {type(layer).__name__} has "
                "none. Networks of recurrent layers (gm.networks.RecurrentNetwork) have it."
            )
        before = None if self._before is None else next(self._before)
        hidden, y = layer.window(before, *inputs)
        self.hidden.append(hidden)
        return y


class CausalNetwork(Frozen, kw_only=True):
    """Base of causal networks: both modes of `body`. The model that holds one sets its sizes.

    Attributes:
      shape: of the event.
      num_features: C, inputs per element.
      num_params: P, outputs per element; output i sees the inputs before i.
      context_dim: E, the size of what the network is conditioned on; 0 for none.
      dtype: of the factors of every product; all else is in float32 (`layers`).
    """

    shape: tuple[int, ...] = ()
    num_features: int = 1
    num_params: int = 1
    context_dim: int = 0
    dtype: Any = jnp.float32

    def element_order(self) -> tuple[int, ...]:
        """The order of the elements: raster order."""
        return tuple(range(math.prod(self.shape)))

    def body(self, f: Array, context: Array | None, run: Run) -> Array:
        """Raw parameters of every element from the features of all, or of the next from one."""
        raise NotImplementedError

    def __call__(self, f: Array, context: Array | None = None) -> Array:
        """f: [*shape, C] -> [*shape, P]"""
        return self.body(f, context, parallel).astype(jnp.float32)

    def start(self, context: Array | None = None) -> tuple[PyTree, Array]:
        """The cache before any element is known, and the raw parameters [P] of element 0."""
        nothing = jnp.zeros(self.num_features, jnp.float32)
        return self._run_element(Incremental(jnp.zeros((), jnp.int32)), nothing, context)

    def step(self, cache: PyTree, f_i: Array) -> tuple[PyTree, Array]:
        """Takes the features [C] of the next element; returns the raw parameters of the one after.

        The parameters returned after the last element have no meaning.
        """
        return self._run_element(
            Incremental(cache["time"] + 1, cache["layers"]), f_i, cache["context"]
        )

    def window(
        self, hidden: list[PyTree] | None, f: Array, context: Array | None = None
    ) -> tuple[list[PyTree], Array]:
        """Raw parameters [T, P] of the next T elements from their features f: [T, C].

        Args:
          hidden: states after the elements before; None, or zeros, where there are none.
          f: features of any number of elements.
          context: as in `__call__`.

        Returns:
          The hidden states after these elements, and their parameters.

        Raises:
          TypeError: a layer of the network is not recurrent (`Window`).
        """
        run = Window(hidden)
        raw = self.body(f, context, run)
        return run.hidden, raw.astype(jnp.float32)

    def _run_element(
        self, run: Incremental, f_i: Array, context: Array | None
    ) -> tuple[PyTree, Array]:
        raw = self.body(f_i, context, run)
        cache = {"time": run.time, "layers": run.caches, "context": context}
        return cache, raw.astype(jnp.float32)


@runtime_checkable
class BlockNetwork(Protocol):
    """A causal network that also takes blocks of consecutive elements."""

    def block_logits(self, cache: PyTree, f: Array) -> Array:
        """Raw parameters [block, P] of the elements after each of the next, features [block, C]."""

    def extend_block(self, cache: PyTree, f: Array) -> tuple[PyTree, Array]:
        """The cache after the next elements, features [block, C], and what follows them, [P]."""


class Shift(nn.Module):
    """x_{i-1} in place of x_i, and one more feature that is 1 where i = 0."""

    def __call__(self, x: Array) -> Array:
        """x: [T, C] -> [T, C + 1]"""
        first = jnp.zeros((1, x.shape[-1] + 1), x.dtype).at[0, -1].set(1.0)
        return jnp.concatenate([first, jnp.pad(x, ((0, 0), (0, 1)))[:-1]])

    def start(self, x: Array) -> None:
        """No cache: step i is given x_{i-1}."""
        del x

    def step(self, cache: None, time: Array, x: Array) -> tuple[None, Array]:
        """x_{i-1}: [C] -> [C + 1]"""
        return cache, jnp.append(x, (time == 0).astype(x.dtype))

    def window(self, last: Array | None, x: Array) -> tuple[Array, Array]:
        """x: [T, C] -> [T, C + 1]; last: [C + 1], the element before them and a 1, or zeros."""
        if last is None:
            last = jnp.zeros(x.shape[-1] + 1, x.dtype)
        first = last.at[-1].set(1.0 - last[-1])  # the feature of Shift: 1 where there is none
        shifted = jnp.concatenate([first[None], jnp.pad(x, ((0, 0), (0, 1)))[:-1]])
        return jnp.append(x[-1], jnp.ones((), x.dtype)), shifted


class Once(nn.Module):
    """A dense layer of a context, which is the same for all elements; computed once per sample.

    Attributes:
      features: outputs.
      dtype: as in `Dense`.
    """

    features: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """One dense layer."""
        self.dense = Dense(self.features, self.dtype)

    def __call__(self, context: Array) -> Array:
        """context: [E] -> [features]"""
        return self.dense(context)

    def start(self, context: Array) -> Array:
        """The output itself."""
        return self.dense(context)

    def step(self, cache: Array, time: Array, context: Array) -> tuple[Array, Array]:
        """The output again."""
        del time, context
        return cache, cache

    def window(self, hidden: None, context: Array) -> tuple[None, Array]:
        """The output; a context is given with each window, so there is nothing to keep."""
        return hidden, self.dense(context)


class Each(nn.Module):
    """A dense layer of a context that has a part for each element: local conditioning.

    van den Oord et al. (2016), "WaveNet", arXiv:1609.03499, section 2.5: the part of element i
    moves the output that predicts it. Computed once per sample.

    Attributes:
      features: outputs.
      length: T, elements.
      dtype: as in `Dense`.
    """

    features: int
    length: int
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """One dense layer, the same for all elements."""
        self.dense = Dense(self.features, self.dtype)

    def __call__(self, context: Array) -> Array:
        """context: [T E], the parts one after the other, -> [T, features]"""
        return self.dense(context.reshape(self.length, -1))

    def start(self, context: Array) -> Array:
        """The outputs of all elements."""
        return self(context)

    def step(self, cache: Array, time: Array, context: Array) -> tuple[Array, Array]:
        """That of the next element: [features]"""
        del context
        return cache, jax.lax.dynamic_index_in_dim(cache, time, 0, keepdims=False)

    def window(self, hidden: None, context: Array) -> tuple[None, Array]:
        """The outputs; a context is given with each window, so there is nothing to keep."""
        return hidden, self(context)


def context_layer(network: CausalNetwork, features: int, local: bool) -> Once | Each:
    """A dense layer of the network's context: `Each` where it is local, else `Once`."""
    if local:
        return Each(features, math.prod(network.shape), network.dtype)
    return Once(features, network.dtype)


class CausalConv(nn.Module):
    """y_i = Σ_k W_k x_{i - k d} + b over elements in a row; zeros before the first.

    Incremental sampling keeps the last (size - 1) d + 1 inputs in a ring.

    Attributes:
      inputs: channels of x.
      features: channels of y.
      size: taps of the kernel.
      dilation: d, elements between one tap and the next.
      dtype: as in `CausalNetwork`.
    """

    inputs: int
    features: int
    size: int = 2
    dilation: int = 1
    dtype: Any = jnp.float32

    def setup(self) -> None:
        """Kernel [size, inputs, features], the newest tap last, and bias [features]."""
        shape = (self.size, self.inputs, self.features)
        self.kernel = self.param("kernel", nn.initializers.lecun_normal(), shape, jnp.float32)
        self.bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)

    def __call__(self, x: Array) -> Array:
        """x: [T, inputs] -> [T, features]"""
        padding = (((self.size - 1) * self.dilation, 0),)
        factors = x.astype(self.dtype), self.kernel.astype(self.dtype)
        return add_bias(convolve(*factors, padding, rhs_dilation=(self.dilation,)), self.bias)

    def start(self, x: Array) -> Array:
        """An empty ring."""
        return jnp.zeros(((self.size - 1) * self.dilation + 1, *x.shape), x.dtype)

    def step(self, ring: Array, time: Array, x: Array) -> tuple[Array, Array]:
        """x: [inputs] -> [features]"""
        # Written before it is read, so that XLA need not copy the ring at each step.
        ring = jax.lax.dynamic_update_index_in_dim(ring, x, time % len(ring), 0)
        backs = [k * self.dilation for k in reversed(range(self.size))]
        taps = [
            jax.lax.dynamic_index_in_dim(ring, (time - back) % len(ring), 0, keepdims=False)
            for back in backs
        ]
        kernel = self.kernel.reshape(-1, self.features).astype(self.dtype)
        y = product(jnp.concatenate(taps, -1).astype(self.dtype), kernel)
        return ring, add_bias(y, self.bias)
