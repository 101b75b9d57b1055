"""Downloads of published data sets into a cache.

Each file has a URL, size and SHA-256; files that differ are not read. The examples, their order and
their splits are those that TFDS prepares, so a data set is the same with and without TFDS.

The cache is `$XDG_CACHE_HOME/gm/data`, by default `~/.cache/gm/data`, with a folder per data set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import pathlib
import sys
import tempfile
import urllib.request

TIMEOUT = 60  # seconds without a byte
STEP = 1 << 20  # bytes read at once


@dataclasses.dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
      url: the address of the file.
      size: the size in bytes, or the largest allowed size if the SHA-256 is not known.
      sha256: the SHA-256 of the file; "" if it is not known, and the examples are verified instead.
    """

    url: str
    size: int
    sha256: str = ""

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]


def cache() -> pathlib.Path:
    """The folder of downloaded data sets; without a home folder it is a temporary one."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if base.startswith("~"):
        base = os.path.join(tempfile.gettempdir(), f"cache-{os.getuid()}")
    return pathlib.Path(base) / "gm" / "data"


def fetch(name: str, licence: str, files: tuple[File, ...]) -> list[pathlib.Path]:
    """The files of a data set, downloaded if they are not in the cache.

    Args:
      name: the name of the data set.
      licence: the licence, printed when a file is downloaded.
      files: the files of the data set.

    Raises:
      FileNotFoundError: a file is not in the cache and cannot be downloaded; the message says where
        to put it.
      ValueError: a file differs from the published one.
    """
    folder = cache() / name.replace("/", "_")
    for file in files:
        path = folder / file.name
        if path.exists():
            _check(file, path.stat().st_size, _sha256(path), path)
            continue
        try:
            print(f"{name}: downloading {file.url} to {folder} ({licence})", file=sys.stderr)
            _download(file, path)
        except OSError as error:
            size = f"of {file.size:,} bytes and SHA-256 {file.sha256}"
            if not file.sha256:
                size = f"of at most {file.size:,} bytes, whose examples will be compared"
            raise FileNotFoundError(
                f"{name!r} is not in {folder} and cannot be downloaded ({error}). Put {file.name} "
                f"there, {size}; it is published at {file.url} ({licence})."
            ) from error
    return [folder / file.name for file in files]


def _download(file: File, path: pathlib.Path) -> None:
    """Downloads a file atomically: it is complete and as published, or it does not exist."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    digest, size = hashlib.sha256(), 0
    try:
        with (
            urllib.request.urlopen(file.url, timeout=TIMEOUT) as source,
            open(partial, "wb") as target,
        ):
            while size <= file.size and (block := source.read(STEP)):
                size += len(block)
                digest.update(block)
                target.write(block)
        _check(file, size, digest.hexdigest(), file.url)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def _check(file: File, size: int, sha256: str, where: str | pathlib.Path) -> None:
    known = bool(file.sha256)
    if size > file.size or (known and (size, sha256) != (file.size, file.sha256)):
        want = f"{file.size:,} bytes and SHA-256 {file.sha256}" if known else "fewer bytes"
        what = "" if where == file.url else " Delete it to have it downloaded."
        raise ValueError(
            f"{where} is not the published file: it needs {want}; got {size:,} bytes and SHA-256 "
            f"{sha256}.{what}"
        )


def _sha256(path: pathlib.Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
