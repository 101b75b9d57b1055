"""Games that carry something from step to step: fakes of earlier steps, a balance."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import train
from gm.core import Event
from gm.losses import adversarial, objectives
from gm.models.implicit import Reconstruction
from gm.networks import MLP
from tests.losses.players import DATA, PARAMS, Quadratic, Shifted, score, softplus


def test_replay_exchanges_half_and_loses_nothing(key):
    memory, fresh = np.arange(6000.0), np.arange(6000.0, 10_000.0)
    mixed, kept = jax.jit(adversarial.replayed)(key, memory, fresh)
    both = np.sort(np.concatenate([mixed, kept]))
    np.testing.assert_array_equal(both, np.arange(10_000.0))
    old = np.asarray(mixed) < 6000.0
    assert abs(old.mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)
    np.testing.assert_array_equal(np.asarray(mixed)[~old], fresh[~old])
    assert len(np.unique(np.diff(np.asarray(mixed)[old]))) > 100  # from places at random
    with pytest.raises(ValueError, match="at least the batch's 7 samples; got 5"):
        adversarial.replayed(key, np.zeros(5), np.zeros(7))


def test_the_critic_sees_the_mixture_and_the_generator_its_own_fakes(key):
    """All fakes of the memory are at (50, 0), where the critic's score is 0.7 * 1249."""
    game = adversarial.with_replay(objectives.NON_SATURATING, Shifted(), Quadratic())
    memory = np.tile(np.array([50.0, 0.0], np.float32), (512, 1))
    loss, (metrics, after) = jax.jit(game["critic"])(PARAMS, key, {"x": DATA}, memory)
    share = np.mean(np.asarray(after)[:, 0] != 50.0)
    assert abs(share - 0.5) < 4 * 0.5 / np.sqrt(512)
    far = float(score(memory[:1])[0])
    near = score(np.asarray(after)[np.asarray(after)[:, 0] != 50.0]).mean()  # alike in the mean
    np.testing.assert_allclose(metrics["score_fake"], share * far + (1 - share) * near, rtol=0.01)
    want = softplus(-score(DATA)).mean() + share * far + (1 - share) * softplus(near)
    np.testing.assert_allclose(loss, want, rtol=0.01)
    loss, (_, same) = jax.jit(game["generator"])(PARAMS, key, {"x": DATA}, memory)
    plain, _ = adversarial.non_saturating(Shifted(), Quadratic())["generator"](
        PARAMS, key, {"x": DATA}
    )
    np.testing.assert_allclose(loss, plain, rtol=1e-6)
    np.testing.assert_array_equal(same, memory)


@dataclasses.dataclass(frozen=True)
class Distance:
    """c(x) = -a |x|^2, minus an error."""

    event: Event = Event((2,))

    def score(self, a, x):
        return -a * jnp.sum(x * x)


def test_the_balance_moves_towards_equal_shares_and_weighs_the_fakes(key):
    """By the formulas; fakes are samples around (-1, 1/2), L in the mean 0.7 (1.25 + 1/2)."""
    game = adversarial.boundary_equilibrium(Shifted(), Distance(), diversity=0.8, rate=0.1)
    k = np.float32(0.3)
    loss, (metrics, after) = jax.jit(game["critic"])(PARAMS, key, {"x": DATA}, k)
    fake, _ = jax.jit(game["generator"])(PARAMS, key, {"x": DATA}, k)
    of_real = 0.7 * np.mean(np.sum(DATA**2, axis=1))
    np.testing.assert_allclose(fake, 0.7 * 1.75, rtol=0.1)
    np.testing.assert_allclose(loss, of_real - 0.3 * fake, rtol=1e-5)
    balance = 0.8 * of_real - fake
    np.testing.assert_allclose(after, min(0.3 + 0.1 * balance, 1.0), rtol=1e-5)
    np.testing.assert_allclose(metrics["convergence"], of_real + abs(balance), rtol=1e-5)
    for start in (0.0, 1.0):  # a step of 100 ends at the other limit
        swift = adversarial.boundary_equilibrium(
            Shifted(), Distance(), diversity=0.8, rate=100.0 if start == 0.0 else -100.0
        )
        _, (_, last) = swift["critic"](PARAMS, key, {"x": DATA}, np.float32(start))
        assert last == 1.0 - start
    with pytest.raises(ValueError, match=r"diversity in \(0, 1\]; got 0"):
        adversarial.boundary_equilibrium(Shifted(), Distance(), diversity=0.0)


def test_both_train_with_their_memory_in_the_state(key):
    """Two steps of an energy-based game with a replayed memory, and of one with a balance."""
    event = Event((2,))
    critic = Reconstruction(event, MLP((3,), (2,)))
    params = {"critic": critic.init(key), "generator": PARAMS["generator"]}
    np.testing.assert_allclose(
        critic.score(params["critic"], DATA[0]),
        -np.abs(DATA[0] - critic.network.apply(params["critic"], DATA[0])).mean(),
        rtol=1e-6,
    )
    for game, memory in [
        (adversarial.with_replay(objectives.HINGE, Shifted(), critic), np.zeros((16, 2), "f4")),
        (adversarial.boundary_equilibrium(Shifted(), critic, rate=0.1), np.full((), 0.5, "f4")),
    ]:
        players = {name: train.Player(loss, optax.sgd(0.1)) for name, loss in game.items()}
        state = train.init(params, players, key, memory, replicated=True)
        step = train.make_step(players)
        for i in range(2):
            state, _ = step(state, {"x": DATA[8 * i : 8 * i + 8]})
        assert np.any(np.asarray(state.memory) != memory)


def test_contexts_are_refused_where_fakes_of_earlier_steps_are_kept():
    @dataclasses.dataclass(frozen=True)
    class Conditional(Quadratic):
        context: Event = Event((), 3)

    with pytest.raises(ValueError, match=r"without a context.*Conditional takes"):
        adversarial.with_replay(objectives.HINGE, Shifted(), Conditional())
    with pytest.raises(ValueError, match="Reconstruction needs a real event"):
        Reconstruction(Event((2,), 4), MLP((3,), (2,)))
