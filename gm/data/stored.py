"""Sources of examples by number: arrays in memory, or records read at every access."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gm.core import Array, Batch

CHUNK = 4096  # examples that are read or transformed at once


class Source(Protocol):
    """Examples by index, as they are stored."""

    def __len__(self) -> int:
        """N"""

    def take(self, indices: np.ndarray) -> Batch:
        """The examples of these indices, stacked: {"x": [B, ...]}, optionally {"label": [B]}."""


@runtime_checkable
class InMemory(Source, Protocol):
    """Examples from arrays in memory, which may be copied to a device.

    `gather(columns, indices)` equals `take(indices)`, as a pure function of arrays: of NumPy, or
    of JAX inside jit.
    """

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """The arrays as stored."""

    def gather(self, columns: Mapping[str, Array], indices: Array) -> Batch:
        """The examples of these indices, from the columns or a copy of them."""

    def whole(self) -> Batch:
        """All examples in order, without a copy."""


@dataclasses.dataclass(frozen=True, eq=False)
class Arrays:
    """Examples in memory, one array [N, ...] per name."""

    columns: Mapping[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.columns["x"])

    def take(self, indices: np.ndarray) -> Batch:
        """The examples of these indices, copied."""
        return self.gather(self.columns, indices)

    def gather(self, columns: Mapping[str, Array], indices: Array) -> Batch:
        """The rows of every column."""
        return {name: column[indices] for name, column in columns.items()}

    def whole(self) -> Batch:
        """The columns."""
        return dict(self.columns)


@dataclasses.dataclass(frozen=True, eq=False)
class Records:
    """Examples that are read and decoded at every access.

    Attributes:
      examples: a sequence of items; `__getitems__(numbers)` is used if it exists.
      numbers: the indices of the items of this split.
      decode: maps an item to {"x": ...}, optionally with "label".
      origin: the source of the items, for error messages.
    """

    examples: Sequence[Any]
    numbers: range
    decode: Callable[[Any], Batch]
    origin: str = "the examples"

    def __len__(self) -> int:
        return len(self.numbers)

    def take(self, indices: np.ndarray) -> Batch:
        """The examples of these indices, read and stacked.

        Raises:
          ValueError: examples cannot be read or stacked; the message names the origin.
        """
        numbers = [self.numbers[i] for i in indices]
        try:
            if hasattr(self.examples, "__getitems__"):
                items = self.examples.__getitems__(numbers)
            else:
                items = [self.examples[number] for number in numbers]
            decoded = [self.decode(item) for item in items]
            return {name: np.stack([example[name] for example in decoded]) for name in decoded[0]}
        except Exception as error:  # from reading or decoding
            raise ValueError(
                f"{self.origin} cannot be read as examples (numbers {numbers[0]} to {numbers[-1]}):"
                f" {type(error).__name__}: {error!s:.200}"
            ) from error

    def in_memory(self) -> Arrays:
        """All examples, read once."""
        if len(self) == 0:
            raise ValueError("a split without examples cannot be read into memory.")
        columns = {}
        for start in range(0, len(self), CHUNK):
            chunk = self.take(np.arange(start, min(start + CHUNK, len(self))))
            for name, values in chunk.items():
                shape = (len(self), *values.shape[1:])
                columns.setdefault(name, np.empty(shape, values.dtype))
                columns[name][start : start + CHUNK] = values
        return Arrays(columns)
