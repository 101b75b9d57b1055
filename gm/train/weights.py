"""Weights as safetensors files, with a digest of every array and of the model.

    weights.save("runs/made/best.safetensors", params, model=model, description={"step": 9000})
    params = weights.load(path, jax.eval_shape(model.init, key), model=model)

Nothing is pickled. The safetensors library reads and writes the file, and checks names, dtypes,
shapes and sizes against its length. The metadata entry "gm" has a JSON description with the SHA-256
of each array, and its own SHA-256. float8, which the library cannot convert to NumPy, is stored as
bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import reprlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import safetensors
from safetensors.numpy import save_file

from gm.core import Array, Params, PyTree
from gm.train import configs, identity, jsons, sharding

_FORMAT = "gm weights 2"
_ENTRY = {"dtype": str, "shape": [int], "sha256": str}
_PAGE = {
    "format": str,
    "description": ({}, None),
    "model": ({...: jsons.PLAIN}, None),
    "arrays": {...: _ENTRY},
    "jax": str,
}
_LIMIT = 2**24  # the largest description in bytes, enough for 100,000 arrays
_FLOAT8 = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
_INTEGERS = tuple(f"{sign}int{bits}" for bits in (8, 16, 32, 64) for sign in ("", "u"))
_DTYPES = ("bool", *_INTEGERS, "float16", "bfloat16", "float32", "float64", "complex64", *_FLOAT8)


def save(
    path: str | os.PathLike, params: Params, *, model: Any = None, description: Any = None
) -> pathlib.Path:
    """Writes params to a file, atomically.

    Args:
      path: a path that ends in .safetensors.
      params: a pytree of arrays. Its keys, joined by "/", are the names in the file.
      model: the model of the weights, a frozen value; `load` then raises an error for another.
      description: a dataclass or dict of metadata, such as configuration, step and score.

    Raises:
      TypeError: a leaf is not an array of numbers, or description is not a dataclass or dict.
      ValueError: the file cannot represent a key, a dtype or the description.
    """
    path, leaves = _checked(path), {k: jax.device_get(x) for k, x in _leaves(params).items()}
    # The library assumes that every buffer is contiguous.
    stored = {name: np.asarray(_stored(x), order="C") for name, x in leaves.items()}
    page = {
        "format": _FORMAT,
        "description": None if description is None else configs.as_json(description),
        "model": None if model is None else identity.describe(model).values,
        "arrays": {
            name: {"dtype": x.dtype.name, "shape": [*x.shape], "sha256": _sha256(stored[name])}
            for name, x in leaves.items()
        },
        "jax": jax.__version__,
    }
    text = _text(page)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    try:
        partial.touch()
        mode = partial.stat().st_mode
        save_file(stored, partial, {"gm": f"{_sha256(text.encode())} {text}"})
        partial.chmod(mode)  # by default only the owner may read the file
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return path


def describe(path: str | os.PathLike) -> dict:
    """Reads the metadata of a file, without its arrays.

    Returns:
      "format", "description", "model", "arrays" (dtype, shape and SHA-256 by name), "jax".

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file is damaged, or written by another program.
    """
    path = _checked(path)
    with _open(path) as file:
        return _page(path, file.metadata())


def load(
    path: str | os.PathLike, like: PyTree, *, model: Any = None, described: bool = True
) -> Params:
    """Loads the weights in a file, with the structure of like.

    Args:
      path: a path that ends in .safetensors.
      like: arrays or `jax.ShapeDtypeStruct`s, such as `jax.eval_shape(model.init, key)`. Weights
        get the sharding of arrays that are committed to one; others go to the default device.
      model: the model for the weights. It is compared with the model in the file, including masks
        and orders that shapes do not show; there is no comparison if either is missing.
      described: False accepts a file that another program wrote. Names, dtypes and shapes are still
        compared with like, but the values are not verified.

    Raises:
      FileNotFoundError: the file does not exist.
      ValueError: the file does not match like or model, or is damaged.
    """
    path, leaves = _checked(path), _leaves(like, jax.ShapeDtypeStruct)
    for name, x in leaves.items():
        if jax.dtypes.canonicalize_dtype(x.dtype).name != x.dtype.name:
            raise ValueError(
                f"{path}: {name!r} is {x.dtype}, which JAX supports with jax_enable_x64 only."
            )
    with _open(path) as file:
        page = _page(path, file.metadata()) if described else None
        table = page["arrays"] if page else {n: _read(path, file, n) for n in [*file.keys()]}
        there, here = ({name: _kind(x) for name, x in of.items()} for of in (table, leaves))
        lines = identity.differences(there, identity.Description(here))
        if page and page["model"] and model is not None:
            lines += identity.differences(page["model"], identity.describe(model))
        if lines:
            raise identity.refusal(f"{path} has the weights of another model", lines)
        arrays = [_array(path, file, name, x, page) for name, x in leaves.items()]
    return jax.tree.unflatten(jax.tree.structure(like), arrays)


def _checked(path: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(path).expanduser()
    if path.suffix != ".safetensors":
        raise ValueError(f"weights need a file name that ends in .safetensors; got {path}.")
    return path


def _refusal(path: pathlib.Path, why: str) -> ValueError:
    return ValueError(f"{path} is damaged, or not what gm.train.weights reads: {why}.")


@contextlib.contextmanager
def _open(path: pathlib.Path) -> Iterator[Any]:
    """The library's reader, with its errors converted to those of this module."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is not there.")
    with path.open("rb") as raw:
        length = int.from_bytes(raw.read(8), "little")
    if length > jsons.MOST:
        raise _refusal(path, f"its header has {length} bytes, more than {jsons.MOST}")
    try:
        with safetensors.safe_open(path, "numpy") as file:
            yield file
    except safetensors.SafetensorError as error:
        raise _refusal(path, f"{error!s:.200}") from error


