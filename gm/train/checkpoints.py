"""Checkpoints: orbax writes the arrays, and a manifest has the SHA-256 of every file.

    folder/checkpoints/000001000/arrays/...     written by orbax
    folder/checkpoints/000001000/manifest.json  written last: size and SHA-256 of each file

orbax restores float data with a flipped bit without an error, so every byte is verified first. A
checkpoint gets its final name when it is complete. The newest intact checkpoint is restored, and
damage of newer ones is logged. Only this module uses orbax (its v0 API), with a lazy import.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import pathlib
import re
import shutil
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, PyTree
from gm.train import identity, jsons, paths, sharding
from gm.train.state import State

_log = logging.getLogger(__name__)
_MANIFEST = "manifest.json"
_ARRAYS = "arrays"
_FILE = {"size": int, "sha256": str}
_BODY = {
    "step": int,
    "jax": str,
    "leaves": {...: str},
    "about?": {"run?": {"loss": {...: jsons.PLAIN}, ...: {...: jsons.PLAIN}}},
    "files": {...: _FILE},
}
_SCHEMA = {"body": _BODY, "sha256": str}
# Files that file browsers, network disks and notebooks leave in any folder.
_STRAY = re.compile(
    r"(^|/)(\.DS_Store|\.nfs[^/]*|\._[^/]*|\.fuse_hidden[^/]*|Thumbs\.db|desktop\.ini"
    r"|\.ipynb_checkpoints/.*)$"
)


class DamagedCheckpoint(RuntimeError):
    """A checkpoint whose files differ from what was written."""


def _leaves(state: PyTree) -> dict[str, Array]:
    """The arrays of a state by their path, such as "params['w']"; typed keys are unchanged."""
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path).lstrip("."): x for path, x in leaves}


def _raw(x: Array) -> Array:
    """An array as stored: for a typed key, its data."""
    return jax.random.key_data(x) if sharding.is_key(x) else x


def numbered(state: PyTree) -> dict[str, Array]:
    """The non-empty arrays of a state by their index, which is a safe name for any path."""
    return {f"{i:05d}": _raw(x) for i, x in enumerate(jax.tree.leaves(state)) if x.size}


def assembled(like: PyTree, arrays: Mapping[str, Array]) -> PyTree:
    """The state with the given `numbered` arrays, in the structure of like."""

    def leaf(i: int, x: Array) -> Array:
        if not x.size:
            return x
        stored = arrays[f"{i:05d}"]
        return (
            jax.random.wrap_key_data(stored, impl=jax.random.key_impl(x))
            if sharding.is_key(x)
            else stored
        )

    leaves, structure = jax.tree.flatten(like)
    return jax.tree.unflatten(structure, [leaf(i, x) for i, x in enumerate(leaves)])


def _held(x: Array) -> Array:
    """x in memory that no later step reuses; on a CPU, NumPy arrays share JAX's buffers."""
    return jnp.copy(x) if jax.default_backend() == "cpu" else x


def _describe(x: Array) -> str:
    return f"{x.dtype}[{', '.join(map(str, x.shape))}]"


def digest(state: PyTree) -> str:
    """SHA-256 of paths, dtypes, shapes and every bit of every array of a state, in hexadecimal."""
    total = hashlib.sha256()
    for name, x in _leaves(state).items():
        total.update(f"{name}: {_describe(x)}\n".encode())
        total.update(np.ascontiguousarray(jax.device_get(_raw(x))).tobytes())
    return total.hexdigest()


