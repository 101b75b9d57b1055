"""Windows of characters."""

import numpy as np
import pytest

from gm import data
from gm.core import Event
from gm.data.text import ASCII, cut_text, docstrings


@pytest.fixture(scope="module")
def docs():
    return data.load("python_docs", window=64)


def test_encode_and_decode_are_inverse():
    text = "naïve\n∑"
    vocabulary = "".join(sorted(set(text)))
    codes = data.encode(text, vocabulary)
    np.testing.assert_array_equal(codes, [vocabulary.index(c) for c in text])
    assert codes.dtype == np.int32
    assert data.decode(codes, vocabulary) == text
    with pytest.raises(ValueError, match="got 'z'"):
        data.encode("naz", vocabulary)
    assert len(data.encode("", vocabulary)) == 0
    assert data.decode(np.zeros(0), vocabulary) == ""


@pytest.mark.parametrize(
    ("x", "got"),
    [
        ([0, -1], "of 3 characters, from 0; got values from -1 to 0"),
        ([0, 3], "got values from 0 to 3"),
        ([[0, 1]], r"integers \[T\]; got int64 of shape \(1, 2\)"),
        ([0.0, 1.0], "got float64"),
    ],
)
def test_what_is_no_place_in_the_vocabulary_is_not_decoded(x, got):
    with pytest.raises(ValueError, match=got):
        data.decode(np.array(x), "abc")


def test_a_vocabulary_holds_each_character_once():
    for vocabulary in ("abca", "", "a"):
        with pytest.raises(ValueError, match="two characters or more, and each of them once"):
            data.encode("aaa", vocabulary)
    with pytest.raises(ValueError, match="got 'a', 'b' more than once"):
        data.from_texts("letters", ["abc"] * 3, 2, "abcab")
    with pytest.raises(ValueError, match="each of them once; got 'a'"):
        data.from_texts("letters", ["aaa"] * 3, 2)
    with pytest.raises(ValueError, match="needs a text, str; got bytes"):
        data.encode(b"abc", "abc")


def test_the_vocabulary_is_sorted_and_that_of_all_three_texts():
    dataset = data.from_texts("letters", ["bb", "aa", "dc"], 2)
    assert dataset.vocabulary == "abcd"
    np.testing.assert_array_equal(dataset.test.x, [[3, 2]])
    assert data.from_texts("letters", ["bb", "aa", "dc"], 2, "dcba").test.x.tolist() == [[0, 1]]


def test_one_text_is_cut_in_three():
    text = "".join(chr(97 + i % 26) for i in range(200))
    for texts in (text, [text], (text,)):
        dataset = data.from_texts("letters", texts, 5)
        found = [data.decode(s.x[0], dataset.vocabulary) for s in (dataset.train, dataset.test)]
        assert found == [text[:5], text[190:195]]
        codes = dataset.validation.source.codes
        np.testing.assert_array_equal(codes, data.encode(text[180:190], dataset.vocabulary))


def test_other_numbers_of_texts_are_refused():
    for texts, got in ((["ab", "cd"], "got 2"), (["ab"] * 9, "got 9"), ([b"ab"] * 3, "bytes")):
        with pytest.raises(ValueError, match=f"one text, which is cut in three.*{got}"):
            data.from_texts("letters", texts, 2)


def test_training_windows_start_anywhere_and_evaluation_windows_are_disjoint():
    dataset = data.from_texts("letters", ["abcdefg", "abcdefg", "gfedcba"], window=3)
    read = [
        [data.decode(x, dataset.vocabulary) for x in s.x] for s in (dataset.train, dataset.test)
    ]
    assert read == [["abc", "bcd", "cde", "def", "efg"], ["gfe", "dcb"]]
    assert dataset.event == Event((3,), 7)
    assert dataset.preprocessing == "windows of 3 characters"


def test_a_text_shorter_than_the_window_is_refused():
    with pytest.raises(ValueError, match="windows of 9 characters need a longer text; got 3"):
        data.from_texts("short", ["abc", "abc", "abc"], window=9)
    with pytest.raises(ValueError, match="at least 1 character"):
        data.from_texts("none", ["abc", "abc", "abc"], window=0)


def test_cut_text_keeps_every_character():
    text = "".join(map(str, range(100)))
    parts = cut_text(text)
    assert "".join(parts) == text
    assert [len(part) for part in parts] == [171, 9, 10]


def test_docstrings_of_a_source():
    source = '"""Module."""\nx = """not this"""\ndef f():\n    r"""One\n\n    two.\n    """\n'
    assert docstrings(source) == ["Module.", "One\n\ntwo."]


def test_python_docs_is_english_like_and_holds_no_copy(docs):
    assert docs.event == Event((64,), 96)
    assert docs.vocabulary == ASCII
    num_characters = len(docs.train) + 63
    assert 500_000 < num_characters < 1_500_000
    text = data.decode(docs.train.x[:: 64 * 8].ravel(), ASCII)
    assert text.count(" the ") > len(text) / 400
    assert np.shares_memory(docs.train.x[0], docs.train.x[1])


def test_python_docs_batches_are_windows(docs):
    batches = docs.train.batches(8, seed=1)
    batch = batches(3)
    docs.event.check(batch["x"])
    np.testing.assert_array_equal(batch["x"], docs.train.x[batches.indices(3)])


def test_python_docs_is_the_same_every_time(docs):
    again = data.load("python_docs", window=64)
    np.testing.assert_array_equal(docs.test.x, again.test.x)
