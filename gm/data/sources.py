"""`load`: a data set by name or path."""

from __future__ import annotations

import difflib
import os
import pathlib
from typing import Any

from gm.data import contents, digits, files, folders, named, text, tfds, toy
from gm.data.dataset import Dataset
from gm.data.transforms import (
    Decimate,
    DynamicBinarization,
    MuLaw,
    Standardize,
    Threshold,
    Transform,
    UniformDequantization,
)

NAMED = (Threshold(), DynamicBinarization(), UniformDequantization(), MuLaw(), Decimate())


def load(
    name: str | os.PathLike[str],
    *,
    transform: Transform | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    in_memory: bool | None = None,
    window: int = 128,
    length: int = 8192,
    binary: bool = False,
    label: str | None = None,
    standardize: bool | Standardize = False,
    max_bytes: int = contents.MEMORY,
) -> Dataset:
    """Loads a data set: its train, validation and test splits and the space of the examples.

    | name | what | splits |
    |---|---|---|
    | `digits` | 8x8 images of 17 levels, labels | 1,437 / 180 / 180, fixed |
    | `python_docs` | text that ships with Python | first 90 %, next 5 %, last 5 % |
    | a name in `toy.DENSITIES` | sampled from a known density | 50,000 / 5,000 / 5,000 |
    | a TFDS name: `mnist`, `wine_quality/red`, `set/config:version` | prepared by TFDS | \
official; a missing test, then validation split is cut from the end of train: 10,000 examples if \
it has 50,000 or more, else a tenth (MNIST: 50,000 / 10,000 / 10,000) |
    | `mnist`, `fashion_mnist`, `cifar10`, `binarized_mnist`, `tiny_shakespeare`, `fsdd`, \
`wine_quality/red`, `wine_quality/white` | the same examples, downloaded once if TFDS has not \
prepared them | as from TFDS |
    | `dna`, `mushrooms` | binary data sets of the NADE and MADE papers, downloaded once | \
1,400 / 600 / 1,186 and 2,000 / 500 / 5,624 |
    | a path that ends in `.npz`, `.npy`, `.csv`, `.tsv` or `.mat` | your own arrays | those in \
the file; a missing one is cut from train as by `from_arrays` |
    | a path that ends in `.txt` | your own text | first 90 %, next 5 %, last 5 % |
    | a folder of images of one size, or of `.wav` files of one sampling rate | [H, W] or \
[H, W, 3] bytes; [length] real values; subfolders are classes | those of folders `train`, `test`, \
...; else as by `from_arrays` |
    | any of these + `_threshold`, `_dynamic`, `_dequantized` | with `Threshold()`, \
`DynamicBinarization()`, `UniformDequantization()`: `mnist_dynamic` | as above |
    | sound + `_mulaw`, `_decimated` | with `MuLaw()`, `Decimate()`: `fsdd_decimated_mulaw` | \
as above |

    From TFDS, x is the input of the supervised task, or the first image, text or number. Images are
    [H, W] if they have one channel, else [H, W, C], with K = 256 (`binarized_mnist`: 2); audio is
    in [-1, 1); tables of numbers are vectors, sorted by column name; the texts of a split are
    joined.

    A `.npz` or `.mat` file contains `train`, optionally `validation` (or `valid`, `val`) and
    `test`, with labels as `train_labels` and so on; or `x` with an optional `label`; and optionally
    `num_values`, K. The names of Keras (`x_train`, `y_train`) and `train_data` and so on work as
    well. A `.npy` file contains one array; a `.csv` file a table of numbers, with or without names
    in its first line.

    Args:
      name: a name or path, see above.
      transform: a transform of every example; `Dataset.map` adds more.
      data_dir: the folder of sets that TFDS prepared; by default `TFDS_DATA_DIR` from the
        environment, else `~/tensorflow_datasets`. If it is given, nothing is downloaded.
      in_memory: for TFDS sets other than text, whether to read all examples once (True) or each
        when it is needed (False); by default True for at most 2 GB of decoded examples. Other sets
        are always in memory. The batches are the same in both cases.
      window: T of text, characters per example.
      length: samples per example of audio.
      binary: whether the arrays of a file contain two values and are binary data, whatever their
        type; as in `from_arrays`. Other data sets must already have two levels.
      label: the column of a `.csv` file that contains the labels; as in `from_arrays`.
      standardize: whether to standardize real values to mean 0 and variance 1 over the training
        examples; for files, in double precision. A `Standardize` of other examples is applied
        unchanged.
      max_bytes: the most memory that the arrays of a file may need according to its headers; a
        larger file is an error before it is read.

    Raises:
      ValueError: a file cannot be read, the name is unknown (the message lists similar names), or
        the transform or the options do not fit.
      FileNotFoundError: a TFDS set is not prepared, or a file does not exist.
    """
    direct = _is_file(os.fspath(name)) or (_is_own(os.fspath(name)) and os.path.isdir(name))
    own = {"binary": binary, "label": label, "standardize": standardize if direct else False}
    own["max_bytes"] = max_bytes
    dataset = _load(os.fspath(name), data_dir, own, (in_memory, window, length))
    if binary and 2 not in (dataset.train.stored.num_values, dataset.train.scored_event.num_values):
        raise ValueError(
            f"binary=True is for files that hold two values; got {dataset}. "
            "gm.data.Threshold and gm.data.DynamicBinarization make two of many: "
            f"'{dataset.name}_threshold', '{dataset.name}_dynamic'."
        )
    if standardize and not direct:
        known = isinstance(standardize, Standardize)
        dataset = dataset.map(standardize if known else Standardize.fit(dataset.train.x))
    return dataset if transform is None else dataset.map(transform)


