"""The loop around a step, with what long work needs: metrics, checkpoints, resume, a clean stop."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import os
import pathlib
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, wait
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gm.core import Array, Batch, Metrics
from gm.train import best as bests
from gm.train import checkpoints, feeds, folders, identity, locks, sharding, stopping
from gm.train.background import Worker
from gm.train.best import Best
from gm.train.every import Every
from gm.train.feeds import Batches, Resident
from gm.train.logs import Display, Record
from gm.train.state import State
from gm.train.step import Step

# Dispatches made before the oldest is waited for: the device never idles, memory stays bounded.
AHEAD = 4

Evaluate = Callable[[State], Mapping[str, float]]
Draw = Callable[[State, pathlib.Path], Any]


@locks.alone
def run(
    step: Step,
    state: State,
    batches: Batches | Resident | Iterable[Batch],
    num_steps: int,
    *,
    folder: str | os.PathLike | None = None,
    config: Any = None,
    resume: str = "auto",
    log_every: int = 100,
    checkpoint_every: int = 1000,
    keep: int = 3,
    keep_every: int | None = None,
    evaluate: Evaluate | None = None,
    evaluate_every: int | None = None,
    best: Best | None = None,
    draw: Draw | None = None,
    draw_every: int | None = None,
    steps_per_dispatch: int = 1,
    progress: bool = True,
) -> State:
    """Trains until the state has made num_steps updates, and returns it.

    With a folder, the newest intact checkpoint there is where the run goes on, and its end has
    every bit that an uninterrupted run would have; more steps than before may be asked for, another
    run is refused. SIGTERM, SIGINT or SIGUSR1 finish the step,
    save, and exit with status 0 (130 for SIGINT, that Ctrl-C ends a shell's loop too); a second
    signal ends the process at once. Whatever else ends the run early, the last good state is saved
    first.

    Evaluations, pictures and files are made on a thread of their own, from a copy of the state on
    one device, while training goes on. (A state that a rule such as `fsdp` splits may not fit on
    one: it is evaluated as it is, in the loop.)

    On several hosts all call this with the same arguments; `batches` yields each host's own part,
    the folder is shared, and host 0 writes, evaluates and draws.

    Args:
      step: from `make_step`.
      state: from `init`; consumed, like a step consumes it.
      batches: an object with starting_at(step), or any iterable, which is advanced on resuming; or
        one that gathers its batches on the device (`split.batches(..., on_device=True)`).
      num_steps: updates in all, those of earlier processes included.
      folder: for all that `folders` lists; None to keep nothing.
      config: a dataclass or dict; a folder that holds another one is refused.
      resume: "auto" resumes where there is a checkpoint, "must" insists, "never" wants an empty
        folder; "changed" goes on as "auto" does with another configuration, optimizer or batches,
        and the folder's history says what changed.
      log_every: steps between rows; the row of step n holds the metrics of the n-th update.
      checkpoint_every: steps between checkpoints; one is always written at the end.
      keep: the newest checkpoints to hold.
      keep_every: checkpoints of a multiple of this step are held for ever.
      evaluate: evaluate(state) -> numbers, logged as "eval/..."; it must not keep the state.
      evaluate_every: steps between evaluations, a tenth of num_steps by default; there is always
        one at the end.
      best: what is told about the best evaluation, with its parameters; see `Best`.
      draw: draw(state, path) writes a picture to path, folder/samples/<step>.png; an error there is
        said, and training goes on.
      draw_every: steps between pictures, as evaluate_every.
      steps_per_dispatch: steps that small models make in one dispatch, at most; rows, checkpoints
        and signals come between dispatches. How they are grouped does not change the numbers, but
        1 is another program than more, and may differ from it by rounding. On a CPU leave it at 1
        for convolutional models, for XLA has slow gradients of convolutions inside loops.
      progress: a bar on a terminal, and an occasional line on stderr elsewhere.

    Raises:
      BlockingIOError: another process works in the folder.
      FloatingPointError: loss, gradients or new parameters were not finite.
      FileExistsError, FileNotFoundError: what `resume` asks for is not so.
      RuntimeError: another host is gone.
      TypeError: a step, a state or batches that are none.
      ValueError: another configuration, loss, optimizer, key or batches in the folder; batches that
        end too early or change their shapes.
    """
    if not isinstance(step, Step) or not isinstance(state, State):
        raise TypeError(
            "run needs step = train.make_step(loss, optimizer) and state = train.init(params, "
            f"optimizer, key); got {type(step).__name__} and {type(state).__name__}."
        )
    feeds.check(batches)
    if resume not in folders.RESUME:
        raise ValueError(
            f'resume is "changed" or one of {", ".join(folders.RESUME[:-1])}; got {resume!r}.'
        )
    tenth = max(num_steps // 10, 1)
    every = Every(
        log_every,
        checkpoint_every,
        (tenth if evaluate_every is None else evaluate_every) if evaluate else None,
        (tenth if draw_every is None else draw_every) if draw else None,
        steps_per_dispatch,
    )
    checkpoints.check_keep(keep, keep_every)
    for name, asked in (('resume="must"', resume == "must"), ("draw", draw is not None)):
        if asked and folder is None:
            raise ValueError(f"{name} needs a folder.")
    if best is not None and evaluate is None:
        raise ValueError("best needs evaluate, whose numbers decide.")
    folder = None if folder is None else pathlib.Path(folder).expanduser()
    state = step.place(state)
    described = identity.describe_run(step.game, batches)
    if folder is not None:
        state = folders.begin(folder, config, described, resume, state)
    start = _updates(state)
    if best is not None:
        bests.begin(best, folder, state)
    leads = jax.process_index() == 0
    if start >= num_steps:
        if leads and progress:
            Display().say(f"already at step {start} of {num_steps}, in {folder}")
        if best is not None and step.rule is sharding.whole:
            bests.share(best, state)
        return state
    record = Record(folder if leads else None, start, num_steps, progress and leads)
    if start and folder and progress and leads:
        record.display.say(f"going on from step {start} of {folder}")
    keeping = {"keep": keep, "keep_every": keep_every}
    about = {"run": described.as_json()}
    loop = _Loop(
        step, state, batches, num_steps, folder, about, keeping, evaluate, best, draw, every, record
    )
    try:
        with stopping.on_signals(enabled=folder is not None) as stop:
            return loop.go(stop)
    finally:
        record.close()


def _updates(state: State) -> int:
    """The updates made; of an ensemble, by its member that made most."""
    return int(np.max(np.asarray(state.step)))


@dataclasses.dataclass
class _Loop:
    """A run while it runs."""

    step: Step
    state: State
    batches: Any
    num_steps: int
    folder: pathlib.Path | None
    about: dict[str, Any]
    keeping: dict[str, int | None]
    evaluate: Evaluate | None
    best: Best | None
    draw: Draw | None
    every: Every
    record: Record
    worker: Worker = dataclasses.field(default_factory=Worker)
    pending: collections.deque[tuple[int, Metrics, Array | bool]] = dataclasses.field(
        default_factory=collections.deque
    )
    reporting: Future | None = None
    saving: Future | None = None
    size: int = 0
    saved: int = -1
    stopping: bool = False

    def go(self, stop: stopping.Stop) -> State:
        """Steps to the end, or to the first reason to stop."""
        self.saved = start = _updates(self.state)
        self._tell("began", step=start, command=folders.command(), devices=_devices(self.step.mesh))
        try:
            done = self._steps(start, stop)
            self._save()
            self.worker.wait()
            if self.best is not None and self.step.rule is sharding.whole:
                bests.share(self.best, self.state)
        except Exception as error:
            self._rescue(error)
            self._tell("ended", step=self.saved, by=type(error).__name__, error=str(error))
            raise
        finally:
            self.worker.close()
        best = self.best.record if self.best is not None else {}
        self._tell("ended", step=done, by=stop.signal or "itself", **best)
        if done < self.num_steps:
            self.record.close()
            self.record.display.say(
                f"stopped by {stop.signal or 'another host'} at step {done} of {self.num_steps}; "
                f"saved in {self.folder}. To go on: {folders.command()}"
            )
            raise SystemExit(stop.status)
        if self.best is not None and self.best.step >= 0:
            self.record.say(str(self.best))
        return self.state

    def _steps(self, done: int, stop: stopping.Stop) -> int:
        """Dispatches until the end, or until all hosts know that one of them is to stop."""
        program, compiled = self.step.program(self.state), False
        feed = feeds.feed_of(self.batches, done, self.num_steps, self.step, self.every.dispatch)
        while done < self.num_steps and not self.stopping:
            flag = sharding.any_host(bool(stop), self.step.mesh)
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
        """Whether something that comes every so many steps, and at the end, is due."""
        return every is not None and (done % every == 0 or done == self.num_steps)

    def _logs(self, done: int) -> bool:
        return self._due(done, self.every.log) or self._due(done, self.every.evaluate)

    def _note(self, done: int, metrics: Metrics, flag: Array | bool) -> None:
        """Queues a dispatch's metrics, and does what is due after it."""
        if self._logs(done):
            for x in metrics.values():
                x.copy_to_host_async()
        self.pending.append((done, metrics, flag))
        stops = self.every.checkpoint, self.every.evaluate, self.every.draw
        ahead = max(1, AHEAD // self.every.dispatch)
        if any(self._due(done, every) for every in stops):
            self._settle(0)
        elif len(self.pending) >= 2 * ahead:
            self._settle(ahead)
        if done % self.every.checkpoint == 0 and done < self.num_steps:
            self._save()

    def _settle(self, ahead: int) -> None:
        """Waits for all dispatches but the newest few, and has the rows written that are due."""
        settled = [self.pending.popleft() for _ in range(len(self.pending) - ahead)]
        # Once a step was not finite no later one is: the last tells of all, at the price of one.
        failed = settled and not np.any(np.asarray(settled[-1][1]["finite"]))
        for done, metrics, flag in settled:
            if failed and not np.any(np.asarray(metrics["finite"])):
                self._fail(metrics)
            self.stopping |= bool(flag)
            if self._logs(done) or self._due(done, self.every.draw):
                self._report(done, metrics)
        self.worker.check()

    def _report(self, done: int, metrics: Metrics) -> None:
        """Has a row written and a picture drawn; where either needs the state, it is newest now."""
        evaluates, draws = (self._due(done, n) for n in (self.every.evaluate, self.every.draw))
        row, copy, evaluation = self.record.row(done, self.size), None, {}
        here = self.step.rule is sharding.whole
        if draws or (evaluates and here):
            with self.record.paused():
                self._await(self.reporting)  # one copy at a time
                copy = sharding.local(self.state)
        if evaluates and not here:
            with self.record.paused():
                evaluation = self._evaluate(done, self.state)
        if jax.process_index() > 0:
            return
        metrics = {name: x for name, x in metrics.items() if name != "finite" or np.ndim(x)}

        def write() -> None:
            numbers = self._evaluate(done, copy) if evaluates and here else evaluation
            self.record.write(row, self.size, metrics, numbers)

        if self._logs(done):
            self.reporting = self.worker.submit(write)
        if draws:
            self.reporting = self.worker.submit(self._picture, done, copy)

    def _evaluate(self, done: int, state: State) -> Mapping[str, float]:
        """The numbers of a state, of which the best so far is kept."""
        numbers, kept = {k: np.asarray(x) for k, x in self.evaluate(state).items()}, {}
        if self.best is not None:
            bests.offer(self.best, numbers, done, state.averaged, self.folder)
            kept = self.best.record
        return {f"eval/{name}": x for name, x in numbers.items()} | kept

    def _picture(self, done: int, state: State) -> None:
        """Draws; whatever goes wrong is said and forgotten."""
        path = self.folder / "samples" / f"{done:09d}.png"
        try:
            path.parent.mkdir(exist_ok=True)
            self.draw(state, path)
        except Exception as error:
            self.record.display.say(
                f"no picture of step {done}: {type(error).__name__}: {error}. Training goes on."
            )

    def _fail(self, metrics: Metrics) -> None:
        """Says which step was not finite, and how to see it again."""
        failed = _updates(self.state)  # the state has stayed what it was before
        plain = {name: np.asarray(x).tolist() for name, x in metrics.items() if name != "finite"}
        values = ", ".join(
            f"{k}={v:g}" if isinstance(v, float) else f"{k}={v}" for k, v in plain.items()
        )
        details: dict[str, Any] = {"step": failed, "metrics": plain}
        indices = ""
        if hasattr(self.batches, "indices"):
            details["examples"] = np.asarray(self.batches.indices(failed)).tolist()
            indices = f" Its batch held the examples {details['examples']}."
        self._tell("not finite", **details, command=folders.command())
        raise FloatingPointError(
            f"step {failed} (after {failed} updates) is not finite, and its update was not "
            f"applied: {values}.{indices} Replay it with: {folders.command()}"
        )

    def _rescue(self, error: Exception) -> None:
        """Saves the last good state before the run ends with an error."""
        if self.folder is None:
            return
        if jax.process_count() > 1 and not isinstance(error, FloatingPointError):
            from gm.train import hosts

            lost = hosts.explain(error)
            if lost is not None:
                raise RuntimeError(f"{lost} To go on: {folders.command()}") from error
            return  # the other hosts do not know of this error, and saving takes all of them
        # What else goes wrong is not the error to see, and no reason to lose the state.
        with contextlib.suppress(Exception):
            if not isinstance(error, FloatingPointError):
                self._settle(0)  # the rows of the steps that were made
        with contextlib.suppress(Exception):
            self.worker.wait()
        try:
            if not np.any(self.state.finite):
                self.state = self.state.replace(finite=jnp.logical_not(self.state.finite))
            self._save()
            self.worker.wait()
        except Exception as second:
            error.add_note(f"The state could not be saved: {second!r}")
        else:
            error.add_note(f"Step {self.saved}, the last good one, is saved in {self.folder}.")

    def _save(self) -> None:
        """Writes a checkpoint of the newest step, once; its files appear while training goes on."""
        done = _updates(self.state)
        if self.folder is None or done == self.saved:
            return
        with self.record.paused():
            self._await(self.saving)
            save = checkpoints.Save(self.folder, done, self.state, about=self.about)
        self.saving = self.worker.submit(save.finish, **self.keeping)
        self.saved = done

    def _await(self, task: Future | None) -> None:
        """Waits for a task of the worker, and raises what it or an earlier one has raised."""
        if task is not None:
            wait([task])
        self.worker.check()

    def _tell(self, event: str, **details: Any) -> None:
        """A line of the folder's history."""
        if self.folder is not None and jax.process_index() == 0:
            folders.note(self.folder, event, **details)


def _devices(mesh: Mesh) -> str:
    """`8 x cpu on 1 host, jax 0.10.2, Python 3.11`"""
    where = f"{jax.process_count()} host{'s' * (jax.process_count() > 1)}"
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    kind = mesh.devices.flat[0].device_kind
    return f"{mesh.size} x {kind} on {where}, jax {jax.__version__}, Python {python}"
