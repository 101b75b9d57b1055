"""Inspection of a run's folder: `gm inspect FOLDER...`, or `python -m gm.train.inspect`.

It reads every byte of every checkpoint and changes nothing; `commands.INSPECT` is its help text.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from gm import commands
from gm.train import checkpoints, folders, jsons, logs

T = TypeVar("T")


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One checkpoint in a folder.

    Attributes:
      step: the number of updates.
      problem: the damage; "" if it is intact.
      num_bytes: the size of its files; 0 if it is damaged.
      leaves: its arrays by name, such as {"params['w']": "float32[784, 500]"}.
      jax: the release of JAX that wrote it.
    """

    step: int
    problem: str
    num_bytes: int = 0
    leaves: dict[str, str] = dataclasses.field(default_factory=dict)
    jax: str = ""


@dataclasses.dataclass(frozen=True)
class Report:
    """A report on a run's folder.

    Attributes:
      folder: its path.
      config: the content of config.json; None if it is missing or damaged.
      checkpoints: the checkpoints, oldest first.
      partial: names of saves that were interrupted; the next process in the folder removes them.
      rows: the rows of metrics.jsonl.
      history: the history of the processes in this folder.
      broken: the damage of other files, one line each.
    """

    folder: pathlib.Path
    config: dict | None
    checkpoints: tuple[Checkpoint, ...]
    partial: tuple[str, ...]
    rows: tuple[dict, ...]
    history: tuple[dict, ...]
    broken: tuple[str, ...] = ()

    @property
    def intact(self) -> Checkpoint | None:
        """The checkpoint that a resumed run starts from."""
        return next((c for c in reversed(self.checkpoints) if not c.problem), None)

    @property
    def status(self) -> int:
        """The exit status: 0 all intact; 1 something is damaged; 2 nothing to resume from."""
        if self.intact is None:
            return 2
        return int(bool(self.broken) or any(c.problem for c in self.checkpoints))

    @property
    def command(self) -> str | None:
        """The command of the last process."""
        began = [event for event in self.history if event["event"] == "began"]
        return began[-1]["command"] if began else None

    @property
    def not_finite(self) -> dict | None:
        """The last step that was not finite, unless the run has gone on beyond it."""
        bad = [event for event in self.history if event["event"] == "not finite"]
        beyond = bad and any(c.step > bad[-1]["step"] for c in self.checkpoints)
        return bad[-1] if bad and not beyond else None

    def __str__(self) -> str:
        lines = [f"{name:13}{text}" for name, text in self._lines()]
        # Files of others must not send control characters to the terminal.
        return "\n".join("".join(c if c.isprintable() else "?" for c in line) for line in lines)

    def _lines(self) -> list[tuple[str, str]]:
        lines = [("folder", str(self.folder))]
        config = "none" if self.config is None else json.dumps(self.config)
        lines.append(("config", config))
        lines += [("process", _process(i, self.history)) for i in _beginnings(self.history)[-3:]]
        if self.rows:
            last = {k: v for k, v in self.rows[-1].items() if isinstance(v, (int, float))}
            row = ", ".join(
                f"{k} {v:g}" if type(v) is float else f"{k} {v}" for k, v in last.items()
            )
            lines.append(("metrics", f"{len(self.rows)} rows, the last: {row}"))
        lines += [("broken", text) for text in self.broken]
        for c in self.checkpoints:
            lines.append(("checkpoint", f"{c.step:9}  {_condition(c)}"))
        for name in self.partial:
            lines.append(("checkpoint", f"{name}: a save that was interrupted; it is ignored"))
        if self.intact is not None:
            lines += [("holds", f"{k}: {v}") for k, v in list(self.intact.leaves.items())[:12]]
            if len(self.intact.leaves) > 12:
                lines.append(("", f"and {len(self.intact.leaves) - 12} more arrays"))
        if (bad := self.not_finite) is not None:
            values = ", ".join(f"{k}={v}" for k, v in bad["metrics"].items())
            lines.append(("not finite", f"step {bad['step']}: {values}"))
            if "examples" in bad:
                lines.append(("", f"its batch held the examples {bad['examples']}"))
            lines.append(("replay", bad["command"]))
        return [*lines, ("resume", self._resume())]

    def _resume(self) -> str:
        if self.intact is None:
            damaged = "none of its checkpoints is intact" if self.checkpoints else "no checkpoint"
            return f"{damaged}: nothing to resume from"
        if self.command is None:
            return f"at step {self.intact.step}, with the command that began it"
        return f"at step {self.intact.step}: {self.command}"


