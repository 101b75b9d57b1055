"""What a loss hands from one step to the next: kept in the state, saved, split, all or nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import data, train
from gm import distributions as dist
from gm.losses import likelihood
from gm.models.autoregressive import CausalModel
from gm.networks import LSTM, RecurrentNetwork
from gm.train import checkpoints

B, T = 8, 5
TEXT = "the quick brown fox jumps over the lazy dog. " * 8
LETTERS = data.from_texts("letters", [TEXT] * 3, window=T)
HEAD = dist.CategoricalHead(LETTERS.event.num_values)
MODEL = CausalModel(LETTERS.event, HEAD, RecurrentNetwork(cell=LSTM, widths=(7, 6)))
LOSS = functools.partial(likelihood.continued_negative_log_likelihood, MODEL)
OPTIMIZER = train.with_ema(optax.adam(3e-2), 0.9)
STREAMS = data.streams(LETTERS.train, B)


def new():
    params = MODEL.init(jax.random.key(0))
    memory = jax.vmap(MODEL.memory, None, axis_size=B)(params)
    return train.init(params, OPTIMIZER, jax.random.key(1), memory)


@pytest.fixture(scope="module")
def step():
    return train.make_step(LOSS, OPTIMIZER, mesh=train.data_mesh(jax.devices()[:1]))


def leaves(tree):
    return jax.tree.leaves(jax.tree.map(np.asarray, tree))


def test_the_loss_of_each_step_goes_on_from_the_last(step):
    """By hand: a plain loop over log_prob_from."""
    state = new()
    memory = state.memory
    for n in range(3):
        params, batch = jax.device_get(state.params), STREAMS(n)
        score = jax.vmap(MODEL.log_prob_from, (None, 0, 0))
        log_prob, memory = score(params, memory, batch["x"])
        fresh = jax.vmap(MODEL.log_prob, (None, 0))(params, batch["x"])
        state, metrics = step(state, batch)
        np.testing.assert_allclose(metrics["loss"], -np.mean(log_prob), rtol=1e-5)
        assert (n == 0) == np.allclose(log_prob, fresh, rtol=1e-6)
        for x, y in zip(leaves(state.memory), leaves(memory), strict=True):
            np.testing.assert_allclose(x, y, atol=1e-6)


def test_a_lane_that_starts_anew_forgets():
    state = new()
    memory = jax.tree.map(lambda x: x + 1.0, state.memory)
    first = np.arange(B) % 2 == 0
    batch = {"x": STREAMS(0)["x"], "first": first}
    _, (_, after) = LOSS(state.params, None, batch, memory)
    fresh = jax.vmap(MODEL.log_prob_from, (None, 0, 0))(state.params, new().memory, batch["x"])[1]
    for x, y in zip(leaves(after), leaves(fresh), strict=True):
        same = np.all(np.isclose(x, y, atol=1e-6).reshape(B, -1), 1)
        assert same[first].all()
    assert not same[~first].any()  # the states of the last layer


def test_training_learns_and_what_is_remembered_helps(step):
    state = new()
    for n in range(200):
        state, metrics = step(state, STREAMS(n))
    scratch = jax.vmap(MODEL.log_prob, (None, 0))(state.params, STREAMS(200)["x"])
    _, metrics = step(state, STREAMS(200))
    assert metrics["loss"] < -np.mean(scratch) - 1.0  # nats per window of five


@pytest.mark.parametrize("per_dispatch", [1, 4])
def test_a_run_that_stops_and_goes_on_equals_one_that_does_not(step, tmp_path, per_dispatch):
    options = {"progress": False, "steps_per_dispatch": per_dispatch}
    batches = data.streams(LETTERS.train, B, on_device=per_dispatch > 1)
    whole = train.run(step, new(), batches, 12, **options)
    for end in (4, 8, 12):
        parts = train.run(step, new(), batches, end, folder=tmp_path / "run", **options)
    assert train.digest(parts) == train.digest(whole)
    saved = checkpoints.verify(tmp_path / "run", 12)["leaves"]
    assert sum(name.startswith("memory") for name in saved) == len(leaves(whole.memory))
    assert all(np.any(x != 0) for x in leaves(whole.memory))


def test_a_step_that_is_not_finite_moves_no_memory(step):
    def loss(params, key, batch, memory):
        value = jnp.mean(params * batch["x"])
        return value, ({}, memory + batch["x"])

    small = train.make_step(loss, optax.sgd(0.1), mesh=step.mesh)
    state = train.init(1.0, optax.sgd(0.1), jax.random.key(0), np.zeros(B, np.float32))
    state, _ = small(state, {"x": np.ones(B, np.float32)})
    np.testing.assert_array_equal(state.memory, 1.0)
    state, metrics = small(state, {"x": np.full(B, np.nan, np.float32)})
    assert not metrics["finite"]
    np.testing.assert_array_equal(state.memory, 1.0)


def test_a_memory_that_is_not_finite_is_not_kept(step):
    def loss(params, key, batch, memory):
        return jnp.mean(params * batch["x"]), ({}, memory / 0.0)

    small = train.make_step(loss, optax.sgd(0.1), mesh=step.mesh)
    state = train.init(1.0, optax.sgd(0.1), jax.random.key(0), np.ones(B, np.float32))
    state, metrics = small(state, {"x": np.ones(B, np.float32)})
    assert not metrics["finite"]
    np.testing.assert_array_equal(state.memory, 1.0)
    assert int(state.step) == 0


@pytest.mark.parametrize("rule", [train.whole, train.fsdp], ids=["whole", "fsdp"])
def test_eight_devices_hold_a_lane_each_and_equal_one(step, rule, tmp_path):
    eight = train.make_step(LOSS, OPTIMIZER, rule=rule)
    a, b = new(), new()
    for n in range(4):
        a, metrics_a = step(a, STREAMS(n))
        b, metrics_b = eight(b, STREAMS(n))
    for x, y in zip(leaves((a, metrics_a)[1:]), leaves((b, metrics_b)[1:]), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)  # sums in another order
    for x, y in zip(leaves(a.memory), leaves(b.memory), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-4)
    for leaf in jax.tree.leaves(b.memory):
        assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {1}
    checkpoints.save(tmp_path, 4, b)
    assert train.digest(checkpoints.restore(tmp_path, step.place(new()))) == train.digest(b)


def test_members_of_an_ensemble_remember_apart():
    keys = jax.random.split(jax.random.key(2), 2)

    def one(key):
        params = jax.jit(MODEL.init)(key)
        memory = jax.vmap(MODEL.memory, None, axis_size=B)(params)
        return train.init(params, OPTIMIZER, key, memory)

    pair = train.make_step(LOSS, OPTIMIZER, num_members=2)
    alone = train.make_step(LOSS, OPTIMIZER)
    states, single = jax.vmap(one)(keys), one(keys[1])
    for n in range(3):
        states, _ = pair(states, STREAMS(n))
        single, _ = alone(single, STREAMS(n))
    for x, y in zip(leaves(states.memory), leaves(single.memory), strict=True):
        np.testing.assert_allclose(x[1], y, atol=1e-5)


def test_no_memory_adds_no_array_to_a_state():
    with_none = train.init({"w": jnp.ones(2)}, optax.sgd(0.1), jax.random.key(0))
    paths, _ = jax.tree_util.tree_flatten_with_path(with_none)
    assert [jax.tree_util.keystr(path) for path, _ in paths] == [
        ".step",
        ".params['w']",
        ".key",
        ".finite",
    ]


def test_what_does_not_fit_is_said(problem):
    memory = np.zeros((problem.B, 2), np.float32)
    game = train.init(problem.GAME, problem.players(), jax.random.key(0), memory)
    with pytest.raises(ValueError, match="one loss and one optimizer; this step is a game of crit"):
        train.make_step(problem.players())(game, problem.Batches()[0])

    def state():
        return train.init(1.0, optax.sgd(0.1), jax.random.key(0), memory)

    def forgets(params, key, batch, memory):
        return params * jnp.mean(batch["x"]), {}

    with pytest.raises(TypeError, match=r"returns \(scalar, \(metrics, memory\)\)"):
        train.make_step(forgets, optax.sgd(0.1))(state(), problem.Batches()[0])

    def shrinks(params, key, batch, memory):
        return params * jnp.mean(batch["x"]), ({}, memory[:, :1])

    odd = train.init(1.0, optax.sgd(0.1), jax.random.key(0), memory[:12])
    with pytest.raises(ValueError, match=r"multiple of the 8 device.*got shapes \[\(12, 2\)\]"):
        train.make_step(shrinks, optax.sgd(0.1))(odd, problem.Batches()[0])

    with pytest.raises(ValueError, match=r"keeps the shapes of its memory, \(48, 2\); it returned"):
        train.make_step(shrinks, optax.sgd(0.1))(state(), problem.Batches()[0])


def test_a_model_that_cannot_go_on_is_refused():
    with pytest.raises(TypeError, match="needs a model with memory, log_prob_from; object offers"):
        likelihood.continued_negative_log_likelihood(object(), {}, None, STREAMS(0), None)
