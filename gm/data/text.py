"""Texts as windows of characters: x is [T] integers, indices into a vocabulary.

Training windows start at any character. Validation and test windows do not overlap, so that each
character is scored once, except for the last few that do not fill a window. The first characters
of a window are predicted from little context, so nats/char decrease as T grows.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
import sysconfig
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from gm.core import Array, Batch, Event
from gm.data import contents
from gm.data.dataset import Dataset, make

ASCII = "\n" + "".join(map(chr, range(32, 127)))  # 96 symbols


def encode(text: str, vocabulary: str) -> np.ndarray:
    """Encodes a text as [T] int32, the index of every character in the vocabulary.

    Raises:
      ValueError: a character is not in the vocabulary, or the vocabulary repeats one.
    """
    check_vocabulary(vocabulary)
    if not isinstance(text, str):
        raise ValueError(f"encode needs a text, str; got {type(text).__name__}.")
    codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
    table = np.full(max(int(codes.max(initial=0)), max(map(ord, vocabulary))) + 1, -1, np.int32)
    table[list(map(ord, vocabulary))] = np.arange(len(vocabulary))
    places = table[codes]
    if (places < 0).any():
        strange = text[int(np.argmax(places < 0))]
        raise ValueError(
            f"encode needs characters of the vocabulary {vocabulary!r}; got {strange!r}."
        )
    return places


def decode(x: Array | np.ndarray, vocabulary: str) -> str:
    """Decodes x: [T] integers to a text.

    Raises:
      ValueError: x is not a vector of indices into the vocabulary.
    """
    x = np.asarray(x)
    if x.ndim != 1 or (x.size and x.dtype.kind not in "iu"):
        raise ValueError(f"decode needs integers [T]; got {x.dtype} of shape {x.shape}.")
    if x.size and not 0 <= x.min() <= x.max() < len(vocabulary):
        raise ValueError(
            f"decode needs indices into a vocabulary of {len(vocabulary)} characters, from 0; got "
            f"values from {x.min()} to {x.max()}."
        )
    return "".join(vocabulary[i] for i in x)


def check_vocabulary(vocabulary: str) -> None:
    """Raises ValueError unless the vocabulary has at least two characters, all different."""
    twice = sorted({c for c in vocabulary if vocabulary.count(c) > 1})
    if twice or len(vocabulary) < 2:
        got = f"{', '.join(map(repr, twice))} more than once" if twice else repr(vocabulary)
        raise ValueError(
            f"a vocabulary needs two characters or more, and each of them once; got {got}."
        )


@dataclasses.dataclass(frozen=True, eq=False)
class Windows:
    """The windows of T characters that start at multiples of stride; the text is stored once.

    Attributes:
      codes: [characters] int32, the whole text.
      length: T.
      stride: characters from the start of one window to the start of the next.
      consecutive: always True: adjacent windows are adjacent in the text.
    """

    consecutive: ClassVar[bool] = True

    codes: np.ndarray
    length: int
    stride: int

    def __post_init__(self) -> None:
        if len(self.codes) < self.length:
            raise ValueError(
                f"windows of {self.length} characters need a longer text; got {len(self.codes)}."
            )

    def __len__(self) -> int:
        return len(self._view)

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """The text, not its windows, which would be T times as large."""
        return {"x": self.codes}

    def take(self, indices: np.ndarray) -> Batch:
        """The windows of these indices, from a view: ten times as fast in NumPy as `gather`."""
        return {"x": self._view[indices]}

    def gather(self, columns: Mapping[str, Array], indices: Array) -> Batch:
        """The characters of each window, by their positions in the text."""
        places = np.arange(self.length, dtype=indices.dtype)
        return {"x": columns["x"][(self.stride * indices)[:, None] + places[None, :]]}

    def whole(self) -> Batch:
        """All windows, as a view of the text."""
        return {"x": self._view}

    @functools.cached_property
    def _view(self) -> np.ndarray:
        """[N, T]"""
        return np.lib.stride_tricks.sliding_window_view(self.codes, self.length)[:: self.stride]


def from_texts(name: str, texts: str | Sequence[str], window: int, vocabulary: str = "") -> Dataset:
    """Makes a data set of windows of a training, a validation and a test text.

    Args:
      name: the name of the data set.
      texts: three texts; or one, whose first 90 % are for training, the next 5 % for validation and
        the last 5 % for testing.
      window: T, characters per window.
      vocabulary: the characters; by default the sorted characters of the three texts.

    Raises:
      ValueError: there are not one or three texts, one is shorter than a window or has a character
        that is not in the vocabulary, or the vocabulary repeats one.
    """
    texts = [texts] if isinstance(texts, str) else list(texts)
    if not all(isinstance(text, str) for text in texts) or len(texts) not in (1, 3):
        kinds = ", ".join(type(text).__name__ for text in texts[:4])
        raise ValueError(
            f"{name} needs one text, which is cut in three, or three, for training, validation and "
            f"test; got {len(texts)} ({kinds}{', ...' * (len(texts) > 4)}). Join many into one: "
            "'\\n'.join(texts)."
        )
    texts = cut_text(texts[0]) if len(texts) == 1 else texts
    if window < 1:
        raise ValueError(f"{name} needs a window of at least 1 character; got {window}.")
    vocabulary = vocabulary or "".join(sorted(set().union(*texts)))
    sources = [
        Windows(encode(text, vocabulary), window, stride)
        for text, stride in zip(texts, (1, window, window), strict=True)
    ]
    return make(
        name,
        sources,
        Event((window,), len(vocabulary)),
        vocabulary=vocabulary,
        preprocessing=f"windows of {window} characters",
    )


def read(path: str | os.PathLike[str], window: int, most: int) -> Dataset:
    """Reads the data set of a text in UTF-8: see `from_texts`.

    Args:
      path: the file.
      window: T, characters per window.
      most: the largest size of the file, in bytes.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is not UTF-8, is too large, or is too short for three windows.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}.")
    contents.check_size(path, path.stat().st_size, most)
    try:
        held = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not a text in UTF-8: {error!s:.200}.") from error
    try:
        return from_texts(path.stem, held, window)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def cut_text(text: str) -> tuple[str, str, str]:
    """The first 90 %, the next 5 % and the last 5 % of a text."""
    first, second = (len(text) * 90) // 100, (len(text) * 95) // 100
    return text[:first], text[first:second], text[second:]


