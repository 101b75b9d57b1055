"""Events: the space of one example, and of the context of a conditional model."""

from __future__ import annotations

import dataclasses
import math
import operator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm.core.names import Array, PyTree


@dataclasses.dataclass(frozen=True)
class Event:
    """The space of one example.

    Attributes:
      shape: the shape of one example, without the batch axis; a list becomes a tuple.
      num_values: K if every element is an integer in {0, ..., K - 1}; None if elements are real.

    Raises:
      ValueError: a size is not an integer >= 0, or num_values is not an integer in [2, 2^31].
    """

    shape: tuple[int, ...]
    num_values: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.shape, tuple | list):
            raise ValueError(f"Event needs a shape like (28, 28); got {self.shape!r}.")
        shape = tuple(_integer(size, "sizes", 0) for size in self.shape)
        object.__setattr__(self, "shape", shape)
        if self.num_values is not None:
            # A numpy integer of few bits would overflow in products.
            num_values = _integer(self.num_values, "num_values", 2, 2**31)
            object.__setattr__(self, "num_values", num_values)

    @property
    def size(self) -> int:
        """D, the number of elements of one example."""
        return math.prod(self.shape)

    @property
    def discrete(self) -> bool:
        """Whether values are integers in {0, ..., K - 1}."""
        return self.num_values is not None

    @property
    def dtype(self) -> jnp.dtype:
        """int32 for discrete values, float32 for real ones."""
        return jnp.dtype(jnp.int32) if self.discrete else jnp.dtype(jnp.float32)

    def check(self, x: Array | np.ndarray, name: str = "x") -> None:
        """Raises a ValueError unless x is one example, or a batch of examples, of this event.

        Shape and dtype are always checked, values only outside `jit`, where they are concrete.
        Under `jit` an x outside the space has log probability -inf, and a context becomes nan.
        """
        want = f"{self.shape} or [B, {', '.join(map(str, self.shape))}]"
        if x.shape != self.shape and x.shape[1:] != self.shape:
            raise ValueError(f"{name} needs shape {want}; got {x.shape}.")
        integral = jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == jnp.bool_
        if self.discrete and not integral:
            raise ValueError(
                f"{name} needs integers in [0, {self.num_values}); got {x.dtype}. Binarize or "
                "quantize the data (gm.data.Threshold, gm.data.DynamicBinarization), or use a "
                "continuous likelihood."
            )
        if not self.discrete and not jnp.issubdtype(x.dtype, jnp.floating):
            raise ValueError(
                f"{name} needs real values; got {x.dtype}. Dequantize the data "
                "(gm.data.UniformDequantization), or use a discrete likelihood."
            )
        if isinstance(x, jax.core.Tracer) or x.size == 0:
            return
        x = np.asarray(x)  # even inside a jit that closes over x, where jnp would trace
        low, high = np.min(x), np.max(x)
        if self.discrete and (low < 0 or high >= self.num_values):
            from_one = low >= 1 and high == self.num_values
            raise ValueError(
                f"{name} needs integers in [0, {self.num_values}); got values from {low} to {high}."
                + (f" If they count from 1 to {high}, subtract 1." if from_one else "")
            )
        if not self.discrete and not (np.isfinite(low) and np.isfinite(high)):
            (bad,) = np.nonzero(~np.isfinite(x.reshape(-1)))
            place = [int(i) for i in np.unravel_index(bad[0], x.shape)]
            raise ValueError(
                f"{name} needs finite values; got {len(bad)} of {x.size} that are nan or infinite, "
                f"the first ({x.reshape(-1)[bad[0]]}) at index {place}."
            )

    @property
    def vector_size(self) -> int:
        """E, the length of `vector(x)`."""
        return self.size * (self.num_values or 1)

    def vector(self, x: Array) -> Array:
        """One value as a vector [E] of floats: one-hot for integers, unchanged for reals.

        An integer outside {0, ..., K - 1} becomes nan, which shows the error under `jit`, where
        `check` cannot see values.
        """
        if self.num_values is None:
            return jnp.asarray(x, jnp.float32).reshape(self.size)
        x = jnp.asarray(x).reshape(self.size)
        x = x if x.dtype.itemsize > 4 else x.astype(jnp.int32)  # K may not fit into a narrow dtype
        possible = (x >= 0) & (x < self.num_values)
        one_hot = jax.nn.one_hot(x, self.num_values, dtype=jnp.float32)
        return jnp.where(possible[:, None], one_hot, jnp.nan).reshape(-1)


