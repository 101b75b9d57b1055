"""Factor analysis and probabilistic PCA, held to scipy's Gaussians and to scikit-learn's fits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from sklearn import decomposition

from gm.core import Event
from gm.models.classical import FactorAnalysis, probabilistic_pca

D, K, N = 5, 2, 200
EVENT = Event((D,))
FA, PPCA = FactorAnalysis(EVENT, K), probabilistic_pca(EVENT, K)
RNG = np.random.default_rng(0)
PARAMS = {
    "mean": RNG.normal(size=D).astype(np.float32),
    "loading": RNG.normal(size=(D, K)).astype(np.float32),
    "log_scale": RNG.normal(size=D).astype(np.float32),
}
COV = PARAMS["loading"] @ PARAMS["loading"].T + np.diag(np.exp(2.0 * PARAMS["log_scale"]))


@pytest.fixture(scope="module")
def x():
    noise = np.array([0.3, 0.5, 0.7, 0.9, 1.1])
    z, e = RNG.normal(size=(N, K)), RNG.normal(size=(N, D))
    return (3.0 + z @ RNG.normal(size=(K, D)) + noise * e).astype(np.float32)


@pytest.fixture(scope="module")
def holed(x):
    observed = RNG.uniform(size=x.shape) < 0.7
    observed[~np.any(observed, axis=1), 0] = True
    return np.where(observed, x, np.nan).astype(np.float32), observed


def covariance(params):
    noise = np.exp(2.0 * np.asarray(params["log_scale"])) * np.ones(D)
    return np.asarray(params["loading"]) @ np.asarray(params["loading"]).T + np.diag(noise)


def score(params, x):
    """The mean log-likelihood by scipy."""
    return stats.multivariate_normal(params["mean"], covariance(params)).logpdf(x).mean()


def test_the_density_is_a_gaussian_of_low_rank_and_noise(x):
    found = jax.jit(jax.vmap(FA.log_prob, (None, 0)))(PARAMS, x[:8])
    want = stats.multivariate_normal(PARAMS["mean"], COV).logpdf(x[:8])
    np.testing.assert_allclose(found, want, rtol=1e-5)
    isotropic = PARAMS | {"log_scale": np.float32(0.3)}
    want = stats.multivariate_normal(PARAMS["mean"], covariance(isotropic)).logpdf(x[0])
    np.testing.assert_allclose(jax.jit(PPCA.log_prob)(isotropic, x[0]), want, rtol=1e-5)


def test_the_posterior_is_that_of_joint_gaussians_and_its_bound_is_tight(x):
    gain = PARAMS["loading"].T @ np.linalg.inv(COV)
    want = gain @ (x[0] - PARAMS["mean"])
    posterior = stats.multivariate_normal(want, np.eye(K) - gain @ PARAMS["loading"])

    @jax.jit
    def of(z, x):
        joint = FA.prior(PARAMS).log_prob(z) + FA.decode(PARAMS, z).log_prob(x)
        q = FA.encode(PARAMS, x).log_prob(z)
        return FA.represent(PARAMS, x), q, joint - q, FA.log_prob(PARAMS, x)

    for z in RNG.normal(size=(3, K)).astype(np.float32):
        mean, q, bound, log_prob = of(z, x[0])
        np.testing.assert_allclose(mean, want, atol=1e-5)
        np.testing.assert_allclose(q, posterior.logpdf(z), rtol=1e-4)
        np.testing.assert_allclose(bound, log_prob, rtol=1e-4)


def test_what_is_missing_is_a_gaussian_given_what_is_observed(x):
    """The Schur complement, whatever stands in the missing places."""
    seen = np.array([True, False, True, True, False])
    one = np.where(seen, x[0], np.nan)
    shift = x[0][seen] - PARAMS["mean"][seen]
    gain = COV[np.ix_(~seen, seen)] @ np.linalg.inv(COV[np.ix_(seen, seen)])
    mean = PARAMS["mean"][~seen] + gain @ shift
    cov = COV[np.ix_(~seen, ~seen)] - gain @ COV[np.ix_(seen, ~seen)]

    @jax.jit
    def of(one, seen):
        full, sampled = (FA.impute(PARAMS, one, seen, key) for key in (None, jax.random.key(0)))
        given, each = FA.condition(PARAMS, one, seen), FA.conditionals_given(PARAMS, one, seen)
        return given, each, full, sampled, FA.log_prob(PARAMS, one, observed=seen)

    given, each, full, sampled, found = jax.tree.map(np.asarray, of(one, seen))
    np.testing.assert_allclose(given["mean"][~seen], mean, atol=1e-5)
    np.testing.assert_allclose(covariance(given)[np.ix_(~seen, ~seen)], cov, atol=1e-5)
    np.testing.assert_allclose(each.scale[~seen], np.sqrt(np.diag(cov)), rtol=1e-5)
    np.testing.assert_allclose(full[~seen], mean, atol=1e-5)
    np.testing.assert_array_equal(full[seen], x[0][seen])
    assert np.all((sampled == full) == seen)
    alone = stats.multivariate_normal(PARAMS["mean"][seen], COV[np.ix_(seen, seen)])
    np.testing.assert_allclose(found, alone.logpdf(x[0][seen]), rtol=1e-5)


def test_the_closed_form_is_that_of_scikit_learn(x):
    params, other = PPCA.fit(x), decomposition.PCA(K).fit(x)
    np.testing.assert_allclose(np.exp(2.0 * params["log_scale"]), other.noise_variance_, rtol=0.02)
    want = np.cov(x.T, bias=True)
    values, vectors = np.linalg.eigh(want)
    rest = values[:-K].mean()
    top = vectors[:, -K:] * (values[-K:] - rest) @ vectors[:, -K:].T + rest * np.eye(D)
    np.testing.assert_allclose(covariance(params), top, atol=1e-5)
    assert PPCA.num_params == D + (D * K - 1) + 1
    assert FA.num_params == D + (D * K - 1) + D


def test_factor_analysis_is_that_of_scikit_learn_in_any_unit(x):
    other = decomposition.FactorAnalysis(K, tol=1e-4, max_iter=10_000, svd_method="lapack").fit(x)
    params = FA.fit(x, tolerance=0.0)
    # In float32 the last steps are too small to be seen.
    np.testing.assert_allclose(score(params, x), other.score(x), atol=1e-3)
    unit = np.array([1e4, 1e-1, 1.0, 10.0, 100.0], np.float32)
    moved = FA.fit(x * unit + 100.0 * unit, tolerance=0.0)
    np.testing.assert_allclose(
        covariance(moved) / np.outer(unit, unit), covariance(params), rtol=1e-2, atol=1e-2
    )


def test_the_closed_form_is_where_expectation_maximization_stays(x):
    params = PPCA.fit(x)
    moved, metrics = jax.jit(PPCA.fit_step)(params, None, x)
    np.testing.assert_allclose(covariance(moved), covariance(params), atol=1e-4)
    np.testing.assert_allclose(metrics["log_prob"], score(params, x), rtol=1e-5)


@pytest.mark.parametrize("model", [PPCA, FA], ids=["isotropic", "diagonal"])
def test_a_fit_with_missing_entries_is_a_maximum_of_what_is_observed(model, holed):
    """No step lowers the likelihood, and its gradient is zero at the end."""
    x, observed = holed

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        one = jax.vmap(lambda x, o: model.log_prob(params, x, observed=o))
        return -jnp.mean(one(jnp.asarray(x), jnp.asarray(observed)))

    params = model.fit(x, tolerance=0.0)
    least, gradient = loss(params)
    for leaf in jax.tree.leaves(gradient):
        np.testing.assert_allclose(leaf, 0.0, atol=5e-3)
    moving, step, seen = model.init(jax.random.key(0)), jax.jit(model.fit_step), []
    for _ in range(20):
        moving, metrics = step(moving, None, x)
        seen.append(float(metrics["log_prob"]))
    assert np.all(np.diff(seen) > -1e-5)
    np.testing.assert_allclose(step(params, None, x)[1]["log_prob"], -least, rtol=1e-5)


def test_weights_count_examples(x, holed):
    weights = np.arange(N) % 3
    repeated = np.repeat(x, weights, axis=0)
    for model in (PPCA, FA):
        one, other = model.fit(x, weights=weights), model.fit(repeated)
        np.testing.assert_allclose(covariance(one), covariance(other), atol=2e-3)
    begun, step = FA.init(jax.random.key(0)), jax.jit(FA.fit_step)
    one, _ = step(begun, None, holed[0], weights=weights)
    other, _ = step(begun, None, np.repeat(holed[0], weights, axis=0))
    np.testing.assert_allclose(covariance(one), covariance(other), atol=1e-3)


def test_noise_has_a_floor_and_isotropic_noise_allows_constant_elements(x):
    flat = np.concatenate([x[:, :4], np.ones((N, 1), np.float32)], axis=1)
    params = PPCA.fit(flat)
    assert np.all(np.isfinite(params["loading"]))
    plane = x[:, :2] @ RNG.normal(size=(2, D)).astype(np.float32)
    floored = probabilistic_pca(EVENT, K, min_scale=0.05).fit(plane)
    np.testing.assert_allclose(np.exp(floored["log_scale"]), 0.05, rtol=1e-5)
    with pytest.raises(ValueError, match="1 of 5 are constant, the first at raster index 4"):
        FA.fit(flat)


def test_what_does_not_fit_is_refused(x):
    for model, num in ((EVENT, 5), (EVENT, 0), (Event((5,), 2), 2)):
        with pytest.raises(ValueError, match="from 1 to 4 factors"):
            FactorAnalysis(model, num)
    holed = x.copy()
    holed[3] = np.nan
    with pytest.raises(ValueError, match="each of the rows; 1 of 200 have none, the first at 3"):
        FA.fit(holed)
    holed = x.copy()
    holed[:, 1] = np.nan
    with pytest.raises(ValueError, match="each of the elements; 1 of 5 have none, the first at 1"):
        FA.fit(holed)
    with pytest.raises(ValueError, match="at least 2 rows"):
        FA.fit(x[:1])
    with pytest.raises(ValueError, match="batch of examples"):
        FA.fit(x[0])
    with pytest.raises(ValueError, match="finite values"):
        FA.fit(np.where(x > 3.0, np.inf, x))
    with pytest.raises(ValueError, match="observed of shape"):
        FA.condition(PARAMS, x[0], np.ones(3, bool))
