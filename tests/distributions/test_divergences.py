"""KL divergences against numpyro, scipy, sums, quadrature, and samples."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from gm import distributions as dist

LOGITS = np.array([[0.3, -2.0, 4.0], [1.0, 0.0, -9.0]], np.float32)
OTHER = np.array([[-1.0, 0.5, 3.0], [0.2, 0.1, 2.0]], np.float32)

# A distribution is a pytree: gradients with respect to it are one of its kind.
kl_and_gradients = jax.jit(jax.value_and_grad(dist.kl_divergence, (0, 1)))
estimate = jax.jit(dist.sampled_kl, static_argnums=3)


def test_normal_kl_equals_numpyro_in_value_and_gradient():
    q, p = (LOGITS, np.exp(0.3 * OTHER)), (OTHER, np.exp(0.5 * LOGITS))
    got = kl_and_gradients(dist.Normal(*q), dist.Normal(*p))
    want = jax.jit(
        jax.value_and_grad(
            lambda q, p: numpyro.kl_divergence(numpyro.Normal(*q), numpyro.Normal(*p)).sum(), (0, 1)
        )
    )(q, p)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-5, atol=1e-6)


def test_dirichlet_kl_equals_numpyro_in_value_and_gradient():
    q, p = np.exp(LOGITS[0]), np.exp(OTHER[0])
    got = kl_and_gradients(dist.Dirichlet(q), dist.Dirichlet(p))
    want = jax.jit(
        jax.value_and_grad(
            lambda q, p: numpyro.kl_divergence(numpyro.Dirichlet(q), numpyro.Dirichlet(p)), (0, 1)
        )
    )(q, p)
    for g, w in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-5)


def test_bernoulli_kl_equals_the_sum_over_both_values():
    q, p = special.expit(LOGITS.astype(float)), special.expit(OTHER.astype(float))
    got, grads = kl_and_gradients(dist.Bernoulli(LOGITS), dist.Bernoulli(OTHER))
    want = np.sum(q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p)))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    slope = q * (1 - q) * (LOGITS - OTHER)
    np.testing.assert_allclose(grads[0].logits, slope, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(grads[1].logits, p - q, rtol=1e-4, atol=1e-6)


def test_categorical_kl_equals_scipy():
    q, p = (special.softmax(a.astype(float), -1) for a in (LOGITS, OTHER))
    want = stats.entropy(q, p, axis=-1)
    got, grads = kl_and_gradients(dist.Categorical(LOGITS), dist.Categorical(OTHER))
    np.testing.assert_allclose(got, want.sum(), rtol=1e-5)
    slope = q * (np.log(q / p) - want[:, None])
    np.testing.assert_allclose(grads[0].logits, slope, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(grads[1].logits, p - q, rtol=1e-4, atol=1e-6)


def test_laplace_kl_equals_quadrature():
    q, p = stats.laplace(0.3, 0.7), stats.laplace(-1.0, 2.0)
    x = np.linspace(-30.0, 30.0, 600001)
    want = np.trapezoid(q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), x)
    got, _ = kl_and_gradients(dist.Laplace(0.3, 0.7), dist.Laplace(-1.0, 2.0))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_poisson_kl_equals_the_sum_over_counts():
    x = np.arange(100)
    q, p = stats.poisson(3.0), stats.poisson(5.5)
    want = np.sum(q.pmf(x) * (q.logpmf(x) - p.logpmf(x)))
    got, _ = kl_and_gradients(dist.Poisson(np.log(3.0)), dist.Poisson(np.log(5.5)))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_poisson_kl_from_certain_zero_is_the_other_mean():
    zero = dist.Poisson(-np.inf)
    assert kl_and_gradients(zero, zero)[0] == 0.0
    np.testing.assert_allclose(kl_and_gradients(zero, dist.Poisson(0.0))[0], 1.0)


def test_uniform_kl_is_infinite_unless_contained():
    p = dist.Uniform(0.0, 4.0)
    assert kl_and_gradients(dist.Uniform(-0.1, 1.0), p)[0] == np.inf
    value, grads = kl_and_gradients(dist.Uniform(1.0, 3.0), p)
    np.testing.assert_allclose(
        [value, grads[0].low, grads[0].high], [np.log(2.0), 0.5, -0.5], rtol=1e-6
    )


SCALE = np.exp(OTHER)
LIKE = [
    dist.Bernoulli(LOGITS),
    dist.Categorical(LOGITS),
    dist.Normal(LOGITS, SCALE),
    dist.Laplace(0.3, 0.7),
    dist.Poisson(1.1),
    dist.Dirichlet(SCALE[0]),
]


@pytest.mark.parametrize("p", LIKE, ids=lambda p: type(p).__name__)
def test_kl_is_zero_with_gradient_zero_at_equality(p):
    value, grads = kl_and_gradients(p, p)
    np.testing.assert_allclose(value, 0.0, atol=1e-6)
    for grad in jax.tree.leaves(grads):
        np.testing.assert_allclose(grad, np.zeros_like(grad), atol=1e-5)


def test_kl_of_nearly_equal_normals_keeps_its_relative_accuracy():
    scale = np.float32(1.001)
    got, _ = kl_and_gradients(dist.Normal(0.0, float(scale)), dist.Normal(0.0, 1.0))
    square = float(scale) ** 2
    np.testing.assert_allclose(got, 0.5 * (square - 1.0 - np.log(square)), rtol=1e-3)


def test_certain_events_have_the_limits_of_kl():
    q, p, want = np.array(
        [
            [np.inf, 0.0, np.log(2.0)],
            [np.inf, np.inf, 0.0],
            [-np.inf, -np.inf, 0.0],
            [0.0, np.inf, np.inf],
            [-np.inf, 1.0, np.log1p(np.e)],
        ],
        np.float32,
    ).T
    value, grads = jax.vmap(kl_and_gradients)(dist.Bernoulli(q), dist.Bernoulli(p))
    np.testing.assert_allclose(value, want, rtol=1e-6)
    grads = np.array(jax.tree.leaves(grads))
    assert not np.any(np.isnan(grads))
    assert np.all(np.isfinite(grads[:, np.isfinite(want)]))


def test_forbidden_values_have_the_limits_of_kl():
    part, full = np.array([[0.0, 0.0, -np.inf]], np.float32), np.zeros((1, 3), np.float32)
    q, p = dist.Categorical(part), dist.Categorical(full)
    value, grads = kl_and_gradients(q, p)
    np.testing.assert_allclose(value, np.log(1.5), rtol=1e-6)
    assert np.all(np.isfinite(jax.tree.leaves(grads)))
    assert kl_and_gradients(p, q)[0] == np.inf
    assert kl_and_gradients(q, q)[0] == 0.0


def test_sampled_kl_estimates_the_closed_form(key):
    q, p = dist.Normal(LOGITS[0], SCALE[0]), dist.Normal(OTHER[0], SCALE[0])
    got, (want, _) = estimate(key, q, p, 20000), kl_and_gradients(q, p)
    np.testing.assert_allclose(got, want, rtol=0.03)  # 3 standard errors


def test_sampled_kl_takes_unlike_kinds(key):
    """E_q log q - log p = -H(q) + cross entropy, known for Laplace under a Normal."""
    want = -(1 + np.log(2)) + 0.5 * np.log(2 * np.pi) + 0.5 * 2.0
    got = estimate(key, dist.Laplace(0.0, 1.0), dist.Normal(0.0, 1.0), 20000)
    np.testing.assert_allclose(got, want, atol=0.05)  # 3 standard errors


def test_without_a_closed_form_the_error_names_the_alternative():
    normal = dist.Normal(0.0, 1.0)
    mixture = dist.Mixture(jnp.zeros(2), dist.Normal(jnp.zeros(2), jnp.ones(2)))
    assert dist.has_kl(normal, normal)
    for q, p in [(normal, dist.Laplace(0.0, 1.0)), (mixture, mixture)]:
        assert not dist.has_kl(q, p)
        names = f"{type(q).__name__} and {type(p).__name__}.*sampled_kl"
        with pytest.raises(TypeError, match=names):
            dist.kl_divergence(q, p)


def test_different_events_have_no_kl():
    with pytest.raises(ValueError, match="one event"):
        dist.kl_divergence(
            dist.Normal(jnp.zeros(2), jnp.ones(2)), dist.Normal(jnp.zeros(3), jnp.ones(3))
        )
