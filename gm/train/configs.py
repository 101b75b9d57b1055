"""Configurations as JSON, reproducible across processes and compared by name."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import types
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from gm.train import identity, jsons

# A repr that omits something, or that differs between processes.
_LOSSY = re.compile(r" at 0x|rray\(|\.\.\.")
_FOLDERS = ("folder", "dir", "directory", "path", "out", "output")  # endings of field names


def as_json(config: Any, unknown: list[str] | None = None) -> dict:
    """A dataclass or dict as plain JSON.

    Values that JSON cannot represent become strings: their repr, or, if that is incomplete, as for
    arrays and functions, their description by `identity`.

    Args:
      config: a dataclass or dict.
      unknown: a list that gets a line for each value that is described only by its type.

    Raises:
      TypeError: config is of another type.
      ValueError: config is nested too deeply.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            return value.item()
        if isinstance(value, Set):
            return sorted(map(convert, value), key=json.dumps)
        if not isinstance(value, types.FunctionType) and not _LOSSY.search(str(value)):
            return str(value)
        values = identity.describe(value).values
        if len(values) > 1:
            return values
        if type(value).__qualname__ == values[""] and unknown is not None:
            unknown.append(f"the config's {values['']}, which is described only by its type")
        return values[""]

    def convert(value: Any) -> Any:
        return jsons.parse(json.dumps(value, default=plain))

    return convert(_fields(config))


def without_folder(config: Any, folder: pathlib.Path) -> dict[str, Any]:
    """The fields of a configuration except the folder of the run."""
    return {k: v for k, v in _fields(config).items() if not _is_folder(k, v, folder)}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"width": 3}} -> {"model.width": 3}; names that contain a dot are quoted."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        path = prefix + (repr(name) if re.search("[.'\"]", name) else name)
        if isinstance(value, dict) and value:
            found |= flat(value, f"{path}.")
        else:
            found[path] = value
    return found


def _fields(config: Any) -> dict[str, Any]:
    """The top-level fields of a configuration."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return dataclasses.asdict(config)
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a dataclass or a dict; got {type(config).__name__}.")
    return dict(config)


def _is_folder(name: Any, value: Any, folder: pathlib.Path) -> bool:
    """Whether a field is the folder: a path, or a string in a field with such a name."""
    says = isinstance(value, os.PathLike) or str(name).lower().endswith(_FOLDERS)
    return says and str(value) != "" and _place(value) == folder


def _place(value: Any) -> pathlib.Path | None:
    known = isinstance(value, (str, os.PathLike))
    return pathlib.Path(os.path.expanduser(value)) if known else None
