"""Reading MATLAB files of numeric arrays, with all sizes checked first.

Version 5 is read here because scipy's reader crashes the process on some damaged files. The format
is that of MathWorks, "MAT-file format", the chapter on level 5 files. A variable is a list of
elements with a type and a size: flags with a class, dimensions, a name, and numbers in
column-major order.
"""

from __future__ import annotations

import dataclasses
import math
import os
import zlib
from collections.abc import Iterator
from typing import IO

import numpy as np

STEP = 1 << 20  # bytes unpacked at once
HEADER = 1 << 12  # bytes of a variable that contain the elements before its numbers
DEFLATED, VARIABLE, DIMENSIONS = 15, 14, 5  # types of elements
TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
SIZES = {6: 8, 7: 4, 8: 1, 9: 1, 10: 2, 11: 2, 12: 4, 13: 4, 14: 8, 15: 8}  # classes of numbers
OTHERS = {1: "cell", 2: "struct", 3: "object", 4: "char", 5: "sparse", 16: "function", 17: "object"}
COMPLEX = 0x0800  # a flag


class NotNumbers(ValueError):
    """Raised for a variable that is not an array of real numbers; the message says what it is."""


@dataclasses.dataclass(frozen=True)
class Variable:
    """The header of a variable and its position in the file.

    Attributes:
      name: its name, or "".
      shape: its shape, with at least two axes.
      kind: the number of its class.
      flags: the flags of its values.
      start: the position of its element in the file, after type and size.
      size: the size of that element, in bytes.
      deflated: whether the element is compressed.
    """

    name: str
    shape: tuple[int, ...]
    kind: int
    flags: int
    start: int
    size: int
    deflated: bool

    @property
    def num_bytes(self) -> int:
        """The size of the array, from its shape and class.

        Raises:
          NotNumbers: the variable is not an array of real numbers.
        """
        if self.kind not in SIZES or self.flags & COMPLEX:
            raise NotNumbers(OTHERS.get(self.kind, "complex array"))
        return math.prod(self.shape) * SIZES[self.kind]


def order_of(file: IO[bytes]) -> str | None:
    """The byte order of a file of version 5 or 7.3; None for version 4."""
    file.seek(0)
    return {b"IM": "little", b"MI": "big"}.get(file.read(128)[126:])


def variables(file: IO[bytes], order: str) -> Iterator[Variable]:
    """Every variable of a version 5 file, from its header."""
    end, start = os.fstat(file.fileno()).st_size, 128
    while start < end:
        file.seek(start)
        tag = file.read(8)
        kind, size = (int.from_bytes(tag[i : i + 4], order) for i in (0, 4))
        start += 8
        if kind not in (DEFLATED, VARIABLE) or start + size > end:
            raise ValueError(f"an element of type {kind} and {size} bytes at {start} of {end}")
        head = file.read(min(size, HEADER))
        if kind == DEFLATED:
            head = zlib.decompressobj().decompress(head, HEADER)[8:]
        yield _variable(head, order, (start, size, kind == DEFLATED))
        start += size


def read(file: IO[bytes], order: str, variable: Variable) -> np.ndarray:
    """The array of a variable, in the type of the stored numbers."""
    file.seek(variable.start)
    content = file.read(variable.size)
    if variable.deflated:
        content = _unpacked(content, 2 * variable.num_bytes + STEP)
        if int.from_bytes(content[4:8], order) != len(content) - 8:
            raise ValueError(f"{len(content)} bytes unpacked")
        content = content[8:]
    at = 0
    for _ in range(3):
        *_, at = _element(content, at, order)
    kind, numbers, _ = _element(content, at, order)
    dtype = np.dtype(TYPES[kind]).newbyteorder("<" if order == "little" else ">")
    flat = np.frombuffer(numbers, dtype).astype(dtype.newbyteorder("="))
    return flat.reshape(variable.shape, order="F")


def _element(content: bytes, at: int, order: str) -> tuple[int, bytes, int]:
    """Type and content of an element, which may be in the packed format, and the next position."""
    kind, size = (int.from_bytes(content[i : i + 4], order) for i in (at, at + 4))
    start, after = at + 8, at + 8 + -(-size // 8) * 8
    if kind >> 16:
        kind, size, start, after = kind & 0xFFFF, kind >> 16, at + 4, at + 8
    if start + size > len(content):
        raise ValueError(f"an element of {size} bytes at {start} of {len(content)}")
    return kind, content[start : start + size], after


def _variable(head: bytes, order: str, place: tuple[int, int, bool]) -> Variable:
    """The variable that the first elements describe."""
    _, flags, at = _element(head, 0, order)
    flags = int.from_bytes(flags[:4], order)
    kind, sizes, at = _element(head, at, order)
    if kind != DIMENSIONS:  # objects have none
        return Variable("", (), 17, flags, *place)
    shape = tuple(int.from_bytes(sizes[i : i + 4], order) for i in range(0, len(sizes), 4))
    _, name, _ = _element(head, at, order)
    return Variable(name.decode("ascii"), shape, flags & 0xFF, flags, *place)


def _unpacked(packed: bytes, most: int) -> bytes:
    """Unpacks bytes and verifies their checksum; raises if the result is longer than `most`."""
    unpack, parts, size = zlib.decompressobj(), [], 0
    while not unpack.eof:
        parts.append(unpack.decompress(packed, STEP))
        size, packed = size + len(parts[-1]), unpack.unconsumed_tail
        if size > most or not (parts[-1] or packed or unpack.eof):
            raise ValueError(f"a variable that unpacks to {size} bytes, of {most} at most")
    return b"".join(parts)
