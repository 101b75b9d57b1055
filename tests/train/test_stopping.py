"""Signals that ask a run to end."""

import collections
import hashlib
import os
import signal
import threading
import time

from gm.train import stopping


def test_a_signal_counts_from_when_it_came_not_from_when_python_tells_of_it(monkeypatch):
    """The second of two within 20 ms comes while the main thread is busy for longer."""
    monkeypatch.setattr(stopping, "ECHO_SECONDS", 0.2)
    before = signal.getsignal(signal.SIGTERM)
    with stopping.on_signals() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        while not stop:
            time.sleep(0.001)
        begin = time.monotonic()
        threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM)).start()
        while time.monotonic() - begin < stopping.ECHO_SECONDS:
            hashlib.pbkdf2_hmac("sha256", b"", b"", 1_000_000)
        assert stop.signal == "SIGTERM"
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_a_stalled_process_meets_late_is_an_echo(monkeypatch):
    """Nothing in the process runs when it comes, nor for a while after, as on a busy machine."""
    monkeypatch.setattr(stopping, "ECHO_SECONDS", 0.1)
    monkeypatch.setattr(stopping, "NAMES", ("SIGALRM",))  # which a clock of the kernel sends
    with stopping.on_signals() as stop:
        signal.raise_signal(signal.SIGALRM)
        begin = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, 0.03)
        while time.monotonic() - begin < stopping.ECHO_SECONDS:
            collections.deque(range(3 * 10**7), maxlen=0)  # keeps the lock of the interpreter
        assert stop.signal == "SIGALRM"


def test_a_signal_whose_byte_goes_to_an_event_loop_counts_from_its_handler(monkeypatch):
    """As during a save: orbax runs uvloop. Its echo came later than the last byte that was seen."""
    monkeypatch.setattr(stopping, "ECHO_SECONDS", 0.1)
    with stopping.on_signals() as stop:
        time.sleep(0.3)
        descriptor = signal.set_wakeup_fd(-1)
        signal.raise_signal(signal.SIGTERM)
        signal.set_wakeup_fd(descriptor)
        signal.raise_signal(signal.SIGTERM)
        assert stop.signal == "SIGTERM"


def test_an_echo_that_comes_when_the_run_is_over_ends_nothing(monkeypatch):
    """What comes later goes where it went before the run."""
    monkeypatch.setattr(stopping, "ECHO_SECONDS", 0.2)
    came = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: came.append(number))
    try:
        with stopping.on_signals():
            os.kill(os.getpid(), signal.SIGTERM)
            threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGTERM)).start()
        assert not came
        os.kill(os.getpid(), signal.SIGTERM)
        assert came == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