def python_docs(window: int = 128) -> Dataset:
    """English text that needs no download: the docstrings of Python's standard library.

    These are the docstrings of its top-level modules, sorted by module and without duplicates:
    about 0.8 million characters of printable ASCII and newlines (K = 96). The first 90 % are for
    training, the next 5 % for validation, the last 5 % for testing. The text depends on the Python
    version, so results are only comparable within one version.

    Args:
      window: T, characters per example.
    """
    library = pathlib.Path(sysconfig.get_path("stdlib"))
    sources = [path.read_text("utf-8", "replace") for path in sorted(library.glob("*.py"))]
    found = dict.fromkeys(doc for source in sources for doc in docstrings(source))
    text = re.sub(r"[^\n -~]", "", "\n\n".join(found).expandtabs())
    return from_texts("python_docs", cut_text(text), window, ASCII)


def docstrings(source: str) -> list[str]:
    """The triple-quoted strings that start a line of Python source, without their indentation."""
    found = []
    for match in re.finditer(r'("""|\'\'\')(.*?)\1', source, re.DOTALL):
        before = source[source.rfind("\n", 0, match.start()) + 1 : match.start()]
        if before.strip() in ("", "r", "R"):
            found.append(re.sub(r"\n[ \t]+", "\n", match.group(2)).strip())
    return [doc for doc in found if doc]
