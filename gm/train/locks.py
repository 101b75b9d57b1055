"""Locks: only one process at a time may use the folder of a run.

The lock is a kernel lock on folder/lock, which ends with its process; the text in the file is for
the error message of other processes. It works between machines on NFS 4 (and 3 with lockd), on
Lustre mounted with `flock`, and on most cluster file systems; there the lock of a lost machine
expires with its lease, after a minute or two. On file systems without locks the text of the file is
the lock: that of a dead process of this machine is invalid, and that of another machine is valid
until the file is removed. Folders that are not writable need no lock, and Windows has none.
"""

from __future__ import annotations

import contextlib
import datetime
import errno
import functools
import json
import os
import pathlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import ParamSpec, TypeVar

from gm.train import paths, sharding

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

P = ParamSpec("P")
T = TypeVar("T")

NAME = "lock"
SETTLE_SECONDS = 0.2  # to see which process was first, on file systems without locks
_NO_LOCKS = (errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOLCK, errno.EINVAL)
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)
_held: set[int] = set()  # descriptors


@contextlib.contextmanager
def held(folder: str | os.PathLike | None) -> Iterator[None]:
    """Makes and locks the folder; host 0 does so for all hosts.

    Raises:
      BlockingIOError: another process uses the folder; the message says which, where and since
        when.
    """
    lock = None if folder is None else _Lock(pathlib.Path(folder).expanduser())
    if lock is not None:
        sharding.on_first_host(lock.take)
    try:
        yield
    finally:
        if lock is not None:
            lock.release()


def alone(work: Callable[P, T]) -> Callable[P, T]:
    """Decorates work(..., folder=) to hold the lock of the folder."""

    @functools.wraps(work)
    def locked(*args: P.args, **options: P.kwargs) -> T:
        with held(options.get("folder")):
            return work(*args, **options)

    return locked


class _Lock:
    """The lock of one folder; its release removes folders that it made and that are empty."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.path, self.file, self.made = folder / NAME, -1, []
        self.mine = {"host": socket.gethostname(), "process": os.getpid()}

    def take(self) -> int:
        """Acquires the lock, or raises at once."""
        folder = self.path.parent
        paths.listed(folder)  # raises if the disk is not mounted, before a folder is made
        self.made = [place for place in (folder, *folder.parents) if not place.exists()]
        folder.mkdir(parents=True, exist_ok=True)
        if fcntl is None:
            return 0
        by_kernel = False
        # The last holder removes the file, so the locked file may no longer be in the folder.
        while self.file < 0 or not _is(self.file, self.path):
            self._close()
            try:
                self.file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o666)
            except OSError as error:
                if error.errno in _READ_ONLY:
                    return 0
                raise
            _held.add(self.file)
            by_kernel = self._lock()
        self._write(by_kernel)
        return 0

    def _lock(self) -> bool:
        """Whether the kernel has locked the file for this process; False without kernel locks."""
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            busy = isinstance(error, BlockingIOError)
            if not busy and error.errno not in _NO_LOCKS:
                self._close()
                raise
            if busy or ((holder := _read(self.path)) and not _gone(holder)):
                raise self._refusal() from None
            return False
        return True

    def _write(self, by_kernel: bool) -> None:
        """Writes which process holds the lock."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self.mine |= {"since": now, "born": _born(os.getpid())}
        with contextlib.suppress(OSError):  # a full disk: the kernel lock still holds
            os.ftruncate(self.file, 0)
            os.pwrite(self.file, json.dumps(self.mine).encode(), 0)
        if not by_kernel:
            time.sleep(SETTLE_SECONDS)
            if _read(self.path) not in (self.mine, {}):
                raise self._refusal()

    def _refusal(self) -> BlockingIOError:
        """The error that describes the holder, which may not have written the file yet."""
        self._close()
        deadline = time.monotonic() + 1.0
        while not (holder := _read(self.path)) or _gone(holder):
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        who = "another process"
        if holder:
            who = "process {process} on {host}, since {since}".format(**holder)
        return BlockingIOError(
            f"{self.path.parent} is in use by {who}. Wait for its end, or choose another folder. "
            f"If you are sure that this process has ended, remove {self.path}."
        )

    def release(self) -> None:
        """Releases the lock."""
        with contextlib.suppress(OSError):
            if self.file >= 0 and _is(self.file, self.path):
                self.path.unlink()
        self._close()
        for place in self.made:
            with contextlib.suppress(OSError):
                place.rmdir()  # if it is empty

    def _close(self) -> None:
        if self.file >= 0:
            _held.discard(self.file)
            os.close(self.file)
        self.file = -1


def _is(file: int, path: pathlib.Path) -> bool:
    """Whether the open file is the one at the path."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _read(path: pathlib.Path) -> dict:
    """The content of the file, or {}."""
    with contextlib.suppress(OSError, ValueError, RecursionError):
        said = json.loads(path.read_bytes()[:4096])
        if isinstance(said, dict) and {"host", "process", "since", "born"} <= said.keys():
            return said
    return {}


def _gone(holder: dict) -> bool:
    """Whether the process ran on this machine and has ended."""
    number = holder["process"]
    if holder["host"] != socket.gethostname() or type(number) is not int or number < 1:
        return False
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return _born(number) != holder["born"]  # its number has been reused


def _born(process: int) -> str:
    """The start time of a process in ticks of this machine; "" if it is not available."""
    with contextlib.suppress(OSError, IndexError):
        return pathlib.Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[19]
    return ""


def _leave() -> None:
    """Closes the locks in a forked child, which would otherwise outlive the parent."""
    for file in _held:
        os.close(file)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave)
