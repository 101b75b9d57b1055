"""`load`: a data set by its name."""

from __future__ import annotations

import difflib
import os

from gm.data import arrays, digits, text, tfds, toy
from gm.data.dataset import Dataset
from gm.data.transforms import (
    Decimate,
    DynamicBinarization,
    MuLaw,
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
) -> Dataset:
    """Train, validation and test splits, and what models need to know of their examples.

    | name | what | splits |
    |---|---|---|
    | `digits` | 8x8 images of 17 levels, labels | 1,437 / 180 / 180, fixed |
    | `python_docs` | text that ships with Python | first 90 %, next 5 %, last 5 % |
    | a name in `toy.DENSITIES` | drawn from a known density | 50,000 / 5,000 / 5,000 |
    | a TFDS name: `mnist`, `wine_quality/red`, `set/config:version` | what TFDS has prepared | \
the official ones; a missing one is cut from the end of train, test first: 10,000 examples of \
50,000 or more, else a tenth (MNIST: 50,000 / 10,000 / 10,000) |
    | a path that ends in `.npz` | arrays of one's own | see `arrays.read_npz` |
    | any of these + `_threshold`, `_dynamic`, `_dequantized` | with `Threshold()`, \
`DynamicBinarization()`, `UniformDequantization()`: `mnist_dynamic` | as above |
    | sound + `_mulaw`, `_decimated` | with `MuLaw()`, `Decimate()`: `fsdd_decimated_mulaw` | \
as above |

    From TFDS, x is the input of the set's supervised task, or its first image, text or number.
    Images are [H, W] where there is one channel, else [H, W, C], K = 256 (`binarized_mnist`: 2);
    audio is in [-1, 1); tables of numbers are vectors in the order of the column names; the
    texts of a split are joined.

    Args:
      name: see above.
      transform: what is done to every example; more with `Dataset.map`.
      data_dir: where TFDS has prepared its sets; by default `TFDS_DATA_DIR` from the environment,
        else `~/tensorflow_datasets`.
      in_memory: for TFDS sets other than text, whether to read all examples once (True) or each
        when it is needed (False); by default in memory up to 2 GB decoded. Everything else is
        in memory. The batches are the same either way.
      window: T of text, characters per example.
      length: of audio, samples per example.

    Raises:
      ValueError: an unknown name (the message has near matches), or a transform that does not fit.
      FileNotFoundError: a TFDS set that is not prepared here, or a file that is not there.
    """
    dataset = _load(os.fspath(name), data_dir, in_memory, window, length)
    return dataset if transform is None else dataset.map(transform)


def _load(
    name: str,
    data_dir: str | os.PathLike[str] | None,
    in_memory: bool | None,
    window: int,
    length: int,
) -> Dataset:
    if name == "digits":
        return digits.digits()
    if name == "python_docs":
        return text.python_docs(window)
    if name in toy.DENSITIES:
        return toy.drawn(name, toy.DENSITIES[name])
    if name.endswith(".npz"):
        return arrays.read_npz(name)
    folder = tfds.find(name, data_dir)
    if folder is not None:
        return tfds.read(name, folder, in_memory, window, length)
    for transform in NAMED:
        if name.endswith(transform.suffix):
            base = name.removesuffix(transform.suffix)
            return _load(base, data_dir, in_memory, window, length).map(transform)
    raise _missing(name, data_dir)


def _missing(name: str, data_dir: str | os.PathLike[str] | None) -> Exception:
    """Why there is no such data set here, and what would work."""
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
    built_in = {"digits", "python_docs", *toy.DENSITIES}
    near = difflib.get_close_matches(base, sorted(built_in | here | known), n=3)
    guess = "; did you mean " + " or ".join(map(repr, near)) + "?" if near else "."
    return ValueError(
        f"unknown dataset {name!r}{guess} Built in are {', '.join(sorted(built_in))}; other names "
        f"are those of TFDS (looked in {where}) and paths of .npz files."
    )
