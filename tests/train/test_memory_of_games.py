"""What the players of a game hand on: by rows of the batch or whole, over devices and restarts."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import train
from gm.train import checkpoints

B, D, POOL = 16, 3, 8  # B is a multiple of 8 devices x 2 parts
W = np.array([[1.0, 0.2], [-0.3, 0.8], [0.5, 0.1]], np.float32)
REPLICATED = {"rows": False, "pool": True, "u": True, "chain": True}


def normalized(x):
    return x / jnp.linalg.norm(x)


def critic_loss(params, key, batch, memory):
    """A spectrally normalized linear critic, against a pool of what the generator has made."""
    w, pool = params["critic"], memory["pool"]
    made = params["generator"] + jax.random.normal(key, (D,))
    v = normalized(w @ memory["u"])
    u = normalized(w.T @ v)
    scores = batch["x"] @ w / jax.lax.stop_gradient(v @ w @ u)
    loss = jnp.mean(pool @ w) - jnp.mean(scores) + 0.1 * jnp.sum(w**2)
    after = {
        "rows": 10 * memory["rows"] + batch["x"][:, 0],
        "pool": jnp.concatenate([pool[1:], made[None]]),
        "u": u,
        "chain": jax.random.split(memory["chain"], 1)[0],
    }
    return loss, ({}, after)


def generator_loss(params, key, batch, memory):
    del key, batch
    after = {**memory, "rows": memory["rows"] + 0.5}
    return -jnp.mean(params["generator"] @ params["critic"]), ({}, after)


def players(rate=0.1):
    return {
        "critic": train.Player(critic_loss, optax.sgd(rate), updates=2),
        "generator": train.Player(generator_loss, optax.sgd(rate)),
    }


def new(rate=0.1, seed=0):
    memory = {
        "rows": np.arange(B, dtype=np.float32),
        "pool": np.zeros((POOL, D), np.float32),
        "u": np.array([0.6, 0.8], np.float32),
        "chain": jax.random.key(7),
    }
    params = {"critic": W, "generator": np.ones(D, np.float32)}
    return train.init(params, players(rate), jax.random.key(seed), memory, REPLICATED)


class Batches:
    def __getitem__(self, n):
        return {"x": np.random.default_rng(n).normal(size=(B, D)).astype(np.float32)}

    def starting_at(self, step):
        while True:
            yield self[step]
            step += 1


@pytest.fixture(scope="module")
def step():
    return train.make_step(players(), mesh=train.data_mesh(jax.devices()[:1]))


def test_players_update_in_turn_each_the_rows_of_its_part(step):
    """By hand: the critic moves with the even examples, then the odd ones, then the generator."""
    x, state = Batches()[0]["x"], new()
    state, _ = step(state, {"x": x})
    memory, rows = state.memory, 10 * np.arange(B) + x[:, 0]
    rows[0::2] += 0.5
    np.testing.assert_allclose(memory["rows"], rows, rtol=1e-6)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 3)
    made = [1 + np.asarray(jax.random.normal(key, (D,))) for key in keys[:2]]
    np.testing.assert_array_equal(memory["pool"][:-2], 0)
    np.testing.assert_allclose(memory["pool"][-2:], made, rtol=1e-6)
    chain = jax.random.split(jax.random.split(jax.random.key(7), 1)[0], 1)[0]
    np.testing.assert_array_equal(*map(jax.random.key_data, (memory["chain"], chain)))


def test_a_vector_handed_on_finds_the_spectral_norm(step):
    """The largest singular value by numpy; one power iteration an update."""
    state = new()
    for _ in range(40):
        state, _ = step(state, Batches()[0])
    w, u = np.asarray(state.params["critic"]), np.asarray(state.memory["u"])
    assert np.linalg.norm(w @ u) == pytest.approx(np.linalg.norm(w, 2), rel=1e-2)


def leaves(state):
    memory = {**state.memory, "chain": jax.random.key_data(state.memory["chain"])}
    return jax.tree.leaves(jax.tree.map(np.asarray, (state.params, memory)))


def test_eight_devices_equal_one_with_a_state_that_is_split_too(step, tmp_path):
    rule = functools.partial(train.fsdp, min_size=1)
    eight, a, b = train.make_step(players(), rule=rule), new(), new()
    for n in range(3):
        a, _ = step(a, Batches()[n])
        b, _ = eight(b, Batches()[n])
    for x, y in zip(leaves(a), leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)  # sums in another order
    assert {shard.data.shape for shard in b.memory["rows"].addressable_shards} == {(B // 8,)}
    assert {shard.data.shape for shard in b.memory["pool"].addressable_shards} == {(1, D)}
    assert b.memory["u"].sharding.is_fully_replicated
    checkpoints.save(tmp_path, 3, b)
    assert train.digest(checkpoints.restore(tmp_path, step.place(new()))) == train.digest(b)


def test_a_game_that_stops_and_goes_on_ends_in_the_same_bits(step, tmp_path):
    whole = train.run(step, new(), Batches(), 9, progress=False)
    for end in (4, 9):
        parts = train.run(step, new(), Batches(), end, folder=tmp_path, progress=False)
    assert train.digest(parts) == train.digest(whole)
    saved = checkpoints.verify(tmp_path, 9)["leaves"]
    assert saved["memory['pool']"] == "float32[8, 3]"
    other = new().replace(replicated=(True,) * 4)
    with pytest.raises(ValueError, match=r"replicated.\['rows'\]: False there, True here"):
        train.run(step, other, Batches(), 12, folder=tmp_path, progress=False)


def test_members_of_an_ensemble_of_games_remember_apart(step):
    mesh = train.data_mesh(jax.devices()[:1])
    pair = train.make_step(players(), mesh=mesh, num_members=2)
    both, alone = (
        jax.vmap(lambda seed: new(seed=seed))(jnp.arange(2)),
        [new(seed=i) for i in (0, 1)],
    )
    for n in range(2):
        both, _ = pair(both, Batches()[n])
        alone = [step(state, Batches()[n])[0] for state in alone]
    for x, *ys in zip(*map(leaves, (both, *alone)), strict=True):
        np.testing.assert_allclose(x, np.stack(ys), rtol=1e-5, atol=1e-6)
