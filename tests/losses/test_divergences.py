"""Divergences by enumeration, quadrature and duality; all in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats

from gm.losses import divergences as div
from gm.losses import gaussians

NAMED = {
    "KL": div.KL,
    "REVERSE_KL": div.REVERSE_KL,
    "JENSEN_SHANNON": div.JENSEN_SHANNON,
    "skew": div.skew_jensen_shannon(0.2),
    "TOTAL_VARIATION": div.TOTAL_VARIATION,
    "SQUARED_HELLINGER": div.SQUARED_HELLINGER,
    "PEARSON": div.PEARSON,
    "NEYMAN": div.NEYMAN,
    "alpha(0.3)": div.alpha(0.3),
    "alpha(3)": div.alpha(3.0),
    "alpha(-2)": div.alpha(-2.0),
}
F = {  # E_q f(p / q), as textbooks have it
    "KL": lambda u: u * np.log(u),
    "REVERSE_KL": lambda u: -np.log(u),
    "JENSEN_SHANNON": lambda u: 0.5 * (u * np.log(u) - (u + 1) * np.log((u + 1) / 2)),
    "skew": lambda u: 0.2 * u * np.log(u) - (0.2 * u + 0.8) * np.log(0.2 * u + 0.8),
    "TOTAL_VARIATION": lambda u: np.abs(u - 1) / 2,
    "SQUARED_HELLINGER": lambda u: (np.sqrt(u) - 1) ** 2 / 2,
    "PEARSON": lambda u: (u - 1) ** 2,
    "NEYMAN": lambda u: (u - 1) ** 2 / u,
    "alpha(0.3)": lambda u: (u**0.3 - 0.3 * u - 0.7) / (0.3 * -0.7),
    "alpha(3)": lambda u: (u**3 - 3 * u + 2) / 6,
    "alpha(-2)": lambda u: (u**-2.0 + 2 * u - 3) / 6,
}


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def pair():
    """Two distributions of five values."""
    rng = np.random.default_rng(0)
    return [np.log(rng.dirichlet(np.ones(5))) for _ in range(2)]


@pytest.mark.parametrize("name", NAMED)
def test_a_divergence_is_the_mean_of_its_function_of_the_ratio(name, pair):
    log_p, log_q = pair
    want = np.sum(np.exp(log_q) * F[name](np.exp(log_p - log_q)))
    np.testing.assert_allclose(div.between(NAMED[name], log_p, log_q), want, rtol=1e-12)
    assert want > 0.01
    np.testing.assert_allclose(div.between(NAMED[name], log_p, log_p), 0.0, atol=1e-15)
    np.testing.assert_allclose(div.between(NAMED[name], np.zeros(1), np.zeros(1)), 0.0, atol=1e-15)


@pytest.mark.parametrize("name", NAMED)
def test_a_divergence_rises_in_every_direction_away_from_equality(name, pair):
    """Above zero at any other distribution, along lines of logits; slopes by differences."""
    log_p, divergence = pair[0], NAMED[name]

    def along(step, direction):
        return div.between(divergence, log_p, jax.nn.log_softmax(log_p + step * direction))

    of, slope = jax.jit(along), jax.jit(jax.grad(along))
    for seed in range(3):
        direction = np.random.default_rng(seed).normal(size=5)
        values = [float(of(s, direction)) for s in (-1.0, -0.1, 0.1, 1.0)]
        assert values[0] > values[1] > 1e-6
        assert values[3] > values[2] > 1e-6
        want = (of(0.7 + 1e-6, direction) - of(0.7 - 1e-6, direction)) / 2e-6
        np.testing.assert_allclose(slope(0.7, direction), want, rtol=1e-6)


@pytest.mark.parametrize("name", NAMED)
def test_the_conjugate_and_the_slope_belong_to_the_function(name):
    """f'(u) by differences, and f*(t) = sup_u u t - f(u) over a grid that has the best u."""
    u = np.exp(np.linspace(-9.0, 9.0, 200_001))
    divergence, f = NAMED[name], F[name]
    div.check(divergence)
    for log_u in (-1.5, -0.2, 0.3, 1.1):
        slope = float(divergence.critic(jnp.asarray(log_u)))
        at = np.exp(log_u)
        want = (f(at + 1e-6) - f(at - 1e-6)) / 2e-6
        np.testing.assert_allclose(slope, want, rtol=1e-7, atol=1e-8)
        best = np.max(u * slope - f(u))
        np.testing.assert_allclose(divergence.conjugate(jnp.asarray(slope)), best, atol=1e-6)


