"""A few of each of the ills that `benchmarks/reliability.py` counts by the hundred."""

import importlib
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parents[2] / "benchmarks"


@pytest.fixture
def reliability(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("reliability")


@pytest.mark.matrix
@pytest.mark.skipif(
    not sys.platform.startswith("linux") or shutil.which("cc") is None,
    reason="file operations are made to fail by a library, which needs Linux and a C compiler",
)
def test_an_attacked_run_ends_in_the_bits_and_rows_of_one_that_was_not(tmp_path):
    """Kills, half-written files, failing and full disks; two signals; two processes; odd paths."""
    few = "--every 90 --kills 300 --disks 1 --hovering 1 --signals 2 --pairs 1 --paths 100"
    line = [sys.executable, str(BENCHMARKS / "attacks.py"), "--folder", str(tmp_path)]
    done = subprocess.run([*line, *few.split()], capture_output=True, text=True, check=False)
    counts = re.findall(r"(\d+) of (\d+) end in the same SHA-256 and rows", done.stdout)
    assert len(counts) == 11, done.stderr
    assert all(good == total != "0" for good, total in counts), done.stdout + done.stderr


@pytest.mark.slow
def test_killed_runs_end_in_the_bits_of_runs_that_were_not(reliability, tmp_path):
    ((what, seen),) = reliability.kill_runs(reliability.Config(kills=3, jobs=1), tmp_path)
    assert "MADE, VAE, GAN" in what
    assert seen == "3 kills, 3 identical SHA-256 of the whole state"


def test_damaged_checkpoints_are_noticed_and_passed_over(reliability, tmp_path):
    ((_, seen),) = reliability.fault_rows(reliability.Config(faults=8, seed=1), tmp_path)
    assert seen == "8 faults, 8 noticed, 8 restored from the newest intact step"


@pytest.mark.slow
def test_a_signal_leaves_the_checkpoint_of_the_step_it_met(reliability, tmp_path):
    c = reliability.Config(signals=2, jobs=1)
    ((_, seen),) = reliability.signal_rows(c, tmp_path)
    assert seen == "within one step, 2 of 2"


@pytest.mark.slow
def test_a_loss_that_is_not_finite_stops_the_run_and_can_be_replayed(reliability, tmp_path):
    ((_, seen),) = reliability.finite_rows(reliability.Config(), tmp_path)
    assert seen.startswith("stops before its update; the replay command meets it again")
    assert seen.endswith("True")


KINDS = [("weights", 150), ("manifests", 20), ("pages", 30)]


@pytest.mark.parametrize(("kind", "count"), KINDS)
def test_spoiled_files_are_refused_in_a_clear_word(kind, count, monkeypatch, tmp_path):
    """Re-signed ones, deep ones, bytes at random: what is read is what was written, if older."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    seen = importlib.import_module("fuzz").KINDS[kind](count, 0, tmp_path)
    assert seen.crashes == ()
    assert seen.wrong == 0
    assert seen.refused + seen.intact == count
    assert seen.intact > 0
    assert seen.peak_mb < 100
