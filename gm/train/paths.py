"""Paths of folders: listing, links around special characters, and durable writes."""

from __future__ import annotations

import contextlib
import errno
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Iterator

_PLAIN = re.compile(r"[\w /:.,=+-]+", re.ASCII)


def listed(root: pathlib.Path) -> list[str]:
    """The names in a folder; [] only if the folder does not exist.

    Raises:
      OSError: the folder cannot be read, or is behind a broken link.
    """
    try:
        return os.listdir(root)
    except OSError as error:
        reason, absent = error, isinstance(error, FileNotFoundError)
    links = [path for path in (root, *root.parents) if path.is_symlink()] if absent else []
    broken = [path for path in links if not path.exists()]
    if absent and not broken:
        return []
    why = f"{broken[0]} links to {os.readlink(broken[0])}" if broken else reason.strerror
    raise OSError(
        reason.errno or errno.EIO,
        f"cannot tell whether there is a run to resume in {root}, because it cannot be listed "
        f"({why}). Is a disk not mounted?",
    ) from reason


@contextlib.contextmanager
def plain(folder: pathlib.Path) -> Iterator[pathlib.Path]:
    """A path to a folder without glob characters, since orbax finds files with glob.

    Raises:
      ValueError: both the folder's path and that of temporary files contain such characters.
      OSError: a link to the folder cannot be made.
    """
    if _PLAIN.fullmatch(folder.as_posix()):
        yield folder
        return
    place = pathlib.Path(tempfile.mkdtemp(prefix="gm-"))
    try:
        if not _PLAIN.fullmatch(place.as_posix()):
            raise ValueError(
                f"checkpoints in {folder} need a link from a path without special characters, but "
                f"{place} has some: set TMPDIR to a plain path, or choose another folder."
            )
        (place / "folder").symlink_to(folder, target_is_directory=True)
        yield place / "folder"
    finally:
        shutil.rmtree(place, ignore_errors=True)


def flush(folder: pathlib.Path) -> None:
    """Flushes the names in a folder to disk."""
    if os.name == "posix":  # elsewhere folders cannot be opened
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
