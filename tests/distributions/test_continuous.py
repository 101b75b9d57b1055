"""Normal, Laplace, Logistic and Uniform against scipy (values) and numpyro (gradients)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import stats

from gm import distributions as dist

KINDS = {
    "normal": (dist.Normal, stats.norm, numpyro.Normal),
    "laplace": (dist.Laplace, stats.laplace, numpyro.Laplace),
    "logistic": (dist.Logistic, stats.logistic, numpyro.Logistic),
}
kinds = pytest.mark.parametrize("kind", KINDS)

# (loc, scale) and points in standard units: the middle, off it, and far in both tails.
LOC = np.array([0.0, 1.5, -100.0], np.float32)
SCALE = np.array([1.0, 0.02, 30.0], np.float32)
Z = np.array([-40.0, -12.0, -3.0, -0.5, 0.0, 0.25, 2.0, 9.0, 40.0], np.float32)
POINTS = [a.reshape(-1) for a in np.broadcast_arrays(LOC[:, None], SCALE[:, None], Z)]


@functools.cache
def batched(kind):
    """log_prob and its gradients in (loc, scale, x), for a batch of each."""
    log_prob = jax.value_and_grad(lambda m, s, x: kind(m, s).log_prob(x), (0, 1, 2))
    return jax.jit(jax.vmap(log_prob))


def exact(loc, scale, z):
    """x in float32, and the parameters in float64."""
    x = (loc + scale * z).astype(np.float32)
    return x, (x.astype(float) - loc) / scale


@kinds
def test_log_prob_equals_scipy_far_into_the_tails(kind):
    ours, scipy_kind, _ = KINDS[kind]
    loc, scale, z = POINTS
    x, _ = exact(loc, scale, z)
    got, _ = batched(ours)(loc, scale, x)
    # Half an ulp in (x - loc) / scale is 1e-7 relative, squared by the normal's exponent.
    np.testing.assert_allclose(
        got, scipy_kind(loc.astype(float), scale.astype(float)).logpdf(x), rtol=1e-5, atol=1e-5
    )


@kinds
def test_gradients_equal_numpyro_in_parameters_and_x(kind):
    ours, _, theirs = KINDS[kind]
    loc, scale, z = POINTS
    x, _ = exact(loc, scale, z)
    keep = z != 0.0  # numpyro's logistic and laplace take another subgradient at the centre
    arguments = [a[keep] for a in (loc, scale, x)]
    (_, got), (_, want) = (batched(kind)(*arguments) for kind in (ours, theirs))
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=2e-5, atol=1e-5)


def test_second_derivatives_are_right_at_the_centre():
    """Score matching differentiates twice, and zeros are common."""
    second = [
        jax.jit(jax.grad(jax.grad(lambda x, k=kind: k(0.0, 1.0).log_prob(x))))(0.0)
        for kind in (dist.Normal, dist.Logistic)
    ]
    np.testing.assert_allclose(second, [-1.0, -0.5], rtol=1e-6)


@kinds
def test_densities_vanish_at_infinity(kind):
    zero, one = np.zeros(2, np.float32), np.ones(2, np.float32)
    value, _ = batched(KINDS[kind][0])(zero, one, np.array([-np.inf, np.inf], np.float32))
    np.testing.assert_array_equal(value, [-np.inf, -np.inf])


@kinds
def test_cdf_keeps_relative_accuracy_in_the_lower_tail(kind):
    ours, scipy_kind, _ = KINDS[kind]
    z = np.array([-80.0, -30.0, -12.0, -5.0, -1.0, 0.0, 1.0, 5.0, 80.0], np.float32)
    want = scipy_kind.cdf(z.astype(float))
    got = jax.jit(ours(jnp.zeros(9), jnp.ones(9)).cdf)(z)
    normal_range = want > np.finfo(np.float32).tiny
    np.testing.assert_allclose(got[normal_range], want[normal_range], rtol=1e-5)
    np.testing.assert_allclose(got[~normal_range], 0.0, atol=1e-37)


@kinds
def test_icdf_equals_scipy_and_inverts_cdf(kind):
    ours, scipy_kind, _ = KINDS[kind]
    u = np.array([0.0, 1e-30, 1e-7, 0.01, 0.5, 0.7, 0.999, 1.0], np.float32)
    loc, scale = np.full(8, 0.5, np.float32), np.full(8, 2.0, np.float32)
    p = ours(loc, scale)
    want = scipy_kind(0.5, 2.0).ppf(u.astype(float))
    np.testing.assert_allclose(jax.jit(p.icdf)(u), want, rtol=1e-5, atol=1e-6)
    # An ulp of x moves u by a relative ulp(z) density / cdf, some 1e-5 in the tail.
    np.testing.assert_allclose(jax.jit(lambda u: p.cdf(p.icdf(u)))(u), u, rtol=1e-4, atol=1e-36)


@kinds
def test_cdf_has_the_density_for_its_slope(kind):
    ours = KINDS[kind][0]
    x = np.array([-90.0, -3.0, 0.0, 0.3, 4.0, 90.0], np.float32)
    slope = jax.jit(jax.vmap(jax.grad(lambda x: ours(0.0, 1.0).cdf(x))))(x)
    density = KINDS[kind][1].pdf(x.astype(float))
    np.testing.assert_allclose(slope, density, rtol=2e-5, atol=1e-37)


@kinds
def test_icdf_slope_is_one_over_the_density(kind):
    ours = KINDS[kind][0]
    u = np.array([1e-6, 0.2, 0.5, 0.9], np.float32)
    slope = jax.jit(jax.vmap(jax.grad(lambda u: ours(0.0, 1.0).icdf(u))))(u)
    scipy_kind = KINDS[kind][1]
    np.testing.assert_allclose(
        slope, 1.0 / scipy_kind.pdf(scipy_kind.ppf(u.astype(float))), rtol=1e-4
    )


@kinds
def test_entropy_mean_and_mode_equal_scipy(kind):
    ours, scipy_kind, _ = KINDS[kind]
    p = ours(jnp.asarray(LOC), jnp.asarray(SCALE))
    np.testing.assert_allclose(p.entropy(), scipy_kind(LOC, SCALE).entropy().sum(), rtol=1e-6)
    np.testing.assert_allclose(p.mean(), scipy_kind(LOC, SCALE).mean(), rtol=1e-6)
    np.testing.assert_allclose(p.mode(), LOC)


@kinds
def test_the_density_integrates_to_one(kind):
    x = np.linspace(-40.0, 40.0, 16001, dtype=np.float32)
    value, _ = batched(KINDS[kind][0])(np.full_like(x, 0.3), np.full_like(x, 0.8), x)
    np.testing.assert_allclose(np.trapezoid(np.exp(value), x), 1.0, rtol=1e-4)


@kinds
def test_samples_follow_the_distribution(kind, key):
    ours, scipy_kind, _ = KINDS[kind]
    x = ours(jnp.full(4000, 2.0), jnp.full(4000, 0.5)).sample(key)
    assert stats.kstest(x, scipy_kind(2.0, 0.5).cdf).pvalue > 0.01


@kinds
def test_samples_carry_gradients_to_the_parameters(kind, key):
    ours = KINDS[kind][0]
    loc, scale, x = 1.0, 2.0, ours(1.0, 2.0).sample(key)
    got = jax.jit(jax.grad(lambda m, s: ours(m, s).sample(key), (0, 1)))(loc, scale)
    np.testing.assert_allclose(got, [1.0, (x - loc) / scale], rtol=1e-5)


def test_log_prob_sums_over_every_dimension():
    loc = np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(2, 3)
    got = dist.Normal(loc, np.full((2, 3), 2.0, np.float32)).log_prob(np.zeros((2, 3), np.float32))
    np.testing.assert_allclose(got, stats.norm(loc, 2.0).logpdf(0.0).sum(), rtol=1e-6)


def test_uniform_holds_its_edges_and_nothing_beyond():
    low, high = -1.0, 3.0
    points = np.array([-1.1, -1.0, 0.0, 3.0, 3.1, np.inf, -np.inf], np.float32)
    value, grads = batched(dist.Uniform)(
        np.full(7, low, np.float32), np.full(7, high, np.float32), points
    )
    want = stats.uniform(low, high - low).logpdf(points)
    np.testing.assert_allclose(value, want, rtol=1e-6)
    inside = np.isfinite(want)
    np.testing.assert_allclose(grads[0], 0.25 * inside)
    np.testing.assert_allclose(grads[1], -0.25 * inside)
    np.testing.assert_allclose(grads[2], np.zeros(7))


def test_uniform_equals_scipy_elsewhere(key):
    low, high = np.array([0.0, -5.0], np.float32), np.array([0.5, 10.0], np.float32)
    p, want = dist.Uniform(low, high), stats.uniform(low, high - low)
    x = np.array([0.1, 20.0], np.float32)
    np.testing.assert_allclose(p.cdf(x), want.cdf(x), rtol=1e-6)
    np.testing.assert_allclose(p.icdf(np.array([0.25, 1.0], np.float32)), want.ppf([0.25, 1.0]))
    np.testing.assert_allclose(p.entropy(), want.entropy().sum(), rtol=1e-6)
    np.testing.assert_allclose(p.mean(), want.mean())
    np.testing.assert_allclose(p.mode(), want.mean())
    samples = dist.Uniform(jnp.full(4000, -5.0), jnp.full(4000, 10.0)).sample(key)
    assert stats.kstest(samples, stats.uniform(-5.0, 15.0).cdf).pvalue > 0.01
