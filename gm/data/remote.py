"""Downloads of published data sets, kept in a cache.

Each file has its address, size and SHA-256; nothing is read that differs. The examples, their order
and splits are those that TFDS prepares, so a set is the same whichever way it comes.

The cache is `$XDG_CACHE_HOME/gm/data`, by default `~/.cache/gm/data`, a folder for each set.
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
STEP = 1 << 20  # bytes at once


@dataclasses.dataclass(frozen=True)
class File:
    """A published file.

    Attributes:
      url: where it is.
      size: in bytes; at most that where its SHA-256 is not known.
      sha256: of its content; "" where it is not known, then what it holds is compared.
    """

    url: str
    size: int
    sha256: str = ""

    @property
    def name(self) -> str:
        """The last part of its address."""
        return self.url.rpartition("/")[2]


def cache() -> pathlib.Path:
    """The folder of downloaded sets; where there is no home, one of temporary files."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if base.startswith("~"):
        base = os.path.join(tempfile.gettempdir(), f"cache-{os.getuid()}")
    return pathlib.Path(base) / "gm" / "data"


def fetch(name: str, licence: str, files: tuple[File, ...]) -> list[pathlib.Path]:
    """The files of a set, downloaded where the cache has not got them.

    Args:
      name: of the set.
      licence: said where a file is downloaded.
      files: of the set.

    Raises:
      FileNotFoundError: a file that is not here and cannot be downloaded; the message says where
        to put it.
      ValueError: a file that is not the published one.
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
    """Downloads a file; it is there as a whole, as published, or not at all."""
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
