"""Runs: what they write, how they go on, what they refuse, and how they stop."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time

import jax
import numpy as np
import pytest

from gm import data, train
from gm.train import checkpoints, logs, stopping

QUIET = {"progress": False, "log_every": 5, "checkpoint_every": 4}


@dataclasses.dataclass(frozen=True)
class Config:
    width: int = 3
    rates: tuple = (0.1, 0.2)


@pytest.mark.parametrize("kind", ["loss", "game"])
def test_a_resumed_run_ends_in_the_same_bits(kind, request, problem, tmp_path):
    """Run to 20 = run to 10, another process's worth of state, to 20; EMA and players included."""
    step = request.getfixturevalue("step" if kind == "loss" else "game_step")
    fresh = request.getfixturevalue("new" if kind == "loss" else "new_game")
    batches = problem.Batches()
    whole = train.run(step, fresh(), batches, 20, folder=tmp_path / "whole", **QUIET)
    train.run(step, fresh(), batches, 10, folder=tmp_path / "halves", **QUIET)
    halves = train.run(step, fresh(), batches, 20, folder=tmp_path / "halves", **QUIET)
    assert train.digest(halves) == train.digest(whole)
    assert train.digest(train.run(step, fresh(), batches, 20, **QUIET)) == train.digest(whole)
    rows = train.read_metrics(tmp_path / "halves")
    assert [row["step"] for row in rows] == [5, 10, 15, 20]
    assert np.all(np.diff([row["seconds"] for row in rows]) > 0)  # of both processes together
    for a, b in zip(rows, train.read_metrics(tmp_path / "whole"), strict=True):
        same = {k for k in a if "loss" in k or "norm" in k}
        assert same
        assert {k: a[k] for k in same} == {k: b[k] for k in same}


def test_a_plain_iterable_is_advanced_on_resuming(step, new, problem, tmp_path):
    stream = [problem.Batches()[n] for n in range(12)]
    whole = train.run(step, new(), problem.Batches(), 12, **QUIET)
    train.run(step, new(), iter(stream), 7, folder=tmp_path, **QUIET)
    halves = train.run(step, new(), stream, 12, folder=tmp_path, resume="must", **QUIET)
    assert train.digest(halves) == train.digest(whole)


def test_a_finished_run_returns_its_end_and_says_so(step, new, problem, tmp_path, capsys):
    first = train.run(step, new(), problem.Batches(), 4, folder=tmp_path, **QUIET)
    want = train.digest(first)
    assert train.digest(train.run(step, new(), [], 4, folder=tmp_path, **QUIET)) == want
    assert not capsys.readouterr().err
    train.run(step, new(), [], 3, folder=tmp_path)
    assert f"already at step 4 of 3, in {tmp_path}" in capsys.readouterr().err


def test_rows_hold_what_they_promise(step, new, problem, tmp_path):
    def evaluate(state):
        return {"step_seen": int(state.step), "nothing": np.nan}

    train.run(
        step, new(), problem.Batches(), 12, folder=tmp_path, config=Config(), log_every=5,
        evaluate=evaluate, evaluate_every=8, progress=False,
    )  # fmt: skip
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()

    def refuse(word):
        raise AssertionError(f"{word} is not strict JSON")

    rows = [json.loads(line, parse_constant=refuse) for line in lines]
    assert [row["step"] for row in rows] == [5, 8, 10, 12]
    names = {"step", "seconds", "examples_per_s", "loss", "bias", "grad_norm"}
    assert set(rows[0]) == names | {"compile_seconds"}
    assert set(rows[2]) == names
    assert [row.get("eval/step_seen") for row in rows] == [None, 8, None, 12]
    assert rows[1]["eval/nothing"] is None
    assert all(np.diff([row["seconds"] for row in rows]) > 0)
    assert all(row["examples_per_s"] > 0 for row in rows)
    state, last = new(), None
    for n in range(10):
        state, last = step(state, problem.Batches()[n])
    assert rows[2]["loss"] == float(last["loss"])
    assert json.loads((tmp_path / "config.json").read_text()) == {"width": 3, "rates": [0.1, 0.2]}


def test_rows_after_the_restored_step_are_dropped(step, new, problem, tmp_path):
    quiet = {"progress": False, "log_every": 1, "checkpoint_every": 4, "folder": tmp_path}
    train.run(step, new(), problem.Batches(), 6, **quiet)
    damaged = next((tmp_path / "checkpoints" / "000000006" / "arrays").glob("**/_METADATA"))
    damaged.write_text("{}")
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 7, "sec')  # killed while writing
    train.run(step, new(), problem.Batches(), 8, **quiet)
    assert [row["step"] for row in train.read_metrics(tmp_path)] == list(range(1, 9))


