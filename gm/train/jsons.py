"""Reading and writing JSON files that may be damaged, with a check of their schema.

A schema is a type (exactly: a bool is not an int), None, a tuple of alternatives, [schema] for a
list, or {name: schema} for an object with these entries: a name that ends in "?" is optional, `...`
matches every name, and entries that no name matches are not checked.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

Schema = Any

NUMBER = (int, float)
PLAIN = (str, int, float, bool, None)
MOST = 2**26  # the largest size of a file that is read at once, and of a line, in bytes
DEEPEST = 64  # levels


def parse(text: bytes | str) -> Any:
    """Parses a JSON text.

    Raises:
      ValueError: the text is not JSON, not UTF-8, or nested too deeply.
    """
    try:
        value = json.loads(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON ({error})") from None
    level = [value]
    for _ in range(DEEPEST):
        inner = [x.values() if isinstance(x, dict) else x for x in level]
        level = [x for part in inner if not isinstance(part, _LEAVES) for x in part]
    if level:
        raise ValueError("it is nested too deeply")
    return value


_LEAVES = (str, int, float, bool, type(None))


def fault(value: Any, schema: Schema, name: str = "it") -> str:
    """The first violation of a schema by a value; "" if there is none."""
    if isinstance(schema, tuple):
        faults = [fault(value, one, name) for one in schema]
        return "" if "" in faults else f"{name} is a {type(value).__name__}"
    if isinstance(schema, list):
        if not isinstance(value, list):
            return f"{name} is not a list"
        return next(filter(None, (fault(x, schema[0], name) for x in value)), "")
    if isinstance(schema, Mapping):
        return _fault_inside(value, schema, name)
    right = value is None if schema is None else type(value) is schema
    return "" if right else f"{name} is a {type(value).__name__}"


def _fault_inside(value: Any, schema: Mapping, name: str) -> str:
    """Like `fault`, for an object."""
    if not isinstance(value, dict):
        return f"{name} is not an object"
    for key, inner in schema.items():
        wanted = [*value] if key is ... else [key.removesuffix("?")]
        for part in wanted:
            if part in value:
                if found := fault(value[part], inner, f"{part:.80}"):
                    return found
            elif part == key:
                return f"{name} lacks {part!r}"
    return ""


def read(path: pathlib.Path, schema: Schema) -> Any:
    """Reads a JSON file.

    Raises:
      OSError: the file cannot be read.
      ValueError: the file does not match the schema; the message names it.
    """
    size = path.stat().st_size
    if size > MOST:
        raise ValueError(f"{path} is damaged: it has {size} bytes, more than {MOST}.")
    try:
        value = parse(path.read_bytes())
        why = fault(value, schema)
    except ValueError as error:
        why = str(error)
    if why:
        raise ValueError(f"{path} is damaged: {why}.")
    return value


def replace(path: pathlib.Path, data: bytes) -> None:
    """Writes a file atomically and durably: either all of it, or the old one remains."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def append(path: pathlib.Path, text: str) -> None:
    """Appends a line to a file, completely or not at all; it always starts on a new line."""
    with path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        torn = size and file.seek(-1, os.SEEK_END) is not None and file.read(1) != b"\n"
        line = memoryview(b"\n" * bool(torn) + text.encode() + b"\n")
        try:
            while line:
                line = line[file.write(line) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), size)  # a full disk may write half a line
            raise


def lines(path: pathlib.Path, schema: Schema) -> list[tuple[bytes, Any]]:
    """Each line of a file and its value, which is None for a blank, incomplete or invalid line.

    A missing file has no lines.
    """
    found = []
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while line := file.readline(MOST):
            value = None
            with contextlib.suppress(ValueError):
                value = parse(line)
            broken = value is None or fault(value, schema)
            found.append((line.rstrip(b"\n"), None if broken else value))
    return found
