"""Data sets from arrays."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from gm.core import Event
from gm.data import tables, values
from gm.data.dataset import Dataset, cut, make
from gm.data.stored import Arrays
from gm.data.transforms import Standardize

PARTS = ("train", "validation", "test")


def from_arrays(
    train: Any,
    validation: Any = None,
    test: Any = None,
    *,
    labels: Sequence[np.ndarray | None] = (None, None, None),
    contexts: Sequence[np.ndarray | None] = (None, None, None),
    label: str | None = None,
    num_values: int | None = None,
    binary: bool = False,
    standardize: bool | Standardize = False,
    name: str = "arrays",
) -> Dataset:
    """Makes a data set from your own arrays or DataFrames.

    Integers and booleans are discrete values; floats are real values, stored as float32. A missing
    test split, then a missing validation split, is cut from the training examples: a tenth of those
    that remain, or 10,000 if there are at least 50,000, chosen at random with a fixed seed.

    Args:
      train: [N, ...] examples, or a table of N rows.
      validation: [M, ...], or None.
      test: [L, ...], or None.
      labels: [N] integers for each of the three splits; None for a split without labels.
      contexts: [N, ...] integers or reals for each split: the context that conditional models
        p(x | context) get with each example; by default the labels.
      label: the column of a table that contains the labels; by default the one named "label", if
        any; "" if there is none. A table that mixes integer and real columns is an error unless
        label is given; its integers are then real values.
      num_values: K of integers in [0, K); by default 256 for bytes that are not all 0 and 1, else
        the largest value in the splits plus 1.
      binary: whether the arrays contain two values, of any type; the larger becomes 1, the other 0.
        Without it, floats that are all 0 or 1 are real values, and bytes that are all 0 or 255 have
        256 levels, with a warning.
      standardize: whether to subtract the mean of the training examples and divide by their
        standard deviation, in double precision, before converting to float32: for columns such as
        times, whose values are large but vary little. A `Standardize` of other examples is
        applied unchanged. `Split.log_volume` includes it, and `Dataset.to_original` undoes it.
      name: the name of the data set.

    Raises:
      ValueError: the arrays have different shapes or types, values are out of range or too large
        or precise for float32, or the labels do not fit.
    """
    given, labels = (train, validation, test), (*labels, None, None, None)[:3]
    parts, labels, columns = tables.split_all(given, labels, label, name)
    held = [x for x in parts if x is not None]
    if binary:
        if num_values not in (None, 2):
            raise ValueError(f"{name} cannot be binary with num_values={num_values}; give one.")
        recoded = iter(values.as_binary(held, name))
        parts = [None if x is None else next(recoded) for x in parts]
        held, num_values = [x for x in parts if x is not None], 2
    event = values.event_of(held, num_values, name)
    _check(event, parts, labels, name)
    contexts = [None if c is None else np.asarray(c) for c in (*contexts, *(None,) * 3)[:3]]
    context = _space_of(contexts, parts, name)
    named = zip(parts, labels, contexts, strict=True)
    filled = _fill([_columns(*entries) for entries in named], name)
    scale = _standardize(filled, event, standardize) if standardize else None
    if not event.discrete:
        values.check_precision([part["x"] for part in filled], name, columns)
    sources = [Arrays(_narrow(event, part)) for part in filled]
    num_labels = (
        None if labels[0] is None else 1 + max(int(y.max()) for y in labels if y is not None)
    )
    made = tuple(part for part, x in zip(PARTS, parts, strict=True) if x is None)
    dataset = make(name, sources, event, num_labels=num_labels, context=context, made=made)
    return dataset if scale is None else _standardized(dataset, scale)


def _check(
    event: Event,
    parts: Sequence[np.ndarray | None],
    labels: Sequence[np.ndarray | None],
    name: str,
) -> None:
    """Raises ValueError unless the examples belong to the event and the labels fit them."""
    for part, x, y in zip(PARTS, parts, labels, strict=True):
        where = f"{name} {part}"
        if x is None:
            if y is not None:
                raise ValueError(f"{name} has labels for {part}, which is not given.")
            continue
        if x.shape[1:] != event.shape:
            raise ValueError(f"{where} needs shape {('N', *event.shape)}, as train; got {x.shape}.")
        event.check(x, where)
        if (y is None) != (labels[0] is None):
            raise ValueError(f"{name} needs labels for every split that is given, or for none.")
        if y is None:
            continue
        if y.shape != x.shape[:1] or y.dtype.kind not in "iu":
            raise ValueError(
                f"{where} needs a label of at least 0 for each of its {len(x)} examples, an "
                f"integer array [N]; got {y.dtype} {y.shape}."
            )
        if y.min() < 0 or y.max() >= values.LARGEST:
            raise ValueError(
                f"{where} needs labels of at least 0 and below {values.LARGEST}; got labels from "
                f"{y.min()} to {y.max()}."
            )


def _space_of(
    contexts: Sequence[np.ndarray | None], parts: Sequence[np.ndarray | None], name: str
) -> Event | None:
    """The space of the contexts; raises ValueError if they do not match the examples."""
    if all(c is None for c in contexts):
        return None
    for part, x, c in zip(PARTS, parts, contexts, strict=True):
        if (x is None) != (c is None) or (c is not None and c.shape[:1] != x.shape[:1]):
            raise ValueError(
                f"{name} {part} needs a context for each of its "
                f"{'no' if x is None else len(x)} examples; got "
                f"{'none' if c is None else c.shape}."
            )
    held = [c for c in contexts if c is not None]
    event = values.event_of(held, None, f"context of {name}")
    for c in held:
        event.check(c, f"context of {name}")
    return event


def _columns(
    x: np.ndarray | None, y: np.ndarray | None, context: np.ndarray | None
) -> dict[str, np.ndarray] | None:
    if x is None:
        return None
    entries = {"x": x, "label": y, "context": context}
    return {name: entry for name, entry in entries.items() if entry is not None}


def _narrow(event: Event, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """The checked arrays as stored: bytes where these suffice, else int32 or float32."""
    x = columns["x"]
    narrow = {**columns, "x": x if x.dtype == np.uint8 else x.astype(event.dtype)}
    if "label" in columns:
        narrow["label"] = columns["label"].astype(np.int32)
    if "context" in columns:
        real = columns["context"].dtype.kind == "f"
        narrow["context"] = columns["context"].astype(np.float32 if real else np.int32)
    return narrow


def _fill(columns: list[dict[str, np.ndarray] | None], name: str) -> list[dict[str, np.ndarray]]:
    """Cuts the missing splits from the training examples."""
    train, validation, test = columns
    if validation is not None and test is not None:
        return columns
    # RandomState's numbers never change, so every NumPy release selects the same examples.
    order = np.random.RandomState(0).permutation(len(train["x"]))
    held_out = []
    for given in (test, validation):
        if given is None:
            size = len(order) - cut(len(order))
            order, numbers = order[:size], order[size:]
            given = {name: values[numbers] for name, values in train.items()}
        held_out.append(given)
    if len(order) == 0:
        raise ValueError(
            f"{name} has {len(train['x'])} examples, too few to cut the missing splits from."
        )
    return [{name: values[order] for name, values in train.items()}, *held_out[::-1]]


def _standardize(
    parts: list[dict[str, np.ndarray]], event: Event, how: bool | Standardize
) -> Standardize:
    """Replaces real examples by standardized ones, in double precision; returns the transform."""
    fitted = how if isinstance(how, Standardize) else Standardize.fit(parts[0]["x"])
    fitted.event(event)
    mean, scale = (np.reshape(v, event.shape) for v in (fitted.mean, fitted.scale))
    for part in parts:
        part["x"] = ((part["x"].astype(np.float64) - mean) / scale).astype(np.float32)
    return fitted


def _standardized(dataset: Dataset, fitted: Standardize) -> Dataset:
    """The data set of standardized examples, named and described as if it were transformed."""
    splits = {
        part: dataclasses.replace(getattr(dataset, part), standardized=fitted) for part in PARTS
    }
    return dataclasses.replace(
        dataset,
        name=dataset.name + fitted.suffix,
        preprocessing=fitted.describe,
        **splits,
    )
