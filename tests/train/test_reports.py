"""Rows, evaluations and pictures that a failure or a signal has kept from being made."""

import os
import shutil
import signal
import time

import pytest

from gm import train
from gm.train import checkpoints, logs

OPTIONS = {"progress": False, "log_every": 2, "evaluate_every": 4}


def evaluate(state):
    return {"w": state.params["w"][0]}


def plot(state, path):
    path.write_text(str(float(state.params["w"][0])))


@pytest.fixture
def told(step, new, problem, tmp_path):
    """Holds a folder to what one of an uninterrupted run tells, clocks aside."""

    def read(folder):
        clocks = ("seconds", "examples_per_s", "compile_seconds", "device_gib")
        rows = [
            {name: x for name, x in row.items() if name not in clocks}
            for row in train.read_metrics(folder)
        ]
        pictures = {path.name: path.read_text() for path in (folder / "samples").iterdir()}
        return rows, pictures

    whole, beside = tmp_path / "whole", {"evaluate": evaluate, "plot": plot, "plot_every": 4}
    train.run(step, new(), problem.Batches(), 14, folder=whole, **beside, **OPTIONS)

    def compare(folder):
        (rows, pictures), (want, made) = read(folder), read(whole)
        assert rows == want
        assert pictures == made

    return compare


@pytest.fixture
def go(step, new, problem, tmp_path):
    """Trains to step 14 in tmp_path/run or another folder."""

    def run(folder=tmp_path / "run", **options):
        options = {**OPTIONS, "evaluate": evaluate, "plot": plot, "plot_every": 4, **options}
        return train.run(step, new(), problem.Batches(), 14, folder=folder, **options)

    return run


@pytest.mark.parametrize("times", [1, 99])
def test_a_row_that_cannot_be_written_is_written_later(times, go, told, tmp_path, monkeypatch):
    """By the rescue, or by the process that resumes: the checkpoint says what is owed."""
    write, left = logs.Record.write, [times]

    def fail(record, row, *rest):
        if row["step"] >= 6 and left[0]:
            left[0] -= 1
            raise OSError(5, "Input/output error")
        write(record, row, *rest)

    monkeypatch.setattr(logs.Record, "write", fail)
    with pytest.raises(OSError, match="Input/output error"):
        go()
    left[0] = 0
    go()
    told(tmp_path / "run")


def test_a_row_that_was_written_before_its_write_failed_comes_once(go, told, tmp_path, monkeypatch):
    write, left = logs.Record.write, [1]

    def fail(record, row, *rest):
        write(record, row, *rest)
        if row["step"] == 6 and left:
            left.pop()
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(logs.Record, "write", fail)
    with pytest.raises(OSError, match="Input/output error"):
        go()
    go()
    told(tmp_path / "run")


def test_an_evaluation_that_failed_is_made_again_with_the_state_of_its_step(go, told, tmp_path):
    """Steps have gone on before the loop has noticed, and rows have been owed."""

    def fail(state):
        if int(state.step) == 4:
            time.sleep(0.2)
            raise KeyError("oops")
        return evaluate(state)

    with pytest.raises(KeyError, match="oops"):
        go(evaluate=fail)
    assert checkpoints.steps(tmp_path / "run")[-1] > 4
    go()
    told(tmp_path / "run")
    assert not [*(tmp_path / "run" / "owed").iterdir()]


@pytest.mark.parametrize("which", ["evaluation", "picture"])
def test_a_signal_during_a_long_evaluation_saves_at_once(which, go, told, tmp_path):
    """The evaluation ends only when the checkpoint is there; a KILL before that loses nothing."""
    run, killed = tmp_path / "run", tmp_path / "killed"

    def wait(state):
        if int(state.step) == 4:
            time.sleep(0.2)  # steps go on
            os.kill(os.getpid(), signal.SIGTERM)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not (run / "owed").exists():
                time.sleep(0.01)
            time.sleep(0.1)
            shutil.copytree(run, killed)

    def long_evaluate(state):
        wait(state)
        return evaluate(state)

    def long_plot(state, path):
        wait(state)
        plot(state, path)

    slow = {"evaluate": long_evaluate} if which == "evaluation" else {"plot": long_plot}
    with pytest.raises(SystemExit) as stop:
        go(**slow)
    assert stop.value.code == 0
    (saved,) = checkpoints.steps(killed)
    assert 4 < saved < 14
    assert checkpoints.steps(run) == [saved]
    for folder in (killed, run):
        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        go(folder)
        told(folder)


def test_a_signal_during_the_last_evaluation_leaves_it_to_the_next_process(go, told, tmp_path):
    run, killed = tmp_path / "run", tmp_path / "killed"

    def slow(state):
        if int(state.step) == 14:
            os.kill(os.getpid(), signal.SIGTERM)
            deadline = time.monotonic() + 20
            while time.monotonic() < deadline and not checkpoints.steps(run):
                time.sleep(0.01)
            shutil.copytree(run, killed)
        return evaluate(state)

    with pytest.raises(SystemExit) as stopped:
        go(evaluate=slow)
    assert stopped.value.code == 0
    for folder in (run, killed):
        go(folder)
        told(folder)
