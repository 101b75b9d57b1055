"""KL divergences against numpyro, sums, quadrature, and samples."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import stats

from gm import distributions as dist

F = np.float32
LOGITS = np.array([[0.3, -2.0, 4.0], [1.0, 0.0, -9.0]], F)
OTHER = np.array([[-1.0, 0.5, 3.0], [0.2, 0.1, 2.0]], F)

# Ours and numpyro's, made from two arrays of any real numbers.
PAIRS = {
    "bernoulli": (lambda a, b: dist.Bernoulli(a), lambda a, b: numpyro.BernoulliLogits(a)),
    "categorical": (lambda a, b: dist.Categorical(a), lambda a, b: numpyro.CategoricalLogits(a)),
    "normal": (
        lambda a, b: dist.Normal(a, jnp.exp(b)),
        lambda a, b: numpyro.Normal(a, jnp.exp(b)),
    ),
    "laplace": (
        lambda a, b: dist.Laplace(a, jnp.exp(b)),
        lambda a, b: numpyro.Laplace(a, jnp.exp(b)),
    ),
    "dirichlet": (
        lambda a, b: dist.Dirichlet(jnp.exp(a[0])),
        lambda a, b: numpyro.Dirichlet(jnp.exp(a[0])),
    ),
}


@pytest.mark.parametrize("kind", ["categorical", "normal", "dirichlet"])
def test_kl_equals_numpyro_in_value_and_gradient(kind):
    ours, theirs = PAIRS[kind]

    def got(a, b, c, d):
        return dist.kl_divergence(ours(a, b), ours(c, d))

    def want(a, b, c, d):
        return numpyro.kl_divergence(theirs(a, b), theirs(c, d)).sum()

    arguments = (LOGITS, 0.3 * OTHER, OTHER, 0.5 * LOGITS)
    got, want = (jax.jit(jax.value_and_grad(f, (0, 1, 2, 3)))(*arguments) for f in (got, want))
    np.testing.assert_allclose(got[0], want[0], rtol=1e-5)
    for g, w in zip(got[1], want[1], strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-5)


def test_bernoulli_kl_equals_the_sum_over_both_values():
    q, p = 1 / (1 + np.exp(-LOGITS.astype(float))), 1 / (1 + np.exp(-OTHER.astype(float)))
    want = np.sum(q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p)))
    got, grads = jax.jit(
        jax.value_and_grad(
            lambda a, b: dist.kl_divergence(dist.Bernoulli(a), dist.Bernoulli(b)), (0, 1)
        )
    )(LOGITS, OTHER)
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(grads[0], q * (1 - q) * (LOGITS - OTHER), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(grads[1], p - q, rtol=1e-4, atol=1e-6)


def test_laplace_kl_equals_quadrature():
    q, p = stats.laplace(0.3, 0.7), stats.laplace(-1.0, 2.0)
    x = np.linspace(-30.0, 30.0, 600001)
    want = np.trapezoid(q.pdf(x) * (q.logpdf(x) - p.logpdf(x)), x)
    got = dist.kl_divergence(dist.Laplace(0.3, 0.7), dist.Laplace(-1.0, 2.0))
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_poisson_kl_equals_the_sum_over_counts():
    x = np.arange(100)
    q, p = stats.poisson(3.0), stats.poisson(5.5)
    want = np.sum(q.pmf(x) * (q.logpmf(x) - p.logpmf(x)))
    got = dist.kl_divergence(dist.Poisson(jnp.log(3.0)), dist.Poisson(jnp.log(5.5)))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    zero = dist.Poisson(-jnp.inf)
    assert dist.kl_divergence(zero, zero) == 0.0
    np.testing.assert_allclose(dist.kl_divergence(zero, dist.Poisson(0.0)), 1.0)


def test_uniform_kl_is_infinite_unless_contained():
    def kl(low, high):
        return dist.kl_divergence(dist.Uniform(low, high), dist.Uniform(0.0, 4.0))

    assert kl(-0.1, 1.0) == jnp.inf
    value, grads = jax.value_and_grad(kl, (0, 1))(1.0, 3.0)
    np.testing.assert_allclose([value, *grads], [np.log(2.0), 0.5, -0.5], rtol=1e-6)


@pytest.mark.parametrize("kind", PAIRS)
def test_kl_is_zero_with_gradient_zero_at_equality(kind):
    make, _ = PAIRS[kind]
    value, grads = jax.jit(
        jax.value_and_grad(lambda a, b: dist.kl_divergence(make(a, b), make(LOGITS, OTHER)), (0, 1))
    )(LOGITS, OTHER)
    np.testing.assert_allclose(value, 0.0, atol=1e-6)
    for grad in grads:
        np.testing.assert_allclose(grad, np.zeros((2, 3)), atol=1e-5)


def test_kl_of_nearly_equal_normals_keeps_its_relative_accuracy():
    scale = F(1.001)
    got = dist.kl_divergence(dist.Normal(0.0, jnp.float32(scale)), dist.Normal(0.0, 1.0))
    square = float(scale) ** 2
    np.testing.assert_allclose(got, 0.5 * (square - 1.0 - np.log(square)), rtol=1e-3)


def test_certain_events_have_the_limits_of_kl():
    inf = jnp.inf

    def kl(q, p):
        return dist.kl_divergence(dist.Bernoulli(q), dist.Bernoulli(p))

    np.testing.assert_allclose(kl(inf, 0.0), np.log(2.0), rtol=1e-6)
    assert kl(inf, inf) == 0.0
    assert kl(0.0, inf) == inf
    value, grads = jax.value_and_grad(kl, (0, 1))(-inf, 1.0)
    assert np.all(np.isfinite([value, *grads]))

    def kl_categorical(q, p):
        return dist.kl_divergence(dist.Categorical(q), dist.Categorical(p))

    q, p = jnp.array([0.0, 0.0, -inf]), jnp.array([0.0, 0.0, 0.0])
    value, grads = jax.value_and_grad(kl_categorical, (0, 1))(q, p)
    np.testing.assert_allclose(value, np.log(1.5), rtol=1e-6)
    assert np.all(np.isfinite(grads))
    assert kl_categorical(p, q) == inf
    assert kl_categorical(q, q) == 0.0


def test_sampled_kl_estimates_the_closed_form(key):
    q, p = (
        dist.Normal(jnp.array([0.5, -1.0]), jnp.array([0.5, 2.0])),
        dist.Normal(jnp.zeros(2), jnp.ones(2)),
    )
    np.testing.assert_allclose(
        dist.sampled_kl(key, q, p, 20000), dist.kl_divergence(q, p), rtol=0.03
    )


def test_sampled_kl_takes_unlike_kinds(key):
    """E_q log q - log p = -H(q) + cross entropy, known for Laplace under a Normal."""
    q, p = dist.Laplace(0.0, 1.0), dist.Normal(0.0, 1.0)
    want = -(1 + np.log(2)) + 0.5 * np.log(2 * np.pi) + 0.5 * 2.0
    np.testing.assert_allclose(dist.sampled_kl(key, q, p, num_samples=20000), want, atol=0.05)


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
