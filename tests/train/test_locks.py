"""One process at a time in a folder: who is refused, and whose lock does not hold."""

import contextlib
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys

import pytest

from gm.train import locks

HOLDER = """
import os, sys, time
from gm.train import locks
with locks.held(sys.argv[1]):
    here, there = os.pipe()
    if os.fork() == 0:  # as a loader of data is, that nobody ends
        os.write(there, b"!")
        time.sleep(60)
    os.read(here, 1)
    print(os.getpid(), flush=True)
    time.sleep(60)
"""


def test_a_second_one_is_refused_until_the_first_ends_or_is_gone(tmp_path):
    folder = tmp_path / "a" / "run"
    with locks.held(folder):
        said = json.loads((folder / locks.NAME).read_text())
        words = rf"{folder} is in use by process {os.getpid()} on {socket.gethostname()}, "
        words += rf"since {said['since'][:10]}"
        with pytest.raises(BlockingIOError, match=words), locks.held(folder):
            pass
    assert not (tmp_path / "a").exists()  # nothing came of it
    folder.mkdir(parents=True)
    with contextlib.suppress(KeyError), locks.held(folder):
        raise KeyError
    assert not [*folder.iterdir()]
    with locks.held(folder):
        pass


def test_the_lock_of_a_killed_process_does_not_hold(tmp_path):
    """Nor do its forked children hold it."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        number = int(process.stdout.readline())
        with pytest.raises(BlockingIOError, match=f"process {number} on"), locks.held(tmp_path):
            pass
        process.kill()
        process.wait()
        assert json.loads((tmp_path / locks.NAME).read_text())["process"] == number
        with locks.held(tmp_path):
            assert json.loads((tmp_path / locks.NAME).read_text())["process"] == os.getpid()
    finally:
        os.killpg(number, signal.SIGKILL)
        process.stdout.close()


def test_without_locks_of_the_kernel_the_file_tells(tmp_path, monkeypatch):
    """Another machine holds; a process of this one that is gone, or whose number went on, not."""

    def unsupported(*_):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    monkeypatch.setattr(locks, "SETTLE_SECONDS", 0.0)
    file = tmp_path / locks.NAME
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    here = {"host": socket.gethostname(), "since": "2026-01-01", "born": locks._born(os.getpid())}
    for process, born in ((gone.pid, "1"), (os.getpid(), "1")):
        file.write_text(json.dumps({**here, "process": process, "born": born}))
        with locks.held(tmp_path):
            assert json.loads(file.read_text())["process"] == os.getpid()
        assert not file.exists()
    for other in ({"process": os.getpid()}, {"host": "elsewhere", "process": gone.pid}):
        file.write_text(json.dumps({**here, **other}))
        words = rf"{here['since']}.*remove {file}"
        with pytest.raises(BlockingIOError, match=words), locks.held(tmp_path):
            pass
    for spoiled in ("", "[" * 4000, "\udcff", '{"host": 3}'):
        file.write_bytes(spoiled.encode("utf-8", "surrogateescape"))
        with locks.held(tmp_path):
            pass


def test_where_nothing_can_be_written_there_is_nothing_to_lock(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EROFS, "read-only file system")

    monkeypatch.setattr(os, "open", refuse)
    with locks.held(tmp_path):
        assert not [*tmp_path.iterdir()]
