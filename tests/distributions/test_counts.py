"""Poisson and NegativeBinomial against scipy (values) and numpyro (gradients)."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
from scipy import special, stats

from gm import distributions as dist

RATE = np.array([1e-6, 0.3, 4.0, 50.0], np.float32)
CEILING = 2.0**30
CONCENTRATION = np.array([1e-2, 0.7, 20.0, 1e6], np.float32)
COUNTS = np.array([0, 1, 3, 60, 300])


def scipy_negative_binomial(mean, concentration):
    mean, concentration = mean.astype(float), concentration.astype(float)
    return stats.nbinom(concentration, concentration / (concentration + mean))


N = 4000  # of every call to a sampler or a score, so that each is compiled once


@jax.jit
def sampler(p, key):
    return p.sample(key)


def sample(p, key):
    """N samples of a distribution over one count, in float64."""
    many = jax.tree.map(lambda leaf: np.full(N, leaf, np.float32), p)
    return np.asarray(sampler(many, key), float)


@jax.jit
def scorer(p, x):
    return jax.vmap(jax.value_and_grad(lambda p, x: p.log_prob(x)))(p, x)


def score(p, x):
    """log p(x) and its gradients in the parameters, for a batch of both, at most N."""
    many = jax.tree.map(lambda leaf: np.resize(leaf, N).astype(np.float32), p)
    value_and_grads = scorer(many, np.resize(x, N).astype(np.int32))
    return jax.tree.map(lambda leaf: np.asarray(leaf[: len(x)]), value_and_grads)


def test_poisson_equals_scipy_and_numpyro():
    rate, x = (a.reshape(-1) for a in np.meshgrid(RATE, COUNTS))
    value, grads = score(dist.Poisson(np.log(rate)), x)
    # XLA's log gamma is 5e-7 off at 1.
    want = stats.poisson(rate.astype(float)).logpmf(x)
    np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-6)
    want = jax.jit(jax.vmap(jax.grad(lambda a, x: numpyro.Poisson(jnp.exp(a)).log_prob(x))))(
        np.log(rate), x
    )
    np.testing.assert_allclose(grads.log_rate, want, rtol=1e-5, atol=1e-6)


def test_poisson_of_rate_zero_is_certain_of_zero():
    value, grads = score(dist.Poisson(np.full(3, -np.inf, np.float32)), np.arange(3))
    np.testing.assert_allclose(value, [0.0, -np.inf, -np.inf], atol=1e-6)
    np.testing.assert_array_equal(grads.log_rate, [0.0, 1.0, 2.0])
    assert not sample(dist.Poisson(-np.inf), jax.random.key(0)).any()


def test_poisson_of_many_keeps_its_accuracy():
    """x log rate - rate - log x! cancels: terms of 2e10 nats lost 1e3 of them at a rate of 1e9."""
    rate = np.array([17.0, 1e3, 1e5, 1e7, 1e9], np.float32)
    for z in (-3.0, 0.0, 2.0):
        x = np.round(rate + z * np.sqrt(rate)).astype(np.int32)
        value, grads = score(dist.Poisson(np.log(rate)), x)
        exact = np.exp(np.log(rate).astype(float))  # what float32 holds of the logarithm
        # An ulp of the log rate moves the score by 1e-6 sqrt(x) z.
        np.testing.assert_allclose(value, stats.poisson(exact).logpmf(x), atol=0.2, rtol=1e-5)
        np.testing.assert_allclose(value[:3], stats.poisson(exact[:3]).logpmf(x[:3]), atol=1e-3)
        np.testing.assert_allclose(grads.log_rate[:3], x[:3] - exact[:3], atol=0.05, rtol=1e-4)


def test_a_large_rate_is_sampled_with_its_moments(key):
    """float32 spoils the acceptance test of jax's sampler: kurtosis 15 in place of 3 at 1e9."""
    for rate in (7e4, 1e9):
        exact = np.exp(np.float64(np.float32(np.log(rate))))  # what float32 holds of the logarithm
        z = (sample(dist.Poisson(np.log(rate)), key) - exact) / np.sqrt(exact)
        assert stats.kstest(z, stats.norm.cdf).pvalue > 0.01


def test_a_log_rate_beyond_the_ceiling_is_the_ceiling_with_a_gradient(key):
    """A rate of exp(90) has no float32; its samples were 0 and its mean infinite."""
    for log_rate in (90.0, np.inf):
        p = dist.Poisson(np.full(3, log_rate, np.float32))
        x = sample(dist.Poisson(log_rate), key)
        assert np.all(np.abs(x - CEILING) < 6.0 * np.sqrt(CEILING))
        np.testing.assert_allclose(p.mean(), CEILING, rtol=1e-4)
        assert np.all(score(p, x[:3])[0] > -40.0)
        _, grads = score(p, np.full(3, 5))
        np.testing.assert_allclose(grads.log_rate, -CEILING, rtol=1e-4)
    p = dist.NegativeBinomial(np.float32(90.0), np.float32(1.0))
    x = sample(p, key)
    np.testing.assert_allclose(p.mean(), CEILING, rtol=1e-4)
    assert np.all(x > 0.0)
    assert np.all(np.isfinite(score(p, x)[0]))
    assert dist.kl_divergence(dist.Poisson(90.0), dist.Poisson(np.inf)) == 0.0


