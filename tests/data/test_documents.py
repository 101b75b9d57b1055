"""Bags of words: reading, counting, halves."""

import numpy as np
import pytest

from gm.data import documents


def test_texts_become_counts_of_their_words():
    texts = ["The cat and the dog.", "A dog, a DOG!", "cats cat", "the sea the sea"]
    found = documents.from_texts(texts, min_documents=2, max_share=0.5)
    assert found.vocabulary == ("cat", "dog", "the")
    dense = np.zeros((4, 3), int)
    rows = np.arange(4)[:, None]
    np.add.at(dense, (rows, found.terms), found.counts)
    np.testing.assert_array_equal(dense, [[1, 1, 2], [0, 2, 0], [1, 0, 0], [0, 0, 2]])
    assert found.num_tokens == 9
    words, mask = found.tokens()
    assert [list(w[m]) for w, m in zip(words, mask, strict=True)] == [
        [0, 1, 2, 2],
        [1, 1],
        [0],
        [2, 2],
    ]


def test_the_format_of_lda_c_is_read_and_its_faults_have_a_line(tmp_path):
    path, vocabulary = tmp_path / "docs.dat", tmp_path / "vocab.txt"
    vocabulary.write_text("sea\nship\nsky\n")
    path.write_text("2 0:3 2:1\n0\n1 1:4\n")
    found = documents.read_ldac(path, vocabulary)
    np.testing.assert_array_equal(found.counts, [[3, 1], [0, 0], [4, 0]])
    np.testing.assert_array_equal(found.terms, [[0, 2], [0, 0], [1, 0]])
    for line, message in [
        ("2 0:3", "2 terms are announced and 1"),
        ("1 a:3", "line 2: a document"),
    ]:
        path.write_text(f"1 0:1\n{line}\n")
        with pytest.raises(ValueError, match=message):
            documents.read_ldac(path, vocabulary)
    path.write_text("1 3:1\n")
    with pytest.raises(ValueError, match=r"terms in \[0, 3\).*numbered from 1"):
        documents.read_ldac(path, vocabulary)


def test_halves_split_the_occurrences_of_every_document_at_random():
    counts = np.array([[4, 2, 1], [0, 0, 0], [1, 0, 0], [30, 10, 0]], np.int32)
    docs = documents.Documents(
        np.tile(np.arange(3, dtype=np.int32), (4, 1)), counts, ("a", "b", "c")
    )
    first, second = docs.halves(0)
    np.testing.assert_array_equal(first.counts + second.counts, counts)
    np.testing.assert_array_equal(first.counts.sum(1), [4, 0, 1, 20])
    share = np.mean([docs.halves(seed)[0].counts[3, 0] for seed in range(400)])
    spread = np.sqrt(20 * 0.75 * 0.25 * 20 / 39 / 400)  # hypergeometric
    assert abs(share - 15.0) < 4 * spread


def test_documents_without_a_word_and_texts_without_a_term():
    empty = documents.from_pairs([((), ()), ((), ())], ("a",))
    assert (len(empty), empty.num_tokens, empty.halves(0)[0].num_tokens) == (2, 0, 0)
    with pytest.raises(ValueError, match="no term in at least 3"):
        documents.from_texts(["one two", "three four"])
    with pytest.raises(ValueError, match="negative"):
        documents.Documents(np.zeros((1, 1), np.int32), np.array([[-1]]), ("a",))
