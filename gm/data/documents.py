"""Documents as bags of words: which terms occur, and how often.

docs = documents.read_ldac("ap.dat", "vocab.txt")    # the format of LDA-C
docs = documents.from_texts(texts)                   # words of one's own texts
observed, scored = docs.halves(seed=0)               # of every document, for completion
"""

from __future__ import annotations

import collections
import dataclasses
import pathlib
import re
from collections.abc import Iterable, Sequence

import numpy as np

WORD = re.compile(r"[a-z]{3,}")


@dataclasses.dataclass(frozen=True, eq=False)
class Documents:
    """D documents over V terms, padded to the L distinct terms of the longest.

    Attributes:
      terms: [D, L] int32, indices of distinct terms; 0 where the count is 0.
      counts: [D, L] int32, occurrences; 0 is padding.
      vocabulary: V terms.
    """

    terms: np.ndarray
    counts: np.ndarray
    vocabulary: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.terms.shape != self.counts.shape or self.terms.ndim != 2:
            raise ValueError(
                f"Documents needs terms and counts [D, L]; got {self.terms.shape} and "
                f"{self.counts.shape}."
            )
        if self.terms.size and not 0 <= self.terms.min() <= self.terms.max() < self.num_terms:
            raise ValueError(
                f"Documents needs terms in [0, {self.num_terms}), as its vocabulary has; got "
                f"{self.terms.min()} to {self.terms.max()}. Terms numbered from 1 need one less."
            )
        if np.any(self.counts < 0):
            raise ValueError("Documents needs counts of at least 0; got a negative one.")

    def __len__(self) -> int:
        """D"""
        return len(self.terms)

    def __getitem__(self, which: slice | np.ndarray) -> Documents:
        """Some of the documents."""
        return dataclasses.replace(self, terms=self.terms[which], counts=self.counts[which])

    @property
    def num_terms(self) -> int:
        """V"""
        return len(self.vocabulary)

    @property
    def num_tokens(self) -> int:
        """Words in all documents together."""
        return int(self.counts.sum())

    def tokens(self) -> tuple[np.ndarray, np.ndarray]:
        """Each occurrence by itself, in the order of terms: ([D, T] terms, [D, T] whether any)."""
        sizes = self.counts.sum(1)
        found = np.zeros((len(self), int(sizes.max(initial=0))), np.int32)
        for row, terms, counts in zip(found, self.terms, self.counts, strict=True):
            row[: counts.sum()] = np.repeat(terms, counts)
        return found, np.arange(found.shape[1]) < sizes[:, None]

    def halves(self, seed: int) -> tuple[Documents, Documents]:
        """Every document's occurrences in two halves at random; the first has the odd one.

        Hypergeometric counts: which half an occurrence falls into does not depend on its term.
        """
        rng = np.random.default_rng(seed)
        first = np.zeros_like(self.counts)
        for row, counts in zip(first, self.counts, strict=True):
            half = -(-int(counts.sum()) // 2)
            row[:] = rng.multivariate_hypergeometric(counts, half)
        other = self.counts - first
        return (
            dataclasses.replace(self, counts=first),
            dataclasses.replace(self, counts=other),
        )


def from_pairs(
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]], vocabulary: Sequence[str]
) -> Documents:
    """Documents from the distinct terms and counts of each.

    Args:
      pairs: (terms, counts) of every document, of any number of terms, none included.
      vocabulary: all terms.
    """
    longest = max((len(terms) for terms, _ in pairs), default=0)
    both = np.zeros((2, len(pairs), longest), np.int32)
    for i, (terms, counts) in enumerate(pairs):
        both[0, i, : len(terms)], both[1, i, : len(terms)] = terms, counts
    return Documents(both[0], both[1], tuple(vocabulary))


def read_ldac(path: str | pathlib.Path, vocabulary: str | pathlib.Path) -> Documents:
    """Reads the format of LDA-C: a line `M term:count ...` for each document of M terms.

    Args:
      path: of the documents; terms are numbered from 0.
      vocabulary: of a text with one term a line.

    Raises:
      ValueError: a line of another form, with its number.
    """
    pairs = []
    for number, line in enumerate(pathlib.Path(path).read_text("utf-8").splitlines(), 1):
        first, *rest = line.split()
        try:
            entries = [tuple(map(int, entry.split(":"))) for entry in rest]
            terms, counts = zip(*entries, strict=True) if entries else ((), ())
            if int(first) != len(entries):
                raise ValueError(f"{first} terms are announced and {len(entries)} are there")
        except ValueError as error:
            raise ValueError(
                f"{path}, line {number}: a document is `M term:count ...`; {error}."
            ) from None
        pairs.append((terms, counts))
    return from_pairs(pairs, pathlib.Path(vocabulary).read_text("utf-8").split())


def from_texts(
    texts: Iterable[str], *, min_documents: int = 3, max_share: float = 0.3
) -> Documents:
    """Documents from texts: words of three letters or more, in lower case.

    Args:
      texts: one for each document.
      min_documents: a term occurs in as many at least.
      max_share: and in this share of all at most, which leaves out the most frequent words.

    Raises:
      ValueError: no term is left.
    """
    counted = [collections.Counter(WORD.findall(text.lower())) for text in texts]
    spread = collections.Counter(term for counts in counted for term in counts)
    most = max_share * len(counted)
    vocabulary = sorted(term for term, n in spread.items() if min_documents <= n <= most)
    if not vocabulary:
        raise ValueError(
            f"from_texts found no term in at least {min_documents} and at most {max_share:.0%} of "
            f"{len(counted)} documents; give more texts or other limits."
        )
    index = {term: i for i, term in enumerate(vocabulary)}
    pairs = []
    for counts in counted:
        kept = [(index[term], n) for term, n in sorted(counts.items()) if term in index]
        pairs.append(([term for term, _ in kept], [n for _, n in kept]))
    return from_pairs(pairs, vocabulary)