@pytest.mark.parametrize("name", NAMED)
def test_the_bound_of_a_critic_is_below_and_tight_at_the_best(name, pair):
    log_p, log_q = pair
    p, q, divergence = np.exp(log_p), np.exp(log_q), NAMED[name]
    exact = float(div.between(divergence, log_p, log_q))

    def bound(log_ratio):
        t = divergence.critic(jnp.asarray(log_ratio))
        return float(np.sum(p * t) - np.sum(q * divergence.conjugate(t)))

    np.testing.assert_allclose(bound(log_p - log_q), exact, rtol=1e-9)
    for seed in range(5):
        other = log_p - log_q + np.random.default_rng(seed).normal(size=5)
        assert bound(other) <= exact + 1e-12


DISJOINT = {"JENSEN_SHANNON": np.log(2), "TOTAL_VARIATION": 1.0, "SQUARED_HELLINGER": 1.0}
DISJOINT |= {"KL": np.inf, "REVERSE_KL": np.inf, "PEARSON": np.inf, "NEYMAN": np.inf}
DISJOINT |= {"alpha(0.3)": 1 / 0.21, "skew": -0.2 * np.log(0.2) - 0.8 * np.log(0.8)}


@pytest.mark.parametrize("name", DISJOINT)
def test_zeros_count_as_their_limits(name):
    """Where both are zero nothing is added; disjoint supports have the largest value."""
    two = jnp.array([-np.inf, -np.inf, 0.0, -np.inf])
    one = jnp.log(jnp.array([0.5, 0.5, 0.0, 0.0]))
    np.testing.assert_allclose(div.between(NAMED[name], one, two), DISJOINT[name], rtol=1e-12)
    same = div.between(NAMED[name], two, two)
    np.testing.assert_allclose(same, 0.0, atol=1e-15)


def test_a_value_that_only_one_side_lacks_costs_what_it_should():
    inside, whole = jnp.log(jnp.array([1.0, 0.0])), jnp.log(jnp.array([0.25, 0.75]))
    np.testing.assert_allclose(div.between(div.KL, inside, whole), np.log(4.0))
    np.testing.assert_allclose(div.between(div.PEARSON, inside, whole), 3.0)
    np.testing.assert_allclose(div.between(div.SQUARED_HELLINGER, inside, whole), 0.5)
    assert div.between(div.REVERSE_KL, inside, whole) == np.inf
    gradient = jax.grad(lambda a: div.between(div.KL, inside, jax.nn.log_softmax(a)))(np.zeros(2))
    np.testing.assert_allclose(gradient, [-0.5, 0.5])


def test_alpha_has_the_divergences_that_it_joins(pair):
    same = ((1.0, div.KL), (0.0, div.REVERSE_KL))
    for a, other in same:
        assert div.alpha(a) is other
        near = div.between(div.alpha(a + 1e-5), *pair)
        np.testing.assert_allclose(near, div.between(other, *pair), rtol=1e-4)
    four = div.between(div.alpha(0.5), *pair)
    np.testing.assert_allclose(four, 4 * div.between(div.SQUARED_HELLINGER, *pair))
    np.testing.assert_allclose(
        2 * div.between(div.alpha(2.0), *pair), div.between(div.PEARSON, *pair)
    )


