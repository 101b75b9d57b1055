"""Files of one's own: `.npz`, `.npy`, `.csv` and `.mat`, by the rules of `from_arrays`."""

from __future__ import annotations

import os
import pathlib
import warnings
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gm.data import arrays, tables
from gm.data.dataset import Dataset

SUFFIXES = (".npz", ".npy", ".csv", ".tsv", ".mat")
FOREIGN = (".h5", ".hdf5", ".pt", ".pth", ".pkl", ".pickle", ".parquet", ".txt", ".png", ".wav")
STEMS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
EXAMPLES = ("{}", "x_{}", "{}_x", "{}_data", "{}_images")
LABELS = ("{}_labels", "{}_label", "y_{}", "{}_y")
WHOLE = ("x", "data", "arr_0")  # to be cut into three; `numpy.savez(path, x)` calls it arr_0
WHOLE_LABELS = ("label", "labels", "y")
UNREADABLE = (ValueError, TypeError, EOFError, OSError, KeyError, zipfile.BadZipFile, zlib.error)


def read(path: str | os.PathLike[str], **options: Any) -> Dataset:
    """The data set of a file; see `gm.data.load` for what it holds.

    Args:
      path: ends in one of `SUFFIXES`.
      **options: of `from_arrays`.

    Raises:
      FileNotFoundError: no such file.
      ValueError: a file that is not what its name says, pickled arrays, or no examples.
    """
    path = pathlib.Path(path).expanduser()
    if not path.exists():
        raise FileNotFoundError(f"no file at {path}.")
    options = {"name": path.stem, **options}
    if path.suffix in (".csv", ".tsv"):
        return arrays.from_arrays(tables.read_csv(path), **options)
    held = read_mat(path) if path.suffix == ".mat" else read_numpy(path)
    if isinstance(held, np.ndarray):
        return arrays.from_arrays(held, **options)
    return arrays.from_arrays(**choose(held, path), **options)


def choose(held: Mapping[str, np.ndarray], path: pathlib.Path) -> dict[str, Any]:
    """The arguments of `from_arrays` among named arrays; capitals count as small letters.

    Raises:
      ValueError: no examples, or two names that differ in capitals only.
    """
    left = {name.lower(): x for name, x in held.items()}
    if len(left) < len(held):
        raise ValueError(f"{path} has names that differ in capitals only: {', '.join(held)}.")

    def take(patterns: Sequence[str], stems: Sequence[str] = ("",)) -> Any:
        names = (pattern.format(stem) for stem in stems for pattern in patterns)
        return left.pop(next((name for name in names if name in left), None), None)

    found = {part: take(EXAMPLES, stems) for part, stems in STEMS.items()}
    labels = [take(LABELS, stems) for stems in STEMS.values()]
    if found["train"] is None:
        found["train"] = take(WHOLE)
    if labels[0] is None:
        labels[0] = take(WHOLE_LABELS)
    if found["train"] is None:
        raise ValueError(
            f"{path} needs an array 'train' or 'x'; it holds {', '.join(held) or 'none'}."
        )
    num_values = left.pop("num_values", None)
    if left:
        warnings.warn(
            f"{path} holds {', '.join(left)} as well, which is not read: gm.data knows train, "
            "validation (valid, val) and test, x, and their labels as train_labels or y.",
            stacklevel=4,
        )
    return {
        **found,
        "labels": [y if y is None or path.suffix != ".mat" else y.ravel() for y in labels],
        "num_values": None if num_values is None else int(np.asarray(num_values).item()),
    }


def read_numpy(path: pathlib.Path) -> dict[str, np.ndarray] | np.ndarray:
    """The arrays of a `.npz` file by their names, or the array of a `.npy` file.

    Pickled arrays are not loaded: they can run any code.

    Raises:
      ValueError: pickled arrays, or another kind of file.
    """
    name = path.name
    try:
        with open(path, "rb") as file:
            loaded = np.load(file, allow_pickle=False)
            if isinstance(loaded, np.ndarray):
                return loaded
            held = {}
            for name in loaded.files:
                held[name] = loaded[name]
            return held
    except UNREADABLE as error:
        if "allow_pickle=False" in str(error) and "Object arrays" in str(error):
            raise ValueError(
                f"{path} holds {name!r} as a pickled array, which is not loaded because it can run "
                "any code. Save it as an array of numbers: numpy.savez(path, train=x)."
            ) from error
        raise _unreadable(path, f"numpy.savez or numpy.save writes {path.suffix} files") from error


def read_mat(path: pathlib.Path) -> dict[str, np.ndarray] | np.ndarray:
    """The arrays of a MATLAB 5 file by their names, or its only array.

    Raises:
      ValueError: another kind of file, with what makes a `.npz` of it where that is one line.
    """
    from scipy import io

    try:
        held = io.loadmat(path)
    except NotImplementedError as error:
        raise ValueError(
            f"{path} is a MATLAB 7.3 file, that is HDF5. Once, with h5py: "
            f"numpy.savez({str(path.with_suffix('.npz'))!r}, "
            f"**{{k: v[()].T for k, v in h5py.File({str(path)!r}).items() if hasattr(v, 'shape')}})"
        ) from error
    except (*UNREADABLE, io.matlab.MatReadError) as error:
        raise _unreadable(path, "MATLAB's save(path, '-v6') writes .mat files") from error
    held = {name: x for name, x in held.items() if isinstance(x, np.ndarray)}
    return next(iter(held.values())) if len(held) == 1 else held


def _unreadable(path: pathlib.Path, writes: str) -> ValueError:
    size = path.stat().st_size
    return ValueError(
        f"{path} is no {path.suffix} file, or not the whole of one ({size:,} bytes); {writes}."
    )


def foreign(path: str) -> ValueError | None:
    """What to do with a file of another kind; None where the name is not that of a file."""
    suffix = pathlib.Path(path).suffix
    if not os.path.isfile(path) and suffix not in FOREIGN:
        return None
    stem = pathlib.Path(path).stem
    how = f"gm.data.from_arrays(x), or once numpy.savez('{stem}.npz', train=x)"
    if suffix == ".txt":
        how = f"gm.data.from_texts({stem!r}, open({path!r}).read(), window=128)"
    return ValueError(
        f"{path!r} is not of a kind that gm.data.load reads ({', '.join(SUFFIXES)}). Read it "
        f"yourself, and give what it holds: {how}."
    )
