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

    With a folder, the newest intact checkpoint there is where the run goes on, and its end has
    every bit that an uninterrupted run would have; more steps than before may be asked for, another
    run is refused. SIGTERM, SIGINT, SIGUSR1 or SIGHUP finish the step,
    save, and exit with status 0 (130 for SIGINT, that Ctrl-C ends a shell's loop too); a second
    signal, a second or more later, ends the process at once. Whatever else ends the run early, the
    last good state is saved first: in the folder, or else in a temporary one that the error names.

    With or without a folder, what ends the run early carries that state as `error.state`, a `State`
    to go on from (None where a step that failed has consumed it). It holds memory of the devices
    for as long as the error is held: in a notebook `sys.last_value` holds one until the next.

    Evaluations, pictures and files are made on threads of their own, from a copy of the state on
    one device, while training goes on; a stop saves before it waits for them. (A state that a rule
    such as `fsdp` splits may not fit on one: it is evaluated as it is, in the loop, and a stop
    waits for that.)

    On several hosts all call this with the same arguments; `batches` yields each host's own part,
    the folder is shared, and host 0 writes, evaluates and plots.

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
      plot: plot(state, path) writes a picture to path, folder/samples/<step>.png; an error there is
        said, and training goes on.
      plot_every: steps between pictures, as evaluate_every.
      on_row: on_row(row) for other trackers, at host 0: gets the dict of each row, on a thread of
        its own, and cannot hold up the run; see `trackers`.
      steps_per_dispatch: steps that small models make in one dispatch, at most; rows, checkpoints
        and signals come between dispatches. How they are grouped does not change the numbers, but
        1 is another program than more, and may differ from it by rounding. On a CPU leave it at 1
        for convolutional models, for XLA has slow gradients of convolutions inside loops.
      progress: a bar on a terminal, and an occasional line on stderr elsewhere.

    Raises:
      BlockingIOError: another process works in the folder.
      FloatingPointError: loss, gradients or new parameters were not finite.
      KeyboardInterrupt: Ctrl-C without a folder, between two steps.
      FileExistsError, FileNotFoundError: what `resume` asks for is not so.
      OSError: what is in the folder cannot be listed, or files cannot be written.
      RuntimeError: another host is gone.
      TypeError: a step, a state, batches or an on_row that are none.
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
    """The steps between what is asked for: a tenth of all of them where nothing is said."""
    if asked is None:
        return None
    return max(num_steps // 10, 1) if every is None else every
