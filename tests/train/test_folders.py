"""Folders of runs: spoiled files, other runs, other processes; and places without a home."""

import dataclasses
import json
import os
import pathlib
import sys

import pytest

from gm import data, train
from gm.data import tfds
from gm.train import checkpoints, folders, locks, logs

QUIET = {"progress": False, "log_every": 2, "checkpoint_every": 4}


@pytest.fixture
def ran(step, new, problem, tmp_path):
    def to(num_steps, **options):
        options = {"folder": tmp_path, **QUIET, **options}
        return train.run(step, new(), problem.Batches(), num_steps, **options)

    return to


def test_broken_rows_never_stop_a_resume_and_are_told_once(ran, tmp_path, capsys):
    ran(4)
    for name, rows in (("metrics.jsonl", b'{"step": 5, "seco'), ("history.jsonl", b'{"event": ')):
        with (tmp_path / name).open("ab") as file:
            file.write(b"\n\xff\n[]\n" + rows)
    ran(6)
    assert "metrics.jsonl: 4 broken lines, which are ignored" in capsys.readouterr().err
    assert [row["step"] for row in train.read_metrics(tmp_path)] == [2, 4, 6]
    assert [e["event"] for e in folders.history(tmp_path)] == ["began", "ended"] * 2
    ran(8)
    assert "broken" not in capsys.readouterr().err
    with pytest.raises(FileNotFoundError):
        train.read_metrics(tmp_path / "elsewhere")


def test_a_run_holds_its_folder_and_lets_it_go(ran, tmp_path):
    def evaluate(state):
        with pytest.raises(BlockingIOError, match=f"is in use by process {os.getpid()} on"):
            ran(8)
        return {"seen": 1.0}

    ran(4, evaluate=evaluate, evaluate_every=4)
    assert train.read_metrics(tmp_path)[-1]["eval/seen"] == 1.0
    assert not (tmp_path / locks.NAME).exists()
    with pytest.raises(FileNotFoundError, match='resume="must"'):
        ran(4, folder=tmp_path / "none", resume="must")
    assert not (tmp_path / "none").exists()


def test_strays_are_passed_over_and_what_was_cut_short_is_removed(ran, tmp_path, caplog):
    ran(4)
    path = tmp_path / "checkpoints" / "000000004"
    strays = [".DS_Store", "arrays/.nfs00a1", "Thumbs.db", "arrays/.ipynb_checkpoints/x-checkpoint"]
    for name in strays:
        (path / name).parent.mkdir(exist_ok=True)
        (path / name).write_text("x")
    left = [tmp_path / "checkpoints" / "partial-000000008", tmp_path / "config.json.partial"]
    left[0].mkdir()
    left[1].write_text("{")
    assert checkpoints.verify(tmp_path, 4)["step"] == 4
    assert all(f"{name} was not there when it was saved" in caplog.text for name in strays)
    assert int(ran(5).step) == 5
    assert not any(path.exists() for path in left)


@pytest.mark.parametrize("name", ["config.json", "run.json"])
def test_a_spoiled_page_is_refused_by_name_or_written_anew_on_purpose(name, ran, tmp_path):
    ran(2, config={"a": 1})
    whole = (tmp_path / name).read_text()
    for spoiled in ("[" * 9999, '{"a"', "[]", '{"a": {"b": [1]}}', "\0"):
        (tmp_path / name).write_text(spoiled)
        with pytest.raises(ValueError, match=name):
            ran(3, config={"a": 1})
    ran(3, config={"a": 1}, resume="changed")
    assert (tmp_path / name).read_text() == whole
    (changed,) = [e for e in folders.history(tmp_path) if e["event"] == "changed"]
    assert name in changed["differences"][0]


