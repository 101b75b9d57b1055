"""Checks of a prepared TFDS folder before TensorFlow Datasets reads it.

TFDS imports the module of every feature that `features.json` names, even from the working folder,
and opens the files that `dataset_info.json` names. These checks allow only TFDS's own features,
only files in the folder, and only as many examples as these contain.
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
CLASS_KEYS = ("pythonClassName", "python_class_name", "type")  # the last one in an older format
NESTED_KEYS = {"json", "content"}  # may contain JSON as a string
LARGEST = 2**24  # bytes of either file


class Refused(ValueError):
    """An error whose message is shown in full, after the name of the folder."""


@contextlib.contextmanager
def understood(folder: pathlib.Path) -> Iterator[None]:
    """Turns any error that a damaged folder raises into a ValueError that names the folder."""
    try:
        yield
    except Refused as error:
        raise ValueError(f"{folder}: {error}") from error
    except Exception as error:  # from protobuf, json, PIL, array_record and TFDS itself
        raise ValueError(
            f"{folder} is not a prepared data set of TFDS, or is damaged: {type(error).__name__}: "
            f"{error!s:.200}. Prepare it again."
        ) from error


def check_classes(folder: pathlib.Path) -> None:
    """Raises if the folder's files name a class that is not a feature of TFDS."""
    info, features = _json(folder / "dataset_info.json"), _json(folder / "features.json")
    if "features" in info:  # TFDS writes a separate file, but would prefer these
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
    """Every string in a JSON value with its key, at any depth, including JSON within strings."""
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
    """A JSON object; raises if a key is repeated, since readers differ in which value they use."""
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a repeated key")
    return dict(pairs)


def check_files(folder: pathlib.Path, splits: Any) -> None:
    """Raises unless the files of every split are in the folder and contain its examples.

    Args:
      folder: the prepared folder.
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
