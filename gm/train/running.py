"""The loop of a run: steps, and the logs, checkpoints, evaluations and pictures between them."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import pathlib
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gm.core import Array, Metrics
from gm.train import best as bests
from gm.train import checkpoints, feeds, folders, identity, paths, reports, sharding, stopping
from gm.train.background import await_unless
from gm.train.best import Best
from gm.train.every import Every
from gm.train.logs import Display, Record, learning_rates
from gm.train.reports import Evaluate, Owed, Plot, Reports
from gm.train.saves import SavedElsewhere, Saves
from gm.train.state import State
from gm.train.step import Step
from gm.train.trackers import Tracker

# Dispatches in flight before the oldest is awaited: the device never idles, memory is bounded.
AHEAD = 4


@dataclasses.dataclass(frozen=True)
class Asked:
    """The options of `run`; its fields are described there."""

    num_steps: int
    folder: pathlib.Path | None
    config: Any
    resume: str
    every: Every
    keep: int
    keep_every: int | None
    evaluate: Evaluate | None
    best: Best | None
    plot: Plot | None
    on_row: Tracker | None
    progress: bool

    def __post_init__(self) -> None:
        if self.resume not in folders.RESUME:
            raise ValueError(
                f'resume is "changed" or one of {", ".join(folders.RESUME[:-1])}; '
                f"got {self.resume!r}."
            )
        checkpoints.check_keep(self.keep, self.keep_every)
        wants = {'resume="must"': self.resume == "must", "plot": self.plot is not None}
        for name, asked in wants.items():
            if asked and self.folder is None:
                raise ValueError(f"{name} needs a folder.")
        if self.best is not None and self.evaluate is None:
            raise ValueError("best needs evaluate, whose metrics it compares.")
        if not (self.on_row is None or callable(self.on_row)):
            raise TypeError(f"on_row is a function of a row, which is a dict; got {self.on_row!r}.")


def start(step: Step, state: State, batches: Any, asked: Asked) -> State:
    """Checks the arguments, enters the folder, and trains from the newest state there."""
    if not isinstance(step, Step) or not isinstance(state, State):
        raise TypeError(
            "run needs step = train.make_step(loss, optimizer) and state = train.init(params, "
            f"optimizer, key); got {type(step).__name__} and {type(state).__name__}."
        )
    feeds.check(batches)
    with stopping.on_signals(saves=asked.folder is not None) as stop:
        return _start(step, step.place(state), batches, asked, stop)


def _start(step: Step, state: State, batches: Any, asked: Asked, stop: stopping.Stop) -> State:
    """Enters the folder, and trains from the newest state there."""
    folder, owed, described = asked.folder, [], identity.describe_run(step.game, batches, state)
    if folder is not None:
        with paths.plain(folder.absolute()):  # raises here if the folder cannot have one
            state = folders.begin(folder, asked.config, described, asked.resume, state)
        if checkpoints.steps(folder):
            owed = reports.left(folder, _updates(state))
    if asked.best is not None:
        bests.begin(asked.best, folder, state)
    if _updates(state) < asked.num_steps or owed:
        return Loop(step, state, batches, asked, described, stop).go(owed)
    if asked.progress and jax.process_index() == 0:
        Display().say(f"already at step {_updates(state)} of {asked.num_steps}, in {folder}")
    if asked.best is not None and step.rule is sharding.replicated:
        bests.share(asked.best, state)
    return state


class Loop:
    """A run in progress.

    Args:
      step: as in `run`.
      state: the state to continue from, on its devices.
      batches: as in `run`.
      asked: the other options.
      described: the description of the run for manifests.
      stop: whether a signal has arrived.
    """

    def __init__(
        self,
        step: Step,
        state: State,
        batches: Any,
        asked: Asked,
        described: identity.Run,
        stop: stopping.Stop,
    ) -> None:
        self.step, self.state, self.batches, self.asked = step, state, batches, asked
        self.folder, self.every, self.num_steps = asked.folder, asked.every, asked.num_steps
        self.start, self.leads = _updates(state), jax.process_index() == 0
        self.replicated, self.stop = step.rule is sharding.replicated, stop
        folder, on_row = (self.folder, asked.on_row) if self.leads else (None, None)
        shows = asked.progress and self.leads
        self.record = Record(folder, self.start, asked.num_steps, shows, on_row)
        self.reports = Reports(self.record, self.folder, asked.evaluate, asked.best, asked.plot)
        self.saves = Saves(
            self.folder,
            self.start,
            {"run": described.as_json()},
            {"keep": asked.keep, "keep_every": asked.keep_every},
            self.reports,
            lambda: self.ending or bool(self.stop),
        )
        self.pending: collections.deque[tuple[int, Metrics, Array | bool]] = collections.deque()
        self.ending, self.stopping, self.told, self.size = False, False, self.start > 0, 0

    def go(self, owed: list[dict[str, Any]]) -> State:
        """Steps to the end, or to the first reason to stop.

        Args:
          owed: the outputs that an earlier process has not made (`Reports.owed`).
        """
        if self.start and self.folder:
            self.record.say(f"resuming from step {self.start} of {self.folder}")
        devices = _devices(self.step.mesh)
        self._tell("began", step=self.start, command=folders.command(), devices=devices)
        try:
            done = self._work(owed)
            self._end(done)
        except BaseException as error:
            with contextlib.suppress(Exception):
                error.state = self._good()
            raise
        finally:
            self.record.close()
        return self.state

    def _end(self, done: int) -> None:
        """Reports the end of a run without errors; a signal while it ended counts as any other."""
        best, stop = self.asked.best, self.stop
        self._tell("ended", step=done, by=stop.signal or "itself", **(best.record if best else {}))
        if done < self.num_steps or (stop and jax.process_count() == 1):
            self.record.close()
            if self.folder is None:
                raise KeyboardInterrupt(f"stopped at step {done}; error.state is its state")
            self.record.display.say(
                f"stopped by {stop.signal or 'another host'} at step {done} of {self.num_steps}; "
                f"{f'saved in {self.folder}' if done else 'nothing was made'}. To resume: "
                f"{folders.command()}"
            )
            raise SystemExit(stop.status)
        if best is not None and best.step >= 0:
            self.record.say(str(best))

    def _work(self, owed: list[dict[str, Any]]) -> int:
        """Makes what is owed, the steps, the last checkpoint, and the outputs at the end."""
        try:
            self._resume(owed)
            done = self._steps(self.start) if self.start < self.num_steps else self.start
            if done < self.num_steps and self.folder is None:
                raise KeyboardInterrupt(f"stopped at step {done}; error.state is its state")
            if self.folder is not None:
                self.saves.insist(done, self.state)
                if self.stop and self.reports.owed(done):
                    self.record.display.say(
                        f"step {done} is saved; an evaluation or a picture is still being made, "
                        "unless another signal comes"
                    )
            self.reports.worker.wait()
            if self.asked.best is not None and self.replicated:
                bests.share(self.asked.best, self.state)
        except BaseException as error:
            self._rescue(error)
            self._tell("ended", step=self.saves.saved, by=type(error).__name__, error=str(error))
            raise
        finally:
            self.saves.worker.close()
            self.reports.worker.close()
        return done

    def _resume(self, owed: list[dict[str, Any]]) -> None:
        """Queues the outputs that an earlier process owed."""
        now = [entry for entry in owed if entry["row"]["step"] == self.start]
        copy = None
        for entry in now if not self.replicated and self.asked.evaluate is not None else ():
            if entry["evaluates"]:
                entry["numbers"] = self.reports.evaluate(self.start, self.state)
                entry["evaluates"] = False
        if any(entry["evaluates"] or entry["plots"] for entry in now):
            copy = sharding.local(self.state)
        if self.leads and owed:
            self.reports.resume(owed, self.state, copy)

    def _steps(self, done: int) -> int:
        """Dispatches steps until the end, or until all hosts know that one of them must stop."""
        program, compiled = self.step.program(self.state), False
        feed = feeds.feed_of(self.batches, done, self.num_steps, self.step, self.every.dispatch)
        while done < self.num_steps and not self.stopping:
            flag = sharding.any_host(bool(self.stop), self.step.mesh)
            if flag is True:
                break
            count = self.every.next(done, self.num_steps) - done
            began = time.perf_counter()
            self.state, metrics = feed.advance(program, self.state, done, count)
            if not compiled:
                self.record.compiled(time.perf_counter() - began)
                compiled, self.size = True, feed.size
            done += count
            self._note(done, metrics, flag)
        self._settle(0)
        return done

    def _due(self, done: int, every: int | None) -> bool:
        """Whether something is due that happens every so many steps and at the end."""
        return every is not None and (done % every == 0 or done == self.num_steps)

    def _logs(self, done: int) -> bool:
        return self._due(done, self.every.log) or self._due(done, self.every.evaluate)

    def _note(self, done: int, metrics: Metrics, flag: Array | bool) -> None:
        """Queues the metrics of a dispatch, and does what is due after it."""
        if self._logs(done):
            metrics = {**learning_rates(self.state.opt_state), **metrics}
            for x in metrics.values():
                x.copy_to_host_async()
        self.pending.append((done, metrics, flag))
        stops = self.every.checkpoint, self.every.evaluate, self.every.plot
        ahead = max(1, AHEAD // self.every.dispatch)
        if any(self._due(done, every) for every in stops):
            self._settle(0)
        elif len(self.pending) >= 2 * ahead:
            self._settle(ahead)
        if done % self.every.checkpoint == 0 and done < self.num_steps:
            self._save(done)

    def _settle(self, ahead: int) -> None:
        """Waits for all dispatches except the newest few, and queues the rows that are due."""
        settled = [self.pending.popleft() for _ in range(len(self.pending) - ahead)]
        # After a step that is not finite all later ones are not: checking the last suffices.
        failed = settled and not np.any(np.asarray(settled[-1][1]["finite"]))
        for done, metrics, flag in settled:
            if failed and not np.any(np.asarray(metrics["finite"])):
                self._fail(metrics)
            self.stopping |= bool(flag)
            if self._logs(done) or self._due(done, self.every.plot):
                self._report(done, metrics)
        self._check()

    def _report(self, done: int, metrics: Metrics) -> None:
        """Queues a row and a picture; if either needs the state, it must be the newest one."""
        evaluates, plots = (self._due(done, n) for n in (self.every.evaluate, self.every.plot))
        metrics = {name: x for name, x in metrics.items() if name != "finite" or np.ndim(x)}
        row = self.record.row(done, self.size)
        owed = Owed(row, self.size, metrics, self._logs(done), evaluates and self.replicated, plots)
        with self.record.paused():
            if owed.evaluates or owed.plots:
                owed.state = self._copy(done)
            if evaluates and not self.replicated:
                try:
                    owed.numbers = self.reports.evaluate(done, self.state)
                except BaseException:
                    self.reports.fail(dataclasses.replace(owed, evaluates=True))
                    raise
        if self.leads:
            self.reports.add(owed)

    def _copy(self, done: int) -> Callable[[], State]:
        """A function that returns the state on one device; the copy is lazy if this is safe."""
        later = self.replicated and jax.process_count() == 1
        if not (later and done == self.num_steps):
            # One copy at a time. Errors are raised after this row is reported.
            await_unless(self.reports.last, lambda: bool(self.stop))
        if later and (done == self.num_steps or self.stop):
            return functools.cache(functools.partial(sharding.local, self.state))
        copy = sharding.local(self.state)
        return lambda: copy

    def _fail(self, metrics: Metrics) -> None:
        """Raises an error for the step that was not finite, with the command to replay it."""
        failed = _updates(self.state)  # the state is that before the step
        plain = {name: np.asarray(x).tolist() for name, x in metrics.items() if name != "finite"}
        values = ", ".join(
            f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in plain.items()
        )
        details: dict[str, Any] = {"step": failed, "metrics": plain}
        indices = ""
        if hasattr(self.batches, "indices"):
            numbers = self.batches.indices(failed)
            details["examples"] = jax.tree.map(lambda x: np.asarray(x).tolist(), numbers)
            indices = f" Its batch held the examples {details['examples']}."
        self._tell("not finite", **details, command=folders.command())
        raise FloatingPointError(
            f"step {failed} (after {failed} updates) is not finite, and its update was not "
            f"applied: {values}.{indices} Replay it with: {folders.command()}"
        )

    def _rescue(self, error: BaseException) -> None:
        """Saves the last good state before the run ends with an error."""
        if self.folder is None or not _updates(self.state) or isinstance(error, SavedElsewhere):
            return
        if jax.process_count() > 1 and not isinstance(error, FloatingPointError):
            from gm.train import hosts

            lost = hosts.explain(error)
            if lost is not None:
                raise RuntimeError(f"{lost} To resume: {folders.command()}") from error
            return  # saving needs all hosts, and the others do not know of this error
        self.ending = True
        # Further errors must neither hide the first one nor prevent saving.
        with contextlib.suppress(Exception):
            if not isinstance(error, FloatingPointError):
                self._settle(0)  # writes the rows of finished steps
        self.reports.again()
        try:
            if (state := self._good()) is None:
                raise RuntimeError("the step that failed has consumed it")
            self.saves.insist(_updates(state), state)
        except Exception as second:
            error.add_note(f"The state is not saved in {self.folder}: {second}")
        else:
            error.add_note(
                f"Step {self.saves.saved}, the last good one, is saved in {self.folder}."
            )

    def _good(self) -> State | None:
        """The last good state; None if a step has consumed it without returning another."""
        if any(x.is_deleted() for x in jax.tree.leaves(self.state)):
            return None
        if np.any(self.state.finite):
            return self.state
        return self.state.replace(finite=jnp.logical_not(self.state.finite))

    def _save(self, done: int) -> None:
        """Writes a checkpoint of the newest step in the background."""
        if self.folder is None:
            return
        with self.record.paused():
            self._await(self.saves.worker.last)
            self.saves.begin(done, self.state)

    def _await(self, task: Future | None) -> None:
        """Waits for a task, unless a signal has arrived; raises errors of tasks."""
        await_unless(task, lambda: bool(self.stop))
        self._check()

    def _check(self) -> None:
        """Raises errors of other threads; records the first checkpoint in the history."""
        if not self.told and self.saves.saved:
            self.told = True
            self._tell("saved", step=self.saves.saved)
        self.saves.worker.check()
        self.reports.worker.check()

    def _tell(self, event: str, **details: Any) -> None:
        """Adds a line to the folder's history; errors do not end the run."""
        if self.folder is not None and self.leads:
            try:
                folders.note(self.folder, event, **details)
            except OSError as error:
                self.record.display.say(f"history.jsonl has no line about {event!r}: {error}")


def _updates(state: State) -> int:
    """The number of updates; for an ensemble, the largest of its members."""
    return int(np.max(np.asarray(state.step)))


def _devices(mesh: Mesh) -> str:
    """`8 x cpu on 1 host, jax 0.10.2, Python 3.11`"""
    where = f"{jax.process_count()} host{'s' * (jax.process_count() > 1)}"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    kind = mesh.devices.flat[0].device_kind
    return f"{mesh.size} x {kind} on {where}, jax {jax.__version__}, Python {python}"
