"""The checkpoints of a run: written on a thread of their own, and saved when the files say so."""

from __future__ import annotations

import pathlib
import tempfile
from collections.abc import Callable
from concurrent.futures import wait
from typing import Any

import jax

from gm.train import checkpoints
from gm.train.background import Worker, await_unless
from gm.train.reports import Reports
from gm.train.state import State


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
        self.worker.submit(self._finish, save)
        self._begun = step

    def _finish(self, save: checkpoints.Save) -> None:
        """Waits for the rows of its step, if there is time, and makes the checkpoint appear."""
        await_unless(self._reports.last, self._hurries)
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
        """Saves, and says where if not where it should: a second try, then a folder of its own.

        Raises:
          OSError: the state is elsewhere, and how to bring it back.
          Exception: whatever the last try has raised.
        """
        for last in (False, True):
            try:
                self.begin(step, state)
                self.worker.wait()
            except Exception as error:
                if not last:
                    continue
                if jax.process_count() > 1:
                    raise
                place = self._elsewhere(step, state)
                raise OSError(
                    f"step {step} could not be saved in {self.folder} ({error!r}). It is saved in "
                    f"{place}: to go on from there, move that folder to "
                    f"{self.folder / 'checkpoints'}."
                ) from error
            else:
                return

    def _elsewhere(self, step: int, state: State) -> pathlib.Path:
        """Saves in a temporary folder that is not removed."""
        save = checkpoints.Save(tempfile.mkdtemp(prefix="gm-rescued-"), step, state, self._about)
        if owed := self._reports.owed(step):
            save.about["owed"] = owed
        return save.finish()