def test_another_configuration_is_refused_with_the_difference(step, new, problem, tmp_path):
    train.run(step, new(), problem.Batches(), 2, folder=tmp_path, config=Config(), **QUIET)
    with pytest.raises(ValueError, match="different configuration") as error:
        train.run(step, new(), problem.Batches(), 2, folder=tmp_path, config=Config(5), **QUIET)
    assert "width: 3 there, 5 here" in str(error.value)
    assert "rates" not in str(error.value)
    config = {"width": 3, "rates": (0.1, 0.2), "model": {"depth": 2}}
    with pytest.raises(ValueError, match=r"model\.depth: absent there, 2 here"):
        train.run(step, new(), problem.Batches(), 2, folder=tmp_path, config=config, **QUIET)
    train.run(step, new(), problem.Batches(), 3, folder=tmp_path, config=Config(), **QUIET)


def test_checkpoints_of_an_unknown_configuration_are_refused(step, new, problem, tmp_path):
    train.run(step, new(), problem.Batches(), 2, folder=tmp_path, config=Config(), **QUIET)
    (tmp_path / "config.json").unlink()
    with pytest.raises(ValueError, match=r"checkpoints but no config\.json"):
        train.run(step, new(), problem.Batches(), 3, folder=tmp_path, config=Config(), **QUIET)


def test_resume_does_what_it_is_told(step, new, problem, tmp_path):
    with pytest.raises(FileNotFoundError, match='resume="must"'):
        train.run(step, new(), problem.Batches(), 2, folder=tmp_path / "a", resume="must")
    with pytest.raises(ValueError, match="needs a folder"):
        train.run(step, new(), problem.Batches(), 2, resume="must")
    with pytest.raises(ValueError, match="one of auto, must, never; got 'yes'"):
        train.run(step, new(), problem.Batches(), 2, resume="yes")
    train.run(step, new(), problem.Batches(), 2, folder=tmp_path, resume="never", **QUIET)
    with pytest.raises(FileExistsError, match='resume="never"'):
        train.run(step, new(), problem.Batches(), 4, folder=tmp_path, resume="never", **QUIET)


def test_another_seed_or_model_is_refused(step, new, game_step, new_game, problem, tmp_path):
    train.run(step, new(0), problem.Batches(), 2, folder=tmp_path, **QUIET)
    with pytest.raises(ValueError, match="began with another key"):
        train.run(step, new(1), problem.Batches(), 4, folder=tmp_path, **QUIET)
    with pytest.raises(ValueError, match="with another loss, optimizer or batches"):
        train.run(game_step, new_game(), problem.Batches(), 4, folder=tmp_path, **QUIET)


def test_a_step_that_is_not_finite_stops_the_run_and_loses_nothing(step, new, problem, tmp_path):
    quiet = {"progress": False, "log_every": 100, "folder": tmp_path}
    with pytest.raises(FloatingPointError, match=r"step 7 .* not applied: .*loss=nan") as error:
        train.run(step, new(), problem.Batches(bad=7), 50, **quiet)
    assert "examples [70, 71, 72, 73]" in str(error.value)
    assert "Replay it with:" in str(error.value)
    assert "Step 7, the last good one, is saved" in error.value.__notes__[0]
    assert checkpoints.steps(tmp_path) == [7]
    with pytest.raises(FloatingPointError, match="step 7 "):  # the same command replays it
        train.run(step, new(), problem.Batches(bad=7), 50, **quiet)
    healed = train.run(step, new(), problem.Batches(), 12, **quiet)
    whole = train.run(step, new(), problem.Batches(), 12, progress=False)
    assert train.digest(healed) == train.digest(whole)


def test_batches_that_end_or_change_are_refused_after_saving(step, new, problem, tmp_path):
    batches = [problem.Batches()[n] for n in range(3)]
    with pytest.raises(ValueError, match="batches ended after 3 steps; num_steps is 9"):
        train.run(step, new(), batches, 9, folder=tmp_path, **QUIET)
    assert checkpoints.steps(tmp_path) == [3]
    batches.append({"x": batches[0]["x"][:6]})
    with pytest.raises(ValueError, match=r"batch of step 3 has shapes .*6, 3.* before had .*48"):
        train.run(step, new(), batches, 9, **QUIET)


