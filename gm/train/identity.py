"""Descriptions of runs and models as flat trees of plain values, comparable across processes.

    describe(model).values         {"": "MADE", "hidden": "(500,)", "event.shape": "(784,)", ...}
    differences(saved, describe(model))   ["hidden: (500,) there, (200,) here"]

Dataclasses (including Linen modules), `functools.partial` and containers are described by their
parts, arrays by shape and digest, functions by their name, defaults and closure, where optax keeps
its numbers; functions of a script or notebook also by the global values they use. A description
does not depend on addresses, on the order in which objects were made, or on the module that defines
them. The code of functions and paths of files are not compared.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import os
import types
from collections.abc import Iterator, Mapping, Set
from importlib import metadata
from typing import Any

import jax
import numpy as np

from gm.train import memories, sharding
from gm.train.players import Game
from gm.train.state import State


class _Absent:
    """A missing value, which is not equal to the string "absent"."""

    def __repr__(self) -> str:
        return "absent"


Plain = str | int | float | bool | None
Part = tuple[str, Any, bool]  # name, value, whether it is the default

_ABSENT = _Absent()
_WHOLE = 2**26  # bytes; for larger arrays the digest is of evenly spaced rows
_MOST = 20_000  # values in a description; more are ignored
_SHOWN = 8  # differences listed in an error
_LONG = 200  # characters up to which a sequence is written out
_NAMED = ("builtins", "flax", "jax", "jaxlib", "numpy", "scipy")  # described by their names only
_LIBRARIES = (*_NAMED, "gm", "optax")  # whose globals are constants
_PLACEMENT = ("shard_index", "shard_count", "on_device")  # fields of batches
_RELEASES = ("flax", "jax", "optax")
_OF_A_PLAYER = ("loss", "optimizer")


@dataclasses.dataclass(frozen=True)
class Description:
    """A description of a value.

    Attributes:
      values: {path: plain value}; the path "" has the type of the whole.
      defaults: the paths of values that equal their default.
    """

    values: dict[str, Plain] = dataclasses.field(default_factory=dict)
    defaults: set[str] = dataclasses.field(default_factory=set)


def describe(value: Any) -> Description:
    """Describes a value by the names, numbers and arrays in it."""
    found = Description()
    _add(found, "", value, ())
    return found


def differences(saved: Mapping[str, Plain], here: Description) -> list[str]:
    """The differences from the values of an earlier description, by path.

    Values that the earlier one lacks are ignored if they are defaults, since a later release may
    have added them.
    """
    names = [path for path in here.values if path in saved or path not in here.defaults]
    names += [path for path in saved if path not in here.values]
    pairs = {name: (saved.get(name, _ABSENT), here.values.get(name, _ABSENT)) for name in names}
    return [
        f"{name or 'kind'}: {_shown(a, b)} there, {_shown(b, a)} here"
        for name, (a, b) in pairs.items()
        if not _same(a, b)
    ]


def _same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal; booleans differ from numbers, and NaN equals NaN."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and (a == b or (a != a and b != b))


def _shown(value: Any, other: Any) -> str:
    """A value as shown next to another one; strings are quoted if both look the same."""
    text = repr(value) if str(value) == str(other) else str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def differences_within(saved: Mapping[str, Plain], here: Description) -> list[str]:
    """The differences from the most similar part of a larger description."""
    kind = here.values[""]
    roots = [path for path, value in saved.items() if value == kind]
    found = [differences(_below(saved, root), here) for root in roots]
    return min(found, key=len, default=[f"no {kind} there"])


def refusal(what: str, lines: list[str], advice: str = "") -> ValueError:
    """An error with a message and the first of the differences."""
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return ValueError("\n  ".join([f"{what}:", *lines[:_SHOWN], *more]) + advice)


def _below(saved: Mapping[str, Plain], root: str) -> dict[str, Plain]:
    """The part of a description below a path."""
    inside = {path[len(root) :]: value for path, value in saved.items() if path.startswith(root)}
    return {
        p.removeprefix("."): v for p, v in inside.items() if p[:1] in ("", ".", "[") or not root
    }


def _add(found: Description, path: str, value: Any, outer: tuple[int, ...]) -> None:
    """Adds a value and its parts; a value that contains itself is described once."""
    plain = _plain(value)
    if len(found.values) >= _MOST or isinstance(value, os.PathLike):  # paths are not compared
        return
    if isinstance(plain, Plain) or id(value) in outer:
        found.values[path] = plain if isinstance(plain, Plain) else "itself"
        return
    found.values[path], parts = _parts(value)
    for name, part, default in parts:
        known = len(found.values)
        glue = "" if not path or name.startswith("[") else "."
        _add(found, f"{path}{glue}{name}", part, (*outer, id(value)))
        if default:
            found.defaults.update(list(found.values)[known:])


def _plain(value: Any) -> Any:
    """A number or a string for a value without parts; other values unchanged."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)  # not valid in JSON
    if isinstance(value, (np.ndarray, jax.Array)):
        return _array(value)
    if isinstance(value, (complex, range, np.dtype, type(...))):
        return str(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes, sha256 {_sha256(value)}"
    if isinstance(value, type | types.ModuleType):
        return value.__name__
    if isinstance(value, Set):
        return f"set of {sorted(repr(describe(x).values) for x in value)}"
    if type(value) in (tuple, list):
        items = [_plain(x) for x in value]
        if all(isinstance(x, Plain) for x in items):
            text = repr(tuple(items))
            return text if len(text) <= _LONG else f"{len(items)} values, {_sha256(text.encode())}"
    return value


def _array(x: np.ndarray | jax.Array) -> Plain:
    """A number if the array is a scalar; otherwise its dtype, shape and digest."""
    if sharding.is_key(x):
        return f"{x.dtype} {_array(jax.random.key_data(x))}"
    if not getattr(x, "is_fully_addressable", True):
        return f"{x.dtype}{list(x.shape)}"
    if not x.shape and x.dtype != object:
        return _plain(np.asarray(x)[()])
    rows = x if x.nbytes <= _WHOLE else x[:: -(-x.nbytes // _WHOLE)]
    return f"{x.dtype}{list(x.shape)} sha256 {_sha256(np.ascontiguousarray(rows).tobytes())}"


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def _parts(value: Any) -> tuple[str, list[Part]]:
    """The type of a value, and its parts."""
    while not isinstance(value, types.FunctionType) and hasattr(value, "__wrapped__"):
        value = value.__wrapped__  # jit, custom_jvp and the like
    if isinstance(value, functools.partial):
        kind, parts = _parts(value.func)
        given = {f"[{i}]": x for i, x in enumerate(value.args)} | value.keywords
        rest = [part for part in parts if part[0] not in given]
        return kind, [*rest, *((name, x, False) for name, x in sorted(given.items()))]
    if isinstance(value, types.MethodType):
        kind, parts = _parts(value.__func__)
        return kind, [*parts, ("self", value.__self__, False)]
    if isinstance(value, types.FunctionType):
        return value.__qualname__, list(_inside(value))
    kind = type(value).__qualname__
    if dataclasses.is_dataclass(value):
        return kind, list(_fields(value))
    if isinstance(value, Mapping):
        return "mapping", [(f"[{k}]", x, False) for k, x in sorted(value.items(), key=str)]
    if isinstance(value, (tuple, list)):
        names = getattr(value, "_fields", [f"[{i}]" for i in range(len(value))])
        kind = kind if hasattr(value, "_fields") else f"sequence of {len(value)}"
        return kind, [(name, x, False) for name, x in zip(names, value, strict=True)]
    if hasattr(value, "__name__"):  # a function not written in Python
        return str(value.__name__), []
    if _package(type(value)) in _NAMED:
        return kind, []
    held = sorted(getattr(value, "__dict__", {}).items())
    private = _package(type(value)) in _LIBRARIES  # in other packages they may be mutable state
    return kind, [(name, x, False) for name, x in held if private or name[0] != "_"]


def _package(value: Any) -> str:
    return str(getattr(value, "__module__", "")).partition(".")[0]


def _fields(value: Any) -> Iterator[Part]:
    """The compared fields of a dataclass, and its number of items."""
    for field in dataclasses.fields(value):
        if field.compare and hasattr(value, field.name):
            part = getattr(value, field.name)
            plain = isinstance(_plain(part), Plain)
            yield field.name, part, plain and _plain(part) == _plain(field.default)
    if hasattr(type(value), "__len__"):
        yield "len()", len(value), False


def _inside(function: types.FunctionType) -> Iterator[Part]:
    """Defaults and closure of a function, and the global values it uses in a script."""
    package = _package(function)
    if package in _NAMED:
        return
    code, defaults = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    for name, x in zip(names[len(names) - len(defaults) :], defaults, strict=True):
        yield name, x, True
    for name, x in (function.__kwdefaults__ or {}).items():
        yield name, x, True
    for name, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
        if cell != types.CellType():  # an empty one
            yield name, cell.cell_contents, False
    if package not in _LIBRARIES:
        for name in sorted(set(_names(code)) & function.__globals__.keys()):
            x = function.__globals__[name]
            if isinstance(x, (bool, int, float, str, np.ndarray, jax.Array)) or (
                dataclasses.is_dataclass(x) and not isinstance(x, type)
            ):
                yield name, x, False


def _names(code: types.CodeType) -> Iterator[str]:
    """The names used in a function and in the functions inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


@dataclasses.dataclass(frozen=True)
class Run:
    """The description of a run: losses, optimizers, players, batches."""

    parts: dict[str, Description]
    unknown: tuple[str, ...] = ()  # parts that cannot be described

    def as_json(self) -> dict[str, dict[str, Plain]]:
        """{part: values}, and the releases of the libraries."""
        values = {name: part.values for name, part in self.parts.items()}
        return {**values, "releases": {name: metadata.version(name) for name in _RELEASES}}

    def differences(self, saved: Mapping[str, Mapping[str, Plain]]) -> list[str]:
        """The differences from an earlier run's JSON, by part and path.

        Another release of optax may have its numbers at other paths; then only those are compared
        that both have at the same path.
        """
        same_optax = saved.get("releases", {}).get("optax") == metadata.version("optax")
        found = []
        for name, part in self.parts.items():
            there = saved.get(name, {})
            if name == "optimizer" and not same_optax:
                shared = {k: x for k, x in part.values.items() if _both_numbers(x, there.get(k))}
                part, there = Description(shared), {k: there[k] for k in shared}
            found += [f"{name}.{line}" for line in differences(there, part)]
        return found


def describe_run(game: Game, batches: Any, state: State | None = None) -> Run:
    """Describes a run; batches that are not a dataclass cannot be described.

    Args:
      game: the players.
      batches: as in `run`.
      state: the state, for the replicated parts of its memory.
    """
    players = game.players
    losses, optimizers = ({k: getattr(p, of) for k, p in players.items()} for of in _OF_A_PLAYER)
    if game.sole:
        (losses,), (optimizers,) = losses.values(), optimizers.values()
    parts = {"loss": describe(losses), "optimizer": describe(optimizers)}
    if not game.sole:
        moves = [(name, player.updates, *game.entries(name)) for name, player in players.items()]
        parts["players"] = describe(moves)
    if state is not None and state.replicated:
        replicated = memories.by_name(state.memory, state.replicated)
        parts["replicated"] = Description(
            replicated, {name for name in replicated if not replicated[name]}
        )
    if dataclasses.is_dataclass(batches):
        there = describe(batches)
        kept = {k: x for k, x in there.values.items() if k.split(".")[-1] not in _PLACEMENT}
        parts["batches"] = Description(kept, there.defaults)
        return Run(parts)
    return Run(parts, (f"the batches, a {type(batches).__name__}, not a dataclass",))


def _both_numbers(a: Plain, b: Plain) -> bool:
    return all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
