"""Arrays of one's own, and `.npz` files of them."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from gm.core import Event
from gm.data.dataset import Dataset, cut, make
from gm.data.stored import Arrays

PARTS = {
    "train": ("train", "x_train"),
    "validation": ("validation", "valid", "val", "x_validation", "x_valid", "x_val"),
    "test": ("test", "x_test"),
}
LABELS = {
    "train": ("train_labels", "y_train"),
    "validation": (
        "validation_labels",
        "valid_labels",
        "val_labels",
        "y_validation",
        "y_valid",
        "y_val",
    ),
    "test": ("test_labels", "y_test"),
}


def from_arrays(
    train: np.ndarray,
    validation: np.ndarray | None = None,
    test: np.ndarray | None = None,
    *,
    labels: Sequence[np.ndarray | None] = (None, None, None),
    num_values: int | None = None,
    name: str = "arrays",
) -> Dataset:
    """A data set of one's own arrays.

    Integers and booleans are discrete, floats are real (held as float32). A missing validation
    or test split is cut from the training examples, first the test split: a tenth of what
    remains each time, or 10,000 of 50,000 or more, at random but always the same ones.

    Args:
      train: [N, ...] examples.
      validation: [M, ...], or None.
      test: likewise.
      labels: [N] integers for each of the three splits; None where there are none.
      num_values: K of integers in [0, K); by default the largest value of the splits plus 1.
      name: of the data set.

    Raises:
      ValueError: arrays of different shapes or kinds, values out of range, or labels that do
        not fit.
    """
    parts = [None if x is None else np.asarray(x) for x in (train, validation, test)]
    labels = [None if y is None else np.asarray(y) for y in (*labels, None, None, None)[:3]]
    event = _event([x for x in parts if x is not None], num_values, name)
    for part, x, y in zip(PARTS, parts, labels, strict=True):
        if x is not None:
            _check(event, f"{name} {part}", x, y)
        elif y is not None:
            raise ValueError(f"{name} has labels for {part}, which is not given.")
    if any(
        (y is None) != (labels[0] is None)
        for x, y in zip(parts, labels, strict=True)
        if x is not None
    ):
        raise ValueError(f"{name} needs labels for every split that is given, or for none.")

    columns = [_columns(event, x, y) for x, y in zip(parts, labels, strict=True)]
    sources = [Arrays(column) for column in _fill(columns)]
    num_labels = (
        None if labels[0] is None else 1 + max(int(y.max()) for y in labels if y is not None)
    )
    return make(name, sources, event, num_labels=num_labels)


def read_npz(path: str | os.PathLike[str]) -> Dataset:
    """The data set of a `.npz` file, by the rules of `from_arrays`.

    It holds `train`, maybe `validation` (or `valid`) and `test`, labels as `train_labels` and so
    on; or `x` with maybe `label`, which is cut into three; and maybe `num_values`, K. Keras's
    `x_train`, `y_train` and so on are understood as well. Pickled arrays are not loaded: they can
    run any code.

    Raises:
      FileNotFoundError: no such file.
      ValueError: pickled arrays, or no examples.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise FileNotFoundError(f"no file at {path}.")
    with np.load(path, allow_pickle=False) as file:
        held = {name: _entry(file, name, path) for name in file.files}

    def first(names: Sequence[str]) -> Any:
        return next((held[name] for name in names if name in held), None)

    train = first((*PARTS["train"], "x"))
    if train is None:
        raise ValueError(
            f"{path} needs an array 'train' or 'x'; it holds {', '.join(held) or 'none'}."
        )
    num_values = held.get("num_values")
    return from_arrays(
        train,
        first(PARTS["validation"]),
        first(PARTS["test"]),
        labels=(
            first((*LABELS["train"], "label", "labels", "y")),
            first(LABELS["validation"]),
            first(LABELS["test"]),
        ),
        num_values=None if num_values is None else int(num_values),
        name=path.stem,
    )


def _entry(file: Any, name: str, path: pathlib.Path) -> np.ndarray:
    try:
        return file[name]
    except ValueError as error:
        if "allow_pickle" not in str(error):
            raise
        raise ValueError(
            f"{path} holds {name!r} as a pickled array, which is not loaded because it can run any "
            "code. Save it as an array of numbers: numpy.savez(path, train=x)."
        ) from error


def _event(parts: Sequence[np.ndarray], num_values: int | None, name: str) -> Event:
    kinds = {x.dtype.kind for x in parts}
    if not kinds <= set("iub") and kinds != {"f"}:
        dtypes = ", ".join(sorted({str(x.dtype) for x in parts}))
        raise ValueError(
            f"{name} needs integers in every split or floats in every one; got {dtypes}."
        )
    if any(x.ndim < 1 or len(x) == 0 for x in parts):
        shapes = [x.shape for x in parts]
        raise ValueError(f"{name} needs examples [N, ...] in every split; got shapes {shapes}.")
    if kinds != {"f"} and num_values is None:
        num_values = max(2, 1 + max(int(x.max()) for x in parts))
    return Event(parts[0].shape[1:], num_values)


def _check(event: Event, name: str, x: np.ndarray, y: np.ndarray | None) -> None:
    if x.shape[1:] != event.shape:
        raise ValueError(f"{name} needs shape {('N', *event.shape)}, as train; got {x.shape}.")
    event.check(x, name)
    if y is not None and (y.shape != x.shape[:1] or y.dtype.kind not in "iu" or y.min() < 0):
        raise ValueError(
            f"{name} needs a label of at least 0 for each of its {len(x)} examples, an integer "
            f"array [N]; got {y.dtype} {y.shape}."
        )


def _columns(
    event: Event, x: np.ndarray | None, y: np.ndarray | None
) -> dict[str, np.ndarray] | None:
    """The checked arrays as they are held: bytes where they are enough, int32 or float32."""
    if x is None:
        return None
    columns = {"x": x if x.dtype == np.uint8 else x.astype(event.dtype)}
    return columns if y is None else {**columns, "label": y.astype(np.int32)}


def _fill(columns: list[dict[str, np.ndarray] | None]) -> list[dict[str, np.ndarray]]:
    """Cuts the missing splits from the training examples."""
    train, validation, test = columns
    if validation is not None and test is not None:
        return columns
    # A generator whose numbers never change: the same examples in every release.
    order = np.random.RandomState(0).permutation(len(train["x"]))
    held_out = []
    for given in (test, validation):
        if given is None:
            size = len(order) - cut(len(order))
            order, numbers = order[:size], order[size:]
            given = {name: values[numbers] for name, values in train.items()}
        held_out.append(given)
    if len(order) == 0:
        raise ValueError(f"{len(train['x'])} examples are too few to cut the missing splits from.")
    return [{name: values[order] for name, values in train.items()}, *held_out[::-1]]