@pytest.mark.parametrize("end", ["not finite", "out of batches"])
def test_whatever_ends_a_run_the_rows_before_it_are_there(end, step, new, problem, tmp_path):
    batches = problem.Batches(bad=13)
    if end == "out of batches":
        batches = [problem.Batches()[n] for n in range(13)]
    with pytest.raises((FloatingPointError, ValueError), match=r"step 13 |after 13 steps"):
        train.run(step, new(), batches, 50, folder=tmp_path, log_every=1, progress=False)
    assert [row["step"] for row in train.read_metrics(tmp_path)] == list(range(1, 14))


SCRIPT = """
import os, signal, sys, time
import jax, jax.numpy as jnp, optax
from gm import train

def loss(params, key, batch):
    return jnp.mean((batch["x"] - params) ** 2), {}

def batches():
    while True:
        n = len(seen)
        seen.append(n)
        for name in sys.argv[2:] if n == 5 else ():
            time.sleep(1.1) if name == "later" else signal.raise_signal(getattr(signal, name))
        yield {"x": jnp.full((4, 1), float(n))}

signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup ignores
seen = []
step = train.make_step(loss, optax.sgd(0.1))
state = train.init(jnp.zeros(()), optax.sgd(0.1), jax.random.key(0))
train.run(step, state, batches(), 1000, folder=sys.argv[1])
print("not reached")
"""


def test_a_signal_saves_and_exits_with_its_status_and_a_second_one_at_once(tmp_path):
    """Ctrl-C exits with 130, so that a shell's loop over runs ends; a polite SIGTERM with 0.

    What comes within a second is the same signal: `timeout` sends it to the group and the child.
    """
    cases = {
        ("SIGTERM", "SIGTERM", "SIGHUP"): 0,
        ("SIGINT",): 130,
        ("SIGHUP",): 0,
        ("SIGUSR1", "later", "SIGTERM"): -signal.SIGTERM,
    }
    line = [sys.executable, "-W", "error", "-c", SCRIPT]
    started = {
        signals: subprocess.Popen(
            [*line, tmp_path / signals[0], *signals],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env=os.environ | {"XLA_FLAGS": ""},
        )
        for signals in cases
    }  # fmt: skip
    for signals, process in started.items():
        out, err = process.communicate(timeout=60)
        assert process.returncode == cases[signals], err
        assert "not reached" not in out
        if "later" not in signals:
            assert f"stopped by {signals[0]} at step 6 of 1000" in err
            assert "To resume: " in err
            assert checkpoints.steps(tmp_path / signals[0]) == [6]


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("end", ["Ctrl-C", "evaluation", "not finite", "a step"])
def test_the_last_good_state_is_in_the_error(
    end, folder, step, new, problem, tmp_path, monkeypatch
):
    """Whatever ends a run, the state that it has reached is the caller's; here that of step 6."""

    class Ending(problem.Batches):
        def __getitem__(self, n):
            if n == 6 and end == "Ctrl-C" and not folder:
                signal.raise_signal(signal.SIGINT)
            if n == 6 and end == "Ctrl-C" and folder:
                raise KeyboardInterrupt
            return super().__getitem__(n)

    def evaluate(state):
        if end == "evaluation":
            raise KeyError("oops")
        return {}

    kinds = {"not finite": FloatingPointError, "Ctrl-C": KeyboardInterrupt, "evaluation": KeyError}
    batches = Ending(bad=6 if end == "not finite" else -1)
    if end == "a step":
        batches = [batches[n] for n in range(6)]
    with pytest.raises(kinds.get(end, ValueError)) as error:
        train.run(
            step, new(), batches, 6 if end == "evaluation" else 20, progress=False,
            folder=tmp_path if folder else None, evaluate=evaluate, evaluate_every=100,
        )  # fmt: skip
    state, done = error.value.state, 6 + (end == "Ctrl-C" and not folder)
    assert int(state.step) == done
    assert checkpoints.steps(tmp_path) == ([6] if folder else [])
    on = train.run(step, state, problem.Batches(), 12, progress=False)
    whole = train.run(step, new(), problem.Batches(), 12, progress=False)
    assert train.digest(on) == train.digest(whole)


