"""What a loop should not wait for: rows, evaluations, pictures and files, in order, on one thread.

The order matters: a checkpoint appears only after the rows of its step are written, so that a run
that is killed between the two writes them again and loses none.
"""

from __future__ import annotations

import collections
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any


class Worker:
    """One thread that does tasks in the order of their submission.

    A task that fails does not stop those after it: what can still be saved is saved. The next
    `check` or `wait` raises the first error of those that it finds; once, for all of them.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="gm-train")
        self._tasks: collections.deque[Future] = collections.deque()

    def submit(self, task: Callable[..., Any], *args: Any, **options: Any) -> Future:
        """Queues task(*args, **options)."""
        self._tasks.append(self._pool.submit(task, *args, **options))
        return self._tasks[-1]

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
