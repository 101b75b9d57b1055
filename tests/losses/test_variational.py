import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import distributions as dist
from gm.core import Event
from gm.losses import variational


@dataclasses.dataclass(frozen=True)
class LinearGaussian:
    """z ~ N(0, 1), x | z ~ N(z, 1); q(z | x) = N(x / 2 + params, 1 / 2), exact at params = 0."""

    event: Event = Event((1,))

    def prior(self, params):
        return dist.Normal(jnp.zeros(1), jnp.ones(1))

    def encode(self, params, x):
        return dist.Normal(x / 2 + params, jnp.full(1, np.sqrt(0.5)))

    def decode(self, params, z):
        return dist.Normal(z, jnp.ones(1))


MODEL = LinearGaussian()
MARGINAL = stats.norm(0.0, np.sqrt(2.0))


@pytest.fixture(scope="module")
def x():
    return jax.random.normal(jax.random.key(1), (64, 1)) * np.sqrt(2.0)


@pytest.mark.parametrize("num_samples", [1, 7])
def test_iwae_is_exact_at_the_true_posterior(num_samples, x, key):
    """Every weight equals p(x) when q is the posterior, so one sample suffices."""
    loss, _ = variational.negative_iwae(MODEL, jnp.zeros(1), key, {"x": x}, num_samples=num_samples)
    np.testing.assert_allclose(loss, -MARGINAL.logpdf(x).mean(), rtol=1e-5)


def test_sampled_elbo_is_exact_at_the_true_posterior(x, key):
    loss, metrics = variational.negative_elbo(MODEL, jnp.zeros(1), key, {"x": x}, analytic_kl=False)
    np.testing.assert_allclose(loss, -MARGINAL.logpdf(x).mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics["elbo"], -loss, rtol=1e-6)


def test_analytic_and_sampled_kl_agree_in_expectation(x, key):
    analytic, _ = variational.negative_elbo(MODEL, jnp.ones(1), key, {"x": x}, num_samples=2000)
    sampled, _ = variational.negative_elbo(
        MODEL, jnp.ones(1), key, {"x": x}, num_samples=2000, analytic_kl=False
    )
    # log p - elbo is KL(q || posterior) = 1 / (2 * 1/2) for a shift of one.
    np.testing.assert_allclose(analytic, 1.0 - MARGINAL.logpdf(x).mean(), atol=0.02)
    np.testing.assert_allclose(sampled, analytic, atol=0.02)


def test_bounds_tighten_with_samples_and_stay_below_log_p(x, key):
    bounds = [
        -variational.negative_iwae(MODEL, jnp.ones(1), key, {"x": x}, num_samples=s)[0]
        for s in (1, 8, 64, 1024)
    ]
    assert np.all(np.diff(bounds) > 0.0)
    assert bounds[-1] < MARGINAL.logpdf(x).mean() + 0.05


def test_iwae_bound_of_equal_weights_is_the_weight_and_survives_extremes():
    assert variational.iwae_bound(jnp.full(5, -800.0)) == pytest.approx(-800.0)
    assert variational.iwae_bound(jnp.array([-jnp.inf, 0.0])) == pytest.approx(-np.log(2.0))
    grad = jax.grad(variational.iwae_bound)(jnp.array([-jnp.inf, 0.0]))
    np.testing.assert_array_equal(grad, [0.0, 1.0])


def test_elbo_weighs_the_kl_and_spares_free_nats():
    log_likelihood, kl = jnp.array([-3.0, -5.0]), jnp.array(2.0)
    assert variational.elbo(log_likelihood, kl) == -6.0
    assert variational.elbo(log_likelihood, kl, beta=4.0) == -12.0
    assert variational.elbo(log_likelihood, kl, free_nats=3.0) == -7.0
    assert jax.grad(lambda k: variational.elbo(log_likelihood, k, free_nats=3.0))(kl) == 0.0


def test_gradient_of_the_bound_reaches_the_posterior_through_its_samples(x, key):
    """d/dm of -KL(N(m, 1/2) || N(0, 1/2)), up to the sampled likelihood."""
    grad = jax.grad(
        lambda p: variational.negative_elbo(MODEL, p, key, {"x": x}, num_samples=500)[0]
    )(jnp.ones(1))
    np.testing.assert_allclose(grad, 2.0, atol=0.05)


def test_a_model_without_a_posterior_is_refused_with_what_it_offers(key):
    class Sampler:
        event = Event((1,))

        def sample(self, params, key):
            return jnp.zeros(1)

    with pytest.raises(
        TypeError, match=r"needs a model with prior, encode, decode; Sampler offers sample"
    ):
        variational.negative_iwae(Sampler(), {}, key, {"x": jnp.zeros((2, 1))})