def test_a_change_on_purpose_goes_on_and_is_in_the_history(ran, step, new, problem, tmp_path):
    ran(2, config={"rate": 0.1, "b": 1}, resume="changed")  # nothing to be other than
    with pytest.raises(ValueError, match='resume="changed", or edit'):
        ran(3, config={"rate": 0.2, "b": 1})
    ran(3, config={"rate": 0.2, "b": 1}, resume="changed")
    ran(4, config={"rate": 0.2, "b": 1})
    x = problem.Batches()[0]["x"]
    split = data.from_arrays(x, x, x).train
    options = {"folder": tmp_path / "b", **QUIET}
    train.run(step, new(), split.batches(24), 2, **options)
    with pytest.raises(ValueError, match="batch_size: 24 there, 48 here"):
        train.run(step, new(), split.batches(48), 3, **options)
    train.run(step, new(), split.batches(48, 5), 3, resume="changed", **options)
    train.run(step, new(), split.batches(48, 5), 4, **options)
    told = [e["differences"] for e in folders.history(tmp_path) if e["event"] == "changed"]
    assert told == [["rate: 0.1 there, 0.2 here"]]
    told = [e["differences"] for e in folders.history(tmp_path / "b") if e["event"] == "changed"]
    assert told == [["batches.batch_size: 24 there, 48 here", "batches.seed: 0 there, 5 here"]]


def test_batches_that_nothing_tells_from_others_are_said(ran, step, new, problem, tmp_path, caplog):
    ran(2)
    assert (
        "not compared with the earlier run: the batches, a Batches, not a dataclass" in caplog.text
    )
    caplog.clear()
    x = problem.Batches()[0]["x"]
    split = data.from_arrays(x, x, x).train
    train.run(step, new(), split.batches(24), 2, folder=tmp_path / "b", **QUIET)
    assert not caplog.text


def test_a_data_set_of_the_folders_name_is_part_of_the_configuration(ran, tmp_path, monkeypatch):
    @dataclasses.dataclass(frozen=True)
    class Config:
        dataset: str = "digits"
        folder: pathlib.Path = pathlib.Path("digits")

    monkeypatch.chdir(tmp_path)
    ran(2, folder="digits", config=Config())
    assert json.loads(pathlib.Path("digits/config.json").read_text()) == {"dataset": "digits"}
    with pytest.raises(ValueError, match="dataset: digits there, mnist here"):
        ran(3, folder="digits", config=Config("mnist"))


def test_paths_of_a_home_are_expanded_and_none_is_needed(ran, problem, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    ran(2, folder="~/run")
    assert checkpoints.steps("~/run") == [2]
    assert train.read_metrics("~/run")[0]["step"] == 2
    assert len(folders.history("~/run")) == 2
    train.weights.save("~/w.safetensors", problem.PARAMS)
    assert train.weights.describe("~/w.safetensors")["arrays"]
    assert not pathlib.Path("~").exists()

    def unknown(*_):
        raise KeyError("no such user")

    for name in ("HOME", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    assert not tfds.root(None).exists()
    assert tfds.root("here") == pathlib.Path("here")
    ran(3, folder="run")


def test_a_history_of_strangers_does_not_stop_a_run(ran, tmp_path):
    said = [{"event": name, "time": "now", **x}
            for name in ("began", "saved", "ended", "changed", "dinner")
            for x in ({}, {"step": "3"}, {"step": None})]  # fmt: skip
    (tmp_path / "history.jsonl").write_text("".join(json.dumps(x) + "\n" for x in said))
    assert int(ran(2).step) == 2
    assert [e["event"] for e in folders.history(tmp_path)][-2:] == ["began", "ended"]


def test_closed_streams_are_opened_before_files_get_their_numbers(monkeypatch):
    asked = []

    def fstat(number):
        if number == 1:
            raise OSError(9, "Bad file descriptor")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fstat)
        patch.setattr(os, "open", lambda *args: asked.append(args))
        logs._fill_streams()
    assert asked == [(os.devnull, os.O_RDWR)]


class Gone:
    """A stream whose reader has left."""

    encoding = "utf-8"

    def __init__(self):
        self.tried = 0

    def isatty(self):
        return True

    def write(self, text):
        self.tried += 1
        raise BrokenPipeError(32, "Broken pipe")

    flush = close = lambda self: self.write("")


@pytest.mark.parametrize("bar", [True, False])
def test_a_run_outlives_its_terminal(bar, ran, tmp_path, monkeypatch):
    gone = Gone()
    if bar:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", gone)
    assert int(ran(5, progress=True).step) == 5
    assert gone.tried
    monkeypatch.setattr(sys, "stderr", None)
    assert int(ran(6, progress=True).step) == 6
    logs.Display().say("to nobody")
    assert [row["step"] for row in train.read_metrics(tmp_path)] == [2, 4, 5, 6]
