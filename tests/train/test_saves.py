"""Saves that fail: what is said to be saved is, and what can be saved is saved."""

import pathlib
import re
import shutil

import pytest

from gm import train
from gm.train import checkpoints

QUIET = {"progress": False, "log_every": 5}


@pytest.fixture
def failing(monkeypatch):
    """failing(times, folder): so many signatures fail in a folder."""
    sign = checkpoints.Save._sign

    def begin(times, folder):
        left = [times]

        def fail(save):
            if save.folder == folder and left[0]:
                left[0] -= 1
                raise OSError(5, "Input/output error")
            sign(save)

        monkeypatch.setattr(checkpoints.Save, "_sign", fail)

    return begin


def test_a_last_save_that_fails_once_is_made_again(step, new, problem, tmp_path, failing, capsys):
    failing(1, tmp_path)
    state = train.run(step, new(), problem.Batches(), 6, folder=tmp_path, **QUIET)
    assert "saving failed: OSError(5, 'Input/output error')" in capsys.readouterr().err
    assert train.digest(checkpoints.restore(tmp_path, new())) == train.digest(state)


def test_a_save_that_failed_ends_the_run_with_a_later_one(step, new, problem, tmp_path, failing):
    failing(1, tmp_path)
    with pytest.raises(OSError, match="Input/output error") as error:
        train.run(step, new(), problem.Batches(), 40, folder=tmp_path, checkpoint_every=4, **QUIET)
    (saved,) = checkpoints.steps(tmp_path)
    assert saved >= 4
    assert int(checkpoints.restore(tmp_path, new()).step) == int(error.value.state.step) == saved
    assert error.value.__notes__ == [f"Step {saved}, the last good one, is saved in {tmp_path}."]


def test_where_nothing_can_be_saved_the_state_goes_elsewhere_and_the_error_says_where(
    step, new, problem, tmp_path, failing
):
    failing(-1, tmp_path)
    with pytest.raises(OSError, match=r"step 6 could not be saved in .* \(OSError\(5") as error:
        train.run(step, new(), problem.Batches(), 6, folder=tmp_path, **QUIET)
    assert checkpoints.steps(tmp_path) == []
    place, into = re.findall(r"saved in (\S+): .* move that folder to (\S+)\.$", str(error.value))[
        0
    ]
    failing(0, tmp_path)
    pathlib.Path(into).mkdir(exist_ok=True)
    shutil.move(place, into)
    shutil.rmtree(pathlib.Path(place).parents[1])
    whole = train.run(step, new(), problem.Batches(), 9, progress=False)
    got = train.run(step, new(), problem.Batches(), 9, folder=tmp_path, resume="must", **QUIET)
    assert train.digest(got) == train.digest(whole)
    assert [row["step"] for row in train.read_metrics(tmp_path)] == [5, 6, 9]


def test_a_line_of_history_that_cannot_be_written_costs_no_run(
    step, new, problem, tmp_path, monkeypatch, capsys
):
    def fail(*args, **details):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("gm.train.folders.note", fail)
    train.run(step, new(), problem.Batches(), 6, folder=tmp_path, **QUIET)
    assert checkpoints.steps(tmp_path) == [6]
    assert "history.jsonl has no line about 'ended'" in capsys.readouterr().err
