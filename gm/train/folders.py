"""The folder of a run: its configuration, access to it, and the history of its processes.

    config.json     the configuration; a run with a different one is an error
    run.json        loss, optimizer and batches (`identity`); different ones are an error
    history.jsonl   the processes of the run: command, first step, and how each ended
    metrics.jsonl   rows
    checkpoints/    states
    lock            the process that uses the folder (`locks`)
    owed/           states whose evaluation was interrupted by a signal
    samples/        pictures
    tensorboard/    the rows, if tensorboardX is installed

`gm inspect FOLDER` reads all of it.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import os
import pathlib
import shlex
import shutil
import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from gm.train import checkpoints, configs, identity, jsons, locks, sharding
from gm.train.state import State

_log = logging.getLogger(__name__)

RESUME = ("auto", "must", "never", "changed")
_REFUSED = {
    "config.json": ("a different configuration", "edit"),
    "run.json": ("another loss, optimizer or batches", "remove"),
}
_SCHEMAS = {"config.json": {}, "run.json": {...: {...: jsons.PLAIN}}}
_EVENT = {"event": str, "time": str}
_EVENTS = {
    "began": {"step": int, "command": str, "devices": str},
    "saved": {"step": int},
    "ended": {"step": int, "by": str},
    "not finite": {"step": int, "metrics": {}, "command": str},
    "changed": {"differences": [str]},
}


def begin(folder: pathlib.Path, config: Any, run: identity.Run, resume: str, state: State) -> State:
    """The newest intact state in the folder, which host 0 makes or checks; else the given state.

    Raises:
      ValueError: as in `enter` and `checkpoints.restore`, or the run in the folder has another key.
    """
    if not sharding.on_first_host(lambda: int(enter(folder, config, run, resume))):
        return state
    restored = checkpoints.restore(folder, state)
    there, here = (np.asarray(jax.random.key_data(s.key)) for s in (restored, state))
    if not np.array_equal(there, here):
        raise ValueError(
            f"the run in {folder} began with another key ({there} there, {here} here): it is not "
            "this run. Choose another folder, or the same seed."
        )
    return restored


def enter(folder: pathlib.Path, config: Any, run: identity.Run, resume: str) -> bool:
    """Makes or checks the folder, and returns whether there is a checkpoint to resume from.

    Partial files of an earlier process are removed; the caller must hold the lock (`locks`).

    Args:
      folder: the run's folder.
      config: a dataclass or dict that describes the run, or None. A field for the folder itself is
        ignored, since a folder may be moved.
      run: its losses, optimizers and batches.
      resume: "auto" resumes from a checkpoint if there is one, "must" requires one, "never"
        requires an empty folder; "changed" resumes a run that differs, and records this in the
        history.

    Raises:
      FileExistsError: resume is "never", and the folder contains a run.
      FileNotFoundError: resume is "must", and there is no checkpoint.
      ValueError: the folder contains another run, or one with an unknown configuration.
    """
    found = checkpoints.steps(folder)
    if not found:
        _check_progress(folder)
    _check_wanted(folder, resume, found)
    folder.mkdir(parents=True, exist_ok=True)
    unknown, lines, changed = [*run.unknown], [], resume == "changed"
    if config is not None:
        if found and not changed and not (folder / "config.json").exists():
            raise ValueError(
                f"{folder} has checkpoints but no config.json, so their run is unknown. Choose "
                'another folder, restore the config.json of that run, or use resume="changed".'
            )
        ours = configs.as_json(configs.without_folder(config, folder), unknown)
        here = identity.Description(configs.flat(ours))
        lines += _claim(
            folder / "config.json",
            ours,
            lambda there: identity.differences(configs.flat(there), here),
            changed,
        )
    if not found:  # no other run has used this folder
        (folder / "run.json").unlink(missing_ok=True)
    lines += _claim(folder / "run.json", run.as_json(), run.differences, changed)
    if found and lines:
        note(folder, "changed", differences=lines)
    if unknown:
        _log.warning(
            "%s: not compared with the earlier run: %s", folder, "; ".join(dict.fromkeys(unknown))
        )
    _sweep(folder)
    return bool(found)


def _check_wanted(folder: pathlib.Path, resume: str, found: list[int]) -> None:
    """Raises if the folder contradicts `resume`."""
    held = {file.name for file in folder.iterdir()} if folder.is_dir() else set()
    if resume == "never" and held - {locks.NAME}:
        raise FileExistsError(
            f'{folder} is not empty and resume="never"; choose another folder, or resume="auto".'
        )
    if resume == "must" and not found:
        raise FileNotFoundError(
            f'{folder} has no checkpoint and resume="must"; check the path, or use resume="auto" '
            "to begin there."
        )


def _check_progress(folder: pathlib.Path) -> None:
    """Raises if the history records checkpoints that no longer exist."""
    events = [e for e in history(folder) if e["event"] in ("began", "saved", "ended")]
    if made := max((e["step"] for e in events), default=0):
        raise FileNotFoundError(
            f"{folder} has no checkpoint, but its history.jsonl records step {made}: is a disk "
            "not mounted? Restore the checkpoints; or, to start again, choose another folder or "
            "remove history.jsonl."
        )


def command() -> str:
    """The command line of this process, which resumes the run.

    For a process started by `hosts` it is the command line of the launcher.
    """
    return os.environ.get("GM_COMMAND") or shlex.join(sys.orig_argv)


def note(folder: pathlib.Path, event: str, **details: Any) -> None:
    """Adds a line to history.jsonl: an event (began, saved, ended, ...) and its details."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    line = json.dumps({"event": event, "time": now, **details}, default=str)
    jsons.append(folder / "history.jsonl", line)


def history(folder: str | os.PathLike) -> list[dict]:
    """The valid lines of history.jsonl."""
    return [event for event in read_history(folder) if event is not None]


def read_history(folder: str | os.PathLike) -> list[dict | None]:
    """Like `history`, with None for invalid lines."""
    found = jsons.lines(pathlib.Path(folder).expanduser() / "history.jsonl", _EVENT)
    events = [event for _, event in found]
    return [None if e and jsons.fault(e, _EVENTS.get(e["event"], {})) else e for e in events]


def read(folder: pathlib.Path, name: str) -> dict:
    """Reads config.json or run.json.

    Raises:
      OSError: the file cannot be read.
      ValueError: the file is damaged; the message names it.
    """
    return jsons.read(folder / name, _SCHEMAS[name])


def _claim(
    path: pathlib.Path, ours: dict, differences: Callable[[dict], list[str]], changed: bool
) -> list[str]:
    """Writes the description of a run, or compares it with the saved one; returns differences if
    they are allowed."""
    lines = [f"{path.name}: absent there"]
    if path.exists():
        try:
            lines = differences(read(path.parent, path.name))
        except ValueError as error:
            lines = [str(error)]
        if lines and not changed:
            what, hint = _REFUSED[path.name]
            raise identity.refusal(
                f"{path.parent} has a run with {what}",
                lines,
                "\nChoose another folder; or, to resume in this one on purpose, "
                f'resume="changed", or {hint} {path}.',
            )
        if not lines:
            return []
    jsons.replace(path, (json.dumps(ours, indent=2) + "\n").encode())
    return lines


def _sweep(folder: pathlib.Path) -> None:
    """Removes partial files of an earlier process that was killed."""
    for path in [*(folder / "checkpoints").glob("partial-*")]:
        shutil.rmtree(path, ignore_errors=True)
    for place in (folder, folder / "best"):
        for path in [*place.glob("*.partial")]:
            with contextlib.suppress(OSError):
                path.unlink()
