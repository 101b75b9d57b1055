"""A small number of what `benchmarks/fuzz.py` tries by the thousand."""

import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def fuzz(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import fuzz_data

    return fuzz_data


@pytest.mark.parametrize(
    ("row", "count"), [("npz", 150), ("other_files", 150), ("tfds_folders", 30), ("results", 120)]
)
def test_spoiled_files_are_read_right_or_refused_in_one_sentence(fuzz, tmp_path, row, count):
    seen = fuzz.KINDS[row](count, 1, tmp_path)
    assert seen.crashes == ()
    assert seen.wrong == 0
    assert seen.refused > count / 4
    assert seen.intact > 0


def test_a_table_that_shows_something_else_is_noticed(fuzz, monkeypatch):
    from gm.metrics import Score, results

    fields = {"experiment": "e", "model": "a *b*", "principle": "p", "dataset": "d", "split": "s"}
    fields |= {"preprocessing": "none", "metric": "m", "steps": 1, "command": "c"}
    row = results.record(Score(1.0, 0.1, 10), seconds=1.0, **fields)
    page = f"Before.\n{results.BEGIN}\n{results.END}\nAfter.\n"
    assert fuzz.faithful([row], page)
    monkeypatch.setattr(results, "_text", str)
    assert not fuzz.faithful([row], page)