@pytest.mark.parametrize("folder", [False, True])
def test_ctrl_c_after_the_last_step_counts_too(folder, step, new, problem, tmp_path, monkeypatch):
    """While the last evaluation is made: a shell's loop over runs ends, and nothing is lost."""
    monkeypatch.setattr(stopping, "ECHO_SECONDS", 0.0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    def evaluate(state):
        signal.raise_signal(signal.SIGINT) if int(state.step) == 6 else None
        return {}

    with pytest.raises(SystemExit if folder else KeyboardInterrupt) as error:
        train.run(
            step, new(), problem.Batches(), 6, progress=False,
            folder=tmp_path if folder else None, evaluate=evaluate, evaluate_every=6,
        )  # fmt: skip
    signal.signal(signal.SIGINT, before)
    assert int(error.value.state.step) == 6
    if folder:
        assert error.value.code == 130
        assert checkpoints.steps(tmp_path) == [6]


def test_a_second_ctrl_c_without_a_folder_is_one_at_once(monkeypatch):
    monkeypatch.setattr(stopping, "ECHO_SECONDS", 0.05)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a background job
    with stopping.on_signals(saves=False) as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.signal == "SIGINT"
        time.sleep(0.05 + 3 * stopping.TICK_SECONDS)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_an_ignored_hangup_stays_ignored(monkeypatch):
    """As `nohup` has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    with stopping.on_signals() as stop:
        signal.raise_signal(signal.SIGHUP)
        assert not stop
    signal.signal(signal.SIGHUP, before)


def test_handlers_are_put_back_and_left_alone_off_the_main_thread(step, new, problem, tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    with stopping.on_signals() as stop:
        assert signal.getsignal(signal.SIGTERM) != before
        assert not stop
    assert signal.getsignal(signal.SIGTERM) == before
    result = []

    def work():
        state = train.run(step, new(), problem.Batches(), 3, folder=tmp_path, **QUIET)
        result.append((int(state.step), signal.getsignal(signal.SIGTERM)))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert result == [(3, before)]


def test_lines_do_not_flood_a_log_and_a_bar_is_shown(step, new, problem, capsys, monkeypatch):
    train.run(step, new(), problem.Batches(), 50, log_every=1)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2  # compiled, and the end
    assert lines[0].startswith("step 0/50  compiled in")
    assert lines[1].startswith("step 50/50")
    assert "examples/s  0:00 left  loss" in lines[1]
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    train.run(step, new(), problem.Batches(), 5, log_every=1)
    assert "5/5" in capsys.readouterr().err


def test_an_error_in_an_evaluation_saves_first(step, new, problem, tmp_path):
    def evaluate(state):
        raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        train.run(
            step, new(), problem.Batches(), 9, folder=tmp_path, evaluate=evaluate,
            evaluate_every=3, progress=False,
        )  # fmt: skip
    assert checkpoints.steps(tmp_path) == [3]


def test_times_read_well():
    assert [logs._clock(s) for s in (0.2, 75, 3725)] == ["0:00", "1:15", "1:02:05"]


def test_wrong_intervals_are_refused(step, new, problem):
    with pytest.raises(ValueError, match="log_every must be at least 1; got 0"):
        train.run(step, new(), problem.Batches(), 2, log_every=0)


def test_a_run_on_eight_devices_ends_where_one_does(problem, new, step, tmp_path):
    """Four steps on eight devices, then four on one: to float32 rounding as eight on one."""
    eight = train.make_step(problem.loss, problem.OPTIMIZER, mesh=train.data_mesh())
    train.run(eight, new(), problem.Batches(), 4, folder=tmp_path, **QUIET)
    mixed = train.run(step, new(), problem.Batches(), 8, folder=tmp_path, **QUIET)
    alone = train.run(step, new(), problem.Batches(), 8, **QUIET)
    for x, y in zip(jax.tree.leaves(mixed.params), jax.tree.leaves(alone.params), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6)


def test_what_is_no_step_state_or_batch_is_refused(step, new, problem):
    x = problem.Batches()[0]["x"]
    split = data.from_arrays(x, x, x).train
    for batches, hint in (
        (x, r"one ndarray: gm\.data\.from_arrays"),
        ({"x": x}, r"one dict: gm\.data\.from_arrays"),
        (split, r"one Split: call its batches\(batch_size\)"),
        (3, "one int: give an iterable"),
        ([(x, x)], "a batch is a dict of arrays.* that of step 0 is a tuple"),
        ([x], "that of step 0 is a ndarray"),
    ):
        with pytest.raises(TypeError, match=hint):
            train.run(step, new(), batches, 2, **QUIET)
    with pytest.raises(TypeError, match=r"run needs step = .* got function and State"):
        train.run(problem.loss, new(), problem.Batches(), 2)
    with pytest.raises(TypeError, match=r"run needs step = .* got Step and dict"):
        train.run(step, problem.PARAMS, problem.Batches(), 2)
