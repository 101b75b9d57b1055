"""Changing one setting throughout the configuration of a model."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax.numpy as jnp


def in_precision(model: Any, dtype: Any) -> Any:
    """The same model that computes in another dtype: `in_precision(model, jnp.bfloat16)`.

    It sets every field named `dtype` in the model's tree of dataclasses (Linen modules are
    dataclasses) and tuples. Parameters, sums and losses stay in float32, so the same parameters
    work in every precision: train in bfloat16, score in float32.

    Args:
      model: a model, or a network.
      dtype: the dtype of the factors of matrix products.

    Raises:
      TypeError: no part of the model has a field `dtype`.
      ValueError: dtype is not a floating-point type.
    """
    if not jnp.issubdtype(dtype, jnp.floating):
        raise ValueError(
            f"in_precision needs a floating dtype; got {jnp.dtype(dtype)}. jnp.bfloat16 or "
            "jnp.float32 would do."
        )
    other = _with_dtype(model, jnp.dtype(dtype).type)
    if other is model:
        raise TypeError(
            "in_precision needs a model with a field `dtype` in some part of it; "
            f"{type(model).__name__} has none. Networks of gm.networks have one."
        )
    return other


def _with_dtype(value: Any, dtype: Any) -> Any:
    """A copy of value with every field `dtype` set; value itself if there is no such field."""
    if isinstance(value, tuple):
        parts = [_with_dtype(part, dtype) for part in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else getattr(type(value), "_make", tuple)(parts)
    if isinstance(value, type) or not dataclasses.is_dataclass(value):
        return value
    parts = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    changed = {
        name: dtype if name == "dtype" else new
        for name, old in parts.items()
        if (new := _with_dtype(old, dtype)) is not old or name == "dtype"
    }
    return dataclasses.replace(value, **changed) if changed else value
