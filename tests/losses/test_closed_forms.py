"""Closed forms in exponential families and quadrature on the line, each against the other."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gm.losses import divergences as div
from gm.losses import exponential_families as families
from gm.losses import gaussians, quadrature


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


COUNTS = np.arange(200)
LINE = np.linspace(1e-6, 120.0, 400_001)
UNIT = np.linspace(1e-9, 1 - 1e-9, 400_001)
CASES = {  # the family, usual parameters of p and of q, scipy's, points to sum or integrate over
    "bernoulli": (families.BERNOULLI, (0.2,), (0.6,), stats.bernoulli, np.arange(2)),
    "poisson": (families.POISSON, (2.0,), (3.5,), stats.poisson, COUNTS),
    "exponential": (
        families.EXPONENTIAL,
        (1.5,),
        (1.0,),
        lambda rate: stats.expon(scale=1 / rate),
        LINE,
    ),
    "gamma": (
        families.GAMMA,
        (3.0, 2.0),
        (2.5, 1.5),
        lambda shape, rate: stats.gamma(shape, scale=1 / rate),
        LINE,
    ),
    "beta": (
        families.DIRICHLET,
        ((2.0, 3.5),),
        ((1.5, 2.5),),
        lambda c: stats.beta(*c),
        UNIT,
    ),
    "normal": (families.NORMAL, (0.3, 0.8), (-0.2, 1.1), stats.norm, LINE - 60.0),
}
CLOSED = {
    "KL": (div.KL, families.kl),
    "alpha": (div.alpha(0.3), lambda *both: families.alpha(*both, 0.3)),
    "hellinger": (div.SQUARED_HELLINGER, families.squared_hellinger),
    "pearson": (div.PEARSON, families.pearson),
}


@pytest.mark.parametrize("name", CASES)
def test_families_have_the_divergences_of_their_densities(name):
    family, first, second, of, x = CASES[name]
    theta, eta = (np.asarray(family.natural(*usual)) for usual in (first, second))
    counts = np.issubdtype(x.dtype, np.integer)
    logs = [(d.logpmf if counts else d.logpdf)(x) for d in (of(*first), of(*second))]
    all_terms = jax.jit(lambda *logs: [divergence.term(*logs) for divergence, _ in CLOSED.values()])
    of = jax.jit(lambda *both: [closed(family, *both) for _, closed in CLOSED.values()])
    for terms, got in zip(all_terms(*logs), of(theta, eta), strict=True):
        want = np.sum(terms) if counts else integrate.simpson(np.asarray(terms), x=x)
        np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(of(theta, theta), 0.0, atol=1e-12)
    if len(theta) > 1:
        of = jax.jit(jax.value_and_grad(lambda t: families.renyi(family, t, eta, 0.7)))
        step = 1e-6 * np.eye(len(theta))
        near = [(of(theta + s)[0] - of(theta - s)[0]) / 2e-6 for s in step]
        np.testing.assert_allclose(of(theta)[1], near, rtol=1e-6)


def test_beyond_the_family_renyis_divergence_is_infinite():
    """Of order 2, Exponential(1) against Exponential(3): 2 - 3 is no rate."""
    one, three = families.EXPONENTIAL.natural(1.0), families.EXPONENTIAL.natural(3.0)
    assert families.renyi(families.EXPONENTIAL, one, three, 2.0) == np.inf
    assert np.isfinite(families.renyi(families.EXPONENTIAL, three, one, 2.0))
    with pytest.raises(ValueError, match="an order above 0; got -1"):
        families.renyi(families.EXPONENTIAL, one, three, -1.0)


def test_categoricals_are_enumerated():
    rng = np.random.default_rng(0)
    log_p, log_q = (np.log(rng.dirichlet(np.ones(4))) for _ in range(2))
    got = families.renyi(families.CATEGORICAL, jnp.asarray(log_p), jnp.asarray(log_q), 2.0)
    np.testing.assert_allclose(got, div.renyi(log_p, log_q, 2.0), rtol=1e-10)


log_normal = jax.jit(jax.scipy.stats.norm.logpdf)  # one program of each size for all


def normal(mean, scale):
    return lambda x: log_normal(x, mean, scale)


@pytest.mark.parametrize("pair", [(0.3, 0.5, -1.0, 2.0), (5.0, 1.1, 5.1, 1.1)])
def test_quadrature_has_the_closed_forms_of_normals(pair):
    m, s, n, t = pair
    full = [np.array(a) for a in ([m], [[s**2]], [n], [[t**2]])]
    p, q, around = normal(m, s), normal(n, t), {"middle": m, "width": s}
    for divergence, closed in (
        (div.KL, jax.jit(gaussians.kl)(*full)),
        (div.SQUARED_HELLINGER, jax.jit(gaussians.squared_hellinger)(*full)),
        (div.TOTAL_VARIATION, jax.jit(gaussians.total_variation_1d)(*pair)),
    ):
        value = quadrature.between_densities(divergence, p, q, **around)
        np.testing.assert_allclose(value, closed, atol=2e-5)  # twice the tolerance
    np.testing.assert_allclose(
        quadrature.between_densities(div.TOTAL_VARIATION, p, p, **around), 0.0, atol=1e-12
    )


def test_total_variation_of_normals_has_its_limits_and_slopes():
    of = jax.jit(gaussians.total_variation_1d)
    args = (0.3, 0.5, -1.0, 2.0)
    slopes = jax.jit(jax.grad(gaussians.total_variation_1d, (0, 1, 2, 3)))(*args)
    for i, slope in enumerate(slopes):
        up, down = ([a + s * (i == j) for j, a in enumerate(args)] for s in (1e-6, -1e-6))
        np.testing.assert_allclose(slope, (of(*up) - of(*down)) / 2e-6, rtol=1e-6)
    assert of(0.0, 1.0, 0.0, 1.0) == 0.0
    np.testing.assert_allclose(of(0.0, 1.0, 50.0, 1.0), 1.0)
    np.testing.assert_allclose(of(0.0, 1.0, 2.0, 1.0), 2 * stats.norm.cdf(1.0) - 1)


def test_entropies_and_energy_of_normals():
    cov = np.array([[0.8, 0.3], [0.3, 0.6]])
    np.testing.assert_allclose(gaussians.entropy(cov), stats.multivariate_normal(cov=cov).entropy())
    both = [np.array([0.4, -0.2]), cov, np.array([-0.1, 0.3]), np.eye(2)]
    want = gaussians.entropy(cov) + gaussians.kl(*both)
    np.testing.assert_allclose(gaussians.cross_entropy(*both), want)
    grid = np.linspace(-30, 30, 200_001)
    apart = stats.norm(0.4, 0.7).cdf(grid) - stats.norm(-1.0, 1.5).cdf(grid)
    want = 2 * integrate.simpson(apart**2, x=grid)  # the energy distance, by CDFs
    np.testing.assert_allclose(gaussians.energy_distance_1d(0.4, 0.7, -1.0, 1.5), want, rtol=1e-8)


def test_integrals_that_do_not_converge_are_refused():
    cauchy = jax.scipy.stats.cauchy.logpdf
    between = quadrature.between_densities
    for divergence, p, q in (
        (div.PEARSON, normal(0.0, 3.0), normal(0.0, 1.0)),
        (div.KL, cauchy, normal(0.0, 1.0)),
        (div.KL, lambda x: jnp.where(x > 0, -x, -jnp.inf), lambda x: jnp.where(x < 0, x, -jnp.inf)),
    ):
        with pytest.raises(ValueError, match="an integral that converges"):
            between(divergence, p, q)
    np.testing.assert_allclose(  # of heavy tails, one that does
        between(div.KL, cauchy, lambda x: jax.scipy.stats.cauchy.logpdf(x, 1.0)),
        np.log(1.25),
        rtol=1e-5,
    )
    with pytest.raises(ValueError, match="normalised densities; that of log_p integrates to 2"):
        between(div.JENSEN_SHANNON, lambda x: normal(0, 1)(x) + jnp.log(2.0), normal(0.0, 1.0))
    with pytest.raises(ValueError, match="a positive width; got 0"):
        between(div.KL, cauchy, cauchy, width=0.0)
