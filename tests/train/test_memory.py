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
MODEL = CausalModel(LETTERS.event, HEAD, RecurrentNetwork(cell=LSTM, widths=(6,)))
LOSS = functools.partial(likelihood.truncated_bptt_nll, MODEL)
OPTIMIZER = train.with_ema(optax.adam(3e-2), 0.9)
WINDOWS = data.truncated_bptt_windows(LETTERS.train, B)
SCORE = jax.jit(jax.vmap(MODEL.log_prob_from, (None, 0, 0)))


def new():
    params = MODEL.init(jax.random.key(0))
    memory = jax.vmap(MODEL.initial_hidden_state, None, axis_size=B)(params)
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
        params, batch = jax.device_get(state.params), WINDOWS(n)
        log_prob, memory = SCORE(params, memory, batch["x"])
        fresh, _ = SCORE(params, new().memory, batch["x"])
        state, metrics = step(state, batch)
        np.testing.assert_allclose(metrics["loss"], -np.mean(log_prob), rtol=1e-5)
        assert (n == 0) == np.allclose(log_prob, fresh, rtol=1e-6)
        for x, y in zip(leaves(state.memory), leaves(memory), strict=True):
            np.testing.assert_allclose(x, y, atol=1e-6)


def test_a_row_that_starts_anew_resets_its_hidden_state():
    state = new()
    memory = jax.tree.map(lambda x: x + 1.0, state.memory)
    first = np.arange(B) % 2 == 0
    batch = {"x": WINDOWS(0)["x"], "first": first}
    _, (_, after) = jax.jit(LOSS)(state.params, None, batch, memory)
    fresh = SCORE(state.params, new().memory, batch["x"])[1]
    for x, y in zip(leaves(after), leaves(fresh), strict=True):
        same = np.all(np.isclose(x, y, atol=1e-6).reshape(B, -1), 1)
        assert same[first].all()
    assert not same[~first].any()  # the states of the last layer


def test_training_learns_and_what_is_remembered_helps(step):
    state = new()
    for n in range(200):
        state, metrics = step(state, WINDOWS(n))
    scratch, _ = SCORE(state.params, new().memory, WINDOWS(200)["x"])
    _, metrics = step(state, WINDOWS(200))
    assert metrics["loss"] < -np.mean(scratch) - 1.0  # nats per window of five


def follow(params, key, batch, memory):
    """A hidden unit for each batch row, which reads a window."""
    h = jnp.where(batch["first"], 0.0, memory)
    for t in range(T):
        h = jnp.tanh(params["a"].sum() * h + params["b"][batch["x"][:, t]])
    return jnp.mean((h - 0.3) ** 2), ({}, h)


def follower():
    params = {"a": jnp.full(8, 0.1), "b": jnp.linspace(-1.0, 1.0, HEAD.num_params)}
    return train.init(params, OPTIMIZER, jax.random.key(1), jnp.zeros(B))


@pytest.fixture(scope="module")
def small_step(step):
    return train.make_step(follow, OPTIMIZER, mesh=step.mesh)


@pytest.mark.parametrize("per_dispatch", [1, 4])
def test_a_run_that_stops_and_goes_on_equals_one_that_does_not(small_step, tmp_path, per_dispatch):
    options = {"progress": False, "steps_per_dispatch": per_dispatch}
    batches = data.truncated_bptt_windows(LETTERS.train, B, on_device=per_dispatch > 1)
    whole = train.run(small_step, follower(), batches, 12, **options)
    for end in (4, 8, 12):
        parts = train.run(small_step, follower(), batches, end, folder=tmp_path, **options)
    assert train.digest(parts) == train.digest(whole)
    saved = checkpoints.verify(tmp_path, 12)["leaves"]
    assert saved["memory"] == f"float32[{B}]"
    assert np.all(whole.memory != 0)


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


def test_eight_devices_hold_a_row_each_and_equal_one(small_step, tmp_path):
    rule = functools.partial(train.fsdp, min_size=1)
    eight = train.make_step(follow, OPTIMIZER, rule=rule)
    a, b = follower(), follower()
    for n in range(4):
        a, metrics_a = small_step(a, WINDOWS(n))
        b, metrics_b = eight(b, WINDOWS(n))
    for x, y in zip(leaves((a.params, metrics_a)), leaves((b.params, metrics_b)), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-5)  # sums in another order
    np.testing.assert_allclose(a.memory, b.memory, atol=1e-5)
    assert {shard.data.shape for shard in b.memory.addressable_shards} == {(1,)}
    assert {shard.data.shape for shard in b.params["a"].addressable_shards} == {(1,)}
    checkpoints.save(tmp_path, 4, b)
    got = checkpoints.restore(tmp_path, small_step.place(follower()))
    assert train.digest(got) == train.digest(b)


def test_members_of_an_ensemble_remember_apart():
    """By hand: two sums of what the rows have seen, each with a rate of its own."""

    def loss(params, key, batch, memory):
        return 0.0 * params, ({}, memory + jnp.round(params) * batch["x"])

    def one(rate):
        return train.init(rate, optax.sgd(0.1), jax.random.key(0), jnp.zeros(B))

    pair, x = train.make_step(loss, optax.sgd(0.1), num_members=2), np.arange(B, dtype=np.float32)
    states = jax.vmap(one)(jnp.array([1.0, 2.0]))
    for n in range(3):
        states, _ = pair(states, {"x": x + n})
    np.testing.assert_array_equal(states.memory, [3 * x + 3, 6 * x + 6])


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
    with pytest.raises(TypeError, match=r"given: loss\(params, key, batch, memory\) -> "):
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

    def counts(params, key, batch, memory):
        return params * jnp.mean(batch["x"]), ({}, memory + 0.5)

    count = train.init(1.0, optax.sgd(0.1), jax.random.key(0), np.int32(0), replicated=True)
    with pytest.raises(ValueError, match="dtypes of its memory; it returned float32 for int32"):
        train.make_step(counts, optax.sgd(0.1))(count, problem.Batches()[0])

    short = train.init(1.0, optax.sgd(0.1), jax.random.key(0), memory[:16])
    with pytest.raises(
        ValueError,
        match=r"each of the 48 examples of the batch; got shapes \[\(16, 2\)\]. Use init",
    ):
        train.make_step(shrinks, optax.sgd(0.1))(short, problem.Batches()[0])

    parts = train.init(problem.GAME, problem.players(), jax.random.key(0), memory[:8])
    with pytest.raises(ValueError, match=r"8 device\(s\) x 3 part\(s\) of a batch; got"):
        train.make_step(problem.players())(parts, problem.Batches()[0])

    for wrong, words in (({"other": True}, "one of them for each part"), ("buffer", "True and")):
        with pytest.raises(ValueError, match=words):
            train.init(1.0, optax.sgd(0.1), jax.random.key(0), {"buffer": memory}, wrong)


def test_a_model_that_is_not_recurrent_is_refused():
    with pytest.raises(TypeError, match="needs a model with initial_hidden_state, log_prob_from"):
        likelihood.truncated_bptt_nll(object(), {}, None, WINDOWS(0), None)
