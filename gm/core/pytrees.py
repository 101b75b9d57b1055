"""Frozen dataclasses of arrays as pytrees, each with its own tree structure."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, TypeVar, dataclass_transform

import jax

T = TypeVar("T")


def static(**options: Any) -> Any:
    """A field that is not an array but part of the tree structure, such as num_values."""
    return dataclasses.field(metadata={"static": True}, **options)


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field, static))
def pytree(cls: type[T]) -> type[T]:
    """Makes a class a frozen dataclass and a pytree of its fields, with a method `replace`.

    With `jax.tree_util.register_dataclass`, and so with `flax.struct.dataclass`, the structures of
    two classes with equally many fields compare equal (JAX 0.10 and 0.12). A jitted function called
    with both may then silently run the program for one class on the other.

    Args:
      cls: a class with annotated fields; `static()` fields are compared, not traced.
    """
    cls = dataclasses.dataclass(frozen=True)(cls)
    fields = dataclasses.fields(cls)
    arrays = [f.name for f in fields if not f.metadata.get("static", False)]
    statics = [f.name for f in fields if f.metadata.get("static", False)]
    keys = [jax.tree_util.GetAttrKey(name) for name in arrays]

    def aux(value: T) -> tuple:
        return tuple(getattr(value, name) for name in statics)

    def flatten(value: T) -> tuple[tuple, tuple]:
        return tuple(getattr(value, name) for name in arrays), aux(value)

    def flatten_with_keys(value: T) -> tuple[tuple, tuple]:
        return tuple((key, getattr(value, key.name)) for key in keys), aux(value)

    def unflatten(aux: tuple, children: tuple) -> T:
        value = object.__new__(cls)  # JAX also passes objects that are not arrays
        for name, part in zip((*arrays, *statics), (*children, *aux), strict=True):
            object.__setattr__(value, name, part)
        return value

    jax.tree_util.register_pytree_with_keys(cls, flatten_with_keys, unflatten, flatten)
    replace: Callable = dataclasses.replace
    cls.replace = lambda self, **changes: replace(self, **changes)
    return cls
