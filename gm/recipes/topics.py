"""Topic models of documents: reading, scoring by document completion, reports."""

from __future__ import annotations

import itertools
import pathlib
from collections.abc import Mapping

import numpy as np

from gm import data, metrics
from gm.core import Params
from gm.data import documents
from gm.metrics import results, topics

WORDS = 200  # of a document of Python's docstrings
PERPLEXITY, COHERENCE = "perplexity of held-out halves", "coherence"
UNIGRAM = f"{PERPLEXITY}, unigram"
Halves = tuple[np.ndarray, np.ndarray, np.ndarray]  # terms, and counts of both halves


def load(
    path: pathlib.Path | None, vocabulary: pathlib.Path | None, seed: int
) -> tuple[str, documents.Documents, Halves]:
    """The name of the data, documents to fit, and held-out ones in halves.

    Args:
      path: of a file in the format of LDA-C, every tenth document held out; of an .npz with
        {train,test_half1,test_half2}_{offsets,terms,counts}; or None for Python's docstrings.
      vocabulary: a text with one term a line, for a path.
      seed: of halves.

    Raises:
      ValueError: a path without a vocabulary, or what it holds is no document.
    """
    if path is None:
        name, found = "python_docs", python_docs()
    elif vocabulary is None:
        raise ValueError("--documents needs --vocabulary, a text with one term a line.")
    elif path.suffix == ".npz":
        return path.stem, *read_halves(path, vocabulary)
    else:
        name, found = path.stem, documents.read_ldac(path, vocabulary)
    held_out = np.arange(len(found)) % 10 == 0
    first, second = found[held_out].halves(seed)
    return name, found[~held_out], (first.terms, first.counts, second.counts)


def python_docs() -> documents.Documents:
    """The docstrings of Python's standard library, 200 words to a document."""
    text = data.load("python_docs")
    parts, window = (text.train, text.validation, text.test), text.event.size
    characters = np.concatenate([part.x[::window].ravel() for part in parts])
    words = documents.WORD.findall(data.decode(characters, text.vocabulary).lower())
    return documents.from_texts(
        [" ".join(words[i : i + WORDS]) for i in range(0, len(words), WORDS)]
    )


def read_halves(path: pathlib.Path, vocabulary: pathlib.Path) -> tuple[documents.Documents, Halves]:
    """Documents of an .npz whose held-out ones come in halves."""
    terms = vocabulary.read_text("utf-8").split()
    with np.load(path) as file:

        def rows(part: str) -> list[tuple[np.ndarray, np.ndarray]]:
            offsets, terms, counts = (file[f"{part}_{n}"] for n in ("offsets", "terms", "counts"))
            return [(terms[a:b], counts[a:b]) for a, b in itertools.pairwise(offsets)]

        train, first, second = map(rows, ("train", "test_half1", "test_half2"))
    pairs = [
        tuple(map(np.concatenate, zip(a, b, strict=True)))
        for a, b in zip(first, second, strict=True)
    ]
    both = documents.from_pairs(pairs, terms)
    observed = np.arange(both.terms.shape[1]) < np.array([len(a[0]) for a in first])[:, None]
    halves = np.where(observed, both.counts, 0), np.where(observed, 0, both.counts)
    return documents.from_pairs(train, terms), (both.terms, *halves)


def report(
    name: str,
    docs: documents.Documents,
    held_out: Halves,
    params: Params,
    folder: pathlib.Path | None,
    **about: object,
) -> dict[str, float]:
    """Prints topics and scores, and writes result.json and topics.txt; returns the scores.

    Args:
      name: of the data.
      docs: what was fitted, in which coherence is counted.
      held_out: as of `load`.
      params: of `LatentDirichletAllocation`.
      folder: to write into, or None.
      **about: of a result: experiment, model, principle, steps, seconds.
    """
    found, a = (np.exp(np.asarray(params[key])) for key in ("log_topics", "log_concentration"))
    counts = np.bincount(docs.terms.ravel(), docs.counts.ravel(), docs.num_terms) + 0.1
    unigram = (counts / counts.sum())[None]
    scores = {
        PERPLEXITY: topics.document_completion(found, a, *held_out),
        COHERENCE: topics.coherence(found, docs.terms, docs.counts),
        UNIGRAM: topics.document_completion(unigram, np.ones(1), *held_out),
    }
    lines = [" ".join(docs.vocabulary[i] for i in row) for row in topics.top_terms(found)]
    print("\n".join(lines))
    print(f"{name}: {len(docs):,} documents of {docs.num_terms:,} terms, {docs.num_tokens:,} words")
    for metric, score in scores.items():
        print(f"{about['model']}, {about['principle']}: {metric} {score}")
    if folder is not None:
        write(folder, name, scores, about)
        (folder / "topics.txt").write_text("\n".join(lines) + "\n", "utf-8")
    return {metric: score.value for metric, score in scores.items()}


def write(
    folder: pathlib.Path,
    name: str,
    scores: Mapping[str, metrics.Score],
    about: Mapping[str, object],
) -> None:
    """result.json, in the folder."""
    own = {"dataset": name, "preprocessing": "bags of words"}
    own |= {"split": "half of each held-out document", "published": None, "published_source": None}
    rows = [
        results.record(score, metric=metric, **own, **dict(about))
        for metric, score in scores.items()
    ]
    results.write(folder, rows)
