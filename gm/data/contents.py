"""Reading files of arrays: names and sizes from the headers first, then the requested arrays.

Nothing else is read, nothing larger than a limit, and nothing that can run code: no pickled arrays
and no MATLAB objects. The unpacked size is checked before anything is unpacked.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import pathlib
import zipfile
from collections.abc import Iterable, Iterator
from typing import IO, Protocol

import numpy as np

from gm.data import matlab

MEMORY = 2_000_000_000  # the default limit on the arrays read from one file, in bytes
HEADERS = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}
SAVES = {
    ".npz": "numpy.savez writes .npz files",
    ".npy": "numpy.save writes .npy files",
    ".mat": "MATLAB's save(path, '-v6') writes .mat files",
}


class Contents(Protocol):
    """The arrays of an open file."""

    names: tuple[str, ...]

    def num_bytes(self, name: str) -> int:
        """The size of an array, as its header states it."""

    def read(self, name: str) -> np.ndarray:
        """An array."""


class Refused(ValueError):
    """An error whose message is shown in full; others only say that the file cannot be read."""


@contextlib.contextmanager
def _clear(path: pathlib.Path) -> Iterator[None]:
    """Turns any error that a damaged file raises into a ValueError that names the file."""
    try:
        yield
    except Refused:
        raise
    except Exception as error:  # from zlib, zipfile, ast, tokenize, struct, scipy, or of memory
        size = path.stat().st_size
        raise ValueError(
            f"{path} is not a valid {path.suffix} file, or is incomplete ({size:,} bytes); "
            f"{SAVES[path.suffix]}."
        ) from error


def of(path: pathlib.Path, file: IO[bytes]) -> Contents:
    """The contents of an open `.npz`, `.npy` or `.mat` file.

    Raises:
      ValueError: the file is of another type, or damaged.
    """
    with _clear(path):
        contents = {".npz": Npz, ".npy": Npy, ".mat": Mat}[path.suffix](path, file)
        twice = [n for n, k in collections.Counter(contents.names).items() if k > 1]
        if twice:
            raise Refused(f"{path} holds several arrays of one name, {twice[0]!r:.200}.")
        return contents


def read(
    path: pathlib.Path, contents: Contents, names: Iterable[str], limit: int
) -> dict[str, np.ndarray]:
    """Reads arrays by their names.

    Args:
      path: the path of the file, for error messages.
      contents: the contents of the file.
      names: the arrays to read.
      limit: the largest total size of these arrays in memory, in bytes.

    Raises:
      ValueError: the arrays exceed the limit or are not numeric, or the file is damaged.
    """
    names = list(names)
    with _clear(path):
        check_size(path, sum(contents.num_bytes(name) for name in names), limit)
        return {name: contents.read(name) for name in names}


def check_size(path: str | os.PathLike[str], num_bytes: int, limit: int) -> None:
    """Raises ValueError if a file needs more memory than the limit."""
    if num_bytes > limit:
        raise Refused(
            f"{path} holds {num_bytes:,} bytes to be read into memory, where at most {limit:,} are "
            f"allowed; gm.data.load({os.path.basename(path)!r}, max_bytes={num_bytes}) allows them."
        )


class Npz:
    """A zip file of `.npy` files, each with a checksum, stored or deflated."""

    def __init__(self, path: pathlib.Path, file: IO[bytes]) -> None:
        self.path, self.file = path, zipfile.ZipFile(file)
        members = self.file.infolist()
        file.seek(-22 - len(self.file.comment), os.SEEK_END)
        if int.from_bytes(file.read(12)[10:], "little") != len(members):
            raise ValueError("more arrays than its list has, or fewer")
        for member in members:
            self.file.open(member).close()  # its local name equals that in the list
        members = [m for m in members if m.filename.endswith(".npy")]
        self.names = tuple(m.filename.removesuffix(".npy") for m in members)
        self.members = dict(zip(self.names, members, strict=True))

    def num_bytes(self, name: str) -> int:
        """The unpacked size, with the header; zipfile never unpacks more than this."""
        return self.members[name].file_size

    def read(self, name: str) -> np.ndarray:
        """An array, whose checksum is verified."""
        member = self.members[name]
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Other methods may unpack to any size in one step.
            raise Refused(f"{self.path} holds {name!r:.200} neither stored nor deflated.")
        with self.file.open(member) as file:
            return _array(file, member.file_size, self.path, name)


class Npy:
    """One array, named by the file."""

    def __init__(self, path: pathlib.Path, file: IO[bytes]) -> None:
        self.path, self.file = path, file
        self.names, self.size = (path.name,), os.fstat(self.file.fileno()).st_size

    def num_bytes(self, name: str) -> int:
        """The size of the file."""
        del name
        return self.size

    def read(self, name: str) -> np.ndarray:
        """The array."""
        return _array(self.file, self.size, self.path, name)


def _array(file: IO[bytes], size: int, path: pathlib.Path, name: str) -> np.ndarray:
    """The array of a `.npy` file; raises unless its header matches the size in bytes."""
    header = HEADERS.get(np.lib.format.read_magic(file))
    if header is not None:  # else UTF-8 column names, which read_array checks
        shape, _, dtype = header(file)
        if dtype.hasobject:
            raise Refused(
                f"{path} holds {name!r:.200} as a pickled array, which is not loaded because it "
                "can run any code. Save it as an array of numbers: numpy.savez(path, train=x)."
            )
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != size - file.tell():
            raise ValueError(f"{shape} of {dtype} in {size} bytes")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    if file.read(1):  # reading to the end verifies the checksum
        raise ValueError("more bytes than the header says")
    return array


class Mat:
    """A MATLAB file of version 4, or of version 5, whose variables may be deflated."""

    def __init__(self, path: pathlib.Path, file: IO[bytes]) -> None:
        from scipy import io

        self.path, self.file, self.order = path, file, matlab.order_of(file)
        if self.order is None:
            found = {name: shape for name, shape, _ in io.whosmat(file)}
            self.sizes = {name: 8 * math.prod(shape) for name, shape in found.items()}
            self.names = tuple(found)
            return
        file.seek(124)
        if int.from_bytes(file.read(2), self.order) >> 8 == 2:
            raise Refused(_convert(path))
        found = [v for v in matlab.variables(file, self.order) if v.name and v.name[:2] != "__"]
        self.names, self.found = tuple(v.name for v in found), {v.name: v for v in found}

    def num_bytes(self, name: str) -> int:
        """The size of the array, from its shape and class."""
        if self.order is None:
            return self.sizes[name]
        try:
            return self.found[name].num_bytes
        except matlab.NotNumbers as kind:
            raise Refused(
                f"{self.path} holds {name!r:.200} as a {kind}; an array of numbers is needed, such "
                "as full(x) or double(x) in MATLAB."
            ) from kind

    def read(self, name: str) -> np.ndarray:
        """An array."""
        from scipy import io

        if self.order is not None:
            return matlab.read(self.file, self.order, self.found[name])
        self.file.seek(0)
        return io.loadmat(self.file, variable_names=[name])[name]


def _convert(path: pathlib.Path) -> str:
    return (
        f"{path} is a MATLAB 7.3 file, that is HDF5. Once, with h5py: "
        f"numpy.savez({str(path.with_suffix('.npz'))!r}, "
        f"**{{k: v[()].T for k, v in h5py.File({str(path)!r}).items() if hasattr(v, 'shape')}})"
    )
