"""Rows, evaluations and pictures of a run, made in order on a separate thread.

Those that are still pending are called owed. The manifest of a checkpoint lists what is owed at its
step, so that a checkpoint need not wait for the rows before it: a run that resumes from it makes
them first. The state for an evaluation or picture of an earlier step is saved in
folder/owed/<step>.safetensors.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import logging
import pathlib
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

import jax
import numpy as np

from gm.train import best as bests
from gm.train import checkpoints, jsons, logs, sharding, weights
from gm.train.background import Worker
from gm.train.best import Best
from gm.train.logs import Record
from gm.train.state import State

_log = logging.getLogger(__name__)

_NUMBER = (int, float, bool)
_NUMBERS = {...: (*_NUMBER, [(*_NUMBER, [_NUMBER])])}
_OWED = {
    "row": {"step": int, "seconds": jsons.NUMBER, ...: jsons.NUMBER},
    "size": int,
    "metrics": _NUMBERS,
    "numbers": _NUMBERS,
    "writes": bool,
    "evaluates": bool,
    "plots": bool,
}

Evaluate = Callable[[State], Mapping[str, float]]
Plot = Callable[[State, pathlib.Path], Any]


@dataclasses.dataclass
class Owed:
    """The pending outputs of one step; flags are cleared when outputs are made.

    Attributes:
      row: the first entries of the row (`Record.row`).
      size: examples per batch.
      metrics: the metrics of the step.
      writes: whether a row must be written.
      evaluates: whether the row needs an evaluation first.
      plots: whether a picture must be made.
      numbers: the result of the evaluation.
      state: returns the state of that step on one device, for an evaluation or a picture.
    """

    row: dict[str, float]
    size: int
    metrics: dict[str, Any]
    writes: bool
    evaluates: bool
    plots: bool
    numbers: dict[str, Any] = dataclasses.field(default_factory=dict)
    state: Callable[[], State] | None = None

    @property
    def step(self) -> int:
        """The number of updates."""
        return self.row["step"]

    def as_json(self) -> dict[str, Any]:
        """All fields except the state, as plain JSON."""
        plain = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)[:-1]}
        for name in ("metrics", "numbers"):
            plain[name] = {k: np.asarray(x).tolist() for k, x in plain[name].items()}
        return plain


class Reports:
    """Makes rows, evaluations and pictures; only the loop calls `add`.

    If writing a row fails, it is tried again before the next one. After an evaluation has failed
    no others are made; they are owed.

    Args:
      record: the record that writes rows.
      folder: the folder of the run, or None.
      evaluate: as in `run`.
      best: as in `run`.
      plot: as in `run`.
    """

    def __init__(
        self,
        record: Record,
        folder: pathlib.Path | None,
        evaluate: Evaluate | None,
        best: Best | None,
        plot: Plot | None,
    ) -> None:
        self.record, self.folder, self.best = record, folder, best
        self._evaluate, self._plot = evaluate, plot
        self._owed: list[Owed] = []
        self._tried, self._failed = False, False
        self.worker = Worker()

    @property
    def last(self) -> Future | None:
        """The task of the last `add`."""
        return self.worker.last

    def add(self, owed: Owed) -> None:
        """Queues outputs after those that were added before."""
        self._owed.append(owed)
        self.again()

    def again(self) -> None:
        """Queues another attempt at outputs that failed."""
        self.worker.submit(self._make)

    def fail(self, owed: Owed) -> None:
        """Records the outputs of a step as owed after its evaluation in the loop failed."""
        self._failed = True
        self._owed.append(owed)

    def evaluate(self, step: int, state: State) -> dict[str, Any]:
        """Evaluates a state, and keeps the best evaluation so far."""
        numbers, kept = {k: np.asarray(x) for k, x in self._evaluate(state).items()}, {}
        if self.best is not None:
            bests.offer(self.best, numbers, step, state.averaged, self.folder)
            kept = self.best.record
        return {f"eval/{name}": x for name, x in numbers.items()} | kept

    def _make(self) -> None:
        """Makes what is owed, oldest first."""
        while self._owed and not self._failed:
            owed = self._owed[0]
            if owed.evaluates:
                self._failed = True
                owed.numbers = self.evaluate(owed.step, owed.state())
                self._failed = owed.evaluates = False
            if owed.writes and not (self._tried and owed.step in _written(self.folder)):
                self._tried = True
                self.record.write(owed.row, owed.size, owed.metrics, owed.numbers)
            self._tried = owed.writes = False
            if owed.plots:
                self._picture(owed.step, owed.state())
            del self._owed[0]
            if self.folder is not None:
                with contextlib.suppress(OSError):
                    _path(self.folder, owed.step).unlink(missing_ok=True)

    def _picture(self, step: int, state: State) -> None:
        """Makes a picture; errors are logged."""
        path = _picture(self.folder, step)
        try:
            path.parent.mkdir(exist_ok=True)
            self._plot(state, path)
            self.record.picture(step, path)
        except Exception as error:
            self.record.display.say(
                f"no picture of step {step}: {type(error).__name__}: {error}. Training continues."
            )

    def owed(self, step: int) -> list[dict[str, Any]]:
        """What is owed up to a step, as plain JSON."""
        return [owed.as_json() for owed in list(self._owed) if owed.step <= step]

    def keep(self, step: int) -> None:
        """Saves the states that another process would need for what is owed before a step."""
        for owed in list(self._owed):
            if owed.step < step and (owed.evaluates or owed.plots) and owed.state is not None:
                try:
                    weights.save(_path(self.folder, owed.step), checkpoints.numbered(owed.state()))
                except Exception as error:
                    self.record.display.say(
                        f"the state of step {owed.step} could not be saved for its evaluation "
                        f"({type(error).__name__}: {error}): a KILL now would lose it."
                    )

    def resume(
        self, entries: Sequence[Mapping[str, Any]], state: State, copy: State | None
    ) -> None:
        """Adds what an earlier process owed.

        Args:
          entries: the result of `owed`.
          state: the state of the run.
          copy: returns a copy of it on one device, for entries of its step.
        """
        written, start = _written(self.folder), int(np.max(np.asarray(state.step)))
        for entry in entries:
            owed = Owed(**{f.name: entry[f.name] for f in dataclasses.fields(Owed)[:-1]})
            owed.writes &= owed.step not in written
            owed.evaluates &= owed.writes and self._evaluate is not None
            owed.plots &= self._plot is not None and not _picture(self.folder, owed.step).exists()
            if owed.evaluates or owed.plots:
                held = copy if owed.step == start else self._held(owed.step, state)
                owed.state = functools.partial(lambda x: x, held)
                owed.evaluates &= held is not None
                owed.plots &= held is not None
            self.record.before = max(self.record.before, owed.row["seconds"])
            self.add(owed)

    def _held(self, step: int, like: State) -> State | None:
        """The state that `keep` saved; None, with a message, if there is none."""
        shapes = {
            name: jax.ShapeDtypeStruct(x.shape, x.dtype)
            for name, x in checkpoints.numbered(like).items()
        }
        try:
            arrays = weights.load(_path(self.folder, step), shapes)
            return checkpoints.assembled(sharding.local(like), arrays)
        except (OSError, ValueError) as error:
            self.record.display.say(
                f"an earlier process was killed before the evaluation or picture of step {step} "
                f"was made, and its state is lost ({error}): the row is written without it."
            )
            return None


def left(folder: pathlib.Path, step: int) -> list[dict[str, Any]]:
    """What is owed according to the checkpoint of a step; nothing if its entry is invalid."""
    entries = checkpoints.about(folder, step).get("owed", [])
    if why := jsons.fault(entries, [_OWED]):
        _log.warning("outputs owed by step %d of %s are skipped, because %s", step, folder, why)
        return []
    return entries


def _written(folder: pathlib.Path | None) -> set[int]:
    """The steps with rows in metrics.jsonl."""
    if folder is None or not (folder / "metrics.jsonl").exists():
        return set()
    return {row["step"] for row in logs.read_metrics(folder)}


def _path(folder: pathlib.Path, step: int) -> pathlib.Path:
    return folder / "owed" / f"{step:09d}.safetensors"


def _picture(folder: pathlib.Path, step: int) -> pathlib.Path:
    return folder / "samples" / f"{step:09d}.png"
