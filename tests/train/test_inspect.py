"""`gm inspect` says what a folder holds, what is damaged, how to go on and what to replay."""

import runpy
import sys

import pytest

from gm import train
from gm.train import inspect

QUIET = {"progress": False, "log_every": 3, "checkpoint_every": 4}


@pytest.fixture
def ran(step, new, problem, tmp_path):
    def to(num_steps, bad=-1):
        batches = problem.Batches(bad=bad)
        train.run(step, new(), batches, num_steps, folder=tmp_path, config={"width": 3}, **QUIET)
        return inspect.examine(tmp_path)

    return to


def damage(folder, step):
    (folder / "checkpoints" / f"{step:09d}" / "manifest.json").write_text("{}")


def test_a_healthy_folder(ran, tmp_path):
    report = ran(10)
    assert report.status == 0
    assert [c.step for c in report.checkpoints] == [4, 8, 10]
    assert report.intact.leaves["params['w']"] == "float32[3]"
    text = str(report)
    for words in (
        'config       {"width": 3}',
        "ended at step 10 by itself",
        "4 rows, the last: step 10, seconds",
        "       10  intact, 9 arrays",
        "holds        params['w']: float32[3]",
        f"resume       at step 10: {report.command}",
    ):
        assert words in text


def test_damage_is_said_and_resuming_goes_back(ran, tmp_path):
    ran(10)
    damage(tmp_path, 10)
    report = inspect.examine(tmp_path)
    assert (report.status, report.intact.step) == (1, 8)
    assert "10  DAMAGED: " in str(report)
    assert "manifest.json cannot be read" in str(report)
    for step in (4, 8):
        damage(tmp_path, step)
    report = inspect.examine(tmp_path)
    assert report.status == 2
    assert "none of its checkpoints is intact: nothing to resume from" in str(report)


def test_a_step_that_is_not_finite_can_be_replayed(ran, tmp_path):
    with pytest.raises(FloatingPointError):
        ran(10, bad=6)
    report = inspect.examine(tmp_path)
    assert report.not_finite["step"] == 6
    assert report.not_finite["examples"] == [60, 61, 62, 63]
    assert f"replay       {report.not_finite['command']}" in str(report)
    assert "ended at step 6 by FloatingPointError" in str(report)
    assert ran(10).not_finite is None  # it has gone on since


def test_a_killed_process_and_a_save_that_was_cut_short_are_seen(ran, tmp_path):
    ran(4)
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    (tmp_path / "history.jsonl").write_text(lines[0] + "\n")
    (tmp_path / "checkpoints" / "partial-000000008").mkdir()
    text = str(inspect.examine(tmp_path))
    assert "from step 0 on 1 x cpu on 1 host" in text
    assert "was killed, or is still at work" in text
    assert "partial-000000008: a save that was interrupted" in text


def test_the_command_prints_it_and_its_status_tells(ran, tmp_path, capsys):
    ran(4)
    assert inspect.main([str(tmp_path), str(tmp_path)]) == 0
    assert capsys.readouterr().out.count("resume       at step 4") == 2
    with pytest.raises(SystemExit) as stop:
        inspect.main([str(tmp_path / "nowhere")])
    assert stop.value.code == 2
    assert "nowhere does not exist" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="is not the folder of a run"):
        inspect.examine(tmp_path / "empty")


def test_its_status_is_that_of_the_process(ran, tmp_path, monkeypatch, capsys):
    ran(4)
    damage(tmp_path, 4)
    monkeypatch.setattr(sys, "argv", ["inspect", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        runpy.run_path(inspect.__file__, run_name="__main__")
    assert stop.value.code == 2
    assert "nothing to resume from" in capsys.readouterr().out


def test_whatever_is_broken_is_said_by_the_name_of_its_file(ran, tmp_path):
    ran(4)
    for name, content, words in (
        ("config.json", b"[" * 9999, "config.json is damaged: it is nested too deeply"),
        ("run.json", b'{"loss": 3}', "run.json is damaged: loss is not an object"),
        ("metrics.jsonl", b'\xff\n{"step": 4, "seconds": 1, "\\u001b[2J": 1}', "1 of 2 lines are"),
        ("history.jsonl", b'{"event": "began", "time": "now"}\n', "1 of 1 lines are broken"),
    ):
        whole = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content)
        report = inspect.examine(tmp_path)
        (line,) = report.broken
        assert words in line
        assert str(tmp_path / name) in line
        assert f"broken       {tmp_path / name}" in str(report)
        assert "\x1b" not in str(report)
        assert report.status == 1
        (tmp_path / name).write_bytes(whole)
    assert inspect.examine(tmp_path).status == 0
    (tmp_path / "metrics.jsonl").write_text(f'{{"step": {10**400}, "seconds": 0.5, "x": true}}')
    assert "the last: step 1000" in str(inspect.examine(tmp_path))
