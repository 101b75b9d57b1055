"""Data sets prepared by TensorFlow Datasets, read without TensorFlow.

They are searched in `data_dir`, else `TFDS_DATA_DIR`, else `~/tensorflow_datasets`, and must be in
the ArrayRecord format. Preparing a data set needs TensorFlow and a network, once, on any machine.
"""

from __future__ import annotations

import functools
import logging
import math
import os
import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from gm.core import Batch, Event
from gm.data import prepared, values
from gm.data.dataset import Dataset, cut, make
from gm.data.stored import Arrays, Records
from gm.data.text import from_texts

MEMORY = 2_000_000_000  # bytes, decoded; larger sets are streamed
EVENTS = {"binarized_mnist": Event((28, 28), 2)}  # the stored type has 256 values
VALIDATION = ("validation", "valid", "val", "dev")
VERSION = re.compile(r"\d+\.\d+\.\d+")


def root(data_dir: str | os.PathLike[str] | None) -> pathlib.Path:
    """The folder of prepared data sets."""
    path = data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(os.path.expanduser(path))  # works without a home folder


def find(name: str, data_dir: str | os.PathLike[str] | None) -> pathlib.Path | None:
    """The prepared folder of "set", "set/config", "set:version" or "set/config:version".

    It is the newest version by default; None if nothing is prepared.

    Raises:
      FileNotFoundError: only other versions than the requested one are prepared.
      ValueError: the set has configurations, and none is requested.
    """
    path, _, version = name.partition(":")
    folder = root(data_dir) / path
    if not path or not folder.is_dir():
        return None
    held = {child.name for child in folder.iterdir() if _prepared(child)}
    if version and held:
        if version not in held:
            raise FileNotFoundError(
                f"{path!r} is prepared as {', '.join(sorted(held))} in {folder}."
            )
        return folder / version
    if held:
        return folder / max(held, key=lambda v: tuple(map(int, v.split("."))))
    configs = sorted(
        c.name for c in folder.iterdir() if c.is_dir() and any(map(_prepared, c.iterdir()))
    )
    if configs:
        choices = " or ".join(repr(f"{path}/{config}") for config in configs)
        raise ValueError(f"{path!r} comes in configurations; ask for {choices}.")
    return None


def _prepared(folder: pathlib.Path) -> bool:
    return bool(VERSION.fullmatch(folder.name)) and (folder / "dataset_info.json").exists()


def names() -> set[str]:
    """The names of all data sets that TFDS can prepare."""
    import tensorflow_datasets as tfds

    # Community data sets are listed on a server only. Without TensorFlow some builders do not
    # register; most of these have their own folder.
    folders = pathlib.Path(tfds.__file__).parent.glob("*/*/*.py")
    own = {path.stem for path in folders if path.stem == path.parent.name}
    return own | set(tfds.list_builders(with_community_datasets=False))


def read(
    name: str, folder: pathlib.Path, in_memory: bool | None, window: int, length: int
) -> Dataset:
    """Reads the data set in a prepared folder; see `gm.data.load`."""
    import tensorflow_datasets as tfds

    with prepared.understood(folder):
        prepared.check_classes(folder)
        builder = tfds.builder_from_directory(folder)
        kind = builder.info.file_format.value
        if kind != "array_record":
            raise prepared.Refused(
                f"{name} is prepared as {kind}, which only TensorFlow reads. Prepare it again: "
                f"tfds build {name} --file_format=array_record"
            )
        prepared.check_files(folder, builder.info.splits)
        features = builder.info.features
        x_name, label_name = _choose(features, builder.info.supervised_keys)
        sources = _splits(builder)
        texts = [_text(s, x_name) for s in sources] if _is_text(features[x_name]) else None
    if texts is not None:
        return from_texts(name, texts, window)

    event, decode_x, describe = _decoder(name, features[x_name], EVENTS.get(builder.name), length)
    decode = functools.partial(_decode, x_name, label_name, decode_x)
    records = [Records(s.examples, s.numbers, decode, str(folder)) for s in sources]
    details = {"preprocessing": describe, "made": _made(builder)}
    if label_name is not None:
        details["num_labels"] = getattr(features[label_name], "num_classes", None)
    if in_memory is None:
        item = 1 if event.num_values is not None and event.num_values <= 256 else 4
        in_memory = sum(map(len, records)) * event.size * item <= MEMORY
    if not in_memory:
        return make(name, records, event, **details)
    arrays = [source.in_memory() for source in records]
    for source in arrays:
        event.check(source.columns["x"], name)
    if not event.discrete:
        arrays = _single([source.columns for source in arrays], name)
    if label_name is not None and details["num_labels"] is None:
        details["num_labels"] = 1 + max(int(a.columns["label"].max()) for a in arrays)
    return make(name, arrays, event, **details)


def _single(parts: list[Mapping[str, np.ndarray]], name: str) -> list[Arrays]:
    """Converts real examples to float32 after checking that its precision suffices."""
    values.check_precision([part["x"] for part in parts], name)
    return [Arrays({**part, "x": part["x"].astype(np.float32, copy=False)}) for part in parts]


def _decode(x_name: str, label_name: str | None, decode_x: Callable, example: Any) -> Batch:
    out = {"x": decode_x(example[x_name])}
    if label_name is not None:
        out["label"] = np.int32(int(example[label_name]))  # int(): a label too large is an error
    return out


