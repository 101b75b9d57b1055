"""The loop around a step, with what long work needs: metrics, checkpoints, resume, a clean stop."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import os
import pathlib
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Batch, Metrics
from gm.train import checkpoints, folders, sharding, stopping
from gm.train.logs import Record
from gm.train.state import State
from gm.train.step import Step

# Steps dispatched before the oldest is waited for: the device never idles, memory stays bounded.
AHEAD = 4


@runtime_checkable
class Batches(Protocol):
    """Batches that are a function of the step, so that a resumed run sees what it would have."""

    def starting_at(self, step: int) -> Iterator[Batch]:
        """The batches of steps step, step + 1, ..."""


def run(
    step: Step,
    state: State,
    batches: Batches | Iterable[Batch],
    num_steps: int,
    *,
    folder: str | os.PathLike | None = None,
    config: Any = None,
    resume: str = "auto",
    log_every: int = 100,
    checkpoint_every: int = 1000,
    keep: int = 3,
    evaluate: Callable[[State], Mapping[str, float]] | None = None,
    evaluate_every: int | None = None,
    progress: bool = True,
) -> State:
    """Trains until the state has made num_steps updates, and returns it.

    With a folder, the newest intact checkpoint there is where the run goes on, and its end has
    every bit that an uninterrupted run would have. SIGTERM, SIGINT or SIGUSR1 finish the step,
    save, and exit with status 0; a second signal ends the process at once. Whatever else ends the
    run early, the last good state is saved first.

    Args:
      step: from `make_step`.
      state: from `init`; consumed, like a step consumes it.
      batches: an object with starting_at(step), or any iterable, which is advanced on resuming.
      num_steps: updates in all, those of earlier processes included.
      folder: for config.json, metrics.jsonl and checkpoints/; None to keep nothing.
      config: a dataclass or dict; a folder that holds another one is refused.
      resume: "auto" resumes where there is a checkpoint, "must" insists, "never" wants an empty
        folder.
      log_every: steps between rows; the row of step n holds the metrics of the n-th update.
      checkpoint_every: steps between checkpoints; one is always written at the end.
      keep: checkpoints to hold.
      evaluate: evaluate(state) -> numbers, logged as "eval/..."; it must not keep the state.
      evaluate_every: steps between evaluations, a tenth of num_steps by default; there is always
        one at the end.
      progress: a bar on a terminal, and an occasional line on stderr elsewhere.

    Raises:
      FloatingPointError: loss, gradients or new parameters were not finite.
      FileExistsError, FileNotFoundError: what `resume` asks for is not so.
      ValueError: another configuration, model or key in the folder; batches that end too early or
        change their shapes.
    """
    if resume not in folders.RESUME:
        raise ValueError(f"resume is one of {', '.join(folders.RESUME)}; got {resume!r}.")
    if evaluate_every is None:
        evaluate_every = max(num_steps // 10, 1)
    for name, every in (
        ("log", log_every),
        ("checkpoint", checkpoint_every),
        ("evaluate", evaluate_every),
    ):
        if every < 1:
            raise ValueError(f"{name}_every must be at least 1; got {every}.")
    if folder is None and resume == "must":
        raise ValueError('resume="must" needs a folder.')
    folder = None if folder is None else pathlib.Path(folder)
    state = step.place(state)
    if folder is not None and folders.enter(folder, config, resume):
        state = _restore(folder, state)
    start = int(state.step)
    if start >= num_steps:
        return state
    record = Record(folder, start, num_steps, progress)
    if start and folder and progress:
        record.display.say(f"going on from step {start} of {folder}")
    intervals = _Every(log_every, checkpoint_every, evaluate_every if evaluate else None)
    loop = _Loop(step, state, batches, num_steps, folder, keep, evaluate, intervals, record)
    try:
        with stopping.on_signals(enabled=folder is not None) as stop:
            return loop.go(stop)
    finally:
        record.display.close()


def _restore(folder: pathlib.Path, state: State) -> State:
    """The newest intact state, unless it grew from another key."""
    restored = checkpoints.restore(folder, state)
    there, here = (jax.random.key_data(s.key) for s in (restored, state))
    if not np.array_equal(there, here):
        raise ValueError(
            f"the run in {folder} began with another key ({there} there, {here} here): it is not "
            "this run. Choose another folder, or the same seed."
        )
    return restored


@dataclasses.dataclass(frozen=True)
class _Every:
    """Steps between logs, checkpoints and evaluations."""

    log: int
    checkpoint: int
    evaluate: int | None


@dataclasses.dataclass
class _Loop:
    """A run while it runs."""

    step: Step
    state: State
    batches: Batches | Iterable[Batch]
    num_steps: int
    folder: pathlib.Path | None
    keep: int
    evaluate: Callable[[State], Mapping[str, float]] | None
    every: _Every
    record: Record
    pending: collections.deque[tuple[int, Metrics]] = dataclasses.field(
        default_factory=collections.deque
    )
    shapes: Any = None
    size: int = 0
    saved: int = -1

    def go(self, stop: stopping.Stop) -> State:
        """Steps to the end, or to the first reason to stop."""
        start = done = int(self.state.step)
        self.saved = start
        try:
            stream = self._stream(start)
            while done < self.num_steps and not stop:
                batch = self._next(stream, done)
                began = time.perf_counter()
                self.state, metrics = self.step(self.state, batch)
                if done == start:
                    self.record.compiled(time.perf_counter() - began)
                done += 1
                self._note(done, metrics)
            self._settle(0)
        except Exception as error:
            self._rescue(error)
            raise
        self._save()
        if done < self.num_steps:
            self.record.display.close()
            self.record.display.say(
                f"stopped by {stop.signal} at step {done} of {self.num_steps}; saved in "
                f"{self.folder}. To go on: {command()}"
            )
            raise SystemExit(0)
        return self.state

    def _stream(self, start: int) -> Iterator[Batch]:
        """The batches from a step on."""
        if isinstance(self.batches, Batches):
            return iter(self.batches.starting_at(start))
        return itertools.islice(iter(self.batches), start, None)

    def _next(self, stream: Iterator[Batch], done: int) -> Batch:
        """The batch of a step, of the same shapes as those before."""
        batch = next(stream, None)
        if batch is None:
            raise ValueError(
                f"batches ended after {done} steps; {self.num_steps} were asked for. Repeat them, "
                "or ask for fewer steps."
            )
        shapes = {name: np.shape(x) for name, x in batch.items()}
        if self.shapes is None:
            self.shapes, self.size = shapes, sharding.batch_size(batch)
        if shapes != self.shapes:
            raise ValueError(
                f"the batch of step {done} has shapes {shapes}; those before had {self.shapes}. "
                "Drop an incomplete last batch, or pad it."
            )
        return batch

    def _note(self, done: int, metrics: Metrics) -> None:
        """Queues a step's metrics, and does what is due after it."""
        for x in metrics.values() if self._logs(done) else (metrics["finite"],):
            x.copy_to_host_async()
        self.pending.append((done, metrics))
        saves, last = done % self.every.checkpoint == 0, done == self.num_steps
        self._settle(0 if saves or last or self._evaluates(done) else AHEAD)
        if saves and not last:
            self._save()

    def _evaluates(self, done: int) -> bool:
        every = self.every.evaluate
        return every is not None and (done % every == 0 or done == self.num_steps)

    def _logs(self, done: int) -> bool:
        return done % self.every.log == 0 or done == self.num_steps or self._evaluates(done)

    def _settle(self, ahead: int) -> None:
        """Waits for all steps but the newest few, and writes the rows that are due."""
        while len(self.pending) > ahead:
            done, metrics = self.pending.popleft()
            if not metrics["finite"]:
                self._fail(done - 1, metrics)
            if not self._logs(done):
                continue
            values = {name: float(x) for name, x in metrics.items() if name != "finite"}
            evaluation: Mapping[str, float] = {}
            if self._evaluates(done):  # nothing newer is pending: self.state is of this step
                with self.record.paused():
                    evaluation = self.evaluate(self.state)
            self.record.write(done, self.size, values, evaluation)

    def _fail(self, failed: int, metrics: Metrics) -> None:
        """Says which step was not finite, and how to see it again."""
        values = ", ".join(
            f"{name}={float(x):g}" for name, x in metrics.items() if name != "finite"
        )
        indices = ""
        if hasattr(self.batches, "indices"):
            examples = np.array2string(np.asarray(self.batches.indices(failed)), separator=", ")
            indices = f" Its batch held the examples {examples}."
        raise FloatingPointError(
            f"step {failed} (after {failed} updates) is not finite, and its update was not "
            f"applied: {values}.{indices} Replay it with: {command()}"
        )

    def _rescue(self, error: Exception) -> None:
        """Saves the last good state before the run ends with an error."""
        if self.folder is None:
            return
        try:
            self.state = self.state.replace(finite=jnp.ones_like(self.state.finite))
            self._save()
        except Exception as second:  # the first error is the one to see
            error.add_note(f"The state could not be saved: {second!r}")
        else:
            error.add_note(f"Step {self.saved}, the last good one, is saved in {self.folder}.")

    def _save(self) -> None:
        """Writes a checkpoint of the newest step, once."""
        done = int(self.state.step)
        if self.folder is None or done == self.saved:
            return
        with self.record.paused():
            checkpoints.save(self.folder, done, self.state, keep=self.keep)
        self.saved = done


def command() -> str:
    """The command line of this process; it resumes the run, as all randomness is in (key, step)."""
    return shlex.join(sys.orig_argv)
