"""Dirichlet against scipy (values) and numpyro (gradients), inside, on the edge and off it."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
from scipy import stats

from gm import distributions as dist

A = np.array([0.5, 2.0, 7.5], np.float32)
X = np.array([[0.2, 0.3, 0.5], [1e-6, 0.5, 0.499999], [0.98, 0.01, 0.01]], np.float32)


def log_prob(a, x):
    return dist.Dirichlet(a).log_prob(x)


def test_log_prob_equals_scipy_and_its_gradients_numpyro():
    value, grads = jax.jit(jax.vmap(jax.value_and_grad(log_prob, (0, 1)), (None, 0)))(A, X)
    exact = X.astype(float) / X.astype(float).sum(1, keepdims=True)
    want = [stats.dirichlet(A.astype(float)).logpdf(x) for x in exact]
    np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-5)
    want = jax.jit(
        jax.vmap(jax.grad(lambda a, x: numpyro.Dirichlet(a).log_prob(x), (0, 1)), (None, 0))
    )(A, X)
    for g, w in zip(grads, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-5)


def test_the_edge_and_what_is_off_the_simplex():
    value, grad = jax.jit(jax.vmap(jax.value_and_grad(log_prob)))(
        np.array([[1.0, 1.0, 1.0], [2.0, 1.0, 1.0], [0.5, 1.0, 1.0], [0.5, 2.0, 1.0]] + 3 * [A]),
        np.array(
            [[0.0, 0.4, 0.6]] * 3
            + [[0.0, 0.0, 1.0], [0.5, 0.5, 0.5], [-0.5, 0.5, 1.0], [0.1, 0.1, 0.1]],
            np.float32,
        ),
    )
    np.testing.assert_allclose(value[:3], [np.log(2.0), -np.inf, np.inf], rtol=1e-5)
    np.testing.assert_array_equal(value[3:], np.full(4, -np.inf))
    assert np.all(np.isfinite(grad))


def test_moments_equal_scipy():
    p, want = dist.Dirichlet(jnp.asarray(A)), stats.dirichlet(A.astype(float))
    np.testing.assert_allclose(p.mean(), want.mean(), rtol=1e-6)
    np.testing.assert_allclose(p.entropy(), want.entropy(), rtol=1e-5)
    assert np.all(np.isnan(p.mode()))
    peak = dist.Dirichlet(jnp.array([2.0, 3.0, 4.0]))
    np.testing.assert_allclose(peak.mode(), np.array([1.0, 2.0, 3.0]) / 6.0, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(peak.log_prob)(peak.mode()), np.full(3, 6.0), rtol=1e-5)


def test_the_density_integrates_to_one():
    """K = 2 is a Beta: one coordinate is free."""
    x = np.linspace(0.0, 1.0, 2001, dtype=np.float32)
    pairs = jnp.stack([x, 1.0 - x], -1)
    density = jnp.exp(jax.jit(jax.vmap(log_prob, (None, 0)))(jnp.array([2.5, 4.0]), pairs))
    np.testing.assert_allclose(np.trapezoid(density, x), 1.0, rtol=1e-4)


def test_samples_lie_on_the_simplex_with_beta_marginals(key):
    p = dist.Dirichlet(jnp.asarray(A))
    x = jax.jit(jax.vmap(p.sample))(jax.random.split(key, 2000))
    assert np.all(np.isfinite(jax.jit(jax.vmap(p.log_prob))(x)))
    for k in range(3):
        assert stats.kstest(x[:, k], stats.beta(A[k], A.sum() - A[k]).cdf).pvalue > 0.01


def test_samples_of_small_concentrations_have_finite_scores_and_beta_marginals(key):
    """Half of them are below the smallest normal float: at 0, where they were, p is infinite."""
    a = np.array([0.01, 0.02, 0.03], np.float32)
    p = dist.Dirichlet(jnp.asarray(a))
    x, log_prob = jax.jit(jax.vmap(p.sample_and_log_prob))(jax.random.split(key, 2000))
    x, tiny = np.asarray(x, float), np.finfo(np.float32).tiny
    assert np.all(np.isfinite(log_prob))
    np.testing.assert_allclose(x.sum(1), 1.0, rtol=1e-6)
    for k in range(3):
        beta = stats.beta(a[k], a.sum() - a[k])
        above = x[:, k] > tiny
        fraction = beta.sf(tiny)
        spread = np.sqrt(fraction * (1.0 - fraction) / 2000)
        assert abs(above.mean() - fraction) < 4 * spread
        # float32 has no numbers between 1 - 6e-8 and 1: those are compared as one.
        bins = np.array([tiny, 1e-25, 1e-12, 1e-4, 0.5, 1.0 - 1e-6, 1.1])
        expected = np.diff(beta.cdf(bins)) * 2000
        found = np.histogram(x[above, k], bins)[0]
        keep = expected > 5
        z = (found - expected)[keep] / np.sqrt(expected[keep])
        assert np.all(np.abs(z) < 4.0), (found, expected)


def test_gradients_through_samples_are_those_of_the_mean(key):
    """d E[x] / d a = (δ_jk A - a_k) / A^2, by gradients of 4000 samples."""
    slope = jax.jacobian(lambda a, key: dist.Dirichlet(a).sample(key))
    got = jax.jit(jax.vmap(slope, (None, 0)))(jnp.asarray(A), jax.random.split(key, 4000))
    want = np.eye(3) / A.sum() - A[:, None] / A.sum() ** 2
    error = np.std(got, 0) / np.sqrt(4000)
    np.testing.assert_array_less(np.abs(np.mean(got, 0) - want), 4 * error)
