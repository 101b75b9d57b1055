"""What a loss is given: the examples of a batch, and what a conditional model is told of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Batch, Event


def examples(
    event: Event, batch: Batch, name: str, model: Any = None, context: str | None = None
) -> tuple[Array, ...]:
    """(x,), or (x, y), of a batch that holds what its loss needs.

    Args:
      event: of x.
      batch: {"x": [B, *event]}, and y where `context` names its entry.
      name: who asks, for messages.
      model: its `context`, where it has one, is the space of y.
      context: the entry of the batch that holds y, or None.

    Raises:
      TypeError: the batch is not a mapping of arrays: bare arrays, a tuple (x, y).
      ValueError: an entry is missing, x or y is not a batch of its space (labels 1..K for one), or
        the two have different lengths.
    """
    names = ("x",) if context is None else ("x", context)
    arrays = tuple(entry(batch, of, name) for of in names)
    event.check(arrays[0])
    if arrays[0].ndim != len(event.shape) + 1:
        raise ValueError(
            f"{name} needs a batch of examples, [{', '.join(map(str, ('B', *event.shape)))}]; got "
            f"one example of shape {arrays[0].shape}: give x[None]."
        )
    if context is not None:
        _check_context(getattr(model, "context", None), arrays[1], context)
        if arrays[1].shape[:1] != arrays[0].shape[:1]:
            raise ValueError(
                f"{name} needs a {context} for each of {len(arrays[0])} examples; got shape "
                f"{arrays[1].shape}."
            )
    return arrays


def entry(batch: Batch, wanted: str, name: str) -> Array:
    """batch[wanted], an array; `name` asks."""
    if not isinstance(batch, Mapping):
        parts = "x, y" if isinstance(batch, tuple | list) and len(batch) > 1 else "x"
        advice = '{"x": x, "label": y}' if parts == "x, y" else '{"x": x}'
        shape = getattr(batch, "shape", None)
        got = type(batch).__name__ + ("" if shape is None else f" of shape {shape}")
        raise TypeError(f'{name} needs a batch {{"x": [B, ...]}}; got a {got}. Give {advice}.')
    if wanted not in batch:
        raise ValueError(
            f"{name} needs a batch with an entry {wanted!r}; got {', '.join(map(repr, batch))}."
        )
    if not hasattr(batch[wanted], "shape"):
        raise TypeError(
            f"{name} needs an array for {wanted!r}; got a {type(batch[wanted]).__name__}. "
            "numpy.asarray(...) makes one of numbers."
        )
    return batch[wanted]


def _check_context(event: Event | None, y: Array | np.ndarray, context: str) -> None:
    """ValueError unless y is of the model's context; labels from 1 to K are named as what they are.

    Values are looked at where they are known, that is outside jit.
    """
    if not isinstance(event, Event):
        return  # the model itself says that it takes no context
    known = not isinstance(y, jax.core.Tracer) and y.size > 0
    if known and event.discrete and jnp.issubdtype(y.dtype, jnp.integer):
        low, high = int(np.min(np.asarray(y))), int(np.max(np.asarray(y)))
        if (low, high) == (1, event.num_values):
            raise ValueError(
                f"{context} needs integers in [0, {high}); got values from 1 to {high}, counted "
                f"from one: give {context} - 1."
            )
    event.check(y, context)
