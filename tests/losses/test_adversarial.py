"""Losses of games with critics and generators whose scores and slopes are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.core import Event
from gm.losses import adversarial, objectives, penalties
from gm.models.implicit import Generator
from gm.networks import MLP
from tests.losses.players import DATA, EVENT, PARAMS, Quadratic, Shifted, score, softplus


@pytest.fixture(scope="module")
def fake():
    """Many of the generator's samples, in numpy."""
    return PARAMS["generator"] + np.random.default_rng(1).normal(0.0, 0.5, (100_000, 2))


def run(rules, player, data=DATA, pack=1, **options):
    """Value, metrics and gradients of one player's loss in a game of the two models."""
    loss = rules(Shifted(), Quadratic(pack=pack), **options)[player]
    value_and_grad = jax.jit(jax.value_and_grad(loss, has_aux=True))
    (value, metrics), grads = value_and_grad(PARAMS, jax.random.key(0), {"x": data})
    return float(value), metrics, grads


def test_the_non_saturating_critic_by_its_formula(fake):
    """Every fake is of noise of its own: a mean of 512 of them has an error of 0.02."""
    value, metrics, _ = run(adversarial.non_saturating, "critic")
    real = score(DATA)
    np.testing.assert_allclose(metrics["score_data"], real.mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["score_fake"], score(fake).mean(), atol=0.1)
    accuracy = 0.5 * (np.mean(real > 0.0) + np.mean(score(fake) < 0.0))
    assert 0.75 < accuracy < 0.95
    np.testing.assert_allclose(metrics["accuracy"], accuracy, atol=0.04)
    want = softplus(-real).mean() + softplus(score(fake)).mean()
    np.testing.assert_allclose(value, want, atol=0.06)


def test_r1_is_half_the_mean_squared_slope_at_the_data():
    plain, metrics, _ = run(adversarial.non_saturating, "critic")
    with_r1, other, _ = run(adversarial.non_saturating, "critic", r1=3.0)
    slope = PARAMS["critic"] ** 2 * np.mean(np.sum(DATA * DATA, axis=1))
    np.testing.assert_allclose(with_r1 - plain, 0.5 * 3.0 * slope, rtol=1e-5)
    for name in metrics:
        np.testing.assert_allclose(other[name], metrics[name], rtol=1e-6)


def test_the_non_saturating_generator_minimises_softplus_of_minus_its_score(fake):
    value, metrics, grads = run(adversarial.non_saturating, "generator")
    np.testing.assert_allclose(value, softplus(-score(fake)).mean(), atol=0.03)
    weight = -1.0 / (1.0 + np.exp(score(fake)))[:, None]
    want = np.mean(weight * PARAMS["critic"] * fake, axis=0)
    np.testing.assert_allclose(grads["generator"], want, atol=0.03)
    assert not metrics


def test_the_wasserstein_critic_reports_its_distance_without_the_penalty(fake):
    value, metrics, _ = run(adversarial.wasserstein, "critic", penalty=7.0)
    distance = score(DATA).mean() - score(fake).mean()
    np.testing.assert_allclose(metrics["distance"], distance, atol=0.1)
    # A point between data and fakes, its slope a |x|.
    u = np.random.default_rng(2).uniform(size=(512, 100, 1))
    between = u * DATA[:, None] + (1.0 - u) * fake[: 512 * 100].reshape(512, 100, 2)
    slope = PARAMS["critic"] * np.linalg.norm(between, axis=-1)
    np.testing.assert_allclose(metrics["penalty"], np.mean((slope - 1.0) ** 2), atol=0.02)
    np.testing.assert_allclose(value, -metrics["distance"] + 7.0 * metrics["penalty"], rtol=1e-5)


def test_the_wasserstein_generator_raises_its_score(fake):
    value, _, grads = run(adversarial.wasserstein, "generator")
    np.testing.assert_allclose(value, -score(fake).mean(), atol=0.1)
    want = -PARAMS["critic"] * PARAMS["generator"]  # of -E c(z + m)
    np.testing.assert_allclose(grads["generator"], want, atol=0.08)


def test_a_critic_of_packs_sees_neighbours_of_the_batch_side_by_side():
    data = np.sort(DATA, axis=0)  # so that neighbours are alike
    _, metrics, _ = run(adversarial.non_saturating, "critic", pack=2, data=data, r1=1.0)
    want = score(data[::2] - data[1::2]).mean()
    np.testing.assert_allclose(metrics["score_data"], want, rtol=1e-4)


def test_gradient_penalty_takes_its_norm_for_each_example(key):
    """A critic a.x has slope |a| everywhere, whatever the batch."""
    a = np.array([3.0, 4.0], np.float32)
    of = jax.jit(penalties.gradient_penalty, static_argnums=0)
    penalty = of(lambda x: x @ a, key, DATA, -DATA)
    np.testing.assert_allclose(penalty, (5.0 - 1.0) ** 2, rtol=1e-6)


