"""Mixtures against sums of scipy densities and numpyro's gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from gm import distributions as dist

LOGITS = np.array([[0.0, 1.0, -2.0], [0.5, 0.5, 0.5]], np.float32)
LOC = np.array([[-2.0, 0.0, 3.0], [1.0, 1.1, -50.0]], np.float32)
SCALE = np.array([[0.5, 1.0, 0.1], [2.0, 0.01, 5.0]], np.float32)
X = np.array([[-2.1, 1.0], [0.0, -30.0], [3.1, 1.1], [-40.0, 90.0]], np.float32)

KINDS = {
    "normals": (dist.Normal, stats.norm, numpyro.Normal),
    "laplaces": (dist.Laplace, stats.laplace, numpyro.Laplace),
    "logistics": (dist.Logistic, stats.logistic, numpyro.Logistic),
}
kinds = pytest.mark.parametrize("kind", KINDS)


def weigh(logs):
    return special.logsumexp(special.log_softmax(LOGITS.astype(float), -1) + logs, -1)


@kinds
def test_log_prob_is_the_weighted_sum_of_scipy_densities(kind):
    ours, scipy_kind, _ = KINDS[kind]
    p = dist.Mixture(jnp.asarray(LOGITS), ours(jnp.asarray(LOC), jnp.asarray(SCALE)))
    want = weigh(scipy_kind(LOC, SCALE).logpdf(X[..., None])).sum(-1)
    np.testing.assert_allclose(jax.jit(jax.vmap(p.log_prob))(X), want, rtol=1e-5)


@kinds
def test_gradients_equal_numpyro(kind):
    ours, _, theirs = KINDS[kind]

    def want(logits, loc, scale, x):
        with jax.numpy_rank_promotion("allow"):
            mixing = numpyro.Categorical(logits=logits)
            return numpyro.MixtureSameFamily(mixing, theirs(loc, scale)).log_prob(x).sum()

    def got(logits, loc, scale, x):
        return dist.Mixture(logits, ours(loc, scale)).log_prob(x)

    got, want = (
        jax.jit(jax.vmap(jax.grad(f, (0, 1, 2, 3)), (None, None, None, 0)))(LOGITS, LOC, SCALE, X)
        for f in (got, want)
    )
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=1e-5)


@kinds
def test_mean_and_cdf_are_weighted(kind):
    ours, scipy_kind, _ = KINDS[kind]
    p = dist.Mixture(jnp.asarray(LOGITS), ours(jnp.asarray(LOC), jnp.asarray(SCALE)))
    weights = special.softmax(LOGITS.astype(float), -1)
    mean, cdf = jax.jit(lambda p, x: (p.mean(), p.cdf(x)))(p, X[0])
    np.testing.assert_allclose(mean, (weights * LOC).sum(-1), rtol=1e-5)
    want = (weights * scipy_kind(LOC, SCALE).cdf(X[0, :, None])).sum(-1)
    np.testing.assert_allclose(cdf, want, rtol=1e-5)


def test_a_removed_component_counts_for_nothing():
    logits = jnp.array([0.0, -jnp.inf])
    value, grads = jax.jit(
        jax.value_and_grad(
            lambda a, m: dist.Mixture(a, dist.Normal(m, jnp.ones(2))).log_prob(0.5), (0, 1)
        )
    )(logits, jnp.array([0.0, 7.0]))
    np.testing.assert_allclose(value, stats.norm.logpdf(0.5), rtol=1e-6)
    np.testing.assert_allclose(grads[0], [0.0, 0.0], atol=1e-7)
    np.testing.assert_allclose(grads[1], [0.5, 0.0], rtol=1e-6)


def test_a_certain_component_is_the_only_one(key):
    components = dist.Normal(jnp.array([[0.0, 7.0]]), jnp.full((1, 2), 1e-3))
    p = dist.Mixture(jnp.array([[1.0, jnp.inf]]), components)
    np.testing.assert_allclose(jax.jit(p.sample)(key), 7.0, atol=0.01)
    np.testing.assert_allclose(p.mean(), 7.0, rtol=1e-6)
    want = stats.norm(7.0, 1e-3).logpdf(7.0)
    np.testing.assert_allclose(jax.jit(p.log_prob)(np.array([7.0])), want, rtol=1e-5)


def test_which_component_and_where_in_it_are_independent(key):
    """Noise of both from one key: values of the first component would be the extreme ones."""
    p = dist.Mixture(jnp.zeros(2), dist.Normal(jnp.array([-50.0, 50.0]), jnp.ones(2)))
    x = np.asarray(jax.jit(jax.vmap(p.sample))(jax.random.split(key, 4000)))
    right = x > 0.0
    assert abs(right.mean() - 0.5) < 4 * 0.5 / np.sqrt(4000)
    for part, loc in ((x[right], 50.0), (x[~right], -50.0)):
        assert stats.kstest(part, stats.norm(loc).cdf).pvalue > 0.001


def test_what_no_component_can_sample_is_impossible_with_gradient_zero():
    def log_prob(logits, loc, x):
        return dist.Mixture(logits, dist.DiscretizedLogistic(loc, jnp.ones(3), 17)).log_prob(x)

    value, grads = jax.jit(jax.vmap(jax.value_and_grad(log_prob, (0, 1)), (None, None, 0)))(
        LOGITS[0], LOC[0], jnp.array([-1, 17])
    )
    np.testing.assert_array_equal(value, [-np.inf, -np.inf])
    np.testing.assert_array_equal(grads, np.zeros((2, 2, 3)))


def test_a_mixture_of_discretised_logistics_sums_to_one():
    p = dist.Mixture(
        jnp.asarray(LOGITS[0]), dist.DiscretizedLogistic(LOC[0] / 3, SCALE[0] / 3, 256)
    )
    categorical = jax.jit(lambda p: dist.tabulate(p, (), 256))(p)
    np.testing.assert_allclose(jnp.exp(categorical.logits).sum(), 1.0, rtol=1e-5)
    np.testing.assert_allclose(jax.jit(lambda p: p.mean())(p), categorical.mean(), rtol=1e-5)


def test_samples_follow_the_mixture(key):
    n = 4000
    spread = [np.broadcast_to(a[0], (n, 3)) for a in (LOGITS, LOC, SCALE)]
    x = jax.jit(dist.Mixture(spread[0], dist.Normal(*spread[1:])).sample)(key)
    weights = special.softmax(LOGITS[0].astype(float))

    def cdf(x):
        return stats.norm(LOC[0], SCALE[0]).cdf(np.asarray(x)[..., None]) @ weights

    assert stats.kstest(x, cdf).pvalue > 0.01


def test_every_element_samples_from_its_own_mixture(key):
    """A shuffled gather would show: components sit at 10 i + m."""
    i, m = np.meshgrid(np.arange(6), np.arange(3), indexing="ij")
    loc = (10.0 * i + m).reshape(2, 3, 3).astype(np.float32)
    logits = np.tile(np.array([0.0, 0.0, -np.inf], np.float32), (2, 3, 1))
    components = dist.Normal(loc, np.full((2, 3, 3), 1e-3, np.float32))
    x = jax.jit(dist.Mixture(logits, components).sample)(key)
    assert x.shape == (2, 3)
    component = np.round(np.asarray(x) - 10.0 * np.arange(6).reshape(2, 3))
    assert set(component.ravel()) <= {0.0, 1.0}


def test_components_of_any_kind_mix():
    p = dist.Mixture(jnp.zeros((1, 2)), dist.Poisson(jnp.log(jnp.array([[1.0, 4.0]]))))
    want = np.log(0.5 * stats.poisson(1.0).pmf(3) + 0.5 * stats.poisson(4.0).pmf(3))
    np.testing.assert_allclose(jax.jit(p.log_prob)(np.array([3])), want, rtol=1e-6)
    logits = jnp.log(jnp.array([[0.2, 0.8], [0.6, 0.4]]))
    p = dist.Mixture(jnp.zeros(2), dist.Categorical(logits))
    np.testing.assert_allclose(jax.jit(p.log_prob)(1), np.log(0.6), rtol=1e-6)
    assert jax.eval_shape(p.sample, jax.random.key(0)).shape == ()
