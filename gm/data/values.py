"""Inference of value types: the number of levels, and whether 32 bits suffice."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from gm.core import Event
from gm.data.stored import CHUNK

BYTES = 256
LARGEST = np.iinfo(np.int32).max
TWO_FLOATS = {(0, 1), (-1, 1), (0, 255)}  # the usual codes of published binary data
SMALLEST = float(np.finfo(np.float32).smallest_subnormal)
PRECISION = 100  # the minimum of float32 numbers per standard deviation of a column


def event_of(parts: Sequence[np.ndarray], num_values: int | None, name: str) -> Event:
    """Infers the space of arrays [N, ...], one for each split: see `gm.data.from_arrays`.

    Args:
      parts: the examples of the splits.
      num_values: K, or None to infer it from the values.
      name: the name of the data set.

    Raises:
      ValueError: the splits mix integers and floats, contain text or no examples, or integers do
        not fit in 32 bits.
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
            f"{name} has bytes of at most {high}, interpreted as {BYTES} levels; use "
            f"num_values={high + 1} if there are no larger ones.",
            stacklevel=3,
        )
    return Event(shape, num_values)


def _kinds(parts: Sequence[np.ndarray], name: str) -> set[str]:
    """The kinds of the dtypes; raises if the splits mix kinds or shapes."""
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
        f"{name} has only the values {low:g} and {high:g}, interpreted as {taken}; for binary data "
        "use binary=True (in an experiment: --binary).",
        stacklevel=4,
    )


def as_binary(parts: Sequence[np.ndarray], name: str) -> list[np.ndarray]:
    """Maps the smaller and the larger of the two values in the splits to 0 and 1, as bytes.

    Raises:
      ValueError: there are more than two values.
    """
    if any(x.dtype.kind not in "iubf" or x.size == 0 for x in parts):
        return list(parts)  # `event_of` raises for these
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
    """Raises ValueError if float32 is not precise enough for the values.

    Args:
      parts: real examples of the splits, [N, ...], the training ones first.
      name: the name of the data set.
      columns: names of the elements, for the message; by default their numbers.
    """
    if all(x.dtype.itemsize <= 4 for x in parts):
        return
    largest = np.max([np.abs(x).reshape(len(x), -1).max(axis=0) for x in parts], axis=0)
    if (top := largest.max()) > np.finfo(np.float32).max:
        raise ValueError(f"{name} needs floats of at most 3.4e38, as float32 holds; got {top:g}.")
    train = parts[0].reshape(len(parts[0]), -1)
    varies = train.max(axis=0) > train.min(axis=0)
    # The spacing of float32, without np.spacing's overflow at the largest number.
    spacing = np.maximum(np.ldexp(1.0, np.frexp(largest)[1] - 24), SMALLEST)
    (lost,) = np.nonzero(varies & (spacing > train.std(axis=0) / PRECISION))
    if lost.size:
        first = repr(columns[lost[0]]) if columns else str(lost[0])
        more = f" (and {lost.size - 1} others)" if lost.size > 1 else ""
        raise ValueError(
            f"{name} has a column that float32 cannot represent, {first}{more}: its values reach "
            f"{largest[lost[0]]:g}, where float32 has steps of {spacing[lost[0]]:g}, "
            f"with a standard deviation of {train[:, lost[0]].std():g}. With standardize=True, "
            "gm.data.from_arrays standardizes it in double precision first; or subtract an offset."
        )


def _extent(parts: Sequence[np.ndarray]) -> tuple[float, float]:
    """The smallest and the largest value."""
    return min(x.min().item() for x in parts), max(x.max().item() for x in parts)


def _only(low: float, high: float, parts: Sequence[np.ndarray]) -> bool:
    """Whether there is no third value; checked in chunks, since the first usually decides."""
    chunks = (x[i : i + CHUNK] for x in parts for i in range(0, len(x), CHUNK))
    return all(((chunk == low) | (chunk == high)).all() for chunk in chunks)
