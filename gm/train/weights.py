"""Weights out and in: a safetensors file, and beside it a .json that vouches for every byte.

    weights.save("runs/made/best.safetensors", state.params, description={"step": 9000})
    params = weights.load("runs/made/best.safetensors", jax.eval_shape(model.init, key))

Nothing is pickled and nothing is guessed: names, dtypes, shapes, sizes and SHA-256 all agree before
memory is taken for an array. The library writes. Reading follows the header that was checked, not a
second reading of it, and so knows float8 too, which the library cannot give to numpy.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import pathlib
import reprlib
from typing import Any, BinaryIO

import jax
import numpy as np

from gm.core import Array, Params, PyTree
from gm.train import checkpoints, folders, identity, sharding

_FORMAT = "gm weights 1"
_LIMIT = 2**24  # bytes of a header or a .json: enough for 100,000 arrays
_CODES = (
    "BOOL:bool I8:int8 I16:int16 I32:int32 I64:int64 U8:uint8 U16:uint16 U32:uint32 U64:uint64 "
    "F16:float16 BF16:bfloat16 F32:float32 F64:float64 C64:complex64 F8_E4M3:float8_e4m3fn "
    "F8_E5M2:float8_e5m2 F8_E4M3FNUZ:float8_e4m3fnuz F8_E5M2FNUZ:float8_e5m2fnuz"
)
_DTYPES = dict(pair.split(":") for pair in _CODES.split())


def save(
    path: str | os.PathLike, params: Params, *, model: Any = None, description: Any = None
) -> pathlib.Path:
    """Writes params to path, and what they are to the .json beside it.

    Each file is replaced as a whole; `load` refuses the pair that a kill between the two leaves.

    Args:
      path: ends in .safetensors.
      params: a pytree of arrays. Its keys, joined by "/", are the names in the file.
      model: whose weights they are, a frozen value; `load` then refuses to give them to another.
      description: a dataclass or dict for whoever finds the file: configuration, step, score.

    Raises:
      ImportError: safetensors is not installed.
      TypeError: a leaf that is no array of numbers, a description that is no dataclass or dict.
      ValueError: what the files cannot hold, or a .json of another kind in the way.
    """
    path, leaves = _checked(path), _leaves(params)
    if path.with_suffix(".json").exists():
        describe(path)  # raises before a config.json would be replaced
    plain = None if description is None else folders.as_json(description)
    page = {"format": _FORMAT, "description": plain, "arrays": _table(leaves)}
    if model is not None:
        page["model"] = identity.describe(model).values
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        _write(partial, leaves)
        with partial.open("rb") as stream:
            _header(stream)
            page |= {"bytes": partial.stat().st_size, "sha256": _sha256(stream)}
        text = _signed(page | {"jax": jax.__version__})
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    folders.replace(path.with_suffix(".json"), text)
    return path


def describe(path: str | os.PathLike) -> dict:
    """What the .json beside path says; no array is read.

    Returns:
      "format", "description", "arrays" (dtype and shape by name), "bytes", "sha256", "jax"; and
      "model", where it was given.

    Raises:
      FileNotFoundError: neither of the two files is there.
      ValueError: the .json is missing, of another kind, or not what was written.
    """
    path = _checked(path)
    beside = path.with_suffix(".json")
    if not beside.is_file():
        if not path.is_file():
            raise FileNotFoundError(f"{path} is not there.")
        raise ValueError(
            f"{path} has no description: {beside.name}, which vouches for every byte, is missing. "
            "Put it back; or, for a file from elsewhere, weights.load(path, like, described=False)."
        )
    if beside.stat().st_size > _LIMIT:
        raise _refusal(beside, f"it has {beside.stat().st_size} bytes, at most {_LIMIT} are read")
    page = _parsed(beside.read_bytes(), beside)
    if page.get("format") != _FORMAT:
        raise _refusal(beside, f"its format is {reprlib.repr(page.get('format'))}, not {_FORMAT!r}")
    if page.pop("checksum", None) != _checksum(page):
        raise _refusal(beside, "its checksum says that it is not what was written")
    return page


def load(
    path: str | os.PathLike, like: PyTree, *, model: Any = None, described: bool = True
) -> Params:
    """The weights in path, in the tree of like.

    Args:
      path: ends in .safetensors.
      like: arrays or `jax.ShapeDtypeStruct`s, such as `jax.eval_shape(model.init, key)`. Where they
        are committed to a sharding the weights get it; the others go to the default device.
      model: the model they are for. Where the file says whose they are, another one is refused:
        masks and orders, which no shape tells. None, and a file that does not say, are taken.
      described: False takes a file from elsewhere, without a .json. Names, dtypes, shapes and
        sizes are held to like all the same, but nothing vouches for the values.

    Raises:
      FileNotFoundError: path is not there.
      ValueError: the file, its .json and like do not agree in everything.
    """
    path, leaves = _checked(path), _leaves(like, jax.ShapeDtypeStruct)
    for name, x in leaves.items():
        if jax.dtypes.canonicalize_dtype(x.dtype).name != x.dtype.name:
            raise ValueError(f"{name!r} is {x.dtype}, which JAX holds with jax_enable_x64 only.")
    page = describe(path) if described else None
    with path.open("rb") as stream:
        table, spans = _header(stream)
        size = os.fstat(stream.fileno()).st_size
        if page and (page.get("arrays"), page.get("bytes")) != (table, size):
            raise _refusal(path, f"{path.stem}.json describes other arrays or another size")
        _check_same(table, _table(leaves), path)
        if model is not None and page and "model" in page:
            _check_model(page["model"], model, path)
        if page and page.get("sha256") != _sha256(stream):
            raise _refusal(path, "its SHA-256 says that it has other content than was written")
        arrays = [_read(stream, *spans[name], x) for name, x in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(like), arrays)


def _checked(path: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"weights need a file name that ends in .safetensors; got {path}.")
    return path


def _refusal(path: str | os.PathLike, why: str) -> ValueError:
    return ValueError(f"{path} is damaged, or not what gm.train.weights reads: {why}.")


def _leaves(tree: PyTree, *more: type) -> dict[str, Any]:
    """The arrays of a tree by name; a tree that is one array calls it params."""
    leaves: dict[str, Any] = {}
    for path, x in jax.tree_util.tree_flatten_with_path(tree)[0]:
        parts = [jax.tree_util.keystr((entry,), simple=True) for entry in path]
        name = "/".join(parts) or "params"
        unclear = any(not part or "/" in part for part in parts) or name == "__metadata__"
        if unclear or name in leaves:
            raise ValueError(f'weights need distinct keys without "/"; {parts} make {name!r}.')
        if not isinstance(x, (jax.Array, np.ndarray, np.generic, *more)):
            raise TypeError(f"weights are arrays; {name!r} is a {type(x).__name__}.")
        if sharding.is_key(x):
            raise TypeError(f"weights are numbers; {name!r} is a random key. Leave it out.")
        if x.dtype.name not in _DTYPES.values():
            known = ", ".join(_DTYPES.values())
            raise ValueError(f"{name!r} is {x.dtype}; cast it to what safetensors holds: {known}.")
        leaves[name] = x
    return leaves


def _table(arrays: dict[str, Any]) -> dict[str, dict]:
    return {name: {"dtype": x.dtype.name, "shape": [*x.shape]} for name, x in arrays.items()}


def _check_same(saved: dict[str, dict], here: dict[str, dict], path: pathlib.Path) -> None:
    """Raises unless names, dtypes and shapes agree."""
    tables = [{n: "{dtype}{shape}".format(**x) for n, x in t.items()} for t in (saved, here)]
    if lines := checkpoints.differences(*tables, "file"):
        raise ValueError(f"{path} holds the weights of another model:\n{lines}")


def _check_model(saved: dict, model: Any, path: pathlib.Path) -> None:
    """Raises unless the weights are of this model."""
    if lines := identity.differences(saved, identity.describe(model)):
        text = "\n  ".join(lines[:12])
        raise ValueError(f"{path} holds the weights of another model:\n  {text}")


def _signed(page: dict) -> str:
    """The text of a page that ends in a checksum of the rest."""
    text = json.dumps(page | {"checksum": _checksum(page)}, indent=1)
    if len(text) > _LIMIT:
        raise ValueError(f"a description needs at most {_LIMIT} bytes of JSON; got {len(text)}.")
    return text


def _checksum(page: dict) -> str:
    try:
        return hashlib.sha256(json.dumps(page, allow_nan=False).encode()).hexdigest()
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a description needs finite numbers in shallow JSON: {error}.") from error


def _sha256(stream: BinaryIO) -> str:
    stream.seek(0)
    return hashlib.file_digest(stream, "sha256").hexdigest()


def _parsed(data: bytes, path: str | os.PathLike) -> dict:
    """A JSON object in which no key appears twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict:
        if len(dict(pairs)) < len(pairs):
            raise ValueError("a key appears twice")
        return dict(pairs)

    try:
        page = json.loads(data.decode(), object_pairs_hook=once)
    except (ValueError, RecursionError) as error:
        raise _refusal(path, f"it has no valid JSON ({error!s:.200})") from error
    if not isinstance(page, dict):
        raise _refusal(path, f"it has JSON of type {type(page).__name__}, not an object")
    return page