def test_entropies_and_renyi(pair):
    log_p, log_q = pair
    np.testing.assert_allclose(div.entropy(log_p), stats.entropy(np.exp(log_p)))
    crossed = div.cross_entropy(log_p, log_q)
    np.testing.assert_allclose(crossed, div.entropy(log_p) + div.between(div.KL, log_p, log_q))
    values = [float(div.renyi(log_p, log_q, a)) for a in (0.25, 0.5, 0.999999, 1.0, 2.0, 5.0)]
    assert values == sorted(values)
    np.testing.assert_allclose(values[2], values[3], rtol=1e-5)
    np.testing.assert_allclose(values[4], np.log(np.sum(np.exp(2 * log_p - log_q))))
    assert div.renyi(jnp.array([0.0, -np.inf]), jnp.array([-np.inf, 0.0]), 0.5) == np.inf
    with pytest.raises(ValueError, match="an order above 0; got 0"):
        div.renyi(log_p, log_q, 0.0)


@pytest.mark.parametrize("samples_of_p", [False, True])
def test_estimates_are_right_within_their_errors(samples_of_p):
    """Between two Normals, whose divergences are known; 40 estimates for each."""
    p, q = stats.norm(0.3, 0.9), stats.norm(0.0, 1.2)
    one = np.ones((1, 1))
    exact = gaussians.kl(np.array([0.3]), 0.81 * one, np.array([0.0]), 1.44 * one)
    z = []
    for seed in range(40):
        x = (p if samples_of_p else q).rvs(2000, random_state=seed)
        ratio = p.logpdf(x) - q.logpdf(x)
        value, error = div.estimate(div.KL, jnp.asarray(ratio), samples_of_p=samples_of_p)
        z.append((value - exact) / error)
    assert abs(np.mean(z)) < 3.0 / np.sqrt(40)
    assert 0.7 < np.std(z) < 1.4


def test_samples_of_both_sides_see_what_one_would_miss():
    """N(0, 1) and N(4, 1), of 200 samples each: samples of one side alone see half of it."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(500, 200)), 4.0 + rng.normal(size=(500, 200))
    one = np.ones((1, 1))
    exact = float(jax.jit(gaussians.squared_hellinger)(np.zeros(1), one, np.full(1, 4.0), one))

    @jax.jit
    @jax.vmap
    def estimates(a, b):
        both = div.estimate_from_both(div.SQUARED_HELLINGER, a, b)
        return *both, div.estimate(div.SQUARED_HELLINGER, b)[0]

    values, errors, alone = map(np.asarray, estimates(8.0 - 4.0 * x, 8.0 - 4.0 * y))
    assert abs(values.mean() - exact) < 4 * values.std() / np.sqrt(500)
    np.testing.assert_allclose(np.sqrt(np.mean(errors**2)), values.std(), rtol=0.15)
    assert values.std() < 0.05  # terms are between 0 and 1
    assert np.median(alone) < 0.7 * exact


GAUSSIANS = {
    "KL": (div.KL, gaussians.kl),
    "alpha": (div.alpha(0.3), lambda *both: gaussians.alpha(*both, 0.3)),
    "hellinger": (div.SQUARED_HELLINGER, gaussians.squared_hellinger),
    "pearson": (div.PEARSON, gaussians.pearson),
}


@pytest.mark.parametrize("name", GAUSSIANS)
def test_closed_forms_between_normals_are_those_of_quadrature(name):
    divergence, closed = GAUSSIANS[name]
    mean_p, cov_p = np.array([0.4, -0.2]), np.array([[0.8, 0.3], [0.3, 0.6]])
    mean_q, cov_q = np.array([-0.1, 0.3]), np.array([[1.1, -0.2], [-0.2, 0.9]])
    p, q = stats.multivariate_normal(mean_p, cov_p), stats.multivariate_normal(mean_q, cov_q)
    grid = np.linspace(-12, 12, 961)
    x = np.stack(np.meshgrid(grid, grid, indexing="ij"), -1)
    terms = np.asarray(divergence.term(jnp.asarray(p.logpdf(x)), jnp.asarray(q.logpdf(x))))
    want = integrate.simpson(integrate.simpson(terms, x=grid), x=grid)
    both = [mean_p, cov_p, mean_q, cov_q]
    of = jax.jit(jax.value_and_grad(closed))
    value, gradient = of(*both)
    np.testing.assert_allclose(value, want, rtol=1e-8)
    np.testing.assert_allclose(of(*both[:2], *both[:2])[0], 0.0, atol=1e-12)
    step = 1e-6 * np.eye(2)
    slopes = [(of(mean_p + s, *both[1:])[0] - of(mean_p - s, *both[1:])[0]) / 2e-6 for s in step]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-6)


def test_wasserstein_2_of_normals():
    """Of commuting covariances that of the square roots; else Dowson & Landau's by scipy."""
    from scipy.linalg import sqrtm

    mean, other = np.array([1.0, -2.0]), np.array([0.0, 1.0])
    a, b = np.diag([4.0, 9.0]), np.diag([1.0, 16.0])
    np.testing.assert_allclose(gaussians.squared_wasserstein_2(mean, a, other, b), 10.0 + 1.0 + 1.0)
    a, b = np.array([[0.8, 0.3], [0.3, 0.6]]), np.array([[1.1, -0.2], [-0.2, 0.9]])
    want = 10.0 + np.trace(a + b - 2 * np.real(sqrtm(sqrtm(a) @ b @ sqrtm(a))))
    np.testing.assert_allclose(gaussians.squared_wasserstein_2(mean, a, other, b), want)
    np.testing.assert_allclose(gaussians.squared_wasserstein_2(mean, a, mean, a), 0.0, atol=1e-7)