def test_gradient_penalty_interpolates_each_example_by_a_number_of_its_own():
    """With c = |x|^2 / 2 the slope is |x^|: between samples at 0 and data of norm 5 it is 5 u_b.

    E (5u - 1)^2 = 25/3 - 5 + 1 over u ~ U(0, 1); one u for the whole batch would scatter from 0 to
    16 between keys.
    """
    x = np.tile(np.array([[3.0, 4.0]], np.float32), (4096, 1))

    @jax.jit
    def penalty(seed):
        key = jax.random.key(seed)
        return penalties.gradient_penalty(
            lambda x: 0.5 * jnp.sum(x * x, axis=1), key, x, np.zeros_like(x)
        )

    for seed in range(3):
        np.testing.assert_allclose(penalty(seed), 25 / 3 - 4, rtol=0.05)


def test_interpolation_lies_on_the_segment_so_the_parts_of_an_example_share_their_number(key):
    """c = |x_1 - x_2|^2 has slope 0 on the diagonal; unshared numbers would leave it."""
    ones = (np.ones((64, 2), np.float32), np.ones((64, 1, 2), np.float32))
    of = jax.jit(penalties.gradient_penalty, static_argnums=0)
    got = of(
        lambda x: jnp.sum((x[0] - x[1][:, 0]) ** 2, axis=1),
        key,
        ones,
        jax.tree.map(np.negative, ones),
    )
    np.testing.assert_allclose(got, 1.0, atol=1e-6)


def test_penalty_has_a_finite_gradient_where_the_slope_is_zero(key):
    x = np.ones((4, 2), np.float32)

    @jax.jit
    @jax.value_and_grad
    def penalty(a):
        return penalties.gradient_penalty(lambda x: x @ a, key, x, x)

    value, grad = penalty(np.zeros(2, np.float32))
    assert value == 1.0
    assert np.all(np.isfinite(grad))


@pytest.mark.parametrize(("penalty", "side"), [("r1_penalty", "real"), ("r2_penalty", "fake")])
def test_r1_and_r2_are_half_the_squared_slope_over_all_parts_at_their_side(penalty, side, key):
    """c(x, z) = a (x z) has the slope a (z, x)."""
    rng = np.random.default_rng(3)
    pairs = {name: tuple(rng.normal(size=(2, 8)).astype(np.float32)) for name in ("real", "fake")}
    got = getattr(penalties, penalty)(lambda pair: 3.0 * pair[0] * pair[1], key, **pairs)
    want = 0.5 * 9.0 * np.mean(pairs[side][0] ** 2 + pairs[side][1] ** 2)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_penalties_of_a_critic_of_one_slope_everywhere(key):
    """c = a.x with |a| = 5 and with |a| = 1/2, of which only one is too steep."""
    steep, flat = (np.array([3.0, 4.0]) * scale for scale in (1.0, 0.1))
    want = {
        penalties.gradient_penalty: (16.0, 0.25),
        penalties.lipschitz_penalty: (16.0, 0.0),
        penalties.dragan_penalty(0.3): (16.0, 0.25),
        penalties.r1_penalty: (12.5, 0.125),
        penalties.sobolev_penalty: (24.0**2, 0.75**2),
    }
    for penalty, values in want.items():
        for a, value in zip((steep, flat), values, strict=True):
            found = penalty(lambda x, a=a: x @ jnp.asarray(a, x.dtype), key, DATA, -DATA)
            np.testing.assert_allclose(found, value, rtol=1e-5, atol=1e-6)


def test_dragan_looks_around_the_data_and_sobolev_at_both_sides(key):
    """c = |x|^2 / 2 has the slope x: around 0, E (|d| - 1)^2 of d ~ N(0, s^2) in two dimensions."""
    critic = jax.vmap(lambda x: 0.5 * jnp.sum(x * x))
    zeros, s = np.zeros((100_000, 2), np.float32), 0.5
    found = jax.jit(penalties.dragan_penalty(s), static_argnums=0)(critic, key, zeros, zeros + 9.0)
    want = 2 * s**2 - 2 * s * np.sqrt(np.pi / 2) + 1.0
    np.testing.assert_allclose(found, want, rtol=0.02)
    square = 0.5 * (np.mean(np.sum(DATA**2, 1)) + 4.0 * np.mean(np.sum(DATA**2, 1)))
    found = jax.jit(penalties.sobolev_penalty, static_argnums=0)(critic, key, DATA, 2.0 * DATA)
    np.testing.assert_allclose(found, (square - 1.0) ** 2, rtol=1e-4)


def test_a_total_of_penalties_weighs_them(key):
    critic = jax.vmap(lambda x: 0.5 * jnp.sum(x * x))
    both = penalties.total((penalties.r1_penalty, 2.0), (penalties.r2_penalty, 3.0))
    want = np.mean(np.sum(DATA**2, 1)) * (0.5 * 2.0 + 0.5 * 3.0 * 4.0)
    found = jax.jit(both, static_argnums=0)(critic, key, DATA, 2.0 * DATA)
    np.testing.assert_allclose(found, want, rtol=1e-5)
    with pytest.raises(ValueError, match="at least one"):
        penalties.total()
    with pytest.raises(ValueError, match="positive scale; got 0"):
        penalties.dragan_penalty(0.0)


