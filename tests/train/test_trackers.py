"""Trackers get the rows, and whatever becomes of them, the run goes on."""

import sys
import threading
import time

import pytest

from gm import train
from gm.train import trackers

ROWS = [{"step": n, "loss": 0.5} for n in range(4)]


def follow(make, rows=ROWS):
    said = []
    follower = trackers.Follower("Board", make, said.append)
    for row in rows:
        follower(row)
    begin = time.perf_counter()
    follower.close()
    assert time.perf_counter() - begin < 2.0
    return said


def test_a_tracker_gets_every_row_and_then_the_end():
    got, threads = [], set()

    class Tracker:
        def __call__(self, row):
            got.append(row)
            threads.add(threading.current_thread())

        def close(self):
            got.append("end")

    assert follow(Tracker) == []
    assert got == [*ROWS, "end"]
    assert threading.current_thread() not in threads
    got.clear()
    assert follow(lambda: got.append) == []  # any function of a row
    assert got == ROWS


def test_one_that_fails_is_left_with_one_line():
    def fail(row):
        raise (SystemExit if row["step"] else OSError)("no space")

    (line,) = follow(lambda: fail)
    assert line.startswith("Board has failed (OSError: no space): it gets no more rows.")
    (line,) = follow(lambda: fail, ROWS[1:])
    assert "SystemExit" in line
    (line,) = follow(lambda: 1 / 0)
    assert "ZeroDivisionError" in line


def test_one_that_blocks_holds_nobody_up(monkeypatch):
    monkeypatch.setattr(trackers, "PENDING", 2)
    monkeypatch.setattr(trackers, "PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr(trackers, "END_SECONDS", 0.05)
    never = threading.Event()
    (line,) = follow(lambda: lambda row: never.wait(), [*ROWS, *ROWS])
    assert line.startswith("Board has 2 rows to take and takes none: it gets no more rows.")
    (line,) = follow(lambda: lambda row: never.wait(), ROWS[:1])
    assert "has not taken its rows 0.05 s after the end" in line
    never.set()


def test_a_board_whose_disk_fails_does_not_touch_the_run(
    step, new, problem, tmp_path, monkeypatch, capsys
):
    record_writer = pytest.importorskip("tensorboardX.record_writer")
    written = []

    def write(self, data):
        written.append(data)
        if len(written) > 2:
            raise OSError("the board's disk is full")

    monkeypatch.setattr(record_writer.RecordWriter, "write", write)
    options = {"folder": tmp_path, "log_every": 1, "progress": False}
    state = train.run(step, new(), problem.Batches(), 30, **options)
    plain = train.run(step, new(), problem.Batches(), 30, progress=False)
    assert train.digest(state) == train.digest(plain)
    assert len(train.read_metrics(tmp_path)) == 30
    said = capsys.readouterr().err
    assert said.count("TensorBoard has failed (OSError: the board's disk is full)") == 1


def test_without_the_extra_there_is_no_board(tmp_path, monkeypatch):
    assert trackers.followers(None, 0, print) == []
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    assert trackers.followers(tmp_path, 0, print) == []
