"""Ensembles: N models in one program, each as if it were alone."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import train

N = 3
QUIET = {"progress": False, "log_every": 5, "checkpoint_every": 4}


def member(problem, key):
    params = {"w": jax.random.normal(key, (problem.D,))}
    return train.init(params, problem.OPTIMIZER, key)


@pytest.fixture(scope="module")
def ensemble(problem, one):
    return train.make_step(problem.loss, problem.OPTIMIZER, mesh=one, num_members=N)


def states(problem):
    return jax.vmap(lambda key: member(problem, key))(jax.random.split(jax.random.key(5), N))


def test_every_member_trains_as_if_alone(ensemble, step, problem):
    together, rows = states(problem), []
    for n in range(6):
        together, metrics = ensemble(together, problem.Batches()[n])
        rows.append(metrics)
    for i, key in enumerate(jax.random.split(jax.random.key(5), N)):
        state = member(problem, key)
        for n in range(6):
            state, metrics = step(state, problem.Batches()[n])
            assert rows[n]["loss"].shape == (N,)
            np.testing.assert_allclose(rows[n]["loss"][i], metrics["loss"], rtol=1e-4)
        np.testing.assert_allclose(together.params["w"][i], state.params["w"], rtol=1e-4)
        np.testing.assert_allclose(together.averaged["w"][i], state.averaged["w"], rtol=1e-4)


def test_a_game_trains_as_an_ensemble_too(problem, one, game_step, new_game):
    step = train.make_step(problem.players(), mesh=one, num_members=2)
    keys = jnp.stack([jax.random.key(0)] * 2)
    pair = jax.vmap(lambda key: train.init(problem.GAME, problem.players(), key))(keys)
    alone = new_game()
    for n in range(3):
        pair, _ = step(pair, problem.Batches()[n])
        alone, _ = game_step(alone, problem.Batches()[n])
    for x, y in zip(*(jax.tree.leaves(s.params) for s in (pair, alone)), strict=True):
        np.testing.assert_allclose(x, np.stack([y, y]), rtol=1e-4)


def test_hyperparameters_differ_where_the_optimizer_keeps_them(problem, one):
    """w <- w - rate grad, by hand for each rate."""
    rates = jnp.array([0.0, 0.1, 0.2])

    def init(rate):
        return train.init(problem.PARAMS, optax.inject_hyperparams(optax.sgd)(rate), key)

    key = jax.random.key(0)
    step = train.make_step(
        problem.loss, optax.inject_hyperparams(optax.sgd)(1.0), mesh=one, num_members=3
    )
    batch = problem.Batches()[0]
    state, _ = step(jax.vmap(init)(rates), batch)
    moved = np.asarray(state.params["w"]) - problem.PARAMS["w"]
    np.testing.assert_array_equal(moved[0], 0.0)
    np.testing.assert_allclose(moved[2], 2 * moved[1], rtol=1e-4)


def test_a_member_that_fails_stays_behind_and_the_others_go_on(problem, one, tmp_path):
    def loss(params, key, batch):
        value, metrics = problem.loss(params, key, batch)
        return value + jnp.where(params["w"][0] > 90.0, jnp.nan, 0.0), metrics

    step = train.make_step(loss, problem.OPTIMIZER, mesh=one, num_members=N)
    start = states(problem)
    start = start.replace(params={"w": start.params["w"].at[1, 0].set(100.0)})
    end = train.run(step, start, problem.Batches(), 10, folder=tmp_path, **QUIET)
    np.testing.assert_array_equal(end.step, [10, 0, 10])
    np.testing.assert_array_equal(end.finite, [True, False, True])
    assert float(end.params["w"][1, 0]) == 100.0
    row = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert row["loss"][1] is None
    assert row["finite"] == [True, False, True]
    start = states(problem)
    start = start.replace(params={"w": start.params["w"].at[:, 0].set(100.0)})
    with pytest.raises(FloatingPointError, match="step 0 "):
        train.run(step, start, problem.Batches(), 10, **QUIET)


def test_an_ensemble_resumes_in_the_same_bits(ensemble, problem, tmp_path):
    whole = train.run(ensemble, states(problem), problem.Batches(), 12, **QUIET)
    for end in (6, 12):
        halves = train.run(
            ensemble, states(problem), problem.Batches(), end, folder=tmp_path, **QUIET
        )
    assert train.digest(halves) == train.digest(whole)


def test_a_state_of_another_number_of_members_is_refused(ensemble, step, new, problem):
    with pytest.raises(ValueError, match=r"num_members=3; the state is of None.*vmap"):
        ensemble(new(), problem.Batches()[0])
    with pytest.raises(ValueError, match="num_members=None; the state is of 3"):
        step(states(problem), problem.Batches()[0])
    with pytest.raises(ValueError, match="at least 1 member; got num_members=0"):
        train.make_step(problem.loss, problem.OPTIMIZER, num_members=0)
