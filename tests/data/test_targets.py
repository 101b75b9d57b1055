"""Targets of variational inference: densities by scipy, samples by what a density says of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gm.data import targets

NUM = 4000


def sampled(target):
    keys = jax.random.split(jax.random.key(0), NUM)
    x = jax.jit(jax.vmap(target.sample))(keys)
    return x, np.asarray(jax.jit(jax.vmap(target.log_prob))(x)), np.asarray(x, np.float64)


def test_a_banana_is_a_bent_gaussian():
    _, log_prob, x = sampled(targets.Banana(4.0, 0.2))
    rest = x[:, 1] - 0.2 * (x[:, 0] ** 2 - 16.0)
    want = stats.norm(0.0, 4.0).logpdf(x[:, 0]) + stats.norm.logpdf(rest)
    np.testing.assert_allclose(log_prob, want, rtol=1e-4, atol=1e-3)
    for z in (x[:, 0] / 4.0, rest):
        assert stats.kstest(z, "norm").pvalue > 1e-4
    assert abs(stats.pearsonr(x[:, 0], rest).statistic) < 4.0 / np.sqrt(NUM)


def test_a_funnel_has_the_scale_that_its_first_element_says():
    _, log_prob, x = sampled(targets.Funnel(3, 2.0))
    scales = np.exp(0.5 * x[:, :1])
    want = stats.norm(0.0, 2.0).logpdf(x[:, 0]) + stats.norm(0.0, scales).logpdf(x[:, 1:]).sum(1)
    np.testing.assert_allclose(log_prob, want, rtol=1e-4, atol=1e-3)
    for z in (x[:, 0] / 2.0, (x[:, 1:] / scales).ravel()):
        assert stats.kstest(z, "norm").pvalue > 1e-4


SCHOOLS = targets.EIGHT_SCHOOLS
Y, ERRORS = np.array(SCHOOLS.effects), np.array(SCHOOLS.errors)


def test_the_joint_of_eight_schools_is_its_parts_and_its_normaliser_the_integral():
    x = np.array([4.0, 1.2, *np.linspace(-5.0, 20.0, 8)])
    tau = np.exp(x[1])
    want = stats.norm(0.0, 5.0).logpdf(x[0]) + stats.halfcauchy(0.0, 5.0).logpdf(tau) + x[1]
    want += stats.norm(x[0], tau).logpdf(x[2:]).sum() + stats.norm(x[2:], ERRORS).logpdf(Y).sum()
    np.testing.assert_allclose(SCHOOLS.log_joint(jnp.asarray(x, jnp.float32)), want, rtol=1e-5)

    def marginal(tau):
        covariance = np.diag(ERRORS**2 + tau**2) + 25.0
        likelihood = stats.multivariate_normal(np.zeros(8), covariance).pdf(Y)
        return likelihood * stats.halfcauchy(0.0, 5.0).pdf(tau)

    whole, _ = integrate.quad(marginal, 0.0, np.inf, epsabs=0.0)
    np.testing.assert_allclose(SCHOOLS.log_normalizer, np.log(whole), rtol=1e-6)


def test_samples_of_eight_schools_are_those_of_its_joint():
    """Stein's identity, E [f ∂_i log p + ∂_i f] = 0, for f that keep the variance finite."""
    x, _, wide = sampled(SCHOOLS)
    score = np.asarray(jax.jit(jax.vmap(jax.grad(SCHOOLS.log_joint)))(x), np.float64)
    mean, tau, off = wide[:, 0], np.exp(wide[:, 1]), wide[:, 2:] - wide[:, :1]
    terms = {
        "log tau": score[:, 1],
        "mu": tau * score[:, 0],
        "mu squared": mean * tau * score[:, 0] + tau,
        **{f"theta {j}": tau * score[:, 2 + j] for j in range(8)},
        **{f"theta {j} squared": off[:, j] * score[:, 2 + j] + 1.0 for j in range(8)},
    }
    for name, term in terms.items():
        assert abs(term.mean()) < 4.5 * term.std() / np.sqrt(NUM), name


@pytest.mark.parametrize("target", [targets.BANANA, targets.FUNNEL, SCHOOLS])
def test_targets_are_values(target):
    assert hash(target) == hash(type(target)())