def _load(
    name: str, data_dir: str | os.PathLike[str] | None, own: dict[str, Any], sizes: tuple[Any, ...]
) -> Dataset:
    if _is_file(name):
        return files.read(name, **own)
    if _is_own(name):
        return _own(pathlib.Path(name), own, *sizes[1:])
    dataset = _built_in(name, sizes[1])
    folder = None if dataset else tfds.find(name, data_dir)
    if folder is not None:
        dataset = tfds.read(name, folder, *sizes)
    elif dataset is None and data_dir is None:
        dataset = named.load(name, *sizes[1:])
    if dataset is not None:
        if own["label"] is not None:
            raise ValueError(f"label is for a column of a .csv file, and {name!r} is not one.")
        return dataset
    for transform in NAMED:
        if name.endswith(transform.suffix):
            return _load(name.removesuffix(transform.suffix), data_dir, own, sizes).map(transform)
    raise files.foreign(name) or _missing(name, data_dir)


def _built_in(name: str, window: int) -> Dataset | None:
    if name == "digits":
        return digits.digits()
    if name == "python_docs":
        return text.python_docs(window)
    return toy.sampled(name, toy.DENSITIES[name]) if name in toy.DENSITIES else None


def _is_own(name: str) -> bool:
    """Whether it is the path of a text or a folder; names of data sets take precedence."""
    path = pathlib.Path(name)
    folder = (
        bool(name)
        and path.is_dir()
        and name not in {"digits", "python_docs", *toy.DENSITIES, *named.SETS}
    )
    return folder or path.suffix == ".txt"


def _own(path: pathlib.Path, own: dict[str, Any], window: int, length: int) -> Dataset:
    """The data set of a text or of a folder."""
    if own["label"] is not None:
        raise ValueError(f"label is for a column of a .csv file, and {str(path)!r} is not one.")
    if path.is_dir():
        options = {name: own[name] for name in ("binary", "standardize", "max_bytes")}
        return folders.read(path, length, **options)
    return text.read(path, window, own["max_bytes"])


def _is_file(name: str) -> bool:
    return pathlib.Path(name).suffix in files.SUFFIXES


def _missing(name: str, data_dir: str | os.PathLike[str] | None) -> Exception:
    """The error for a data set that is not found, which says what would work."""
    base = name.partition("/")[0].partition(":")[0]
    where, known = tfds.root(data_dir), tfds.names()
    here = {path.name for path in where.iterdir() if path.is_dir()} if where.is_dir() else set()
    if base in known | here:
        held = sorted(path.name for path in (where / base).glob("[!.]*"))
        holds = f" (which holds {', '.join(held)} of {base})" if held else ""
        return FileNotFoundError(
            f"{name!r} is a TFDS data set that is not prepared in {where}{holds}. Prepare it once, "
            "where there are a network and TensorFlow (pip install tensorflow "
            f"tensorflow-datasets): tfds build {name} --file_format=array_record "
            f"--data_dir={where}. If it is prepared elsewhere, give data_dir or set TFDS_DATA_DIR."
        )
    built_in = {"digits", "python_docs", *toy.DENSITIES, *named.SETS}
    near = difflib.get_close_matches(base, sorted(built_in | here | known), n=3)
    guess = "; did you mean " + " or ".join(map(repr, near)) + "?" if near else "."
    return ValueError(
        f"unknown dataset {name!r}{guess} Built in are {', '.join(sorted(built_in))}; other names "
        f"are those of TFDS (looked in {where}) and paths of folders and of "
        f"{', '.join((*files.SUFFIXES, '.txt'))} files."
    )
