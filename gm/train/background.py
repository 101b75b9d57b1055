"""Background tasks of a run, done in order on a thread of their own."""

from __future__ import annotations

import collections
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any

POLL_SECONDS = 0.05


class Worker:
    """One thread that does tasks in the order of their submission.

    A task that fails does not stop those after it: what can still be saved is saved. The next
    `check` or `wait` raises the first error of those that it finds; once, for all of them.

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
        """Forgets the tasks that have ended, and raises the first of their errors."""
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
        """Does what is queued, and ends the thread."""
        self._pool.shutdown()


def await_unless(task: Future | None, hurries: Callable[[], bool]) -> None:
    """Waits until a task has ended, or there is no time to wait for it."""
    while task is not None and not task.done() and not hurries():
        wait([task], POLL_SECONDS)