def _page(path: pathlib.Path, metadata: dict[str, str] | None) -> dict:
    """The description in the metadata, after its SHA-256 is verified."""
    checksum, _, text = (metadata or {}).get("gm", "").partition(" ")
    if not text:
        raise ValueError(
            f"{path} has no description with checksums, since another program wrote it. "
            "weights.load(path, like, described=False) loads it without verification."
        )
    if checksum != _sha256(text.encode()):
        raise _refusal(path, "its description is not what was written")
    try:
        page = jsons.parse(text) if len(text) <= _LIMIT else None
        why = jsons.fault(page, {"format": str}, "its description")
    except ValueError as error:
        why = f"of its description, {error}"
    if not why and page["format"] != _FORMAT:
        why = f"its format is {reprlib.repr(page['format'])}, not {_FORMAT!r}"
    if why := why or jsons.fault(page, _PAGE, "its description"):
        raise _refusal(path, why)
    return page


def _text(page: dict) -> str:
    """The description as JSON of bounded size."""
    try:
        text = json.dumps(page, allow_nan=False)
        jsons.parse(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"a description needs finite numbers in shallow JSON: {error}.") from error
    if len(text) > _LIMIT:
        raise ValueError(f"a description needs at most {_LIMIT} bytes of JSON; got {len(text)}.")
    return text


def _leaves(tree: PyTree, *more: type) -> dict[str, Any]:
    """The arrays of a tree by name; a tree of a single array names it params."""
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
        if x.dtype.name not in _DTYPES:
            known = ", ".join(_DTYPES)
            raise ValueError(f"{name!r} is {x.dtype}; cast it to what safetensors holds: {known}.")
        leaves[name] = x
    return leaves


def _kind(x: Any) -> str:
    """`float32[3]` for an array, a shape struct, or an entry of the metadata."""
    if not isinstance(x, dict):
        x = {"dtype": x.dtype.name, "shape": [*x.shape]}
    return "{dtype}{shape}".format(**x)


def _stored(x: np.ndarray) -> np.ndarray:
    """An array as stored by the library: float8 as bytes."""
    return x.view(np.uint8) if x.dtype.name in _FLOAT8 else x


def _sha256(data: np.ndarray | bytes) -> str:
    return hashlib.sha256(data.tobytes() if isinstance(data, np.ndarray) else data).hexdigest()


def _read(path: pathlib.Path, file: Any, name: str) -> np.ndarray:
    try:
        return file.get_tensor(name)
    except AttributeError as error:  # NumPy has no such dtype
        raise _refusal(path, f"{name!r}: {error}") from error


def _array(path: pathlib.Path, file: Any, name: str, like: Any, page: dict | None) -> Array:
    """One array, with the sharding of like if it is committed to one."""
    x, want = _read(path, file, name), _stored(np.empty(0, like.dtype)).dtype
    if (x.shape, x.dtype) != (like.shape, want):
        raise _refusal(path, f"{name!r} is {x.dtype}{list(x.shape)}, unlike its description")
    if page and page["arrays"][name]["sha256"] != _sha256(x):
        raise _refusal(path, f"the SHA-256 of {name!r} differs from that when it was written")
    where = getattr(like, "sharding", None) if getattr(like, "committed", True) else None
    return jax.device_put(x.view(like.dtype), where)
