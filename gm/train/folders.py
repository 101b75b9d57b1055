"""The folder of a run: which configuration it belongs to, whether a run may enter, what befell it.

    config.json     what the run is called; a folder that holds another one is refused
    run.json        what the run is (`identity`); a folder that holds another one is refused
    history.jsonl   each process that worked here: its command, where it began, how it ended
    metrics.jsonl   rows
    checkpoints/    states
    samples/        pictures, where the run draws
    tensorboard/    the rows again, where tensorboardX is installed

`python -m gm.train.doctor FOLDER` reads all of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import os
import pathlib
import shlex
import sys
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gm.train import checkpoints, identity, sharding
from gm.train.state import State

RESUME = ("auto", "must", "never")
_REFUSED = {
    "config.json": ("a different configuration", "edit"),
    "run.json": ("another loss, optimizer or batches", "remove"),
}


def begin(folder: pathlib.Path, config: Any, run: identity.Run, resume: str, state: State) -> State:
    """The newest intact state of the folder, which host 0 makes or checks; or the state given.

    Raises:
      ValueError: what `enter` and `checkpoints.restore` refuse, or a run that has another key.
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
    """Makes or checks the folder, and says whether there is a checkpoint to resume from.

    Args:
      folder: the run's folder.
      config: a dataclass or dict that describes the run; None to claim nothing. A field that holds
        the folder itself is left out: a folder may be moved.
      run: its losses, optimizers and batches.
      resume: "auto" resumes where there is something, "must" insists, "never" wants a new folder.

    Raises:
      FileExistsError: "never", and the folder holds a run.
      FileNotFoundError: "must", and there is no checkpoint.
      ValueError: the folder holds another run, or one of an unknown configuration.
    """
    found = checkpoints.steps(folder)
    if resume == "never" and folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(
            f'{folder} is not empty and resume="never"; choose another folder, or resume="auto".'
        )
    if resume == "must" and not found:
        raise FileNotFoundError(
            f'{folder} has no checkpoint and resume="must"; check the path, or use resume="auto" '
            "to begin there."
        )
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        if found and not (folder / "config.json").exists():
            raise ValueError(
                f"{folder} holds checkpoints but no config.json, so whose they are is not known. "
                "Choose another folder, or put the config.json of that run back."
            )
        ours = {k: v for k, v in as_json(config).items() if v != str(folder)}
        here = identity.Description(_flat(ours))
        _claim(folder / "config.json", ours, lambda there: identity.differences(_flat(there), here))
    if not found:  # nothing that another run could have left
        (folder / "run.json").unlink(missing_ok=True)
    _claim(folder / "run.json", run.as_json(), run.differences)
    return bool(found)


def as_json(config: Any) -> dict:
    """A dataclass or dict as plain JSON; what JSON cannot hold appears as its str()."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        config = dataclasses.asdict(config)
    if not isinstance(config, Mapping):
        raise TypeError(f"config must be a dataclass or a dict; got {type(config).__name__}.")
    return json.loads(json.dumps(dict(config), default=str))


def command() -> str:
    """The command line of this process; it resumes the run, as all randomness is in (key, step).

    A process that `hosts` has started was started by another command: that one is given.
    """
    return os.environ.get("GM_COMMAND") or shlex.join(sys.orig_argv)


def note(folder: pathlib.Path, event: str, **details: Any) -> None:
    """Adds a line to history.jsonl: "began", "ended" or "not finite", when, and details."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    with (folder / "history.jsonl").open("a") as file:
        file.write(json.dumps({"event": event, "time": now, **details}, default=str) + "\n")


def history(folder: str | os.PathLike) -> list[dict]:
    """The lines of history.jsonl, those left out that a kill has cut short."""
    path, events = pathlib.Path(folder) / "history.jsonl", []
    for line in path.read_text().splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            events.append(json.loads(line))
    return events


def _claim(path: pathlib.Path, ours: dict, differences: Callable[[dict], list[str]]) -> None:
    """Writes what a run is, or compares with what is there."""
    if not path.exists():
        replace(path, json.dumps(ours, indent=2) + "\n")
    elif lines := differences(json.loads(path.read_text())):
        what, hint = _REFUSED[path.name]
        raise identity.refusal(
            f"{path.parent} holds a run of {what}",
            lines,
            f"\nChoose another folder; or, to go on in this one on purpose, {hint} {path}.",
        )


def replace(path: pathlib.Path, text: str) -> None:
    """Writes a whole file or leaves the old one."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)


def _flat(config: dict, prefix: str = "") -> dict[str, Any]:
    """{"model": {"width": 3}} -> {"model.width": 3}"""
    flat: dict[str, Any] = {}
    for name, value in config.items():
        if isinstance(value, dict) and value:
            flat |= _flat(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat
