import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm.metrics import importance

LOG_PROB = stats.norm(0, np.sqrt(2)).logpdf(1.3)  # of the linear Gaussian model at x = 1.3
WIDE = 2.0  # q's standard deviation over the posterior's


def _estimate(model, params, key, num_samples, chunk=50):
    x = jnp.float32(1.3)
    return importance.estimate(model, params, key, x, num_samples=num_samples, chunk=chunk)


estimate = jax.jit(_estimate, static_argnames=("model", "num_samples", "chunk"))


def test_the_true_posterior_gives_log_p_with_equal_weights(linear_gaussian, key):
    """Seven samples in chunks of three: the surplus of the last chunk weighs nothing."""
    got = estimate(linear_gaussian, 1.0, key, 7, chunk=3)
    np.testing.assert_allclose(got.log_prob, LOG_PROB, rtol=1e-6)
    np.testing.assert_allclose(got.effective_sample_size, 7, rtol=1e-5)


def test_the_bound_is_below_log_p_and_rises_with_samples(linear_gaussian, key):
    """And the mean of the weights themselves has no bias."""
    keys = jax.random.split(key, 4_000)
    means = []
    for num_samples in (1, 25):
        run = functools.partial(_estimate, linear_gaussian, WIDE, num_samples=num_samples)
        log_probs = np.asarray(jax.jit(jax.vmap(run))(keys).log_prob, np.float64)
        means.append(log_probs.mean())
        weights = np.exp(log_probs - LOG_PROB)
        # Five standard errors of the mean: one false alarm in a million.
        assert abs(weights.mean() - 1) < 5 * stats.sem(weights)
    assert means[0] < means[1] < LOG_PROB
    # E log w for one sample: log p(x) - KL(q || posterior).
    kl = (WIDE**2 - 1) / 2 - np.log(WIDE)
    np.testing.assert_allclose(means[0], LOG_PROB - kl, atol=0.15)  # std of log w is 2.1


def test_the_effective_sample_size_is_that_of_two_gaussians(linear_gaussian, key):
    """E w² / (E w)² = a² / sqrt(2 a² - 1) for a proposal a times as wide."""
    got = estimate(linear_gaussian, WIDE, key, 20_000, chunk=2_000)
    want = np.sqrt(2 * WIDE**2 - 1) / WIDE**2
    np.testing.assert_allclose(got.effective_sample_size / 20_000, want, rtol=0.03)
    np.testing.assert_allclose(got.log_prob, LOG_PROB, atol=0.03)  # weights' std 0.7, / sqrt(K)


def test_chunks_change_nothing_but_rounding(linear_gaussian, key):
    chunks = [estimate(linear_gaussian, WIDE, key, 20, chunk) for chunk in (7, 100)]
    for got in chunks[1:]:
        np.testing.assert_allclose(got, chunks[0], rtol=1e-5)


def test_weights_far_below_the_float_range_do_not_underflow(linear_gaussian, key):
    """log p(x) = -2.5e5 at x = 1000."""
    far = functools.partial(importance.log_prob, linear_gaussian, num_samples=4, chunk=2)
    got = jax.jit(far)(1.0, key, jnp.float32(1000.0))
    np.testing.assert_allclose(got, stats.norm(0, np.sqrt(2)).logpdf(1000.0), rtol=1e-6)


def test_wrong_calls_have_a_clear_error(linear_gaussian, sampler, key):
    with pytest.raises(ValueError, match="at least 1; got 0"):
        estimate(linear_gaussian, 1.0, key, 0)
    with pytest.raises(TypeError, match="prior, encode, decode; Sampler offers sample"):
        estimate(sampler, 1.0, key, 1)
