"""Tables of named columns: which are examples, and which are labels."""

import numpy as np
import pytest

from gm import data
from gm.core import Event
from gm.data import tables

N = 40
RNG = np.random.default_rng(0)
ALCOHOL = RNG.normal(10, 1, N)
ACID = RNG.normal(3, 1, N)
QUALITY = np.arange(N) % 5 + 3


class Frame:
    """As much of a pandas DataFrame as is used."""

    def __init__(self, **columns):
        self.held = columns

    @property
    def columns(self):
        return list(self.held)

    @property
    def dtypes(self):
        return [column.dtype for column in self.held.values()]

    def __getitem__(self, name):
        return self.held[name]

    def __array__(self, dtype=None, copy=None):
        return np.stack(list(self.held.values()), 1)


WINE = Frame(alcohol=ALCOHOL, quality=QUALITY, acid=ACID)


def test_a_label_column_is_named_and_is_no_part_of_the_examples():
    dataset = data.from_arrays(WINE, WINE, WINE, label="quality")
    assert (dataset.event, dataset.num_labels) == (Event((2,)), 8)
    np.testing.assert_array_equal(dataset.test.y, QUALITY)
    np.testing.assert_allclose(dataset.test.x, np.stack([ALCOHOL, ACID], 1), rtol=1e-6)
    named = data.from_arrays(Frame(label=QUALITY, alcohol=ALCOHOL))
    assert (named.event, named.num_labels) == (Event((1,)), 8)
    given = data.from_arrays(Frame(alcohol=ALCOHOL), labels=[QUALITY])
    assert (given.event, given.num_labels) == (Event((1,)), 8)


def test_integers_beside_reals_are_no_real_variable_without_a_word():
    with pytest.raises(
        ValueError, match=r"real columns with columns of integers: quality.*label='quality'"
    ):
        data.from_arrays(WINE)
    assert data.from_arrays(WINE, label="").event == Event((3,))
    structured = np.zeros(N, [("a", "f8"), ("b", "i8")])
    structured["a"] = ALCOHOL
    with pytest.raises(ValueError, match="with columns of integers: b"):
        data.from_arrays(structured)
    assert data.from_arrays(structured, label="b").event == Event((1,))


def test_tables_of_one_kind_need_no_word():
    assert data.from_arrays(Frame(a=ALCOHOL, b=ACID)).event == Event((2,))
    assert data.from_arrays(Frame(a=QUALITY, b=QUALITY)).event == Event((2,), 8)


@pytest.mark.parametrize(
    ("frames", "options", "message"),
    [
        ([WINE], {"label": "colour"}, "no column 'colour' for labels, only alcohol, quality"),
        ([Frame(a=np.array(["x"] * N))], {}, "numbers in every column; 'a' holds"),
        ([Frame(label=QUALITY)], {}, "columns beside the labels"),
        ([Frame(a=ACID, b=ALCOHOL)], {"label": "a"}, "integer array"),
        ([Frame(a=ACID), Frame(b=ACID)], {}, "the same columns in every split"),
        ([Frame(a=ACID), ACID], {}, "a table in every split"),
        ([WINE], {"label": "quality", "labels": [QUALITY]}, "labels twice"),
    ],
)
def test_wrong_tables_have_one_clear_error(frames, options, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(*frames, **options)


def test_the_column_that_float32_does_not_hold_is_named():
    times = Frame(acid=ACID, time=1.7e9 + RNG.uniform(-10, 10, N))
    with pytest.raises(ValueError, match="float32 cannot represent, 'time': its values reach"):
        data.from_arrays(times)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", ['"alcohol",quality,acid', None])
def test_csv_files_hold_names_or_only_numbers(tmp_path, delimiter, header):
    path = tmp_path / "wine.csv"
    rows = [
        f"{a!r},{q},{b!r}" for a, q, b in zip(*map(list, (ALCOHOL, QUALITY, ACID)), strict=True)
    ]
    rows = [row.replace("np.float64(", "").replace(")", "") for row in rows]
    lines = ([header] if header else []) + rows
    path.write_text("\n".join(lines).replace(",", delimiter))
    dataset = data.load(path, label="quality" if header else "1")
    assert (dataset.name, dataset.num_labels, dataset.event) == ("wine", 8, Event((2,)))
    want = data.from_arrays(np.stack([ALCOHOL, ACID], 1), labels=[QUALITY])
    np.testing.assert_array_equal(dataset.test.x, want.test.x)
    np.testing.assert_array_equal(dataset.train.y, want.train.y)
    with pytest.raises(ValueError, match="mixes real columns with columns of integers"):
        data.load(path)


def test_csv_files_of_integers_are_discrete_and_a_label_is_taken_by_its_name(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("label,a,b\n" + "1,0,3\n0,2,1\n" * 20)
    dataset = data.load(path)
    assert (dataset.event, dataset.num_labels) == (Event((2,), 4), 2)
    path.write_text("0,1,2\n" + "1,0,3\n0,2,1\n" * 20)  # pandas' names of columns without one
    assert sum(map(len, (lambda d: (d.train, d.validation, d.test))(data.load(path)))) == 40


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "holds none"),
        ("a,b\n", "holds none"),
        ("a,b\n1,red\n", "numbers in every row and column"),
        ("a,b\n1,2\n3\n", "numbers in every row and column"),
        ("a,a\n1,2\n3,4\n", "a different name for each column"),
        (",a\n0,2\n1,4\n", r"first column without a name.*index=False"),
        ("a,b,c\n1,2\n3,4\n", "for each column, 2 of them; got a, b, c"),
        ("a,b\n\ud8001,2\n", r"mine\.csv is not a table of numbers in UTF-8"),
        ("a,b\n" + "x" * 10**6 + ",2\n", "mine.csv needs numbers .{1,300}$"),
        ("x" * 10**6 + "\n1\n", "mine.csv is not a table of numbers in UTF-8: field larger"),
    ],
)
def test_a_csv_file_that_is_no_table_of_numbers_is_refused(tmp_path, content, message):
    path = tmp_path / "mine.csv"
    path.write_text(content, errors="surrogatepass")
    with pytest.raises(ValueError, match=message):
        tables.read_csv(path)
