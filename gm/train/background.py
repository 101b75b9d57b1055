"""Background tasks of a run, executed in order on a separate thread."""

from __future__ import annotations

import collections
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

POLL_SECONDS = 0.05


class Worker:
    """One thread that executes tasks in the order of their submission.

    A task that fails does not stop later ones, so that everything is saved that can be. The next
    `check` or `wait` raises the first of the errors it finds, once for all of them.

    Attributes:
      last: the task that was submitted last.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="gm-train")
        self._tasks: collections.deque[Future] = collections.deque()
        self.last: Future | None = None

    def submit(self, task: Callable[..., Any], *args: Any, **options: Any) -> None:
        """Queues task(*args, **options)."""
        self.last = self._pool.submit(task, *args, **options)
        self._tasks.append(self.last)

    def check(self) -> None:
        """Removes the tasks that have ended, and raises the first of their errors."""
        errors = []
        while self._tasks and self._tasks[0].done():
            errors.append(self._tasks.popleft().exception())
        for error in filter(None, errors):
            raise error

    def wait(self) -> None:
        """Waits for every task, then raises the first error of any."""
        wait(self._tasks)
        self.check()

    def close(self) -> None:
        """Executes the queued tasks, and ends the thread."""
        self._pool.shutdown()


def await_unless(task: Future | None, hurries: Callable[[], bool]) -> None:
    """Waits until a task has ended, or until `hurries` returns True."""
    while task is not None and not task.done() and not hurries():
        wait([task], POLL_SECONDS)
