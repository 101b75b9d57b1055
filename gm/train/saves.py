"""Saving the checkpoints of a run on a separate thread."""

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

TRIES = 3  # the first may only raise the error of an earlier save


class SavedElsewhere(OSError):
    """Raised if a state is saved outside the run's folder; the message says where, and what to
    do."""


class Saves:
    """Writes checkpoints, each after the rows of its step, or at once if there is no time to wait.

    Args:
      folder: the folder of the run, or None to save nothing.
      start: the step whose state need not be saved.
      about: entries of every manifest (`checkpoints.Save`), to which what is owed is added.
      keeping: options of `checkpoints.Save.finish`.
      reports: the reports that make the rows.
      hurries: whether checkpoints must not wait for rows.

    Attributes:
      saved: the step of the last complete checkpoint; `start` before the first.
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
        """Copies the state and queues the writing of its files; raises errors of earlier ones.

        A step that is saved, or being saved, is not saved again.
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
        """Waits for the rows of its step, if there is time, and completes the checkpoint."""
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
        """Saves with retries in the folder, and finally in a temporary folder.

        Raises:
          SavedElsewhere: the state is saved in a temporary folder.
          Exception: the error of the last try.
        """
        alone = jax.process_count() == 1  # other hosts do not know of a retry
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
            f"{place}: to resume from it, move that folder to {self.folder / 'checkpoints'}."
        ) from failure