class Save:
    """A checkpoint that is being written.

    The constructor copies the state to the host, so that the state may be consumed when it returns,
    while orbax writes in the background. `finish` waits for it, verifies the files and gives the
    checkpoint its final name. On several hosts all of them call both, and each writes its own
    arrays to a shared folder.

    Args:
      folder: the run's folder.
      step: the number of updates made.
      state: any pytree of arrays.
      about: other entries of the manifest, as plain JSON, such as the description of the run
        (`identity`). Entries may be added until `finish`.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        step: int,
        state: PyTree,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        import orbax.checkpoint as ocp

        self.folder, self.step = pathlib.Path(folder).expanduser().absolute(), step
        self.about = dict(about or {})
        self.described = {name: _describe(x) for name, x in _leaves(state).items()}
        self._partial = self.folder / "checkpoints" / f"partial-{step:09d}"

        def clear() -> int:
            shutil.rmtree(self._partial, ignore_errors=True)
            self._partial.mkdir(parents=True)
            return 0

        sharding.on_first_host(clear)
        # orbax rejects empty arrays, which need not be saved.
        arrays = {name: _held(x) for name, x in numbered(state).items()}
        self._kinds = {name: _describe(x) for name, x in arrays.items()}
        self._opened = contextlib.ExitStack()
        with contextlib.ExitStack() as opened:
            self._arrays = opened.enter_context(paths.plain(self._partial)) / _ARRAYS
            # If the folder cannot be made, waiting threads would outlive the run.
            now = ocp.options.AsyncOptions(create_directories_asynchronously=False)
            kind = ocp.StandardCheckpointHandler()
            self._writer = ocp.AsyncCheckpointer(kind, async_options=now)
            opened.callback(self._writer.close)
            self._writer.save(self._arrays, args=ocp.args.StandardSave(arrays))
            self._opened = opened.pop_all()

    def finish(self, *, keep: int = 3, keep_every: int | None = None) -> pathlib.Path:
        """Waits for the files, writes the manifest, and removes old checkpoints.

        Args:
          keep: the number of newest checkpoints to keep, including this one.
          keep_every: checkpoints at multiples of this step are never removed.

        Returns:
          The folder of the checkpoint.

        Raises:
          DamagedCheckpoint: the written files cannot be read back.
        """
        root = self._partial.parent
        final = root / f"{self.step:09d}"
        with self._opened:
            self._writer.wait_until_finished()
            if jax.process_index() > 0:
                return final
            self._read_back()
        self._sign()
        before = root / f"partial-{self.step:09d}-before"
        shutil.rmtree(before, ignore_errors=True)
        if final.exists():
            final.rename(before)
        self._partial.rename(final)
        paths.flush(root)  # else a power failure may lose the name
        with contextlib.suppress(OSError):  # the checkpoint is complete, even if cleaning up fails
            shutil.rmtree(before, ignore_errors=True)
            for old in [s for s in steps(self.folder) if s <= self.step][:-keep]:
                if keep_every is None or old % keep_every:
                    shutil.rmtree(root / f"{old:09d}", ignore_errors=True)
        return final

    def _read_back(self) -> None:
        """Raises unless every array is found in the files, with its shape and dtype."""
        import orbax.checkpoint as ocp

        try:
            found = ocp.StandardCheckpointHandler().metadata(self._arrays).tree
            kinds = {name: _describe(x) for name, x in found.items()}
        except Exception as error:
            raise DamagedCheckpoint(
                f"{self._partial}: the written files cannot be read back ({error!r})"
            ) from error
        if kinds != self._kinds:
            raise DamagedCheckpoint(f"{self._partial}: other arrays read back than were written")

    def _sign(self) -> None:
        """Writes the manifest."""
        body = {
            "step": self.step,
            "jax": jax.__version__,
            "leaves": self.described,
            "about": self.about,
            "files": _fingerprints(self._partial, durable=True),
        }
        manifest = json.dumps({"body": body, "sha256": _sha256_of(body)}, indent=1)
        with (self._partial / _MANIFEST).open("w") as file:
            file.write(manifest)
            file.flush()
            os.fsync(file.fileno())


def save(
    folder: str | os.PathLike,
    step: int,
    state: PyTree,
    *,
    keep: int = 3,
    keep_every: int | None = None,
) -> pathlib.Path:
    """Writes one checkpoint and returns when it is complete; see `Save`.

    Raises:
      ValueError: keep or keep_every is below 1.
    """
    check_keep(keep, keep_every)
    return Save(folder, step, state).finish(keep=keep, keep_every=keep_every)


def check_keep(keep: int, keep_every: int | None) -> None:
    """Raises ValueError unless at least one checkpoint is kept."""
    if keep < 1:
        raise ValueError(f"keep at least 1 checkpoint; got keep={keep}.")
    if keep_every is not None and keep_every < 1:
        raise ValueError(f"keep_every is at least 1 step, or None; got {keep_every}.")


def steps(folder: str | os.PathLike) -> list[int]:
    """The steps of the checkpoints in a run's folder, intact or not, oldest first.

    Raises:
      OSError: the folder cannot be listed, which does not mean that it is empty.
    """
    names = paths.listed(pathlib.Path(folder).expanduser() / "checkpoints")
    return sorted(int(name) for name in names if name.isdecimal())


def under_way(folder: str | os.PathLike) -> list[int]:
    """The steps of partial checkpoints, which are being written or were interrupted by a kill."""
    names = paths.listed(pathlib.Path(folder).expanduser() / "checkpoints")
    return [int(n.removeprefix("partial-")) for n in names if re.fullmatch(r"partial-\d+", n)]


def about(folder: str | os.PathLike, step: int) -> dict[str, Any]:
    """The other entries of the manifest of a checkpoint; {} if there are none."""
    path = pathlib.Path(folder).expanduser() / "checkpoints" / f"{step:09d}" / _MANIFEST
    return json.loads(path.read_text())["body"].get("about", {})


def verify(folder: str | os.PathLike, step: int) -> dict:
    """Verifies every byte of a checkpoint, and returns the body of its manifest.

    Raises:
      DamagedCheckpoint: files are missing or unexpected, or their size or content differs.
    """
    path = pathlib.Path(folder).expanduser() / "checkpoints" / f"{step:09d}"
    try:
        manifest = jsons.read(path / _MANIFEST, _SCHEMA)
    except (OSError, ValueError) as error:
        raise DamagedCheckpoint(
            f"{path}: {_MANIFEST} cannot be read ({type(error).__name__}: {error})"
        ) from error
    body, vouched = manifest["body"], manifest["sha256"]
    if _sha256_of(body) != vouched or body["step"] != step:
        raise DamagedCheckpoint(f"{path}: {_MANIFEST} is not what was written")
    try:
        wanted, found = body["files"], _fingerprints(path)
    except OSError as error:
        raise DamagedCheckpoint(
            f"{path}: a file cannot be read ({type(error).__name__})"
        ) from error
    for name in sorted(wanted.keys() | found.keys()):
        if name not in found:
            raise DamagedCheckpoint(f"{path}: {name} is missing")
        if name not in wanted and _STRAY.search(name):
            _log.warning("%s: %s was not there when it was saved, and is not read", path, name)
            continue
        if name not in wanted:
            raise DamagedCheckpoint(f"{path}: {name} was not there when it was saved")
        want, got = wanted[name], found[name]
        if want["size"] != got["size"]:
            raise DamagedCheckpoint(
                f"{path}: {name} has {got['size']} bytes; {want['size']} were written"
            )
        if want["sha256"] != got["sha256"]:
            raise DamagedCheckpoint(f"{path}: {name} has other content than was written")
    return body


def newest_intact(folder: str | os.PathLike) -> tuple[int, dict, list[str]]:
    """The newest intact step, its manifest's body, and the damage of newer ones.

    Raises:
      FileNotFoundError: there is no checkpoint.
      DamagedCheckpoint: no checkpoint is intact.
    """
    found = steps(folder)
    if not found:
        raise FileNotFoundError(f"{folder} has no checkpoint to restore.")
    problems = []
    for step in reversed(found):
        try:
            return step, verify(folder, step), problems
        except DamagedCheckpoint as problem:
            problems.append(str(problem))
    raise DamagedCheckpoint(f"no checkpoint of {folder} is intact: {'; '.join(problems)}.")


def restore(folder: str | os.PathLike, like: State, *, model: Any = None) -> State:
    """Restores the newest intact checkpoint of a run.

    Args:
      folder: the run's folder; on several hosts, a shared folder.
      like: a state of the same structure, whose arrays define the devices of the restored ones,
        independently of the devices they were saved from.
      model: the model of the run, which is compared with the description in the manifest, including
        masks and orders that shapes do not show. There is no comparison if it is None, or if the
        release that wrote the checkpoint saved no description.

    Raises:
      FileNotFoundError: there is no checkpoint.
      DamagedCheckpoint: no checkpoint is intact.
      ValueError: the newest intact checkpoint is of another model or optimizer.
    """

    def choose() -> int:
        step, body, problems = newest_intact(folder)
        if problems:
            _log.warning("going back to step %d, because %s", step, "; ".join(problems))
        _check_same(body, like, model, folder)
        return step

    step = sharding.on_first_host(choose)
    path = pathlib.Path(folder).expanduser().absolute() / "checkpoints" / f"{step:09d}"
    if not path.exists():
        raise FileNotFoundError(
            f"host 0 restores step {step} from {folder}, which host {jax.process_index()} cannot "
            "see: the folder of a run must be shared by all hosts."
        )
    return _read(path, like)


def _read(path: pathlib.Path, like: State) -> State:
    """The arrays of a verified checkpoint, on the devices of like."""
    import orbax.checkpoint as ocp

    wanted = {
        name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding)
        for name, x in numbered(like).items()
    }
    with paths.plain(path) as there, ocp.StandardCheckpointer() as reader:
        return assembled(like, reader.restore(there / _ARRAYS, wanted))


def _check_same(body: dict, like: State, model: Any, folder: str | os.PathLike) -> None:
    """Raises unless paths, shapes and dtypes agree, and the models if both are known."""
    here = identity.Description({name: _describe(x) for name, x in _leaves(like).items()})
    what = f"the checkpoint of step {body['step']} in {folder} is of another model"
    if lines := identity.differences(body["leaves"], here):
        raise identity.refusal(f"{what} or optimizer", lines)
    run = body.get("about", {}).get("run")
    if model is not None and run is not None:
        lines = identity.differences_within(run["loss"], identity.describe(model))
    if lines:
        raise identity.refusal(what, lines)


def _fingerprints(path: pathlib.Path, *, durable: bool = False) -> dict[str, dict]:
    """Size and SHA-256 of all files below path except the manifest; durable flushes them first."""
    files = [f for f in sorted(path.rglob("*")) if f.is_file() and f != path / _MANIFEST]
    return {str(f.relative_to(path).as_posix()): _fingerprint(f, durable) for f in files}


def _fingerprint(file: pathlib.Path, durable: bool) -> dict:
    with file.open("rb") as stream:
        content = hashlib.file_digest(stream, "sha256").hexdigest()
        if durable:
            os.fsync(stream.fileno())
    return {"size": file.stat().st_size, "sha256": content}


def _sha256_of(body: dict) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
