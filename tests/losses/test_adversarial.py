"""Losses of games with critics and generators whose scores and slopes are known."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.losses import adversarial
from gm.models.implicit import Generator
from gm.networks import MLP

EVENT = Event((2,))
RNG = np.random.default_rng(0)
DATA = RNG.normal([2.0, -1.0], 0.5, (512, 2)).astype(np.float32)
PARAMS = {"critic": np.float32(0.7), "generator": np.array([-1.0, 0.5], np.float32)}


@dataclasses.dataclass(frozen=True)
class Shifted:
    """x = z + params, z ~ N(0, 1 / 4)."""

    event: Event = EVENT

    def prior(self, params):
        return dist.Normal(jnp.zeros(2), jnp.full(2, 0.5))

    def generate(self, params, z):
        return z + params


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """c(x) = a (|x|^2 / 2 - 1), whose gradient is a x; of a pack, of the difference of its two."""

    event: Event = EVENT
    pack: int = 1

    def score(self, a, x):
        x = x if self.pack == 1 else x[0] - x[1]
        return a * (0.5 * jnp.sum(x * x) - 1.0)


def score(x):
    return PARAMS["critic"] * (0.5 * np.sum(x * x, axis=1) - 1.0)


def softplus(x):
    return np.logaddexp(0.0, x)


@pytest.fixture(scope="module")
def fake():
    """Many of the generator's samples, in numpy."""
    return PARAMS["generator"] + np.random.default_rng(1).normal(0.0, 0.5, (100_000, 2))


def run(loss, key=0, pack=1, data=DATA, **options):
    """Value, metrics and gradients of a loss of the two models."""
    loss = functools.partial(loss, Shifted(), Quadratic(pack=pack), **options)
    value_and_grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, metrics), grads = value_and_grad(PARAMS, jax.random.key(key), {"x": data})
    return float(value), metrics, grads


def test_the_non_saturating_critic_by_its_formula(fake):
    """Every fake is of noise of its own: a mean of 512 of them has an error of 0.02."""
    value, metrics, _ = run(adversarial.non_saturating_critic)
    real = score(DATA)
    np.testing.assert_allclose(metrics["score_data"], real.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["score_fake"], score(fake).mean(), atol=0.1)
    accuracy = 0.5 * (np.mean(real > 0.0) + np.mean(score(fake) < 0.0))
    assert 0.75 < accuracy < 0.95
    np.testing.assert_allclose(metrics["accuracy"], accuracy, atol=0.04)
    want = softplus(-real).mean() + softplus(score(fake)).mean()
    np.testing.assert_allclose(value, want, atol=0.06)


def test_r1_is_half_the_mean_squared_slope_at_the_data():
    plain, metrics, _ = run(adversarial.non_saturating_critic)
    with_r1, other, _ = run(adversarial.non_saturating_critic, r1=3.0)
    slope = PARAMS["critic"] ** 2 * np.mean(np.sum(DATA * DATA, axis=1))
    np.testing.assert_allclose(with_r1 - plain, 0.5 * 3.0 * slope, rtol=1e-5)
    for name in metrics:
        np.testing.assert_allclose(other[name], metrics[name], rtol=1e-6)


def test_the_non_saturating_generator_minimises_softplus_of_minus_its_score(fake):
    value, metrics, grads = run(adversarial.non_saturating_generator)
    np.testing.assert_allclose(value, softplus(-score(fake)).mean(), atol=0.03)
    weight = -1.0 / (1.0 + np.exp(score(fake)))[:, None]
    want = np.mean(weight * PARAMS["critic"] * fake, axis=0)
    np.testing.assert_allclose(grads["generator"], want, atol=0.03)
    assert not metrics


def test_the_wasserstein_critic_reports_its_distance_without_the_penalty(fake):
    value, metrics, _ = run(adversarial.wasserstein_critic, penalty=7.0)
    distance = score(DATA).mean() - score(fake).mean()
    np.testing.assert_allclose(metrics["distance"], distance, atol=0.1)
    # A point between data and fakes, its slope a |x|.
    u = np.random.default_rng(2).uniform(size=(512, 100, 1))
    between = u * DATA[:, None] + (1.0 - u) * fake[: 512 * 100].reshape(512, 100, 2)
    slope = PARAMS["critic"] * np.linalg.norm(between, axis=-1)
    np.testing.assert_allclose(metrics["penalty"], np.mean((slope - 1.0) ** 2), atol=0.02)
    np.testing.assert_allclose(value, -metrics["distance"] + 7.0 * metrics["penalty"], rtol=1e-5)


def test_the_wasserstein_generator_raises_its_score(fake):
    value, _, grads = run(adversarial.wasserstein_generator)
    np.testing.assert_allclose(value, -score(fake).mean(), atol=0.1)
    want = -PARAMS["critic"] * PARAMS["generator"]  # of -E c(z + m)
    np.testing.assert_allclose(grads["generator"], want, atol=0.08)


def test_a_critic_of_packs_sees_neighbours_of_the_batch_side_by_side():
    data = np.sort(DATA, axis=0)  # so that neighbours are alike
    _, metrics, _ = run(adversarial.non_saturating_critic, pack=2, data=data, r1=1.0)
    want = score(data[::2] - data[1::2]).mean()
    np.testing.assert_allclose(metrics["score_data"], want, rtol=1e-4)