def _choose(features: Mapping[str, Any], supervised: Any) -> tuple[str, str | None]:
    """The names of the features for x and, if there is one, the label."""
    named = isinstance(supervised, tuple) and all(isinstance(key, str) for key in supervised)
    if named:
        x_name, label_name = supervised[:2]
    else:
        # Sorted, because their order in TFDS differs between processes.
        usable = [
            key for key in sorted(features) if _is_text(features[key]) or _is_numeric(features[key])
        ]
        ranked = sorted(usable, key=lambda key: type(features[key]).__name__ != "Image")
        x_name = next((key for key in ranked if key != "label"), None)
        label_name = "label"
    if x_name not in features:
        raise prepared.Refused(
            f"no images, text or numbers among the features {', '.join(sorted(features)):.200}."
        )
    if label_name not in features:
        if named:
            raise prepared.Refused(
                f"no feature {label_name!r:.200}, the label, among "
                f"{', '.join(sorted(features)):.200}."
            )
        return x_name, None
    label = features[label_name]
    is_class = label.shape == () and np.issubdtype(label.np_dtype, np.integer)
    return x_name, label_name if is_class else None


def _is_text(feature: Any) -> bool:
    return type(feature).__name__ == "Text"


def _is_numeric(feature: Any) -> bool:
    return not isinstance(feature.np_dtype, dict) and np.dtype(feature.np_dtype).kind in "iufb"


def _splits(builder: Any) -> list[Records]:
    """Train, validation and test, undecoded.

    A missing test split, then a missing validation split, is cut from the end of the training
    examples, which TFDS shuffled when it prepared them; `dataset.cut` gives the size.
    """
    logging.getLogger("absl").addFilter(_not_opencv)
    held = builder.info.splits
    if "train" not in held:
        raise prepared.Refused(f"{builder.name} has no split 'train', only {', '.join(held):.200}.")

    def whole(split: str) -> Records:
        examples = builder.as_data_source(split=split)
        return Records(examples, range(len(examples)), dict)

    train = whole("train")
    held_out = []
    for options in (("test",), VALIDATION):
        official = next((split for split in options if split in held), None)
        size = len(train) if official else len(train) - cut(len(train))
        held_out.append(
            whole(official) if official else Records(train.examples, train.numbers[size:], dict)
        )
        train = Records(train.examples, train.numbers[:size], dict)
    return [train, *held_out[::-1]]


def _made(builder: Any) -> tuple[str, ...]:
    """The splits that are cut from the training examples."""
    official = {"validation": VALIDATION, "test": ("test",)}
    held = builder.info.splits
    return tuple(part for part, names in official.items() if not any(n in held for n in names))


def _not_opencv(record: logging.LogRecord) -> bool:
    """TFDS recommends OpenCV in a warning; Pillow decodes the same pixels."""
    return not str(record.msg).startswith("OpenCV is not installed")


def _text(source: Records, x_name: str) -> str:
    """The concatenated texts of a split."""
    texts = [source.examples[number][x_name] for number in source.numbers]
    return "\n".join(t.decode("utf-8") if isinstance(t, bytes) else t for t in texts)


def _decoder(
    name: str, feature: Any, event: Event | None, length: int
) -> tuple[Event, Callable[[Any], np.ndarray], str]:
    """The event, a function that decodes a feature to it, and a phrase that describes it."""
    if isinstance(feature.np_dtype, dict):
        return _table(name, feature)
    shape, dtype = feature.shape, np.dtype(feature.np_dtype)
    if event is not None:
        return event, lambda x: np.asarray(x, np.uint8).reshape(event.shape), "none"
    if shape == (None,) and dtype.kind in "if":
        return _audio(dtype, length)
    if None in shape or dtype.kind not in "iufb":
        raise ValueError(
            f"{name} has examples of shape {shape} and type {dtype}; gm.data reads those of one "
            "shape, audio, text and tables. Give arrays of your own to gm.data.from_arrays."
        )
    if dtype.kind == "f":
        return Event(shape), lambda x: np.asarray(x, np.promote_types(dtype, np.float32)), "none"
    shape = shape[:-1] if len(shape) == 3 and shape[-1] == 1 else shape  # drop one channel
    if dtype not in (np.bool_, np.uint8):
        raise ValueError(
            f"{name} holds {dtype}, which does not say how many values there are. Give its "
            "arrays to gm.data.from_arrays with num_values."
        )
    num_values = 2 if dtype == np.bool_ else 256
    return Event(shape, num_values), lambda x: np.asarray(x, np.uint8).reshape(shape), "none"


def _audio(dtype: np.dtype, length: int) -> tuple[Event, Callable[[Any], np.ndarray], str]:
    """Sound in [-1, 1): 16-bit integers over 2^15, cropped or padded with silence at the end."""
    if length < 1:
        raise ValueError(f"audio needs a length of at least 1 sample; got {length}.")

    def decode(x: Any) -> np.ndarray:
        x = np.asarray(x[:length], np.float32) / (1.0 if dtype.kind == "f" else 2.0**15)
        return np.pad(x, (0, length - len(x)))

    return Event((length,)), decode, f"the first {length} samples, padded with silence"


def _table(name: str, feature: Any) -> tuple[Event, Callable[[Any], np.ndarray], str]:
    """Named numbers as one vector, in the order of their names."""
    columns = sorted(feature.keys())
    if not all(_is_numeric(feature[c]) and None not in feature[c].shape for c in columns):
        raise ValueError(f"{name} has features that are not numbers among {', '.join(columns)}.")
    size = sum(math.prod(feature[c].shape) for c in columns)
    dtype = np.result_type(np.float32, *(np.dtype(feature[c].np_dtype) for c in columns))

    def decode(row: Any) -> np.ndarray:
        return np.concatenate([np.ravel(np.asarray(row[c], dtype)) for c in columns])

    return Event((size,)), decode, "none"
