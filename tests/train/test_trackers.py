"""Trackers get the rows, and whatever becomes of them, the run goes on."""

import shutil
import struct
import sys
import threading
import time

import jax
import numpy as np
import optax
import pytest
from PIL import Image

from gm import train
from gm.train import logs, reports, trackers

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
    assert line.startswith("Board has 2 queued rows and accepts none: it gets no more rows.")
    (line,) = follow(lambda: lambda row: never.wait(), ROWS[:1])
    assert "has not accepted its rows 0.05 s after the end" in line
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


def test_a_function_of_ones_own_gets_the_rows_of_the_file(step, new, problem, tmp_path):
    rows, threads = [], set()

    def on_row(row):
        rows.append(row)
        threads.add(threading.current_thread())

    options = {"log_every": 2, "progress": False, "on_row": on_row}
    train.run(step, new(), problem.Batches(), 5, folder=tmp_path, **options)
    assert rows == train.read_metrics(tmp_path)
    assert [row["step"] for row in rows] == [2, 4, 5]
    assert threading.current_thread() not in threads
    train.run(step, new(), problem.Batches(), 2, **options)  # without a folder too
    assert [row["step"] for row in rows[3:]] == [2]


@pytest.mark.parametrize("fault", ["raises", "blocks"])
def test_what_a_function_does_cannot_touch_the_run(
    fault, step, new, problem, tmp_path, monkeypatch, capsys
):
    never = threading.Event()

    def on_row(row):
        row.clear()
        if fault == "raises":
            raise ConnectionError("no board there")
        never.wait()

    for name, value in (("PENDING", 2), ("PATIENCE_SECONDS", 0.05), ("END_SECONDS", 0.05)):
        monkeypatch.setattr(trackers, name, value)
    options = {"log_every": 1, "progress": False}
    state = train.run(step, new(), problem.Batches(), 9, folder=tmp_path, on_row=on_row, **options)
    never.set()
    plain = train.run(step, new(), problem.Batches(), 9, progress=False)
    assert train.digest(state) == train.digest(plain)
    assert [row["step"] for row in train.read_metrics(tmp_path)] == list(range(1, 10))
    words = {"raises": "has failed (ConnectionError: no board there)", "blocks": "accepts none"}
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "on_row" in line]
    assert words[fault] in line


def test_what_is_no_function_is_refused_before_anything_is_made(step, new, problem, tmp_path):
    with pytest.raises(TypeError, match="on_row is a function of a row, which is a dict; got 3"):
        train.run(step, new(), problem.Batches(), 1, folder=tmp_path / "run", on_row=3)
    assert not (tmp_path / "run").exists()


def events(folder):
    """What a board wrote: {name: {step: value or picture}}."""
    from tensorboardX.proto import event_pb2

    (file,) = folder.iterdir()
    data, at, found = file.read_bytes(), 0, {}
    while at < len(data):
        (size,) = struct.unpack_from("<Q", data, at)
        event = event_pb2.Event.FromString(data[at + 12 : at + 12 + size])
        at += size + 16
        for x in event.summary.value:
            value = x.image if x.HasField("image") else x.simple_value
            found.setdefault(x.tag, {})[event.step] = value
    return found


def test_a_board_shows_pictures_and_a_run_hands_on_its_pictures(tmp_path):
    pytest.importorskip("tensorboardX")
    wide, text = tmp_path / "wide.png", tmp_path / "text.png"
    Image.new("L", (5, 3)).save(wide)
    text.write_text("samples")
    said, got = [], []
    board = trackers.followers(tmp_path, 0, said.append, got.append)
    record = logs.Record(None, 0, 9, progress=False)
    record.followers = board
    pictures = reports.Reports(record, tmp_path, None, None, lambda state, path: None)
    for step, source in ((1, wide), (2, text), (3, tmp_path / "none.png")):
        pictures._plot = lambda state, path, source=source: shutil.copy(source, path)
        pictures._picture(step, None)
    record.write({"step": 4, "seconds": 0.0, "examples_per_s": 1.0}, 1, {"loss": 2.0}, {})
    record.close()
    found = events(tmp_path / "tensorboard")
    (image,) = found["samples"].values()
    assert (list(found["samples"]), image.width, image.height) == ([1], 5, 3)
    assert image.encoded_image_string == wide.read_bytes()
    assert found["loss"] == {4: 2.0}
    assert said == []
    assert [row["step"] for row in got] == [4]  # a function of rows is not told of pictures


def test_rows_have_the_learning_rate_where_an_optimizer_tells_it():
    rates = {"critic": 0.5, "generator": 0.25}
    told = {k: optax.inject_hyperparams(optax.sgd)(rate) for k, rate in rates.items()}
    params = {"w": np.ones(2, np.float32)}
    chained = optax.chain(optax.clip(1.0), told["critic"])
    state = {k: x.init(params) for k, x in told.items()}
    assert logs.learning_rates(state) == {f"{k}/learning_rate": x for k, x in rates.items()}
    assert logs.learning_rates({"all": chained.init(params)}) == {"learning_rate": 0.5}
    assert logs.learning_rates({"all": optax.adam(0.1).init(params)}) == {}
    parts = optax.partition({"a": told["critic"], "b": optax.sgd(1.0)}, {"w": "a"})
    assert logs.learning_rates({"all": parts.init(params)}) == {"a/learning_rate": 0.5}


def test_the_rate_of_a_row_is_that_of_its_step(one, problem):
    """The update n of a schedule r(n) is made with r(n - 1); the copy outlives the state."""
    optimizer = optax.inject_hyperparams(optax.sgd)(optax.linear_schedule(0.5, 0.0, 4))
    step = train.make_step(problem.loss, optimizer, mesh=one)
    state, rows = train.init(problem.PARAMS, optimizer, jax.random.key(0)), []
    options = {"log_every": 1, "progress": False, "on_row": rows.append}
    train.run(step, state, problem.Batches(), 4, **options)
    assert [row["learning_rate"] for row in rows] == [0.5, 0.375, 0.25, 0.125]