def test_negative_counts_are_impossible_with_gradient_zero():
    half = np.full(2, 0.5, np.float32)
    for p in (dist.Poisson(half), dist.NegativeBinomial(half, half)):
        value, grads = score(p, np.array([-1, -(2**31)]))
        np.testing.assert_array_equal(value, [-np.inf, -np.inf])
        assert not np.any(jax.tree.leaves(grads))


def test_negative_binomial_equals_scipy_at_any_concentration():
    mean, r, x = (a.reshape(-1) for a in np.meshgrid(RATE, CONCENTRATION, COUNTS))
    value, grads = score(dist.NegativeBinomial(np.log(mean), np.log(r)), x)
    want = scipy_negative_binomial(mean, r).logpmf(x)
    # x log r cancels against the Beta function: x ulps of log r, 300 * 1e-6 at the most.
    np.testing.assert_allclose(value, want, rtol=1e-5, atol=5e-4)
    # The gradients by hand, in float64: scipy rounds r / (r + m) to 1 at large r.
    m, r = mean.astype(float), r.astype(float)
    np.testing.assert_allclose(grads.log_mean, r * (x - m) / (r + m), rtol=1e-4, atol=1e-4)
    slope = special.psi(x + r) - special.psi(r) - np.log1p(m / r) + (m - x) / (r + m)
    # ours is r times a difference of terms of size 1e-6 (r = 1e6) that float32 holds to 1e-7.
    np.testing.assert_allclose(grads.log_concentration, r * slope, rtol=1e-4, atol=1e-2)


def test_negative_binomial_gradients_equal_numpyro():
    mean, r, x = (a.reshape(-1) for a in np.meshgrid(RATE[1:], CONCENTRATION[1:3], COUNTS[:4]))

    def log_prob(p, x):
        return numpyro.NegativeBinomial2(
            jnp.exp(p.log_mean), jnp.exp(p.log_concentration)
        ).log_prob(x)

    p = dist.NegativeBinomial(np.log(mean), np.log(r))
    _, got = score(p, x)
    want = jax.jit(jax.vmap(jax.grad(log_prob)))(p, x)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-3, atol=1e-3)  # the oracle cancels


def test_negative_binomial_approaches_poisson():
    x, mean, r = np.arange(20), np.full(20, 4.0, np.float32), np.full(20, 1e7, np.float32)
    got, _ = score(dist.NegativeBinomial(np.log(mean), np.log(r)), x)
    np.testing.assert_allclose(got, stats.poisson(4.0).logpmf(x), atol=1e-4)


def test_masses_sum_to_one():
    log_mean, log_r = np.full(400, np.log(20.0), np.float32), np.full(400, 1.0, np.float32)
    for p in (dist.Poisson(log_mean), dist.NegativeBinomial(log_mean, log_r)):
        np.testing.assert_allclose(np.exp(score(p, np.arange(400))[0]).sum(), 1.0, rtol=1e-4)


def test_means_modes_and_cdfs_equal_scipy():
    rate, r = np.array([0.3, 4.6, 50.2], np.float32), np.array([0.5, 3.0, 20.0], np.float32)
    poisson, counts = dist.Poisson(np.log(rate)), dist.NegativeBinomial(np.log(rate), np.log(r))
    np.testing.assert_allclose(poisson.mean(), rate, rtol=1e-5)
    np.testing.assert_allclose(counts.mean(), rate, rtol=1e-5)
    grid = np.arange(200)[:, None]
    wants = stats.poisson(rate.astype(float)), scipy_negative_binomial(rate, r)
    np.testing.assert_array_equal(poisson.mode(), wants[0].pmf(grid).argmax(0))
    np.testing.assert_array_equal(counts.mode(), wants[1].pmf(grid).argmax(0))
    x = jnp.array([[-1, -1, -1], [0, 0, 0], [1, 4, 60]])
    for got, want in zip((poisson, counts), wants, strict=True):
        np.testing.assert_allclose(jax.jit(jax.vmap(got.cdf))(x), want.cdf(x), rtol=2e-5, atol=1e-9)


def test_samples_follow_their_masses(key):
    x = np.arange(40)
    for p, want in (
        (dist.Poisson(np.log(4.0)), stats.poisson(4.0)),
        (dist.NegativeBinomial(np.log(4.0), np.log(2.0)), stats.nbinom(2.0, 2.0 / 6.0)),
    ):
        expected = N * want.pmf(x)
        common = expected > 5
        counts = np.bincount(sample(p, key).astype(int), minlength=40)[:40]
        pooled = [np.append(a[common], N - a[common].sum()) for a in (counts, expected)]
        assert stats.chisquare(*pooled).pvalue > 0.01