def examine(folder: str | pathlib.Path) -> Report:
    """Reads a run's folder.

    Raises:
      FileNotFoundError: there is no such folder, or it is not that of a run.
    """
    folder = pathlib.Path(folder).expanduser()
    names = ("config.json", "history.jsonl", "metrics.jsonl", "checkpoints")
    if not folder.exists():
        raise FileNotFoundError(f"{folder} does not exist.")
    if not any((folder / name).exists() for name in names):
        raise FileNotFoundError(
            f"{folder} is not the folder of a run: it holds none of {', '.join(names)}."
        )
    broken: list[str] = []

    def reads(what: Callable[[], T], otherwise: T) -> T:
        try:
            return what()
        except FileNotFoundError:
            return otherwise
        except (OSError, ValueError) as error:
            broken.append(str(error))
            return otherwise

    def whole(name: str, read: Callable[[], list]) -> tuple:
        found = reads(read, [])
        if lost := sum(x is None for x in found):
            broken.append(f"{folder / name}: {lost} of {len(found)} lines are broken")
        return tuple(x for x in found if x is not None)

    config = reads(lambda: folders.read(folder, "config.json"), None)
    reads(lambda: folders.read(folder, "run.json"), {})
    path = folder / "metrics.jsonl"
    rows = whole(path.name, lambda: [row for _, row in jsons.lines(path, logs.ROW)])
    history = whole("history.jsonl", lambda: folders.read_history(folder))
    partial = sorted(path.name for path in (folder / "checkpoints").glob("partial-*"))
    steps = reads(lambda: checkpoints.steps(folder), [])
    found = tuple(_checkpoint(folder, step) for step in steps)
    return Report(folder, config, found, tuple(partial), rows, history, tuple(broken))


def _checkpoint(folder: pathlib.Path, step: int) -> Checkpoint:
    try:
        body = checkpoints.verify(folder, step)
    except checkpoints.DamagedCheckpoint as problem:
        return Checkpoint(step, str(problem))
    size = sum(file["size"] for file in body["files"].values())
    return Checkpoint(step, "", size, body["leaves"], body["jax"])


def _condition(c: Checkpoint) -> str:
    if c.problem:
        return f"DAMAGED: {c.problem}"
    return f"intact, {len(c.leaves)} arrays, {c.num_bytes / 1e6:.1f} MB, written by jax {c.jax}"


def _beginnings(history: Sequence[dict]) -> list[int]:
    return [i for i, event in enumerate(history) if event["event"] == "began"]


def _process(i: int, history: Sequence[dict]) -> str:
    """One line about the process that began with an event."""
    began = history[i]
    later = [e for e in history[i + 1 :] if e["event"] in ("began", "ended")][:1]
    end = "was killed, or is still at work"
    if later and later[0]["event"] == "ended":
        end = f"ended at step {later[0]['step']} by {later[0]['by']}"
    return f"{began['time']} from step {began['step']} on {began['devices']}; {end}"


def main(arguments: Sequence[str] | None = None, name: str = "python -m gm.train.inspect") -> int:
    """Prints the reports; returns the worst status."""
    parser = commands.inspect(name)
    status = 0
    for i, folder in enumerate(parser.parse_args(arguments).folder):
        try:
            report = examine(folder)
        except OSError as error:
            parser.error(str(error))
        print("\n" * bool(i) + str(report))
        status = max(status, report.status)
    return status


if __name__ == "__main__":
    raise SystemExit(main())