def test_renyi_between_normals_is_infinite_beyond_its_range():
    wide, narrow = np.array([[9.0]]), np.array([[1.0]])
    zero = np.zeros(1)
    assert gaussians.renyi(zero, wide, zero, narrow, 2.0) == np.inf
    assert np.isfinite(gaussians.renyi(zero, narrow, zero, wide, 2.0))


def test_a_function_that_is_no_divergence_is_refused():
    with pytest.raises(ValueError, match=r"f\(1\) = 0; this one has 1"):
        div.of_function(lambda u: u)
    with pytest.raises(ValueError, match="convex; the slope of this one falls"):
        div.of_function(lambda u: jnp.log(u))
    with pytest.raises(ValueError, match=r"a conjugate has f\*\(f'\(u\)\)"):
        div.of_function(lambda u: (u - 1.0) ** 2, lambda t: t + t**2)
    mine = div.of_function(lambda u: (u - 1.0) ** 2, lambda t: t + t**2 / 4)
    pair = np.log([0.3, 0.7]), np.log([0.6, 0.4])
    np.testing.assert_allclose(div.between(mine, *pair), div.between(div.PEARSON, *pair))
    with pytest.raises(ValueError, match="between 0 and 1; got 1"):
        div.skew_jensen_shannon(1.0)


def test_probabilities_that_do_not_sum_to_one_are_refused():
    half, less = np.log([0.5, 0.5]), np.log([0.5, 0.4])
    with pytest.raises(ValueError, match=r"those of log_q sum to 0\.9"):
        div.between(div.KL, half, less)
    with pytest.raises(
        ValueError, match=r"entropy needs .* sum to one; those of log_p sum to 0\.9"
    ):
        div.entropy(less)
    with pytest.raises(ValueError, match="cross_entropy needs log prob"):
        div.cross_entropy(half, np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match=r"renyi needs .* sum to nan"):
        div.renyi(half, np.array([np.nan, 0.5]), 2.0)
    with pytest.raises(ValueError, match="at least 2 samples; got 1"):
        div.estimate(div.KL, np.zeros(1))
