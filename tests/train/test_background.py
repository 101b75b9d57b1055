"""What happens beside the loop: evaluations, pictures, files, TensorBoard, the folder's history."""

import json
import struct
import threading
import time

import numpy as np
import pytest

from gm import train
from gm.train import background, checkpoints, folders, logs

QUIET = {"progress": False, "log_every": 5, "checkpoint_every": 4}


def test_tasks_come_in_order_and_an_error_stops_none():
    seen, worker = [], background.Worker()

    def fail():
        raise KeyError("oops")

    worker.submit(seen.append, 1)
    worker.submit(fail)
    worker.submit(seen.append, 2)
    with pytest.raises(KeyError, match="oops"):
        worker.wait()
    worker.wait()  # said once
    for _ in range(2):
        worker.submit(fail)
    with pytest.raises(KeyError, match="oops"):
        worker.wait()
    worker.check()  # once for both
    worker.submit(seen.append, 3)
    worker.close()
    assert seen == [1, 2, 3]


def test_steps_go_on_during_an_evaluation_and_see_their_own_state(step, new, problem, tmp_path):
    """Evaluation 4 waits until a batch beyond it is asked for: only a free loop gets there."""
    asked, released = threading.Event(), []

    class Watched(problem.Batches):
        def __getitem__(self, n):
            if n == 6:
                asked.set()
            return super().__getitem__(n)

    def evaluate(state):
        if int(state.step) == 4:
            released.append(asked.wait(20))
        return {"step": state.step, "w": state.params["w"][0]}

    train.run(
        step, new(), Watched(), 12, folder=tmp_path, evaluate=evaluate, evaluate_every=4, **QUIET
    )
    assert released == [True]
    rows = [row for row in train.read_metrics(tmp_path) if "eval/step" in row]
    assert [row["eval/step"] for row in rows] == [row["step"] for row in rows] == [4, 8, 12]
    state = new()
    for n in range(4):
        state, _ = step(state, problem.Batches()[n])
    assert rows[0]["eval/w"] == float(state.params["w"][0])


def test_a_checkpoint_appears_after_the_rows_of_its_step(step, new, problem, tmp_path):
    """A run that is killed in between writes them again: none is lost."""
    seen = {}

    def evaluate(state):
        time.sleep(0.05)
        seen[int(state.step)] = int(state.step) in checkpoints.steps(tmp_path)
        return {"nothing": 0.0}

    train.run(
        step, new(), problem.Batches(), 12, folder=tmp_path, evaluate=evaluate, evaluate_every=4,
        **QUIET,
    )  # fmt: skip
    assert seen == {4: False, 8: False, 12: False}
    assert checkpoints.steps(tmp_path) == [4, 8, 12]


def test_a_saved_state_is_not_what_later_steps_made_of_its_memory(step, new, problem, tmp_path):
    state = new()
    for n in range(6):
        state, _ = step(state, problem.Batches()[n])
        want = train.digest(state)
        save = checkpoints.Save(tmp_path, n + 1, state)
        for m in range(3):
            state, _ = step(state, problem.Batches()[m])
        save.finish()
        assert train.digest(checkpoints.restore(tmp_path, new())) == want


def test_an_error_in_a_picture_is_said_and_training_goes_on(step, new, problem, tmp_path, capsys):
    def plot(state, path):
        if int(state.step) == 4:
            raise OSError("no ink")
        path.write_text(str(int(state.step)))

    train.run(step, new(), problem.Batches(), 10, folder=tmp_path, plot=plot, plot_every=4, **QUIET)
    assert "no picture of step 4: OSError: no ink. Training continues." in capsys.readouterr().err
    made = {path.name: path.read_text() for path in (tmp_path / "samples").iterdir()}
    assert made == {"000000008.png": "8", "000000010.png": "10"}


def test_pictures_need_a_folder(step, new, problem):
    with pytest.raises(ValueError, match="plot needs a folder"):
        train.run(step, new(), problem.Batches(), 2, plot=lambda state, path: None)


def test_every_kth_checkpoint_is_kept(step, new, problem, tmp_path):
    options = {"progress": False, "checkpoint_every": 2, "keep": 2, "keep_every": 6}
    train.run(step, new(), problem.Batches(), 21, folder=tmp_path, **options)
    assert checkpoints.steps(tmp_path) == [6, 12, 18, 20, 21]
    with pytest.raises(ValueError, match="keep_every is at least 1 step, or None; got 0"):
        train.run(step, new(), problem.Batches(), 22, folder=tmp_path, keep_every=0)


def test_tensorboard_has_the_rows_where_it_is_installed(step, new, problem, tmp_path):
    pytest.importorskip("tensorboardX")
    from tensorboardX.proto import event_pb2

    train.run(step, new(), problem.Batches(), 10, folder=tmp_path, **QUIET)
    (file,) = (tmp_path / "tensorboard").iterdir()
    data, found = file.read_bytes(), {}
    while data:  # a record: its length in 8 bytes, 4 of checksum, itself, 4 of checksum
        (length,) = struct.unpack("<Q", data[:8])
        event = event_pb2.Event.FromString(data[12 : 12 + length])
        found |= {(event.step, v.tag): v.simple_value for v in event.summary.value}
        data = data[16 + length :]
    for row in train.read_metrics(tmp_path):
        assert found[row["step"], "loss"] == pytest.approx(row["loss"], rel=1e-6)


def test_device_memory_is_told_where_a_device_tells(monkeypatch):
    class Device:
        def __init__(self, stats):
            self.stats = stats

        def memory_stats(self):
            return self.stats

    monkeypatch.setattr(logs.jax, "local_devices", lambda: [Device(None), Device({})])
    assert logs.device_gib() is None
    peaks = [Device({"peak_bytes_in_use": n << 30}) for n in (2, 3)]
    monkeypatch.setattr(logs.jax, "local_devices", lambda: peaks)
    assert logs.device_gib() == 3.0


def test_history_tells_each_process_and_survives_a_line_that_was_cut_short(
    step, new, problem, tmp_path
):
    for end in (4, 8):
        train.run(step, new(), problem.Batches(), end, folder=tmp_path, **QUIET)
    with (tmp_path / "history.jsonl").open("a") as file:
        file.write('{"event": "beg')
    events = folders.history(tmp_path)
    assert [(e["event"], e["step"]) for e in events] == [
        ("began", 0),
        ("ended", 4),
        ("began", 4),
        ("ended", 8),
    ]
    assert all(e["command"] for e in events if e["event"] == "began")
    assert json.dumps(events)
    assert np.all([e["time"].endswith("+00:00") for e in events])


def test_however_much_fails_beside_the_loop_the_last_state_is_saved(
    step, new, problem, tmp_path, monkeypatch
):
    """Every row fails to be written, several of them before the loop looks."""

    def fail(*_):
        raise OSError("no space for rows")

    monkeypatch.setattr(logs.Record, "write", fail)
    with pytest.raises(OSError, match="no space for rows") as error:
        train.run(step, new(), problem.Batches(), 50, folder=tmp_path, log_every=1, progress=False)
    (saved,) = checkpoints.steps(tmp_path)
    assert f"Step {saved}, the last good one, is saved" in error.value.__notes__[0]