def test_games_hand_their_options_to_the_critic():
    games = adversarial.non_saturating(Shifted(), Quadratic(), r1=2.0)
    assert games["critic"].keywords == {"r1": 2.0}
    assert games["generator"].func is adversarial.non_saturating_generator
    games = adversarial.wasserstein(Shifted(), Quadratic(), penalty=3.0)
    assert games["critic"].keywords == {"penalty": 3.0}
    assert games["generator"].func is adversarial.wasserstein_generator


def test_gradient_penalty_takes_its_norm_for_each_example(key):
    """A critic a.x has slope |a| everywhere, whatever the batch."""
    a = jnp.array([3.0, 4.0])
    penalty = jax.jit(functools.partial(adversarial.gradient_penalty, lambda x: a @ x))
    np.testing.assert_allclose(penalty(key, DATA, -DATA), (5.0 - 1.0) ** 2, rtol=1e-6)


def test_gradient_penalty_interpolates_each_example_by_a_number_of_its_own():
    """With c = |x|^2 / 2 the slope is |x^|: between samples at 0 and data of norm 5 it is 5 u_b.

    E (5u - 1)^2 = 25/3 - 5 + 1 over u ~ U(0, 1); one u for the whole batch would scatter from 0 to
    16 between keys.
    """
    x = np.tile(np.array([[3.0, 4.0]], np.float32), (4096, 1))
    penalty = jax.jit(
        functools.partial(adversarial.gradient_penalty, lambda x: 0.5 * jnp.sum(x * x))
    )
    for seed in range(3):
        got = penalty(jax.random.key(seed), x, np.zeros_like(x))
        np.testing.assert_allclose(got, 25 / 3 - 4, rtol=0.05)


def test_interpolation_lies_on_the_segment_so_dimensions_share_their_number(key):
    """c = (x_1 - x_2)^2 has slope 0 on the diagonal; unshared numbers would leave it."""
    x = np.ones((64, 2), np.float32)
    penalty = jax.jit(functools.partial(adversarial.gradient_penalty, lambda x: (x[0] - x[1]) ** 2))
    np.testing.assert_allclose(penalty(key, x, -x), 1.0, atol=1e-6)


def test_penalty_has_a_finite_gradient_where_the_slope_is_zero(key):
    x = np.ones((4, 2), np.float32)

    @jax.jit
    @jax.value_and_grad
    def penalty(a):
        return adversarial.gradient_penalty(lambda x: a @ x, key, x, x)

    value, grad = penalty(jnp.zeros(2))
    assert value == 1.0
    assert np.all(np.isfinite(grad))


def test_array_losses_at_known_scores():
    zero = jnp.zeros(3)
    assert adversarial.non_saturating_critic_loss(zero, zero) == pytest.approx(2 * np.log(2))
    assert adversarial.non_saturating_generator_loss(zero) == pytest.approx(np.log(2))
    a, b = jnp.array([1.0, 3.0, 2.0]), jnp.array([0.0, 1.0, 0.5])
    assert adversarial.wasserstein_critic_loss(a, b) == -1.5
    assert adversarial.wasserstein_generator_loss(b) == -0.5


def test_non_saturating_generator_keeps_its_gradient_where_the_critic_is_sure():
    grad = jax.jit(jax.grad(adversarial.non_saturating_generator_loss))(jnp.full(1, -50.0))
    np.testing.assert_allclose(grad, -1.0, rtol=1e-6)


@pytest.mark.parametrize(
    ("critic", "message"),
    [
        (lambda x: jnp.sum(x * x, axis=1), r"critic of one example, \(2,\) -> scalar; .* failed"),
        (lambda x: x @ jnp.ones((2, 1)), r"gives \(1,\)\. .*lambda x: critic\(x\[None\]\)\[0\]"),
    ],
    ids=["wants a batch", "gives a batch"],
)
def test_a_critic_of_batches_is_refused_with_what_would_do(critic, message, key):
    with pytest.raises(TypeError, match=message):
        adversarial.gradient_penalty(critic, key, DATA, DATA)
    with pytest.raises(TypeError, match=message):
        adversarial.slope_penalty(critic, DATA, 0.0)


def test_games_of_what_does_not_fit_are_refused(key):
    packed = Quadratic(pack=4)
    with pytest.raises(ValueError, match=r"packs of 4 divide; got 6"):
        adversarial.non_saturating_critic(Shifted(), packed, PARAMS, key, {"x": DATA[:6]})
    with pytest.raises(TypeError, match=r"with prior, generate; Quadratic offers score"):
        adversarial.wasserstein_generator(Quadratic(), Quadratic(), {}, key, {"x": DATA})
    with pytest.raises(TypeError, match=r"needs a model with score; Shifted offers"):
        adversarial.wasserstein_generator(Shifted(), Shifted(), {}, key, {"x": DATA})
    with pytest.raises(TypeError, match=r"got the class Shifted: give an instance"):
        adversarial.wasserstein_generator(Shifted, Quadratic(), PARAMS, key, {"x": DATA})
    with pytest.raises(TypeError, match=r"wasserstein_critic needs a batch .* got a ndarray"):
        adversarial.wasserstein_critic(Shifted(), Quadratic(), PARAMS, key, DATA)
    with pytest.raises(ValueError, match="generator and a critic of one event"):
        adversarial.wasserstein_critic(Shifted(), Quadratic(Event((3,))), PARAMS, key, {"x": DATA})


def test_a_generator_of_integers_is_refused():
    with pytest.raises(ValueError, match=r"Generator needs a real event.*UniformDequantization"):
        Generator(Event((2,), 17), MLP((4,), (2,)), latent_dim=3)


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
