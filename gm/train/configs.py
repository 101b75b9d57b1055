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

# A text that leaves something out, or that another process would write otherwise.
_LOSSY = re.compile(r" at 0x|rray\(|\.\.\.")
_FOLDERS = ("folder", "dir", "directory", "path", "out", "output")  # how names of folders end


def as_json(config: Any, unknown: list[str] | None = None) -> dict:
    """A dataclass or dict as plain JSON.

    What JSON has no word for is a text; where that would leave something out, as of arrays and
    functions, what `identity` says of it.

    Args:
      config: a dataclass or dict.
      unknown: gets a line for each value that is told by its type alone.

    Raises:
      TypeError: another type.
      ValueError: it is nested too deeply.
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
            unknown.append(f"the config's {values['']}, which is told by its type alone")
        return values[""]

    def convert(value: Any) -> Any:
        return jsons.parse(json.dumps(value, default=plain))

    return convert(_fields(config))


def without_folder(config: Any, folder: pathlib.Path) -> dict[str, Any]:
    """The fields of a configuration but the one that holds the folder of the run."""
    return {k: v for k, v in _fields(config).items() if not _is_folder(k, v, folder)}


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """{"model": {"width": 3}} -> {"model.width": 3}; a name that has a dot is quoted."""
    found: dict[str, Any] = {}
    for name, value in config.items():
        path = prefix + (repr(name) if re.search("[.'\"]", name) else name)
        if isinstance(value, dict) and value:
            found |= flat(value, f"{path}.")
        else:
            found[path] = value
    return found


def _fields(config: Any) -> dict[str, Any]:
    """The top of a configuration."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return dataclasses.asdict(config)
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a dataclass or a dict; got {type(config).__name__}.")
    return dict(config)


def _is_folder(name: Any, value: Any, folder: pathlib.Path) -> bool:
    """Whether a field holds the folder: a path, or a text whose name says so; no data set does."""
    says = isinstance(value, os.PathLike) or str(name).lower().endswith(_FOLDERS)
    return says and str(value) != "" and _place(value) == folder


def _place(value: Any) -> pathlib.Path | None:
    known = isinstance(value, (str, os.PathLike))
    return pathlib.Path(os.path.expanduser(value)) if known else None
