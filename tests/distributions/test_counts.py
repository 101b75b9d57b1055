"""Poisson and NegativeBinomial against scipy (values) and numpyro (gradients)."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
from scipy import special, stats

from gm import distributions as dist

RATE = np.array([1e-6, 0.3, 4.0, 50.0], np.float32)
CONCENTRATION = np.array([1e-2, 0.7, 20.0, 1e6], np.float32)
COUNTS = np.array([0, 1, 3, 60, 300])


def scipy_negative_binomial(mean, concentration):
    mean, concentration = mean.astype(float), concentration.astype(float)
    return stats.nbinom(concentration, concentration / (concentration + mean))


def poisson(log_rate, x):
    return dist.Poisson(log_rate).log_prob(x)


def negative_binomial(log_mean, log_concentration, x):
    return dist.NegativeBinomial(log_mean, log_concentration).log_prob(x)


def test_poisson_equals_scipy_and_numpyro():
    rate, x = (a.reshape(-1) for a in np.meshgrid(RATE, COUNTS))
    value, grad = jax.vmap(jax.value_and_grad(poisson))(np.log(rate), x)
    # XLA's log gamma is 5e-7 off at 1.
    want = stats.poisson(rate.astype(float)).logpmf(x)
    np.testing.assert_allclose(value, want, rtol=1e-5, atol=1e-6)
    want = jax.vmap(jax.grad(lambda a, x: numpyro.Poisson(jnp.exp(a)).log_prob(x)))(np.log(rate), x)
    np.testing.assert_allclose(grad, want, rtol=1e-5, atol=1e-6)


def test_poisson_of_rate_zero_is_certain_of_zero():
    value, grad = jax.vmap(jax.value_and_grad(poisson), (None, 0))(-jnp.inf, jnp.arange(3))
    np.testing.assert_allclose(value, [0.0, -np.inf, -np.inf], atol=1e-6)
    np.testing.assert_array_equal(grad, [0.0, 1.0, 2.0])
    assert dist.Poisson(-jnp.inf).sample(jax.random.key(0)) == 0


def test_negative_counts_are_impossible_with_gradient_zero():
    value, grad = jax.value_and_grad(poisson)(0.5, -1)
    assert (value, grad) == (-np.inf, 0.0)
    value, grads = jax.value_and_grad(negative_binomial, (0, 1))(0.5, 0.1, -1)
    assert value == -np.inf
    assert grads == (0.0, 0.0)


def test_negative_binomial_equals_scipy_at_any_concentration():
    mean, r, x = (a.reshape(-1) for a in np.meshgrid(RATE, CONCENTRATION, COUNTS))
    value, grads = jax.jit(jax.vmap(jax.value_and_grad(negative_binomial, (0, 1))))(
        np.log(mean), np.log(r), x
    )
    want = scipy_negative_binomial(mean, r).logpmf(x)
    # x log r cancels against the Beta function: x ulps of log r, 300 * 1e-6 at the most.
    np.testing.assert_allclose(value, want, rtol=1e-5, atol=5e-4)
    # The gradients by hand, in float64: scipy rounds r / (r + m) to 1 at large r.
    m, r = mean.astype(float), r.astype(float)
    np.testing.assert_allclose(grads[0], r * (x - m) / (r + m), rtol=1e-4, atol=1e-4)
    slope = special.psi(x + r) - special.psi(r) - np.log1p(m / r) + (m - x) / (r + m)
    # ours is r times a difference of terms of size 1e-6 (r = 1e6) that float32 holds to 1e-7.
    np.testing.assert_allclose(grads[1], r * slope, rtol=1e-4, atol=1e-2)


def test_negative_binomial_gradients_equal_numpyro():
    mean, r, x = (a.reshape(-1) for a in np.meshgrid(RATE[1:], CONCENTRATION[1:3], COUNTS[:4]))

    def want(a, b, x):
        return numpyro.NegativeBinomial2(jnp.exp(a), jnp.exp(b)).log_prob(x)

    got, want = (
        jax.jit(jax.vmap(jax.grad(f, (0, 1))))(np.log(mean), np.log(r), x)
        for f in (negative_binomial, want)
    )
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-3, atol=1e-3)


def test_negative_binomial_approaches_poisson():
    x = jnp.arange(20)
    got = jax.vmap(negative_binomial, (None, None, 0))(jnp.log(4.0), jnp.log(1e7), x)
    np.testing.assert_allclose(got, stats.poisson(4.0).logpmf(x), atol=1e-4)


def test_masses_sum_to_one():
    x = jnp.arange(400)
    total = [
        jnp.exp(jax.vmap(lambda x: dist.Poisson(jnp.log(50.0)).log_prob(x))(x)).sum(),
        jnp.exp(
            jax.vmap(lambda x: dist.NegativeBinomial(jnp.log(9.0), jnp.log(2.0)).log_prob(x))(x)
        ).sum(),
    ]
    np.testing.assert_allclose(total, [1.0, 1.0], rtol=1e-4)


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
        np.testing.assert_allclose(jax.vmap(got.cdf)(x), want.cdf(x), rtol=2e-5, atol=1e-9)


def test_samples_follow_their_masses(key):
    n, x = 4000, np.arange(40)
    for p, want in (
        (dist.Poisson(jnp.full(n, np.log(4.0))), stats.poisson(4.0)),
        (
            dist.NegativeBinomial(jnp.full(n, np.log(4.0)), jnp.full(n, np.log(2.0))),
            stats.nbinom(2.0, 2.0 / 6.0),
        ),
    ):
        draws = np.asarray(p.sample(key))
        expected = n * want.pmf(x)
        common = expected > 5
        counts = np.bincount(draws, minlength=40)[:40]
        pooled = [counts[common], expected[common]]
        pooled = [np.append(a, n - a.sum()) for a in pooled]
        assert stats.chisquare(*pooled).pvalue > 0.01
