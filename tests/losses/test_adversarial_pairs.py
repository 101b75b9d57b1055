"""Games whose players are given more than x: a context, a label, a pair."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import distributions as dist
from gm import train
from gm.core import Event
from gm.losses import adversarial, objectives, penalties
from tests.losses.players import DATA, EVENT, PARAMS, RNG, Quadratic, Shifted, softplus


class ShiftedBy(Shifted):
    """x = y, whatever z is."""

    def generate(self, params, z, context=None):
        return context + 0.0 * z


class Agrees(Quadratic):
    """c(x, y) = a (sum x)(sum y), whose slope along x is a sqrt(2) |sum y|."""

    def score(self, a, x, context=None):
        return a * jnp.sum(x) * jnp.sum(context)


def test_players_of_a_conditional_game_are_given_the_same_context(key):
    a, y = PARAMS["critic"], RNG.normal(size=(512, 2)).astype(np.float32)
    batch, total = {"x": DATA, "context": y}, y.sum(1)
    game = adversarial.wasserstein(ShiftedBy(), Agrees(), penalty=10.0)
    _, metrics = jax.jit(game["critic"])(PARAMS, key, batch)
    np.testing.assert_allclose(
        metrics["distance"], np.mean(a * DATA.sum(1) * total - a * total**2), rtol=1e-4
    )
    slope = np.mean((a * np.sqrt(2.0) * np.abs(total) - 1.0) ** 2)
    np.testing.assert_allclose(metrics["penalty"], slope, rtol=1e-4)
    loss, _ = jax.jit(game["generator"])(PARAMS, key, batch)
    np.testing.assert_allclose(loss, -np.mean(a * total**2), rtol=1e-4)
    game = adversarial.non_saturating(ShiftedBy(), Agrees(), r1=2.0)
    loss, metrics = jax.jit(game["critic"])(PARAMS, key, batch)
    np.testing.assert_allclose(metrics["score_fake"], np.mean(a * total**2), rtol=1e-4)
    want = softplus(-a * DATA.sum(1) * total) + softplus(a * total**2) + 2.0 * (a * total) ** 2
    np.testing.assert_allclose(loss, want.mean(), rtol=1e-4)
    with pytest.raises(TypeError, match="Shifted takes no context"):
        adversarial.wasserstein(Shifted(), Agrees())["critic"](PARAMS, key, batch)


@dataclasses.dataclass(frozen=True)
class Labelled:
    """Both players of a game in which x is a number for each label, and c(x, y) = a_y x."""

    event: Event = Event(())
    context: Event = Event((), 3)

    def prior(self, params, context=None):
        return dist.Normal(jnp.zeros(()), jnp.ones(()))

    def generate(self, params, z, context=None):
        return params[context]

    def score(self, params, x, context=None):
        return params[context] * x


def test_a_conditional_gan_learns_what_belongs_to_each_label(key):
    """R1 makes its dynamics contract, where those of the plain game turn in circles for ever."""
    means, y = np.array([1.0, -2.0, 0.5], np.float32), np.arange(24, dtype=np.int32) % 3
    losses = adversarial.non_saturating(Labelled(), Labelled(), r1=1.0)
    players = {name: train.Player(loss, optax.sgd(1.0)) for name, loss in losses.items()}
    params = {"critic": np.zeros(3, np.float32), "generator": np.zeros(3, np.float32)}
    step = train.make_step(players, mesh=train.data_mesh(jax.devices()[:1]))
    state = train.init(params, players, key)
    for _ in range(300):
        state, _ = step(state, {"x": means[y], "context": y})
    np.testing.assert_allclose(state.params["generator"], means, atol=0.02)


@dataclasses.dataclass(frozen=True)
class Bidirectional(Shifted):
    """g(z) = z + b and e(x) = x - s for params (b, s)."""

    def generate(self, params, z):
        return z + params[0]

    def encode(self, params, x):
        return x - params[1]

    def sides(self, params, key, x):
        z = self.prior(params).sample(key)
        return (x, self.encode(params, x)), (self.generate(params, z), z)


@dataclasses.dataclass(frozen=True)
class Agreement:
    """c(x, z) = a x.z, whose slope is a (z, x)."""

    event: tuple[Event, Event] = (EVENT, EVENT)

    def score(self, a, pair):
        return a * pair[0] @ pair[1]


def test_a_bidirectional_game_is_played_over_pairs(key):
    """Its generator and its encoder swap the labels, so that both sides move."""
    critic = objectives.WASSERSTEIN.critic
    both = objectives.Objective(critic, lambda real, fake: critic(fake, real))
    losses = adversarial.game(
        both,
        Bidirectional(),
        Agreement(),
        penalty=penalties.r1_penalty,
        sides=Bidirectional.sides,
    )
    b, s, a = np.array([1.0, -1.0], np.float32), np.array([0.5, 2.0], np.float32), np.float32(0.7)
    params, batch, z = {"critic": a, "generator": (b, s)}, {"x": DATA}, DATA - s
    _, metrics = jax.jit(losses["critic"])(params, key, batch)
    np.testing.assert_allclose(metrics["score_data"], a * np.mean((DATA * z).sum(1)), rtol=1e-4)
    np.testing.assert_allclose(metrics["score_fake"], a * 2 * 0.25, atol=0.1)  # E z.(z + b)
    slope = 0.5 * a**2 * np.mean((DATA**2 + z**2).sum(1))
    np.testing.assert_allclose(metrics["penalty"], slope, rtol=1e-4)
    grads, _ = jax.jit(jax.grad(losses["generator"], has_aux=True))(params, key, batch)
    of_b, of_s = grads["generator"]
    np.testing.assert_allclose(of_s, -a * DATA.mean(0), rtol=1e-4)
    np.testing.assert_allclose(of_b, np.zeros(2), atol=0.08)  # -a E z


@dataclasses.dataclass(frozen=True)
class Twice:
    """x = (z + b, 2 z), a picture and what is known of it."""

    event: tuple[Event, Event] = (EVENT, EVENT)

    def prior(self, params):
        return dist.Normal(jnp.zeros(2), jnp.ones(2))

    def generate(self, b, z):
        return z + b, 2.0 * z


def test_a_game_is_played_over_data_of_several_parts(key):
    """Pairs in the batch, pairs that are generated, a penalty over both parts."""
    game = adversarial.game(
        objectives.WASSERSTEIN, Twice(), Agreement(), penalty=penalties.gradient_penalty
    )
    other = RNG.normal(size=DATA.shape).astype(np.float32)
    b, a = np.array([1.0, -1.0], np.float32), np.float32(0.7)
    params, batch = {"critic": a, "generator": b}, {"x": (DATA, other)}
    _, metrics = jax.jit(game["critic"])(params, key, batch)
    np.testing.assert_allclose(
        metrics["score_data"], a * np.mean((DATA * other).sum(1)), rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(metrics["score_fake"], a * 4.0, rtol=0.2)  # E 2 z.(z + b)
    real, fake = (batch["x"], batch["x"])
    of = jax.jit(penalties.gradient_penalty, static_argnums=0)
    same = of(jax.vmap(lambda x: a * x[0] @ x[1]), key, real, fake)
    norms = a * np.sqrt((DATA**2 + other**2).sum(1))
    np.testing.assert_allclose(same, np.mean((norms - 1.0) ** 2), rtol=1e-4)
    grads, _ = jax.jit(jax.grad(game["generator"], has_aux=True))(params, key, batch)
    np.testing.assert_allclose(grads["generator"], np.zeros(2), atol=0.2)  # -a E 2 z
    for wrong, message in [
        (DATA, "needs x like"),
        ((DATA, other[:4]), "one length; got"),
        ((DATA, other[0]), "got one example of shape"),
        ((DATA, np.zeros((len(DATA), 3), np.float32)), "x needs shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            game["critic"](params, key, {"x": wrong})