# KL(p || q) by its dual: Nowozin, Cseke & Tomioka (2016), arXiv:1606.00709, table 2.
KL = objectives.Objective(
    critic=lambda real, fake: jnp.mean(jnp.exp(fake - 1.0)) - jnp.mean(real),
    generator=lambda real, fake: -jnp.mean(jnp.exp(fake - 1.0)),
)


def test_an_objective_and_a_penalty_of_ones_own_make_a_game():
    def far(critic, key, real, fake):
        return jnp.mean(critic(real) ** 2)

    def rules(*models):
        return adversarial.game(
            KL, *models, penalty=far, weight=2.0, names=("discriminator", "maker")
        )

    losses = rules(Shifted(), Quadratic())
    params = {"discriminator": PARAMS["critic"], "maker": PARAMS["generator"]}
    key = jax.random.key(0)
    value, metrics = jax.jit(losses["discriminator"])(params, key, {"x": DATA})
    real = score(DATA)
    np.testing.assert_allclose(metrics["penalty"], np.mean(real**2), rtol=1e-5)
    assert list(losses) == ["discriminator", "maker"]
    # The same fakes, by hand: what is left is E exp(f - 1).
    fakes = value - 2.0 * metrics["penalty"] + real.mean()
    key_fake, _ = jax.random.split(key)
    value, _ = jax.jit(losses["maker"])(params, key_fake, {"x": DATA})
    np.testing.assert_allclose(value, -fakes, rtol=1e-4)


@pytest.mark.parametrize(
    ("critic", "message"),
    [
        (lambda x: jnp.ones(2) @ x, r"critic of a batch, .* B is 512; this one failed: .*vmap"),
        (lambda x: jnp.sum(x * x), r"gives \(\)\. .*give jax.vmap\(critic\)"),
        (lambda x: x @ jnp.ones((2, 1)), r"gives \(512, 1\)"),
    ],
    ids=["fails", "sums a batch", "has an axis too many"],
)
def test_a_critic_of_one_example_is_refused_with_what_would_do(critic, message, key):
    with pytest.raises(TypeError, match=message):
        penalties.gradient_penalty(critic, key, DATA, DATA)
    with pytest.raises(TypeError, match=message):
        penalties.gradient_norm_penalty(critic, DATA, 0.0)


def test_what_has_no_slope_or_no_one_score_is_refused(key):
    labels = (DATA, np.zeros(512, np.int32))
    for penalty in (penalties.gradient_penalty, penalties.r1_penalty):
        with pytest.raises(TypeError, match="needs real x; got float32, int32"):
            penalty(lambda x: x[0].sum(1), key, labels, labels)
    for critic in (lambda x: x[:, :1], jnp.sum):  # two scores broadcast to [B, B] in silence
        with pytest.raises(ValueError, match="one score for each of 512 x"):
            adversarial.critic_loss(objectives.HINGE, critic, key, DATA, DATA)
        with pytest.raises(ValueError, match="one score for each of 512 x"):
            adversarial.generator_loss(objectives.HINGE, critic, DATA, DATA)


def test_games_of_what_does_not_fit_are_refused(key):
    game, models = adversarial.wasserstein, (Shifted(), Quadratic())
    with pytest.raises(ValueError, match=r"packs of 4 divide; got 6"):
        game(Shifted(), Quadratic(pack=4))["critic"](PARAMS, key, {"x": DATA[:6]})
    with pytest.raises(TypeError, match=r"with prior, generate; Quadratic offers score"):
        game(Quadratic(), Quadratic())
    with pytest.raises(TypeError, match=r"needs a model with score; Shifted offers"):
        game(Shifted(), Shifted())
    with pytest.raises(TypeError, match=r"got the class Shifted: give an instance"):
        game(Shifted, Quadratic())
    with pytest.raises(
        TypeError, match=r"needs an Objective, such as objectives.HINGE; got <function"
    ):
        adversarial.game(game, *models)
    with pytest.raises(TypeError, match=r"a game needs a batch .* got a ndarray"):
        game(*models)["critic"](PARAMS, key, DATA)
    with pytest.raises(ValueError, match=r"got shapes \(2,\)\. A generator and a critic of one"):
        game(Shifted(), Quadratic(Event((3,))))["critic"](PARAMS, key, {"x": DATA})
    with pytest.raises(ValueError, match=r"\(Event.*got shapes \(2,\)\."):
        game(Shifted(), Quadratic((EVENT, EVENT)))["generator"](PARAMS, key, {"x": DATA})


def test_a_generator_of_integers_is_refused():
    with pytest.raises(ValueError, match=r"Generator needs a real event.*UniformDequantization"):
        Generator(Event((2,), 17), MLP((4,), (2,)), latent_dim=3)
