"""Stopping a run between two steps at a signal."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import select
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# Batch systems send SIGUSR1 as a warning, and a lost terminal sends SIGHUP; some platforms lack
# them.
NAMES = ("SIGTERM", "SIGINT", "SIGUSR1", "SIGHUP")
ECHO_SECONDS = 1.0
TICK_SECONDS = 0.1  # the precision of arrival times
INTERRUPTED = 130  # 128 + SIGINT: the status that ends a shell's loop over runs


@dataclasses.dataclass
class Stop:
    """Whether a signal has requested a stop, and which; true as a condition after a signal."""

    signal: str = ""

    def __bool__(self) -> bool:
        return bool(self.signal)

    @property
    def status(self) -> int:
        """The exit status: 130 after Ctrl-C, which also ends a loop in a shell; otherwise 0."""
        return INTERRUPTED if self.signal == "SIGINT" else 0


def numbers() -> list[int]:
    """The signals that request a stop, without SIGHUP if it is ignored, as under `nohup`."""
    found = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    hangup = getattr(signal, "SIGHUP", None)
    return [n for n in found if n != hangup or signal.getsignal(n) is not signal.SIG_IGN]


@contextlib.contextmanager
def on_signals(saves: bool = True) -> Iterator[Stop]:
    """Catches the first signal that requests a stop; a second one exits at once.

    A signal to a process group arrives more than once: from the sender, and from `timeout`, `srun`
    or the launcher of `hosts`. Signals within `ECHO_SECONDS` of the first are therefore treated as
    the same signal, and a run that can be saved does not end earlier.

    Python delivers signals to the main thread only: on other threads no handlers are installed.

    Args:
      saves: whether the run can be saved. If not, only SIGINT is caught, so that Ctrl-C acts
        between two steps, and a second one raises KeyboardInterrupt at once.
    """
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    first = math.inf

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal first
        earliest, latest = arrivals.take()
        if not stop:
            first, stop.signal = latest, signal.Signals(number).name
        elif earliest - first >= ECHO_SECONDS:
            signal.signal(number, signal.SIG_DFL if saves else previous[number])
            signal.raise_signal(number)

    arrivals, previous = _Arrivals(), {}
    try:
        for number in numbers() if saves else [signal.SIGINT]:
            before = signal.signal(number, handle)
            # None: a handler that was not installed from Python and cannot be restored.
            previous[number] = signal.SIG_DFL if before is None else before
        yield stop
    finally:
        if stop and saves:  # an echo after the run must not end the program
            time.sleep(max(0.0, first + ECHO_SECONDS - time.monotonic()))
        for number, handler in previous.items():
            signal.signal(number, handler)
        arrivals.close()


class _Arrivals:
    """The arrival times of signals; Python runs handlers only later, such as after compilation.

    On a busy machine the process itself may not run for a while, so a time is an interval: from the
    last moment without a pending signal to the moment when the signal was seen. The bytes that tell
    of signals may go to an event loop instead, such as that of orbax while it starts a save: then a
    signal is seen when its handler runs.
    """

    def __init__(self) -> None:
        self._out, self._in = os.pipe()
        os.set_blocking(self._out, False)
        os.set_blocking(self._in, False)
        self._none = time.monotonic()  # all signals before this time have been read
        self._lock, self._seen = threading.RLock(), None
        self._before = signal.set_wakeup_fd(self._in, warn_on_full_buffer=False)
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def take(self) -> tuple[float, float]:
        """The earliest and the latest time of arrival of the signal that is being handled."""
        with self._lock:
            before = self._none
            self._read()
            seen, self._seen = self._seen, None
            return seen or (before, time.monotonic())

    def close(self) -> None:
        """Restores the previous wakeup file descriptor."""
        signal.set_wakeup_fd(self._before)
        os.close(self._in)
        self._thread.join()
        os.close(self._out)

    def _watch(self) -> None:
        """Records arrival times until the writing end is closed."""
        goes_on = True
        while goes_on:
            select.select([self._out], [], [], TICK_SECONDS)
            with self._lock:
                goes_on = self._read()

    def _read(self) -> bool:
        """Records the times if signals have arrived; False at the end."""
        begin = time.monotonic()
        try:
            came = os.read(self._out, 4096)
        except BlockingIOError:
            self._none = begin
            return True
        if came:
            self._seen, self._none = (self._none, time.monotonic()), begin
        return bool(came)
