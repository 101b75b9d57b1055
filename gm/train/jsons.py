"""Reading and writing JSON files that may be damaged: checked, never trusted.

A schema is a type (exactly that: no bool for an int), None, a tuple of alternatives, [schema] for a
list of such, or {name: schema} for an object with these entries: a name that ends in "?" may be
missing, `...` stands for every name, and what no name stands for is not looked at.
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
MOST = 2**26  # bytes of a file that is read as a whole, and of a line
DEEPEST = 64  # levels


def parse(text: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
      ValueError: no JSON, no UTF-8, or nested too deeply.
    """
    try:
        value = json.loads(text if isinstance(text, str) else text.decode())
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"it is no JSON ({error})") from None
    level = [value]
    for _ in range(DEEPEST):
        inner = [x.values() if isinstance(x, dict) else x for x in level]
        level = [x for part in inner if not isinstance(part, _LEAVES) for x in part]
    if level:
        raise ValueError("it is nested too deeply")
    return value


_LEAVES = (str, int, float, bool, type(None))


def fault(value: Any, schema: Schema, name: str = "it") -> str:
    """What of a value is not as its schema says; "" where all is."""
    if isinstance(schema, tuple):
        faults = [fault(value, one, name) for one in schema]
        return "" if "" in faults else f"{name} is a {type(value).__name__}"
    if isinstance(schema, list):
        if not isinstance(value, list):
            return f"{name} is no list"
        return next(filter(None, (fault(x, schema[0], name) for x in value)), "")
    if isinstance(schema, Mapping):
        return _fault_inside(value, schema, name)
    right = value is None if schema is None else type(value) is schema
    return "" if right else f"{name} is a {type(value).__name__}"


def _fault_inside(value: Any, schema: Mapping, name: str) -> str:
    """As `fault`, of an object."""
    if not isinstance(value, dict):
        return f"{name} is no object"
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
    """What a file holds.

    Raises:
      OSError: it cannot be read.
      ValueError: it is not what the schema says; names the file.
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
    """Writes a whole file, for good, or leaves the old one."""
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
    """Adds a line to a file, as a whole or not at all; it begins on a line of its own."""
    with path.open("ab+", buffering=0) as file:
        size = file.seek(0, os.SEEK_END)
        torn = size and file.seek(-1, os.SEEK_END) is not None and file.read(1) != b"\n"
        line = memoryview(b"\n" * bool(torn) + text.encode() + b"\n")
        try:
            while line:
                line = line[file.write(line) :]
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(file.fileno(), size)  # a disk that is full takes half a line
            raise


def lines(path: pathlib.Path, schema: Schema) -> list[tuple[bytes, Any]]:
    """Each line of a file, and its value: None for a broken one (blank, torn, not of the schema).

    A file that is not there has none.
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
