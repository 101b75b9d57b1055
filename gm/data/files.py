"""Data sets from files: `.npz`, `.npy`, `.csv` and `.mat`, by the rules of `from_arrays`."""

from __future__ import annotations

import os
import pathlib
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gm.data import arrays, contents, tables
from gm.data.dataset import Dataset

SUFFIXES = (".npz", ".npy", ".csv", ".tsv", ".mat")
FOREIGN = (".h5", ".hdf5", ".pt", ".pth", ".pkl", ".pickle", ".parquet", ".png", ".wav")
STEMS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
EXAMPLES = ("{}", "x_{}", "{}_x", "{}_data", "{}_images")
LABELS = ("{}_labels", "{}_label", "y_{}", "{}_y")
WHOLE = ("x", "data", "arr_0")  # cut into three; `numpy.savez(path, x)` names it arr_0
WHOLE_LABELS = ("label", "labels", "y")


def read(path: str | os.PathLike[str], max_bytes: int = contents.MEMORY, **options: Any) -> Dataset:
    """Reads the data set in a file; `gm.data.load` describes the contents.

    Args:
      path: a path that ends in one of `SUFFIXES`.
      max_bytes: the largest size of the arrays in memory, or of the file if it is a table.
      **options: options of `from_arrays`.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file does not have the format that its name says, needs more than `max_bytes`,
        or contains pickled arrays or no examples; the message names the file.
    """
    path = pathlib.Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no file at {path}.")
    options = {"name": path.stem, **options}
    if path.suffix in (".csv", ".tsv"):
        contents.check_size(path, path.stat().st_size, max_bytes)
        return arrays.from_arrays(tables.read_csv(path), **options)
    with open(path, "rb") as file:
        held = contents.of(path, file)
        roles = choose(held.names, path)
        found = contents.read(path, held, roles.values(), max_bytes)
    given = {role: found[name] for role, name in roles.items()}
    return arrays.from_arrays(**_arguments(given, path), **options)


def choose(names: Sequence[str], path: pathlib.Path) -> dict[str, str]:
    """Maps roles to the names of arrays in a file: {"train": "x_train", "num_values": ...}.

    Names are not case-sensitive. A single array may have any name, except in `.npz` files.

    Raises:
      ValueError: there are no examples, or two names differ only in case.
    """
    if len(names) == 1 and path.suffix != ".npz":
        return {"train": names[0]}
    left = {name.lower(): name for name in names}
    if len(left) < len(names):
        raise ValueError(f"{path} has names that differ in capitals only: {', '.join(names):.200}.")

    def take(patterns: Sequence[str], stems: Sequence[str] = ("",)) -> str | None:
        known = (pattern.format(stem) for stem in stems for pattern in patterns)
        return left.pop(next((name for name in known if name in left), None), None)

    found = {part: take(EXAMPLES, stems) for part, stems in STEMS.items()}
    found |= {f"{part} labels": take(LABELS, stems) for part, stems in STEMS.items()}
    found["train"] = found["train"] or take(WHOLE)
    found["train labels"] = found["train labels"] or take(WHOLE_LABELS)
    found["num_values"] = take(("num_values",))
    if found["train"] is None:
        raise ValueError(
            f"{path} needs an array 'train' or 'x'; it holds {', '.join(names) or 'none':.200}."
        )
    if left:
        warnings.warn(
            f"{path} holds {', '.join(left):.200} as well, which is not read: gm.data knows train, "
            "validation (valid, val) and test, x, and their labels as train_labels or y.",
            stacklevel=4,
        )
    return {role: name for role, name in found.items() if name is not None}


def _arguments(given: Mapping[str, np.ndarray], path: pathlib.Path) -> dict[str, Any]:
    """The arguments of `from_arrays` among the arrays of a file."""
    labels = [given.get(f"{part} labels") for part in STEMS]
    if path.suffix == ".mat":  # in which every array has two axes
        labels = [None if y is None else y.ravel() for y in labels]
    num_values = given.get("num_values")
    if num_values is not None and (
        num_values.size != 1 or num_values.dtype.kind not in "iuf" or num_values.item() % 1
    ):
        raise ValueError(
            f"{path} needs one integer as num_values; got {num_values.dtype} {num_values.shape}."
        )
    return {
        **{part: given.get(part) for part in STEMS},
        "labels": labels,
        "num_values": None if num_values is None else int(num_values.item()),
    }


def foreign(path: str) -> ValueError | None:
    """The error for a file of another type; None if the name is not that of a file."""
    suffix = pathlib.Path(path).suffix
    if not os.path.isfile(path) and suffix not in FOREIGN:
        return None
    stem = pathlib.Path(path).stem
    how = f"gm.data.from_arrays(x), or once numpy.savez('{stem}.npz', train=x)"
    if suffix in (".png", ".wav"):
        how = f"gm.data.load of the folder of all of them, {str(pathlib.Path(path).parent)!r}"
    return ValueError(
        f"{path!r} is not of a kind that gm.data.load reads ({', '.join(SUFFIXES)}). Read it "
        f"yourself, and give what it holds: {how}."
    )
