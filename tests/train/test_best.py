"""The parameters of the best evaluation, kept in memory and in the folder, over kills."""

import functools
import json
import math
import shutil

import jax
import numpy as np
import pytest

from gm import train

NATS = {2: 5.0, 4: 3.0, 6: 4.0, 8: 2.0, 10: np.nan, 12: 2.0, 14: 6.0}  # the best: 2, at step 8
QUIET = {"progress": False, "evaluate_every": 2, "checkpoint_every": 5, "log_every": 100}


def validate(state):
    return {"step": state.step, "nats": np.float32(NATS.get(int(state.step), 9.0))}


@pytest.fixture
def averaged(step, new, problem):
    """The averaged parameters after n steps, by a plain loop."""

    def after(n):
        state = new()
        for i in range(n):
            state, _ = step(state, problem.Batches()[i])
        return np.asarray(state.averaged["w"])

    return after


def held(folder):
    return [int(path.stem) for path in sorted((folder / "best").glob("*.safetensors"))]


def kept(best):
    return best.step, best.value, best.last_step, best.last_value, best.risen


def test_the_averaged_parameters_of_the_best_evaluation_are_kept(step, new, problem, averaged):
    """The least value wins, the first of equals; a number that is not finite never does."""
    best = train.Best("nats")
    state = train.run(step, new(), problem.Batches(), 14, evaluate=validate, best=best, **QUIET)
    np.testing.assert_array_equal(best.params["w"], averaged(8))
    assert not np.array_equal(best.params["w"], state.averaged["w"])
    assert kept(best) == (8, 2.0, 14, 6.0, True)
    assert str(best) == "best nats 2 at step 8, 6 at step 14: it has risen since"
    train.run(step, new(), problem.Batches(), 4, evaluate=validate, best=best, **QUIET)
    assert kept(best) == (4, 3.0, 4, 3.0, False)
    np.testing.assert_array_equal(best.params["w"], averaged(4))


@pytest.mark.parametrize("end", [7, 9, 13])
def test_a_resumed_run_ends_with_the_same_best(end, step, new, problem, averaged, tmp_path):
    """Ended before, after and long after the best; killed, too: the last checkpoint is gone."""
    options = {"evaluate": validate, "folder": tmp_path, **QUIET}
    train.run(step, new(), problem.Batches(), end, best=train.Best("nats"), **options)
    shutil.rmtree(tmp_path / "checkpoints" / f"{end:09d}")
    best = train.Best("nats")
    train.run(step, new(), problem.Batches(), 14, best=best, **options)
    assert kept(best) == (8, 2.0, 14, 6.0, True)
    np.testing.assert_array_equal(best.params["w"], averaged(8))
    again = train.Best("nats")
    train.run(step, new(), problem.Batches(), 14, best=again, **options)
    assert kept(again) == kept(best)
    np.testing.assert_array_equal(again.params["w"], averaged(8))
    rows = [row for row in train.read_metrics(tmp_path) if "eval/nats" in row]
    assert [row["best/step"] for row in rows] == [2, 4, 4, 8, 8, 8, 8]
    assert [row["best/nats"] for row in rows] == [5.0, 3.0, 3.0, 2.0, 2.0, 2.0, 2.0]
    last = json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])
    assert (last["best/nats"], last["best/step"]) == (2.0, 8)


def test_a_best_of_steps_that_are_made_anew_is_forgotten(step, new, problem, averaged, tmp_path):
    """Resumed from step 5, what was found at 6 and 8 does not count: it may not come again."""
    options = {"evaluate": validate, "folder": tmp_path, **QUIET}
    train.run(step, new(), problem.Batches(), 9, best=train.Best("nats"), **options)
    assert held(tmp_path) == [4, 8]  # what steps 5 and 9 resume with
    shutil.rmtree(tmp_path / "checkpoints" / "000000009")
    best = train.Best("nats")
    options["evaluate"] = lambda state: {"nats": 7.0}
    train.run(step, new(), problem.Batches(), 9, best=best, **options)
    assert kept(best) == (4, 3.0, 9, 7.0, True)
    np.testing.assert_array_equal(best.params["w"], averaged(4))
    assert held(tmp_path) == [4]


def test_a_damaged_best_is_noticed(step, new, problem, tmp_path):
    options = {"evaluate": validate, "folder": tmp_path, **QUIET}
    train.run(step, new(), problem.Batches(), 4, best=train.Best("nats"), **options)
    with (tmp_path / "best" / "000000004.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"!")
    with pytest.raises(ValueError, match=r"000000004\.safetensors is damaged"):
        train.run(step, new(), problem.Batches(), 4, best=train.Best("nats"), **options)


def test_a_state_that_is_split_keeps_its_best_as_it_lies(new, problem, averaged, tmp_path):
    rule = functools.partial(train.fsdp, min_size=1)
    step = train.make_step(problem.loss, problem.OPTIMIZER, rule=rule)
    best, options = train.Best("nats"), {"evaluate": validate, "folder": tmp_path, **QUIET}
    for end in (10, 14):
        train.run(step, new(), problem.Batches(), end, best=best, **options)
    assert kept(best) == (8, 2.0, 14, 6.0, True)
    np.testing.assert_allclose(best.params["w"], averaged(8), rtol=1e-5)


def test_what_cannot_be_best_is_refused(step, new, problem):
    def run(evaluate, state=None, best="nats"):
        state = new() if state is None else state
        options = {**QUIET, "best": train.Best(best), "evaluate": evaluate}
        train.run(step, state, problem.Batches(), 4, **options)

    with pytest.raises(ValueError, match="best needs evaluate"):
        run(None)
    with pytest.raises(ValueError, match="'bits', which evaluate does not return; it returns 's"):
        run(validate, best="bits")
    with pytest.raises(ValueError, match="'nats' as one number"):
        run(lambda state: {"nats": np.zeros(2)})
    ensemble = train.make_step(problem.loss, problem.OPTIMIZER, num_members=2)
    members = jax.vmap(lambda k: train.init(problem.PARAMS, problem.OPTIMIZER, k))
    states = members(jax.random.split(jax.random.key(0), 2))
    with pytest.raises(ValueError, match="the state is of an ensemble"):
        train.run(ensemble, states, problem.Batches(), 4, evaluate=validate,
                  best=train.Best("nats"), **QUIET)  # fmt: skip
    assert math.isinf(train.Best("nats").value)
