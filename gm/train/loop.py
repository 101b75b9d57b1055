"""`run`: the training loop, with metrics, checkpoints, resume and a clean stop."""

from __future__ import annotations

import os
import pathlib
from collections.abc import Iterable
from typing import Any

from gm.core import Batch
from gm.train import locks, running
from gm.train.best import Best
from gm.train.every import Every
from gm.train.feeds import Batches, Resident
from gm.train.reports import Evaluate, Plot
from gm.train.state import State
from gm.train.step import Step
from gm.train.trackers import Tracker


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
    plot: Plot | None = None,
    plot_every: int | None = None,
    on_row: Tracker | None = None,
    steps_per_dispatch: int = 1,
    progress: bool = True,
) -> State:
    """Trains until the state has made num_steps updates, and returns it.

    With a folder, the run resumes from the newest intact checkpoint and ends with the same bits as
    an uninterrupted run. A larger num_steps is allowed; the folder of another run is refused.
    SIGTERM, SIGINT, SIGUSR1 and SIGHUP finish the step, save, and exit with status 0 (130 for
    SIGINT, so that Ctrl-C also ends a loop in a shell); a second signal, a second or more later,
    exits at once. If an error ends the run early, the last good state is saved first: in the
    folder, or in a temporary one that the error names.

    With or without a folder, the error carries that state as `error.state`, a `State` to continue
    from (None if a failed step has consumed it). It occupies device memory for as long as the error
    is referenced; in a notebook `sys.last_value` references it until the next error.

    Evaluations, pictures and files are made on separate threads, from a copy of the state on one
    device, while training continues; a stop saves before it waits for them. (A state that a rule
    such as `fsdp` splits may not fit on one device: it is evaluated in the loop, and a stop waits.)

    On several hosts all call this with the same arguments; `batches` yields each host's own part,
    the folder is shared, and host 0 writes, evaluates and plots.

    Args:
      step: from `make_step`.
      state: from `init`; consumed, as by a step.
      batches: an object with starting_at(step), or any iterable, which is advanced on resuming; or
        one that gathers its batches on the device (`split.batches(..., on_device=True)`).
      num_steps: updates in all, those of earlier processes included.
      folder: for the files listed in `folders`; None to write nothing.
      config: a dataclass or dict; a folder that holds another one is refused.
      resume: "auto" resumes from a checkpoint if there is one, "must" requires one, "never"
        requires an empty folder; "changed" resumes with another configuration, optimizer or
        batches, and records the change in the history of the folder.
      log_every: steps between rows; the row of step n holds the metrics of the n-th update.
      checkpoint_every: steps between checkpoints; one is always written at the end.
      keep: the number of newest checkpoints to keep.
      keep_every: checkpoints at multiples of this step are never removed.
      evaluate: evaluate(state) -> numbers, logged as "eval/..."; it must not keep the state.
      evaluate_every: steps between evaluations, a tenth of num_steps by default; there is always
        one at the end.
      best: receives the best evaluation and its parameters; see `Best`.
      plot: plot(state, path) writes a picture to path, folder/samples/<step>.png; an error there is
        logged, and training continues.
      plot_every: steps between pictures, as evaluate_every.
      on_row: on_row(row) for other trackers, on host 0: is called with the dict of each row on a
        separate thread and does not block the run; see `trackers`.
      steps_per_dispatch: steps that small models make in one dispatch, at most; rows, checkpoints
        and signals come between dispatches. Any number above 1 gives the same numbers; 1 is a
        different program and may differ by rounding. On a CPU keep 1 for convolutional models,
        because XLA has slow gradients of convolutions inside loops.
      progress: a bar on a terminal, and an occasional line on stderr elsewhere.

    Raises:
      BlockingIOError: another process uses the folder.
      FloatingPointError: loss, gradients or new parameters were not finite.
      KeyboardInterrupt: Ctrl-C without a folder, between two steps.
      FileExistsError, FileNotFoundError: the folder contradicts `resume`.
      OSError: the folder cannot be listed, or files cannot be written.
      RuntimeError: another host is gone.
      TypeError: a step, a state, batches or an on_row of the wrong type.
      ValueError: another configuration, loss, optimizer, key or batches in the folder; batches that
        end too early or change their shapes.
    """
    every = Every(
        log_every,
        checkpoint_every,
        _tenth(evaluate, evaluate_every, num_steps),
        _tenth(plot, plot_every, num_steps),
        steps_per_dispatch,
    )
    folder = None if folder is None else pathlib.Path(folder).expanduser()
    asked = running.Asked(
        num_steps,
        folder,
        config,
        resume,
        every,
        keep,
        keep_every,
        evaluate,
        best,
        plot,
        on_row,
        progress,
    )
    return running.start(step, state, batches, asked)


def _tenth(asked: Any, every: int | None, num_steps: int) -> int | None:
    """The number of steps between evaluations or pictures: by default a tenth of num_steps."""
    if asked is None:
        return None
    return max(num_steps // 10, 1) if every is None else every