def context_vector(model: Any, context: PyTree) -> Array | None:
    """The context of a conditional model as a vector [E]; None for a model without context.

    Args:
      model: a model whose field `context` is the event of y, a pytree of events, or None.
      context: one y, an array or a pytree of arrays, whose vectors are concatenated.

    Returns:
      [E] floats, or None.

    Raises:
      ValueError: y is missing although the model needs it, is given although it takes none, or is
        not in the event's space. Under `jit`, where values are not concrete, an integer outside the
        space becomes nan, which stops training at its first step.
    """
    space, name = getattr(model, "context", None), type(model).__name__
    if space is None:
        if context is not None:
            shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(context)]
            raise ValueError(
                f"{name} takes no context; it got one of shape {', '.join(map(str, shapes))}. "
                "Build it with context=Event((), num_labels) for labels, or Event((E,)) for "
                "vectors."
            )
        return None
    events, tree = jax.tree.flatten(space)
    single = isinstance(space, Event)  # y may be a list of numbers
    if context is None or (not single and jax.tree.structure(context) != tree):
        got = "none" if context is None else jax.tree.structure(context)
        wanted = ", ".join(map(_described, events))
        raise ValueError(f"{name} needs a context of {wanted}; got {got}.")
    leaves = [context] if single else jax.tree.leaves(context)
    vectors = [_vector(event, y, name) for event, y in zip(events, leaves, strict=True)]
    return vectors[0] if single else jnp.concatenate(vectors)


def _described(event: Event) -> str:
    values = "real values" if event.num_values is None else f"integers < {event.num_values}"
    return f"shape {event.shape}, {values}"


def _vector(event: Event, y: Array, name: str) -> Array:
    """One y as a vector."""
    y = y if isinstance(y, jax.Array) else np.asarray(y)  # not narrowed yet
    event.check(y, "context")
    if y.shape != event.shape:
        raise ValueError(
            f"{name} needs one context of shape {event.shape}; got {y.shape}. Use jax.vmap "
            "for a batch of them."
        )
    return event.vector(y)


def context_size(model: Any) -> int:
    """E, the length of `context_vector`; 0 for a model without context."""
    return sum(event.vector_size for event in jax.tree.leaves(getattr(model, "context", None)))


def context_inputs(model: Any, context: PyTree) -> tuple[Array, ...]:
    """The arguments of a network after x: (y,), y a vector [E], or () for a model without context.

    The networks of an unconditional model therefore need no such argument. The arguments and errors
    are those of `context_vector`.
    """
    y = context_vector(model, context)
    return () if y is None else (y,)


def example_context(model: Any) -> PyTree:
    """An example of the model's context, to initialise networks with; None without context."""
    space = getattr(model, "context", None)
    return jax.tree.map(lambda event: jnp.zeros(event.shape, event.dtype), space)


def _integer(value: Any, name: str, low: int, high: int | None = None) -> int:
    """Any integer as a Python int; ValueError for floats, booleans and values out of range."""
    try:
        number = None if isinstance(value, bool | np.bool_) else operator.index(value)
    except TypeError:
        number = None
    if number is None or number < low or (high is not None and number > high):
        upper = "" if high is None else f" and at most {high}"
        raise ValueError(
            f"Event needs {name} that are integers of at least {low}{upper}; got {value!r}."
        )
    return number
