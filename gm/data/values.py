"""Inference of value types: the number of levels, and whether 32 bits suffice."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from gm.core import Event
from gm.data.stored import CHUNK

BYTES = 256
LARGEST = np.iinfo(np.int32).max
TWO_FLOATS = {(0, 1), (-1, 1), (0, 255)}  # what binary data are published as
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
PRECISION = 100  # float32 numbers per standard deviation of a column, at least


def event_of(parts: Sequence[np.ndarray], num_values: int | None, name: str) -> Event:
    """The space of arrays [N, ...], one for each split: see `gm.data.from_arrays`.

    Args:
      parts: the examples of the splits.
      num_values: K, or None for what the values say.
      name: of the data set.

    Raises:
      ValueError: integers beside floats, text, no examples, or integers that 32 bits do not hold.
    """
    kinds = _kinds(parts, name)
    low, high = _extent(parts)
    shape = parts[0].shape[1:]
    if kinds == {"f"}:
        if (low, high) in TWO_FLOATS and _only(low, high, parts):
            _notice_two(name, low, high, "real values, with a density")
        return Event(shape, num_values)
    if high > LARGEST:
        raise ValueError(f"{name} needs integers of at most {LARGEST}; got {high}.")
    if num_values is not None:
        return Event(shape, int(num_values))
    is_bytes = high > 1 and {x.dtype for x in parts} == {np.dtype(np.uint8)}
    num_values = BYTES if is_bytes else max(2, 1 + int(high))
    if low == 0 and high > 1 and _only(low, high, parts):
        _notice_two(name, low, high, f"{num_values} levels")
    elif is_bytes and high < BYTES // 2:
        warnings.warn(
            f"{name} holds bytes of at most {high}, taken for {BYTES} levels; "
            f"num_values={high + 1} says that there are no more.",
            stacklevel=3,
        )
    return Event(shape, num_values)


def _kinds(parts: Sequence[np.ndarray], name: str) -> set[str]:
    """The kinds of the dtypes, once they are known to go together."""
    kinds = {x.dtype.kind for x in parts}
    if not kinds <= set("iub") and kinds != {"f"}:
        dtypes = ", ".join(sorted({str(x.dtype) for x in parts}))
        raise ValueError(
            f"{name} needs integers in every split or floats in every one; got {dtypes}."
        )
    if any(x.ndim < 1 or x.size == 0 for x in parts):
        shapes = [x.shape for x in parts]
        raise ValueError(f"{name} needs examples [N, ...] in every split; got shapes {shapes}.")
    return kinds


def _notice_two(name: str, low: float, high: float, taken: str) -> None:
    warnings.warn(
        f"{name} holds only {low:g} and {high:g}, taken for {taken}; binary=True (of an "
        "experiment: --binary) says that they are binary data.",
        stacklevel=4,
    )


def as_binary(parts: Sequence[np.ndarray], name: str) -> list[np.ndarray]:
    """0 and 1, as bytes, for the smaller and the larger of the two values that the splits hold.

    Raises:
      ValueError: there are other values as well.
    """
    if any(x.dtype.kind not in "iubf" or x.size == 0 for x in parts):
        return list(parts)  # `event_of` says what is wrong with these
    low, high = _extent(parts)
    if low == high and low in (0, 1):
        low, high = 0, 1
    if low == high or not _only(low, high, parts):
        raise ValueError(
            f"{name} needs two values, as 0 and 1 or 0 and 255, for binary=True; got values from "
            f"{low} to {high}. gm.data.Threshold and gm.data.DynamicBinarization make two of many."
        )
    return [(x == high).astype(np.uint8) for x in parts]


def check_precision(
    parts: Sequence[np.ndarray], name: str, columns: Sequence[str] | None = None
) -> None:
    """Raises ValueError where float32 would not hold what double precision says.

    Args:
      parts: real examples of the splits, [N, ...], the training ones first.
      name: of the data set.
      columns: names of the elements, for the message; by default their numbers.
    """
    if all(x.dtype.itemsize <= 4 for x in parts):
        return
    largest = np.max([np.abs(x).reshape(len(x), -1).max(axis=0) for x in parts], axis=0)
    if (top := largest.max()) > np.finfo(np.float32).max:
        raise ValueError(f"{name} needs floats of at most 3.4e38, as float32 holds; got {top:g}.")
    train = parts[0].reshape(len(parts[0]), -1)
    varies = train.max(axis=0) > train.min(axis=0)
    # Of float32, but np.spacing overflows at its largest number.
    spacing = np.maximum(np.ldexp(1.0, np.frexp(largest)[1] - 24), SMALLEST)
    (lost,) = np.nonzero(varies & (spacing > train.std(axis=0) / PRECISION))
    if lost.size:
        first = repr(columns[lost[0]]) if columns else str(lost[0])
        more = f" (and {lost.size - 1} others)" if lost.size > 1 else ""
        raise ValueError(
            f"{name} has a column that float32 does not hold, {first}{more}: values up to "
            f"{largest[lost[0]]:g}, where float32 has steps of {spacing[lost[0]]:g}, "
            f"with a standard deviation of {train[:, lost[0]].std():g}. With standardize=True, "
            "gm.data.from_arrays standardizes it in double precision first; or subtract an offset."
        )


def _extent(parts: Sequence[np.ndarray]) -> tuple[float, float]:
    """The smallest and the largest value."""
    return min(x.min().item() for x in parts), max(x.max().item() for x in parts)


def _only(low: float, high: float, parts: Sequence[np.ndarray]) -> bool:
    """Whether there is no third value; the first chunk mostly tells."""
    chunks = (x[i : i + CHUNK] for x in parts for i in range(0, len(x), CHUNK))
    return all(((chunk == low) | (chunk == high)).all() for chunk in chunks)
