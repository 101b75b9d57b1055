"""Concrete distributions: densities integrate to one, samples follow them, gradients are right."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from gm import distributions as dist
from gm.core import Event
from gm.losses import relaxations

LOGITS, T = 0.8, 0.6


def binary(x):
    """Density of sigmoid((a + L) / t) by the change of variables."""
    y = special.logit(x)
    return stats.logistic.pdf(T * y - LOGITS) * T / (x * (1 - x))


def test_the_binary_density_is_that_of_the_squashed_logistic():
    d = dist.RelaxedBernoulli(jnp.float32(LOGITS), jnp.float32(T))
    x = np.array([0.01, 0.3, 0.5, 0.9, 0.999])
    got = jax.vmap(d.log_prob)(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(got, np.log(binary(x)), rtol=1e-4)
    assert integrate.quad(binary, 0, 1)[0] == pytest.approx(1.0, abs=1e-6)
    samples = np.asarray(jax.vmap(d.sample)(jax.random.split(jax.random.key(0), 4000)))

    def cdf(x):
        return stats.logistic.cdf(T * special.logit(x) - LOGITS)

    assert stats.kstest(samples, cdf).pvalue > 1e-4
    assert np.mean(d.hard(samples)) == pytest.approx(special.expit(LOGITS), abs=0.03)


def test_the_density_on_the_simplex_integrates_to_one_over_two_of_three_values():
    """In softmax coordinates: x = softmax(y_1, y_2, 0), whose Jacobian is x_1 x_2 x_3."""
    d = dist.RelaxedCategorical(jnp.array([0.5, -0.3, 0.0]), jnp.float32(T))
    axis = np.linspace(-25.0, 25.0, 251)
    y = np.stack([*np.meshgrid(axis, axis), np.zeros((251, 251))], -1).reshape(-1, 3)
    x = special.softmax(y, axis=1).astype(np.float32)
    log_p = np.asarray(jax.vmap(d.log_prob)(jnp.asarray(np.maximum(x, 1e-37))), np.float64)
    weights = np.exp(log_p + np.log(np.maximum(x, 1e-37)).astype(np.float64).sum(1)) * 0.2**2
    assert weights.sum() == pytest.approx(1.0, abs=2e-3)
    # The largest value is the Categorical's sample.
    got = [weights[x.argmax(1) == k].sum() for k in range(3)]
    np.testing.assert_allclose(got, special.softmax([0.5, -0.3, 0.0]), atol=0.02)


def test_samples_at_the_ends_of_float32_have_finite_densities():
    for d in (
        dist.RelaxedBernoulli(jnp.array([30.0, -30.0, 200.0]), jnp.float32(0.1)),
        dist.RelaxedCategorical(jnp.array([[40.0, 0.0, -40.0]]), jnp.float32(0.1)),
    ):
        x, log_p = dist.sample_and_log_prob(d, jax.random.key(1))
        assert np.isfinite(log_p)
        assert np.all((np.asarray(x) > 0.0) & (np.asarray(x) <= 1.0))


class Bit:
    """z is a bit, x ~ N(2 z² + z / 2, 1): the relaxed likelihood is a curve in z."""

    event = Event((1,))

    def prior(self, params):
        return dist.Bernoulli(jnp.zeros(1))

    def encode(self, params, x):
        return dist.Bernoulli(params[None])

    def decode(self, params, z):
        z = z.astype(jnp.float32)
        return dist.Normal(2.0 * z * z + 0.5 * z, jnp.ones(1))


def test_the_relaxed_bound_and_its_gradient_are_those_of_the_relaxed_z(key):
    """By quadrature over the noise; straight-through has the value of the discrete bound."""
    x, a = 1.3, jnp.float32(0.4)
    u = (np.arange(20_000) + 0.5) / 20_000
    noise = special.logit(u)

    def value(a):
        z = special.expit((a + noise) / 0.5)
        kl = special.expit(a) * a - np.logaddexp(0, a) + np.log(2.0)
        return np.mean(stats.norm.logpdf(x, 2 * z * z + z / 2)) - kl

    def loss(a, key, **options):
        batch = {"x": jnp.full((1, 1), x, jnp.float32)}
        return relaxations.relaxed_loss(Bit(), a, key, batch, num_samples=1000, **options)[0]

    keys = jax.random.split(key, 100)
    soft = jax.jit(jax.vmap(jax.value_and_grad(loss), (None, 0)))(a, keys)
    hard = jax.jit(jax.vmap(lambda k: loss(a, k, straight_through=True)))(keys)
    slope = (value(0.4 + 1e-4) - value(0.4 - 1e-4)) / 2e-4
    p = special.expit(0.4)
    kl = p * 0.4 - np.logaddexp(0, 0.4) + np.log(2.0)
    discrete = (1 - p) * stats.norm.logpdf(x) + p * stats.norm.logpdf(x, 2.5) - kl
    for got, want in zip((*soft, hard), (value(0.4), slope, discrete), strict=True):
        got = -np.asarray(got, np.float64)
        assert abs(got.mean() - want) < 5 * stats.sem(got) + 1e-4 < 0.02


def test_helpers_and_wrong_kinds():
    np.testing.assert_array_equal(dist.one_hot(jnp.array([1]), 3), [[0.0, 1.0, 0.0]])
    soft = jnp.array([0.2, 0.8])
    np.testing.assert_array_equal(dist.one_hot(soft, 2), soft)
    value, slope = jax.value_and_grad(lambda s: dist.straight_through(jnp.ones(()), s**2))(0.5)
    assert (value, slope) == (1.0, 1.0)
    with pytest.raises(TypeError, match="a Bernoulli or a Categorical; got Normal"):
        dist.relax(dist.Normal(jnp.zeros(1), jnp.ones(1)), 0.5)
    with pytest.raises(ValueError, match=r"positive temperature; got -1\.0"):
        dist.relax(dist.Bernoulli(jnp.zeros(1)), -1.0)
