"""The discretised logistic against differences of scipy's cdf in float64, and at its edges."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import stats

from gm import distributions as dist

K = 17
X = np.arange(K)


def reference(loc, scale, num_values=K):
    """Bin probabilities by scipy, each from the tail where it does not cancel."""
    ends = (2 * np.arange(1, num_values) - 1) / (num_values - 1) - 1
    left, right = np.concatenate([[-np.inf], ends]), np.concatenate([ends, [np.inf]])
    p = stats.logistic(loc, scale)
    return np.where(left > loc, p.sf(left) - p.sf(right), p.cdf(right) - p.cdf(left))


@jax.jit
@jax.vmap
def table(loc, scale):
    """[K] log probabilities, and their gradients."""
    log_prob = jax.value_and_grad(
        lambda m, s, x: dist.DiscretizedLogistic(m, s, K).log_prob(x), (0, 1)
    )
    return jax.vmap(lambda x: log_prob(loc, scale, x))(jnp.arange(K))


LOC = np.array([0.0, 0.3, -1.0, 1.7, -1.06, 0.1, 0.9], np.float32)
SCALE = np.array([0.5, 0.05, 0.2, 0.3, 1e-2, 100.0, 3.0], np.float32)


def test_log_prob_equals_scipy():
    got, _ = table(LOC, SCALE)
    want = [reference(m, s) for m, s in zip(LOC.astype(float), SCALE.astype(float), strict=True)]
    # The float32 bin ends move by 1e-7 / scale in standard units.
    np.testing.assert_allclose(got, np.log(want), rtol=1e-5, atol=2e-5)


def test_probabilities_sum_to_one_even_for_tiny_and_huge_scales():
    loc = np.array([0.0, 0.3, -1.0, 50.0, 0.01, 0.0], np.float32)
    scale = np.array([1e-6, 1e-3, 1e-20, 0.5, 1e6, 0.2], np.float32)
    np.testing.assert_allclose(jnp.exp(table(loc, scale)[0]).sum(-1), np.ones(6), rtol=1e-5)


def test_gradients_equal_differences_of_the_numpyro_cdf():
    def log_mass(m, s, x):
        end = (2.0 * x + 1.0) / (K - 1) - 1.0
        right = jnp.where(x == K - 1, 1.0, numpyro.Logistic(m, s).cdf(end))
        left = jnp.where(x == 0, 0.0, numpyro.Logistic(m, s).cdf(end - 2.0 / (K - 1)))
        return jnp.log(right - left)

    want = jax.vmap(
        lambda m, s: jax.vmap(jax.grad(log_mass, (0, 1)), (None, None, 0))(m, s, jnp.arange(17.0))
    )(LOC[:3:2], SCALE[:3:2])
    _, got = table(LOC[:3:2], SCALE[:3:2])
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-3, atol=1e-3)  # the oracle cancels


def test_far_tails_have_the_right_value_and_finite_gradients():
    """At 2e5 scales from the centre any difference of cdfs is log 0."""
    value, grads = table(np.array([1.0], np.float32), np.array([1e-5], np.float32))
    # log sigmoid(b) = b there, and the last bin's left end is a half bin below loc.
    want = ((2 * X[:-1] + 1) / (K - 1) - 2.0) / 1e-5
    np.testing.assert_allclose(value[0, :-1], want, rtol=1e-4)
    np.testing.assert_allclose(grads[0][0, :-1], np.full(K - 1, -1e5), rtol=1e-4)
    assert np.all(np.isfinite(grads[1]))
    assert value[0, -1] == 0.0


@pytest.mark.parametrize("x", [-1, K])
def test_values_outside_are_impossible_with_gradient_zero(x):
    value, grads = jax.jit(
        jax.value_and_grad(lambda m, s: dist.DiscretizedLogistic(m, s, K).log_prob(x), (0, 1))
    )(0.0, 0.1)
    assert value == -np.inf
    assert grads == (0.0, 0.0)


def test_two_values_are_a_logistic_regression():
    p = jax.jit(jax.vmap(dist.DiscretizedLogistic(0.3, 0.5, 2).log_prob))(jnp.arange(2))
    np.testing.assert_allclose(
        jnp.exp(p), [stats.logistic.cdf(-0.6), stats.logistic.cdf(0.6)], rtol=1e-6
    )


def test_moments_and_cdf_equal_sums_over_the_bins():
    p = dist.DiscretizedLogistic(LOC, SCALE, K)
    mean, mode, entropy = jax.jit(lambda p: (p.mean(), p.mode(), p.entropy()))(p)
    probs = np.stack([reference(m, s) for m, s in zip(LOC, SCALE, strict=True)])
    np.testing.assert_allclose(mean, probs @ X, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(mode, probs.argmax(1))
    np.testing.assert_allclose(entropy, stats.entropy(probs, axis=1).sum(), rtol=1e-4)
    for x in (-1, 0, 8, K - 1, K):
        want = probs[:, : x + 1].sum(1) if x >= 0 else np.zeros(7)
        np.testing.assert_allclose(p.cdf(jnp.full(7, x)), want, rtol=1e-4, atol=1e-9)


def test_samples_follow_the_bins(key):
    p = dist.DiscretizedLogistic(jnp.full(5000, 0.6), jnp.full(5000, 0.2), K)
    counts = np.bincount(p.sample(key), minlength=K)
    expected = 5000 * reference(0.6, 0.2)
    # Bins expected less than five times are pooled, as chi-square asks.
    rare = expected < 5
    pooled = [np.append(a[~rare], a[rare].sum()) for a in (counts, expected)]
    assert stats.chisquare(*pooled).pvalue > 0.01


def test_samples_stay_in_range_for_a_huge_scale(key):
    p = dist.DiscretizedLogistic(jnp.zeros(100), jnp.full(100, 1e30), K)
    assert set(np.unique(p.sample(key))) == {0, K - 1}