def _header(stream: BinaryIO) -> tuple[dict[str, dict], dict[str, tuple[int, int]]]:
    """Table and bytes [begin, end) of the arrays, which account for every byte of the file."""
    path, size = stream.name, os.fstat(stream.fileno()).st_size
    length = int.from_bytes(stream.read(8), "little")
    if size < 8 or length > min(size - 8, _LIMIT):
        raise _refusal(path, f"a header of {length} bytes in a file of {size}, at most {_LIMIT}")
    header = _parsed(stream.read(length), path)
    header.pop("__metadata__", None)  # remarks of the program that wrote it
    end = 8 + length
    spans = {name: _span(name, x, end, path) for name, x in header.items()}
    for begin, then in sorted(spans.values()):
        if begin != end:
            raise _refusal(path, f"arrays overlap or leave a gap at byte {min(begin, end)}")
        end = then
    if end != size:
        raise _refusal(path, f"it has {size} bytes, and its header accounts for {end}")
    table = {n: {"dtype": _DTYPES[x["dtype"]], "shape": x["shape"]} for n, x in header.items()}
    return table, spans


def _span(name: str, x: Any, start: int, path: str) -> tuple[int, int]:
    """Bytes [begin, end) of one array, once its entry of the header makes sense."""
    try:
        itemsize, shape = np.dtype(_DTYPES[x["dtype"]]).itemsize, x["shape"]
        begin, end = x["data_offsets"]
        sound = type(shape) is list and len(shape) <= 32 and len(x) == 3
        sound &= all(type(n) is int and 0 <= n < 2**63 for n in (*shape, begin, end))
        sound = sound and end - begin == math.prod(shape) * itemsize
    except (KeyError, TypeError, ValueError):
        sound = False
    if not sound:
        raise _refusal(path, f"array {name!r:.80} cannot be {reprlib.repr(x)}")
    return start + begin, start + end


def _write(path: pathlib.Path, leaves: dict[str, Any]) -> None:
    try:
        from safetensors.numpy import save_file
    except ImportError as error:
        raise ImportError('weights.save needs safetensors: pip install "gm[export]".') from error
    path.touch()
    mode = path.stat().st_mode
    # The library takes every buffer for contiguous, and lets only the owner read the file.
    save_file({k: np.asarray(x, order="C") for k, x in jax.device_get(leaves).items()}, path)
    path.chmod(mode)


def _read(stream: BinaryIO, begin: int, end: int, like: Any) -> Array:
    """One array, on the devices of like where it is committed to some."""
    stream.seek(begin)
    data = stream.read(end - begin)
    if len(data) < end - begin or (like.dtype == bool and data.strip(b"\0\1")):
        raise _refusal(stream.name, f"bytes {begin} to {end} are not {like.dtype}")
    where = getattr(like, "sharding", None) if getattr(like, "committed", True) else None
    return jax.device_put(np.ndarray(like.shape, like.dtype.name, data), where)
