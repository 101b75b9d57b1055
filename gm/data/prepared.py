"""Checks of a prepared TFDS folder before TensorFlow Datasets reads it.

TFDS imports the module of every feature that `features.json` names, from anywhere, the working
folder included, and opens the files that `dataset_info.json` names. Here only its own features are
let through, only files in the folder, and only as many examples as these hold.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import re
from collections.abc import Iterator
from typing import Any

FEATURES = re.compile(r"tensorflow_datasets\.core\.features\.[\w.]+", re.ASCII)
DTYPE = re.compile(r"[a-z]+\d*", re.ASCII)
CLASS_KEYS = ("pythonClassName", "python_class_name", "type")  # the last in an older form
NESTED_KEYS = {"json", "content"}  # may hold JSON once more, as a string
LARGEST = 2**24  # bytes of either file


class Refused(ValueError):
    """What is said of a folder in full, but for its name."""


@contextlib.contextmanager
def understood(folder: pathlib.Path) -> Iterator[None]:
    """Turns whatever a damaged folder raises into one ValueError that names it."""
    try:
        yield
    except Refused as error:
        raise ValueError(f"{folder}: {error}") from error
    except Exception as error:  # of protobuf, json, PIL, array_record and TFDS itself
        raise ValueError(
            f"{folder} is no prepared data set of TFDS, or is damaged: {type(error).__name__}: "
            f"{error!s:.200}. Prepare it again."
        ) from error


def check_classes(folder: pathlib.Path) -> None:
    """Raises where a folder's own files name a class that is none of TFDS's features."""
    info, features = _json(folder / "dataset_info.json"), _json(folder / "features.json")
    if "features" in info:  # TFDS writes them beside it, and would take these first
        raise Refused("features belong in features.json, not in dataset_info.json.")
    for key, name in _strings(features):
        if key == "dtype" and not DTYPE.fullmatch(name):
            raise Refused(f"features.json needs a name such as uint8 as dtype; got {name!r:.200}.")
        if key in CLASS_KEYS and not FEATURES.fullmatch(name):
            raise Refused(
                "features.json needs features of TFDS, tensorflow_datasets.core.features...; got "
                f"{name!r:.200}, which would run code of its own. Read the data with that code, "
                "and give its arrays to gm.data.from_arrays."
            )


def _json(path: pathlib.Path) -> Any:
    if path.stat().st_size > LARGEST:
        raise Refused(f"{path.name} has more than {LARGEST:,} bytes.")
    return json.loads(path.read_text("utf-8"), object_pairs_hook=_once)


def _strings(value: Any) -> Iterator[tuple[str, str]]:
    """Every string in what JSON holds and its key, however deep, also in JSON within a string."""
    left = [value]
    while left:
        value = left.pop()
        if isinstance(value, list):
            left += value
        elif isinstance(value, dict):
            left += value.values()
            strings = {key: text for key, text in value.items() if isinstance(text, str)}
            yield from strings.items()
            for key in NESTED_KEYS & strings.keys():
                left.append(json.loads(strings[key], object_pairs_hook=_once))


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object whose keys are there once: readers differ in which of two they take."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key that is there twice")
    return dict(pairs)


def check_files(folder: pathlib.Path, splits: Any) -> None:
    """Raises unless every split's files are in the folder and hold what it says.

    Args:
      folder: as it is prepared.
      splits: {name: SplitInfo} of its builder.
    """
    from array_record.python import array_record_module

    named = set()
    for name, split in splits.items():
        if not split.num_examples:
            raise Refused(f"the split {name!r:.200} has no examples.")
        for path, said in zip(split.filepaths, split.shard_lengths, strict=True):
            path = pathlib.Path(path)
            if path.parent.resolve() != folder.resolve() or not path.is_file():
                raise Refused(f"the split {name!r:.200} needs a file in this folder; got {path}.")
            named.add(path.name)
            reader = array_record_module.ArrayRecordReader(str(path))
            held = reader.num_records()
            reader.close()
            if held != said:
                raise Refused(f"{path.name} needs {said:,} examples, as is said; got {held:,}.")
    left = sorted(path.name for path in folder.glob("*.array_record*") if path.name not in named)
    if left:
        raise Refused(f"no split is said to hold {', '.join(left):.200}.")
