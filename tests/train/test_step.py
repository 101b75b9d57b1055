"""One step: what it computes, for one loss and for games, on one device and on eight."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import train
from gm.losses import likelihood


def leaves(tree):
    return jax.tree.leaves(jax.tree.map(np.asarray, tree))


def test_a_step_is_gradient_descent_with_the_stated_key(problem, one):
    """By hand: w - 0.1 grad, with the noise of split(fold_in(key, 0))[0]."""
    step = train.make_step(problem.loss, optax.sgd(0.1), mesh=one)
    key, x = jax.random.key(5), problem.Batches()[0]["x"]
    state, metrics = step(train.init(problem.PARAMS, optax.sgd(0.1), key), {"x": x})
    noise = jax.random.normal(jax.random.split(jax.random.fold_in(key, 0), 1)[0], (problem.B,))
    error = x @ problem.PARAMS["w"] - x.sum(1) - noise
    grad = 2 * x.T @ error / problem.B
    np.testing.assert_allclose(state.params["w"], problem.PARAMS["w"] - 0.1 * grad, rtol=1e-5)
    np.testing.assert_allclose(metrics["loss"], np.mean(error**2), rtol=1e-5)
    np.testing.assert_allclose(metrics["bias"], np.mean(error), rtol=1e-5)
    np.testing.assert_allclose(metrics["grad_norm"], np.linalg.norm(grad), rtol=1e-5)
    assert int(state.step) == 1
    assert metrics["finite"]


def test_the_callers_params_and_key_survive_and_the_states_do_not(step, problem):
    params, key = jax.tree.map(jnp.asarray, problem.PARAMS), jax.random.key(0)
    before = train.init(params, problem.OPTIMIZER, key)
    step(before, problem.Batches()[0])
    np.testing.assert_array_equal(params["w"], problem.PARAMS["w"])
    assert jax.random.key_data(key).shape == (2,)
    assert before.params["w"].is_deleted()


def test_steps_compile_once(problem, one):
    """Weakly typed parameters, Python numbers in optimizer states and fresh states included."""
    traces = []

    def loss(params, key, batch):
        traces.append(1)
        return jnp.mean((batch["x"] * params["w"] - params["b"]) ** 2), {"three": 3}

    optimizer = train.with_ema(optax.chain(optax.add_noise(0.1, 0.5, 0), optax.adam(1e-2)))
    step = train.make_step(loss, optimizer, mesh=one)
    state = train.init({"w": jnp.asarray(1.0), "b": 2.0}, optimizer, jax.random.key(0))
    for n in range(4):
        state, _ = step(state, problem.Batches()[n])
    assert len(traces) == 1
    assert step.program(state).once._cache_size() == 1


def test_equal_keys_give_equal_states_and_others_do_not(step, new, problem):
    def three(state):
        for n in range(3):
            state, _ = step(state, problem.Batches()[n])
        return train.digest(state)

    assert three(new(0)) == three(new(0)) != three(new(1))


def test_eight_devices_equal_one(problem, step, new, game_step, new_game):
    """To float32 rounding: sums over examples are taken in another order."""
    eight = train.data_mesh()
    assert eight.size == 8
    on_eight = train.make_step(problem.loss, problem.OPTIMIZER, mesh=eight)
    game_on_eight = train.make_step(problem.players(), mesh=eight)
    for small, large, fresh in ((step, on_eight, new), (game_step, game_on_eight, new_game)):
        a, b = fresh(), fresh()
        for n in range(5):
            a, metrics_a = small(a, problem.Batches()[n])
            b, metrics_b = large(b, problem.Batches()[n])
        for x, y in zip(leaves((a.params, metrics_a)), leaves((b.params, metrics_b)), strict=True):
            np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6)
        assert {len(x.devices()) for x in jax.tree.leaves(b.params)} == {8}


def test_a_games_round_is_its_players_moves_in_turn(problem, game_step, new_game):
    """By hand: three critic moves on strided thirds, then the generator against the new critic."""
    batch = problem.Batches()[0]
    keys = jax.random.split(jax.random.fold_in(jax.random.key(0), 0), 4)
    params = jax.tree.map(jnp.asarray, problem.GAME)
    losses = []
    for j in range(3):
        part = {"x": batch["x"][j::3]}
        (loss, _), grads = jax.value_and_grad(problem.critic_loss, has_aux=True)(
            params, keys[j], part
        )
        params["critic"] = params["critic"] - 0.1 * grads["critic"]
        losses.append(loss)
    part = {"x": batch["x"][0::3]}
    grads = jax.grad(problem.generator_loss, has_aux=True)(params, keys[3], part)[0]["generator"]
    adam = optax.adam(0.05)
    updates, _ = adam.update(grads, adam.init(params["generator"]))
    want = optax.apply_updates(params["generator"], updates)
    state, metrics = game_step(new_game(), batch)
    np.testing.assert_allclose(state.params["critic"], params["critic"], rtol=1e-5)
    np.testing.assert_allclose(state.params["generator"]["mean"], want["mean"], rtol=1e-5)
    np.testing.assert_allclose(metrics["critic/loss"], np.mean(losses), rtol=1e-5)
    names = {"critic/loss", "critic/grad_norm", "critic/x0", "generator/loss"}
    assert set(metrics) == names | {"generator/grad_norm", "finite"}
    np.testing.assert_allclose(metrics["critic/x0"], batch["x"][:3, 0].mean(), rtol=1e-5)


def test_a_player_may_move_several_entries(one):
    def loss(params, key, batch):
        return (params["a"] - params["b"] * params["c"]) ** 2 + 0 * jnp.sum(batch["x"]), {}

    both = train.Player(loss, optax.sgd(0.1), entries=("a", "b"))
    players = {"both": both, "c": train.Player(loss, optax.sgd(0.0))}
    state = train.init({"a": 1.0, "b": 2.0, "c": 3.0}, players, jax.random.key(0))
    state, _ = train.make_step(players, mesh=one)(state, {"x": np.ones((2, 1), np.float32)})
    # d/da (a - bc)^2 = 2 (1 - 6) = -10 and d/db = -c times that.
    np.testing.assert_allclose([state.params[k] for k in "abc"], [2.0, -1.0, 3.0], rtol=1e-6)


@pytest.mark.parametrize("where", ["loss", "gradient", "parameters"])
def test_what_is_not_finite_is_never_applied(where, problem, one):
    """Not by the bad step, and not by a good one after it."""

    def loss(params, key, batch):
        bad = jnp.isnan(batch["x"][0, 0])
        x = jnp.nan_to_num(batch["x"], nan=0.0)
        if where == "loss":
            return jnp.mean(x @ params["w"]) + jnp.where(bad, jnp.nan, 0.0), {}
        scale = {"gradient": jnp.inf, "parameters": 1e17}[where]
        w = params["w"]
        steep = jnp.where(bad, scale, 1.0) * (w - jax.lax.stop_gradient(w))
        return jnp.mean(x @ w) + jnp.sum(jnp.where(jnp.isnan(steep), 0.0, steep)), {}

    optimizer = optax.sgd(1e25)
    step = train.make_step(loss, optimizer, mesh=one)
    batches = problem.Batches(bad=0)
    state = train.init(problem.PARAMS, optimizer, jax.random.key(0))
    for n in (0, 1):
        state, metrics = step(state, batches[n])
        assert not metrics["finite"]
        seen = np.isfinite(metrics["loss"]) and np.isfinite(metrics["grad_norm"])
        assert seen == (where == "parameters" or n == 1)
        assert int(state.step) == 0
        np.testing.assert_array_equal(state.params["w"], problem.PARAMS["w"])
    state, metrics = step(state.replace(finite=jnp.array(True)), batches[1])
    assert int(state.step) == 1


def test_when_the_last_player_fails_the_first_has_not_moved(problem, one):
    def nan(params, key, batch):
        return jnp.nan * params["generator"]["mean"].sum(), {}

    players = problem.players() | {"generator": train.Player(nan, optax.sgd(1.0))}
    state = train.init(problem.GAME, players, jax.random.key(0))
    want = train.digest(state.replace(finite=jnp.array(False)))
    state, metrics = train.make_step(players, mesh=one)(state, problem.Batches()[0])
    assert np.isfinite(metrics["critic/loss"])
    assert train.digest(state) == want


def test_a_batch_that_cannot_be_cut_says_what_would_work(problem, game_step):
    eight = train.make_step(problem.loss, problem.OPTIMIZER, mesh=train.data_mesh())
    with pytest.raises(ValueError, match=r"batch of 100 .* 8 device.* multiple of 8; 96 or 104"):
        eight.put({"x": np.zeros((100, 3))})
    with pytest.raises(ValueError, match=r"batch of 2 .* 3 part.* multiple of 3; 3 would work"):
        game_step.put({"x": np.zeros((2, 3))})
    with pytest.raises(ValueError, match="one leading size B in common"):
        game_step.put({"x": np.zeros((3, 3)), "y": np.zeros(6)})


def test_players_must_share_out_all_of_params(problem):
    player, key = train.Player(problem.critic_loss, optax.sgd(0.1)), jax.random.key(0)
    with pytest.raises(ValueError, match=r"'c' moves params\['c'\], which is missing.*'a', 'b'"):
        train.init({"a": 1.0, "b": 1.0}, {"a": player, "c": player}, key)
    with pytest.raises(ValueError, match=r"no player moves params\['b'\]"):
        train.init({"a": 1.0, "b": 1.0}, {"a": player}, key)
    both = train.Player(problem.critic_loss, optax.sgd(0.1), entries=("a", "b"))
    with pytest.raises(ValueError, match=r"'a' and 'both' both move params\['a'\]"):
        train.init({"a": 1.0, "b": 1.0}, {"a": player, "both": both}, key)
    with pytest.raises(TypeError, match="params as one dict"):
        train.init(1.0, {"a": player}, key)
    with pytest.raises(ValueError, match="at least 1 update"):
        train.Player(problem.critic_loss, optax.sgd(0.1), updates=0)


def test_what_is_called_wrongly_has_a_clear_error(problem, one):
    with pytest.raises(TypeError, match="make_step needs"):
        train.make_step(problem.loss)
    with pytest.raises(TypeError, match="must be a Player; got tuple"):
        train.make_step({"critic": (problem.loss, optax.sgd(0.1))})
    with pytest.raises(TypeError, match="one typed key"):
        train.init(problem.PARAMS, problem.OPTIMIZER, 0)
    for bad, error, words in (
        (lambda p, k, b: (b["x"] @ p["w"], {}), ValueError, "one scalar"),
        (lambda p, k, b: jnp.sum(p["w"]), TypeError, "returns \\(scalar, metrics\\)"),
        (lambda p, k, b: (jnp.sum(p["w"]), {"all": p["w"]}), ValueError, "'all' has shape"),
    ):
        step = train.make_step(bad, optax.sgd(0.1), mesh=one)
        state = train.init(problem.PARAMS, optax.sgd(0.1), jax.random.key(0))
        with pytest.raises(error, match=words):
            step(state, problem.Batches()[0])


def test_what_is_no_loss_or_optimizer_or_another_one_is_refused(one, problem):
    with pytest.raises(TypeError, match=r"a loss is a function .* got int"):
        train.make_step(3, optax.sgd(0.1))
    message = r"negative_log_likelihood takes \(model, .* give functools.partial\(negative_log_like"
    with pytest.raises(TypeError, match=message):
        train.make_step(likelihood.negative_log_likelihood, optax.sgd(0.1))
    with pytest.raises(TypeError, match=r"an optimizer is one of optax.* got 0\.1"):
        train.make_step(problem.loss, 0.1)
    with pytest.raises(TypeError, match=r"an optimizer is one of optax.* got <function adam"):
        train.init(problem.PARAMS, optax.adam, jax.random.key(0))
    adam = train.init(problem.PARAMS, optax.adam(0.1), jax.random.key(0))
    for other in (optax.sgd(0.1), optax.sgd(0.1, momentum=0.9), train.with_ema(optax.adam(0.1))):
        step = train.make_step(problem.loss, other, mesh=one)
        with pytest.raises(ValueError, match="made with another optimizer than the step"):
            step(adam, problem.Batches()[0])


def test_players_and_their_updates_have_keys_of_their_own(problem, one):
    """By hand: split(fold_in(key, 1)) in the order of the updates; metrics are means over them.

    The j-th update of either player sees the j-th part of the batch.
    """

    def loss(params, key, batch):
        x = jax.random.normal(key)
        return 0.0 * (params["critic"] + params["generator"]["mean"].sum()), {
            "x": x,
            "first": batch["x"][0, 0],
        }

    players = {
        "critic": train.Player(loss, optax.sgd(0.1), updates=3),
        "generator": train.Player(loss, optax.sgd(0.1), updates=2),
    }
    state, step = train.init(problem.GAME, players, jax.random.key(3)), train.make_step(players)
    keys = jax.random.split(jax.random.fold_in(jax.random.key(3), 1), 5)
    x = np.array([jax.random.normal(key) for key in keys])
    for _ in range(2):
        state, metrics = step(state, {"x": np.arange(24, dtype=np.float32)[:, None]})
    assert (metrics["critic/first"], metrics["generator/first"]) == (1.0, 0.5)  # of 0, 1, 2
    np.testing.assert_allclose(metrics["critic/x"], x[:3].mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["generator/x"], x[3:].mean(), rtol=1e-5)
    assert len(set(x.tolist())) == 5


def test_an_optimizer_is_told_the_loss_and_its_parameters(problem, one):
    def update(grads, state, params, *, value):
        return jax.tree.map(lambda w: value - w, params), state

    told = optax.GradientTransformationExtraArgs(lambda params: optax.EmptyState(), update)
    step = train.make_step(problem.loss, told, mesh=one)
    state = train.init(problem.PARAMS, told, jax.random.key(0))
    state, metrics = step(state, problem.Batches()[0])
    np.testing.assert_allclose(state.params["w"], np.full(3, metrics["loss"]), rtol=1e-5)


def test_gradients_that_an_optimizer_would_hide_are_not_finite_all_the_same(problem, one):
    """zero_nans makes new parameters of them that are finite, and hides that a step was lost."""

    def loss(params, key, batch):
        w = params["w"]
        return jnp.mean(batch["x"] @ w) + jnp.sum(jnp.sqrt(jnp.abs(w - w))), {}

    optimizer = optax.chain(optax.zero_nans(), optax.sgd(0.1))
    step = train.make_step(loss, optimizer, mesh=one)
    state = train.init(problem.PARAMS, optimizer, jax.random.key(0))
    state, metrics = step(state, problem.Batches()[0])
    assert np.isfinite(metrics["loss"])
    assert not metrics["finite"]
    np.testing.assert_array_equal(state.params["w"], problem.PARAMS["w"])
