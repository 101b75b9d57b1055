"""Stopping between two steps when the machine is wanted back."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

# SIGUSR1 is what batch systems send as a warning; some platforms lack it.
NAMES = ("SIGTERM", "SIGINT", "SIGUSR1")
ECHO_SECONDS = 0.5
INTERRUPTED = 130  # 128 + SIGINT: the status that ends a shell's loop over runs


@dataclasses.dataclass
class Stop:
    """Whether a signal asked for the end, and which; true in a condition once one did."""

    signal: str = ""

    def __bool__(self) -> bool:
        return bool(self.signal)

    @property
    def status(self) -> int:
        """The exit status: 130 after Ctrl-C, which is to end what runs this too; otherwise 0."""
        return INTERRUPTED if self.signal == "SIGINT" else 0


@contextlib.contextmanager
def on_signals(enabled: bool = True) -> Iterator[Stop]:
    """Collects the first SIGTERM, SIGINT or SIGUSR1; a second one ends the process at once.

    Under the launcher of `hosts` a signal that is sent to everything arrives twice, from the sender
    and from the launcher: what comes within `ECHO_SECONDS` of the first is the same signal.

    Python delivers signals to the main thread only: anywhere else, and when not enabled, this does
    nothing and the handlers stay as they are.
    """
    stop = Stop()
    if not enabled or threading.current_thread() is not threading.main_thread():
        yield stop
        return

    echo = ECHO_SECONDS if "GM_COMMAND" in os.environ else 0.0
    first = [math.inf]

    def handle(number: int, frame: FrameType | None) -> None:
        if stop and time.monotonic() - first[0] < echo:
            return
        first[0] = min(first[0], time.monotonic())
        if stop:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        stop.signal = signal.Signals(number).name

    numbers = [getattr(signal, name) for name in NAMES if hasattr(signal, name)]
    previous = {number: signal.signal(number, handle) for number in numbers}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            # None: a handler that was not installed from Python and cannot be put back.
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
