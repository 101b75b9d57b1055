"""Descriptions of runs and models as flat trees of plain values, comparable across processes.

    describe(model).values         {"": "MADE", "hidden": "(500,)", "event.shape": "(784,)", ...}
    differences(saved, describe(model))   ["hidden: (500,) there, (200,) here"]

Dataclasses (Linen modules too), `functools.partial` and containers are told by their parts, arrays
by shape and digest, functions by their name, their defaults and what they close over, which is
where optax keeps its numbers; those of a script or a notebook also by the values they find there.
Nothing depends on an address, on the order in which objects were made, or on the module they live
in. The code of a function is not compared, nor paths of files.
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
    """What is not there, in no way like the word."""

    def __repr__(self) -> str:
        return "absent"


Plain = str | int | float | bool | None
Part = tuple[str, Any, bool]  # name, value, whether it is the default

_ABSENT = _Absent()
_WHOLE = 2**26  # bytes; of a larger array evenly spaced rows are digested
_MOST = 20_000  # values; what more there is does not count
_SHOWN = 8  # differences that an error lists
_LONG = 200  # characters of a sequence that is written out
_NAMED = ("builtins", "flax", "jax", "jaxlib", "numpy", "scipy")  # told by their names alone
_LIBRARIES = (*_NAMED, "gm", "optax")  # whose globals are constants
_PLACEMENT = ("shard_index", "shard_count", "on_device")  # of batches: where they are made
_RELEASES = ("flax", "jax", "optax")
_OF_A_PLAYER = ("loss", "optimizer")


@dataclasses.dataclass(frozen=True)
class Description:
    """What a value is.

    Attributes:
      values: {path: plain value}; the path "" has the kind of the whole.
      defaults: the paths of what is as it is when nothing is said.
    """

    values: dict[str, Plain] = dataclasses.field(default_factory=dict)
    defaults: set[str] = dataclasses.field(default_factory=set)


def describe(value: Any) -> Description:
    """Everything in a value that a name, a number or an array tells."""
    found = Description()
    _add(found, "", value, ())
    return found


def differences(saved: Mapping[str, Plain], here: Description) -> list[str]:
    """What is other here than in the values of an earlier description, by path.

    What the earlier one lacks counts for nothing where it is the default: a later release has it.
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
    """Whether two values of JSON are one: a truth is no number, and NaN is NaN."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    return isinstance(a, bool) == isinstance(b, bool) and (a == b or (a != a and b != b))


def _shown(value: Any, other: Any) -> str:
    """A value as it is shown beside another one: a text in quotes where both look the same."""
    text = repr(value) if str(value) == str(other) else str(value)
    return text if len(text) <= _LONG else f"{text[:_LONG]}..."


def differences_within(saved: Mapping[str, Plain], here: Description) -> list[str]:
    """As `differences`, with the part of a larger description that is most like this one."""
    kind = here.values[""]
    roots = [path for path, value in saved.items() if value == kind]
    found = [differences(_below(saved, root), here) for root in roots]
    return min(found, key=len, default=[f"no {kind} there"])


def refusal(what: str, lines: list[str], advice: str = "") -> ValueError:
    """The error that says what another thing is, and the first of the differences."""
    more = [f"and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return ValueError("\n  ".join([f"{what}:", *lines[:_SHOWN], *more]) + advice)


def _below(saved: Mapping[str, Plain], root: str) -> dict[str, Plain]:
    """The part of a description below a path."""
    inside = {path[len(root) :]: value for path, value in saved.items() if path.startswith(root)}
    return {
        p.removeprefix("."): v for p, v in inside.items() if p[:1] in ("", ".", "[") or not root
    }


def _add(found: Description, path: str, value: Any, outer: tuple[int, ...]) -> None:
    """Adds a value and its parts; a value inside itself is told once."""
    plain = _plain(value)
    if len(found.values) >= _MOST or isinstance(value, os.PathLike):  # a place is no part of it
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
    """A number or a text for a value without parts; any other as it is."""
    if isinstance(value, enum.Enum):
        return f"{type(value).__name__}.{value.name}"
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)  # JSON has no word for it
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
    """A number where the array is one; otherwise dtype, shape and a digest."""
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
    """The kind of a value, and its parts."""
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
    if hasattr(value, "__name__"):  # a function that is not written in Python
        return str(value.__name__), []
    if _package(type(value)) in _NAMED:
        return kind, []
    held = sorted(getattr(value, "__dict__", {}).items())
    private = _package(type(value)) in _LIBRARIES  # elsewhere they may be what a program remembers
    return kind, [(name, x, False) for name, x in held if private or name[0] != "_"]


def _package(value: Any) -> str:
    return str(getattr(value, "__module__", "")).partition(".")[0]


def _fields(value: Any) -> Iterator[Part]:
    """The fields of a dataclass that tell it from others, and how many items it has."""
    for field in dataclasses.fields(value):
        if field.compare and hasattr(value, field.name):
            part = getattr(value, field.name)
            plain = isinstance(_plain(part), Plain)
            yield field.name, part, plain and _plain(part) == _plain(field.default)
    if hasattr(type(value), "__len__"):
        yield "len()", len(value), False


def _inside(function: types.FunctionType) -> Iterator[Part]:
    """Defaults and closure of a function, and the values that it finds in a script."""
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
    """The names in a function and in those inside it."""
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


@dataclasses.dataclass(frozen=True)
class Run:
    """What makes a run the run it is: losses, optimizers, players, batches."""

    parts: dict[str, Description]
    unknown: tuple[str, ...] = ()  # what nothing tells from others

    def as_json(self) -> dict[str, dict[str, Plain]]:
        """{part: values}, and the releases of the libraries they are of."""
        values = {name: part.values for name, part in self.parts.items()}
        return {**values, "releases": {name: metadata.version(name) for name in _RELEASES}}

    def differences(self, saved: Mapping[str, Mapping[str, Plain]]) -> list[str]:
        """What is other here than in an earlier run's JSON, by part and path.

        Another release of optax may keep its numbers elsewhere: then only those are compared that
        both have in the same place.
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
    """A run's description; of batches that are no dataclass nothing is known.

    Args:
      game: the players.
      batches: as in `run`.
      state: says of its memory what is replicated.
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
    return Run(parts, (f"the batches, a {type(batches).__name__} and no dataclass",))


def _both_numbers(a: Plain, b: Plain) -> bool:
    return all(isinstance(x, (int, float)) and not isinstance(x, bool) for x in (a, b))
