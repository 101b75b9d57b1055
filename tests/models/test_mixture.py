"""Mixtures by expectation maximization, held to scikit-learn, closed forms and edges."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats
from sklearn import mixture as sklearn_mixture

from gm.core import Event
from gm.models.classical import Mixture, components, mixture, selection

PLANE, BITS = Event((2,)), Event((2, 3), 2)
KINDS = {
    "full": (components.Gaussians, "full"),
    "diag": (components.DiagonalGaussians, "diag"),
    "tied": (components.TiedGaussians, "tied"),
}


@pytest.fixture(scope="module")
def clusters():
    rng = np.random.default_rng(0)
    one = rng.multivariate_normal([0, 0], [[1.0, 0.8], [0.8, 1.0]], 150)
    two = rng.multivariate_normal([4, 1], [[0.3, 0.0], [0.0, 2.0]], 100)
    return np.concatenate([one, two]).astype(np.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_the_fit_is_that_of_scikit_learn(kind, clusters):
    make, name = KINDS[kind]
    model = Mixture(PLANE, 2, make(2))
    params = model.fit(clusters, jax.random.key(0), tolerance=0.0, num_steps=500)
    found = float(jnp.mean(jax.vmap(model.log_prob, (None, 0))(params, clusters)))
    other = sklearn_mixture.GaussianMixture(2, covariance_type=name, tol=1e-9, max_iter=2000)
    other.fit(clusters)
    np.testing.assert_allclose(found, other.score(clusters), atol=2e-4)
    order = np.argsort(params["components"]["mean"][:, 0])
    theirs = np.argsort(other.means_[:, 0])
    means = np.asarray(params["components"]["mean"])[order]
    np.testing.assert_allclose(means, other.means_[theirs], atol=0.02)
    np.testing.assert_allclose(model.bic(params, clusters), other.bic(clusters), atol=0.2)


def test_a_step_never_lowers_the_likelihood(clusters):
    model = Mixture(PLANE, 3, components.Gaussians(2))
    params, step, seen = model.init(jax.random.key(1)), jax.jit(model.fit_step), []
    for _ in range(30):
        params, metrics = step(params, None, clusters)
        seen.append(float(metrics["log_prob"]))
    assert np.all(np.diff(seen) > -1e-5)
    assert seen[-1] > seen[0] + 1.0


def test_a_density_is_the_sum_of_its_parts():
    model = Mixture(PLANE, 2, components.Gaussians(2))
    params = {
        "log_weight": jnp.log(jnp.array([0.3, 0.7])),
        "components": {
            "mean": jnp.array([[0.0, 1.0], [2.0, -1.0]]),
            "log_diagonal": jnp.log(jnp.array([[1.0, 0.5], [2.0, 1.0]])),
            "lower": jnp.array([[0.4], [-1.0]]),
        },
    }
    covs = [np.array(a) @ np.array(a).T for a in ([[1, 0], [0.4, 0.5]], [[2, 0], [-1, 1]])]
    means = ([0.0, 1.0], [2.0, -1.0])
    parts = [stats.multivariate_normal(m, c) for m, c in zip(means, covs, strict=True)]
    x = np.array([0.7, 0.2], np.float32)
    want = np.log(0.3 * parts[0].pdf(x) + 0.7 * parts[1].pdf(x))
    np.testing.assert_allclose(model.log_prob(params, x), want, rtol=1e-5)
    share = np.array([0.3, 0.7]) * [p.pdf(x) for p in parts]
    np.testing.assert_allclose(model.responsibilities(params, x), share / share.sum(), rtol=1e-4)


def test_bernoullis_sum_to_one_and_find_two_patterns():
    model = Mixture(BITS, 2, components.Bernoullis(6))
    rng, patterns = np.random.default_rng(0), np.array([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 1, 1]])
    k = rng.integers(0, 2, 400)
    x = np.where(rng.uniform(size=(400, 6)) < 0.1, 1 - patterns[k], patterns[k])
    params = model.fit(x.reshape(400, 2, 3).astype(np.int32), jax.random.key(0))
    found = special.expit(np.asarray(params["components"]["logits"]))
    found = found[np.argsort(-found[:, 0])]
    np.testing.assert_allclose(found, np.where(patterns == 1, 0.9, 0.1), atol=0.08)
    states = np.array(list(itertools.product((0, 1), repeat=6)), np.int32).reshape(-1, 2, 3)
    log_probs = jax.vmap(model.log_prob, (None, 0))(params, states)
    np.testing.assert_allclose(jnp.exp(log_probs).sum(), 1.0, rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_repeated_point_does_not_collapse_it(kind):
    """The floor holds: 50 copies of a point, and a far one, which a component has to itself."""
    x = np.concatenate([np.ones((50, 2)), [[30.0, -5.0]]]).astype(np.float32)
    model = Mixture(PLANE, 3, KINDS[kind][0](2, min_scale=0.01))
    params = model.fit(x, jax.random.key(0))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(params))
    log_probs = jax.vmap(model.log_prob, (None, 0))(params, x)
    assert np.all(log_probs <= -np.log(2 * np.pi) - 2 * np.log(0.01) + 1e-2)


def test_weights_count_examples_and_empty_components_stay(clusters):
    model = Mixture(PLANE, 2, components.DiagonalGaussians(2))
    begun = model.init(jax.random.key(0))
    weights = np.arange(250) % 3
    weighted, _ = model.fit_step(begun, None, clusters, weights=jnp.asarray(weights, jnp.float32))
    repeated, _ = model.fit_step(begun, None, np.repeat(clusters, weights, axis=0))
    for one, other in zip(jax.tree.leaves(weighted), jax.tree.leaves(repeated), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)
    far = begun | {"components": begun["components"] | {"mean": jnp.array([[0.0, 0], [1e4, 1e4]])}}
    moved, _ = model.fit_step(far, None, clusters)
    np.testing.assert_array_equal(moved["components"]["mean"][1], [1e4, 1e4])


def test_restarts_keep_the_likeliest(clusters):
    model, key = Mixture(PLANE, 4, components.Gaussians(2)), jax.random.key(3)
    weights = np.ones(len(clusters), np.float32)
    ends = [
        mixture._maximize(model, one, clusters, weights, 200, 1e-5)
        for one in jax.random.split(key, 4)
    ]
    values = [float(value) for _, value in ends]
    assert max(values) - min(values) > 0.01
    kept = model.fit(clusters, key, restarts=4)
    best = ends[int(np.argmax(values))][0]
    for one, other in zip(jax.tree.leaves(kept), jax.tree.leaves(best), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-6)


def test_what_does_not_fit_is_refused(clusters):
    with pytest.raises(ValueError, match="Bernoullis for bits and Gaussians for real values"):
        Mixture(PLANE, 2, components.Bernoullis(2))
    with pytest.raises(ValueError, match="the event's 2 elements"):
        Mixture(PLANE, 2, components.Gaussians(3))
    with pytest.raises(ValueError, match="at least 300 examples"):
        Mixture(PLANE, 300, components.Gaussians(2)).fit(clusters)


def test_the_number_of_components_is_chosen_by_bic_or_by_what_is_held_out(clusters):
    """Two clusters; on held-out examples one component is worse by far, and the score is theirs."""
    models = [Mixture(PLANE, k, components.DiagonalGaussians(2)) for k in (1, 2)]
    x, held_out = clusters[::2], clusters[1::2]
    by_bic = selection.by_bic(models, x, jax.random.key(0))
    chosen = selection.by_held_out(models, x, held_out, jax.random.key(0))
    assert by_bic.model == chosen.model == models[1]
    nats = -np.mean(jax.vmap(chosen.model.log_prob, (None, 0))(chosen.params, held_out))
    np.testing.assert_allclose(chosen.scores[1], nats, rtol=1e-5)
    assert chosen.scores[0] > chosen.scores[1] + 0.1
    with pytest.raises(ValueError, match="at least one model"):
        selection.by_bic([], x)


def test_categoricals_count_values():
    """One component has the smoothed frequencies; two find two kinds of words."""
    rng, one = np.random.default_rng(0), components.Categoricals(3, 2, smoothing=0.5)
    x = rng.integers(0, 3, (60, 2)).astype(np.int32)
    params = Mixture(Event((2,), 3), 1, one).fit(x, num_steps=1)
    p = special.softmax(np.asarray(params["components"]["logits"])[0], axis=-1)
    want = [(np.bincount(x[:, d], minlength=3) + 0.5) / 61.5 for d in range(2)]
    np.testing.assert_allclose(p, want, rtol=1e-5)
    found = one.log_probs(params["components"], jnp.array([2, 3]))
    assert found.shape == (1,)
    assert found[0] == -np.inf
