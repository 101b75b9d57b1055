"""Objectives of games at the best critic, which has the divergence that they claim."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, special, stats

from gm.losses import divergences, objectives
from tests.losses.players import softplus

# Two distributions over {0, 1, 2}, and batches that hold exactly them.
P, Q = np.array([3, 4, 1]) / 8, np.array([1, 2, 5]) / 8
REAL, FAKE = (np.repeat(np.arange(3), (8 * p).astype(int)) for p in (P, Q))
M, RATIO = 0.5 * (P + Q), np.log(P / Q)
JENSEN_SHANNON = 0.5 * (stats.entropy(P, M) + stats.entropy(Q, M))
TOTAL_VARIATION = 0.5 * np.abs(P - Q).sum()

BEST = {  # the best critic, and its loss
    "minimax": (objectives.MINIMAX, RATIO, 2 * np.log(2) - 2 * JENSEN_SHANNON),
    "non-saturating": (objectives.NON_SATURATING, RATIO, 2 * np.log(2) - 2 * JENSEN_SHANNON),
    "least squares": (
        objectives.LEAST_SQUARES,
        P / (P + Q),
        1 / 4 - np.sum((P - Q) ** 2 / (P + Q)) / 8,
    ),
    "hinge": (objectives.HINGE, np.sign(P - Q), 2 - 2 * TOTAL_VARIATION),
    "Fisher": (objectives.FISHER, (P - Q) / M, -np.sqrt(np.sum((P - Q) ** 2 / M))),
    "KL": (objectives.f_gan(divergences.KL), RATIO, -stats.entropy(P, Q)),
    "reverse KL": (objectives.f_gan(divergences.REVERSE_KL), RATIO, -stats.entropy(Q, P)),
    "Jensen-Shannon": (objectives.f_gan(divergences.JENSEN_SHANNON), RATIO, -JENSEN_SHANNON),
    "Hellinger": (
        objectives.f_gan(divergences.SQUARED_HELLINGER),
        RATIO,
        -0.5 * np.sum((np.sqrt(P) - np.sqrt(Q)) ** 2),
    ),
    "Pearson": (objectives.f_gan(divergences.PEARSON), RATIO, -np.sum((P - Q) ** 2 / Q)),
    "Neyman": (objectives.f_gan(divergences.NEYMAN), RATIO, -np.sum((P - Q) ** 2 / P)),
}


@pytest.mark.parametrize("name", BEST)
def test_the_best_critic_has_the_divergence_that_its_objective_claims(name):
    """No other value at any point is better."""
    objective, best, want = BEST[name]
    changes = 0.1 * np.concatenate([np.zeros((1, 3)), np.eye(3), -np.eye(3)])
    loss = jax.jit(jax.vmap(lambda c: objective.critic(c[REAL], c[FAKE])))
    best, *worse = loss((best + changes).astype(np.float32))
    np.testing.assert_allclose(best, want, rtol=1e-5)
    assert np.all(np.array(worse) > want + 1e-4)


def test_the_best_critic_of_slope_one_has_the_wasserstein_distance():
    critics = np.array([[0, i, i + j] for i in (-1, 1) for j in (-1, 1)], np.float32)
    losses = [objectives.WASSERSTEIN.critic(c[REAL], c[FAKE]) for c in critics]
    want = stats.wasserstein_distance(range(3), range(3), P, Q)
    np.testing.assert_allclose(min(losses), -want, rtol=1e-6)


def test_the_relativistic_critic_learns_the_odds_of_a_pair():
    """Of two values alone: one is real and the other fake, the first with odds p0 q1 : p1 q0."""
    p, q = np.array([0.75, 0.25]), np.array([0.25, 0.75])
    first, second = p[0] * q[1], p[1] * q[0]
    real, fake = (np.repeat([0, 1], (4 * a).astype(int)) for a in (p, q))
    real, fake = np.repeat(real, 4), np.tile(fake, 4)  # all pairs
    found = jax.jit(lambda c: objectives.RELATIVISTIC.critic(c[real], c[fake]))
    best = np.array([np.log(first / second), 0.0], np.float32)
    odds = np.array([first, second]) / (first + second)
    want = (first + second) * stats.entropy(odds) + (1.0 - first - second) * np.log(2.0)
    np.testing.assert_allclose(found(best), want, rtol=1e-5)
    for change in (0.2, -0.2):
        assert found(best + np.array([change, 0.0], np.float32)) > want + 1e-4


def test_relativistic_averages_compare_with_the_mean_of_the_other_side():
    """By their formula over all critics of two values, which differ by d; zero at p = q."""
    p, q = np.array([0.75, 0.25]), np.array([0.25, 0.75])
    real, fake = (np.repeat([0, 1], (4 * a).astype(int)) for a in (p, q))

    def formula(d, loss):
        c = np.array([d, 0.0])
        return p @ loss(c - q @ c) + q @ loss(p @ c - c)

    for objective, loss in [
        (objectives.RELATIVISTIC_AVERAGE, lambda r: softplus(-r)),
        (objectives.RELATIVISTIC_LEAST_SQUARES, lambda r: (r - 1.0) ** 2),
    ]:
        best = optimize.minimize_scalar(formula, args=(loss,))
        c = np.array([best.x, 0.0], np.float32)
        np.testing.assert_allclose(objective.critic(c[real], c[fake]), best.fun, rtol=1e-5)
        np.testing.assert_allclose(
            objective.generator(c[real], c[fake]), objective.critic(c[fake], c[real]), rtol=1e-6
        )
        assert best.fun < formula(0.0, loss) - 0.01


def test_objectives_of_generators_at_known_scores():
    real, fake = np.array([1.0, -2.0], np.float32), np.array([0.5, 3.0], np.float32)
    want = {
        objectives.MINIMAX: -softplus(fake).mean(),
        objectives.NON_SATURATING: softplus(-fake).mean(),
        objectives.WASSERSTEIN: -1.75,
        objectives.LEAST_SQUARES: 0.5 * (0.25 + 4.0) / 2,
        objectives.HINGE: -1.75,
        objectives.RELATIVISTIC: softplus(real - fake).mean(),
        objectives.FISHER: -1.75,
        objectives.f_gan(divergences.KL): -2.75,  # t = 1 + c
        objectives.f_gan(divergences.KL, saturating=True): -np.exp(fake).mean(),
    }
    for objective, value in want.items():
        np.testing.assert_allclose(objective.generator(real, fake), value, rtol=1e-6)


def test_metrics_say_what_the_critic_sees():
    real, fake = np.array([1.0, 2.0], np.float32), np.array([1.5, 0.5], np.float32)
    assert objectives.RELATIVISTIC.metrics(real, fake)["accuracy"] == 0.5
    found = objectives.f_gan(divergences.JENSEN_SHANNON).metrics(real, fake)
    want = np.log(2.0) + 0.5 * (special.log_expit(real).mean() + special.log_expit(-fake).mean())
    np.testing.assert_allclose(found["divergence"], want, rtol=1e-6)
    assert found["accuracy"] == 0.5
    still = objectives.FISHER.metrics(np.zeros(2, np.float32), np.zeros(2, np.float32))
    assert still["distance"] == 0.0


def test_non_saturating_generator_keeps_its_gradient_where_the_critic_is_sure():
    sure = jnp.full(1, -50.0)
    grad = jax.grad(objectives.NON_SATURATING.generator, argnums=1)(sure, sure)
    np.testing.assert_allclose(grad, -1.0, rtol=1e-6)


def test_an_f_without_a_conjugate_makes_no_game():
    with pytest.raises(ValueError, match="needs a divergence with a critic and a conjugate"):
        objectives.f_gan(divergences.of_function(lambda u: u * jnp.log(u)))
