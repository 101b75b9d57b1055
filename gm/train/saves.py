"""Saving the checkpoints of a run on a thread of its own."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import Any

import jax

from gm.train import checkpoints
from gm.train.background import Worker, await_unless
from gm.train.reports import Reports
from gm.train.state import State

TRIES = 3  # of which the first may tell of an earlier save only


class SavedElsewhere(OSError):
    """A state that is saved, but not in the run's folder; says where, and how to go on from it."""


class Saves:
    """Writes checkpoints, each after the rows of its step; at once where there is no time to wait.

    Args:
      folder: of the run, or None to save nothing.
      start: the step whose state needs no saving.
      about: what every manifest says (`checkpoints.Save`); what is owed is added.
      keeping: options of `checkpoints.Save.finish`.
      reports: what makes the rows.
      hurries: whether a checkpoint is to come before the rows that are still to be made.

    Attributes:
      saved: the step of the last checkpoint that is there; `start` before there is one.
    """

    def __init__(
        self,
        folder: pathlib.Path | None,
        start: int,
        about: dict[str, Any],
        keeping: dict[str, int | None],
        reports: Reports,
        hurries: Callable[[], bool],
    ) -> None:
        self.folder, self.saved, self._begun = folder, start, start
        self._about, self._keeping, self._reports = about, keeping, reports
        self._hurries, self.worker = hurries, Worker()

    def begin(self, step: int, state: State) -> None:
        """Copies the state and has its files written; raises what went wrong with those before.

        A step whose checkpoint is there, or under way, is not saved again.
        """
        if self.folder is None or step == self._begun:
            return
        if self.worker.last is not None:
            wait([self.worker.last])
        self.worker.check()
        save = checkpoints.Save(self.folder, step, state, about=self._about)
        self._begun = step
        self.worker.submit(self._finish, save, self._reports.last)

    def _finish(self, save: checkpoints.Save, rows: Future | None) -> None:
        """Waits for the rows of its step, if there is time, and makes the checkpoint appear."""
        await_unless(rows, self._hurries)
        if owed := self._reports.owed(save.step):
            save.about["owed"] = owed
        try:
            save.finish(**self._keeping)
        finally:
            self._begun = self.saved
        self._begun = self.saved = save.step
        if owed:
            self._reports.keep(save.step)

    def insist(self, step: int, state: State) -> None:
        """Saves by all means: here, here again, and at last in a temporary folder.

        Raises:
          SavedElsewhere: in a temporary folder.
          Exception: what the last try has raised.
        """
        alone = jax.process_count() == 1  # other hosts know of no second try
        for _ in range(TRIES if alone else 1):
            try:
                self.begin(step, state)
                return self.worker.wait()
            except Exception as error:
                failure = error
                self._reports.record.display.say(f"saving failed: {error!r}")
        if not alone:
            raise failure
        save = checkpoints.Save(tempfile.mkdtemp(prefix="gm-rescued-"), step, state, self._about)
        if owed := self._reports.owed(step):
            save.about["owed"] = owed
        place = save.finish()
        raise SavedElsewhere(
            f"step {step} could not be saved in {self.folder} ({failure!r}). It is saved in "
            f"{place}: to go on from there, move that folder to {self.folder / 'checkpoints'}."
        ) from failure
