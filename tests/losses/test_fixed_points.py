"""Fits that iterate, driven by training: EM against scikit-learn, damped, stopped and resumed."""

import functools
import itertools
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from sklearn.mixture import GaussianMixture

from gm import train
from gm.core import Event
from gm.losses import fixed_points
from gm.models.classical import Mixture, coin, components

RNG = np.random.default_rng(0)
X = np.concatenate([RNG.normal(m, 0.7, (32, 2)) for m in (-1.0, 0.5, 2.0)]).astype(np.float32)
BATCH = {"x": X}
MODEL = Mixture(Event((2,)), 3, components.DiagonalGaussians(2))
LOSS = functools.partial(fixed_points.fixed_point_loss, MODEL)
QUIET = {"progress": False, "log_every": 1, "checkpoint_every": 5}


def new(optimizer):
    return train.init(MODEL.init(jax.random.key(3)), optimizer, jax.random.key(0))


@pytest.fixture(scope="module")
def step():
    return train.make_step(LOSS, optax.sgd(1.0))  # on eight devices


def test_training_by_steps_of_em_is_em(step, tmp_path):
    """scikit-learn's from the same start; the likelihood rises at every step, as EM's must."""
    start = MODEL.init(jax.random.key(3))
    state = train.run(
        step, new(optax.sgd(1.0)), itertools.repeat(BATCH), 20, folder=tmp_path, **QUIET
    )
    theirs = GaussianMixture(
        3,
        covariance_type="diag",
        weights_init=np.full(3, 1 / 3),
        means_init=start["components"]["mean"],
        precisions_init=np.ones((3, 2)),
        max_iter=20,
        tol=0.0,
    )
    with pytest.warns(UserWarning, match="did not converge"):
        theirs.fit(X.astype(np.float64))
    found = state.params["components"]
    np.testing.assert_allclose(found["mean"], theirs.means_, rtol=1e-3, atol=1e-3)
    scales = np.exp(found["log_scale"])
    np.testing.assert_allclose(scales**2, theirs.covariances_, rtol=1e-3)
    np.testing.assert_allclose(np.exp(state.params["log_weight"]), theirs.weights_, rtol=1e-3)
    rows = train.read_metrics(tmp_path)
    log_probs = [row["log_prob"] for row in rows]
    assert np.diff(log_probs).min() > -1e-5
    assert log_probs[-1] > log_probs[0] + 0.5
    assert rows[-1]["loss"] < 1e-2 * rows[0]["loss"]


def test_a_fit_that_was_killed_and_resumed_ends_in_the_same_bits(step, tmp_path):
    """What came after the last checkpoint is lost and made again."""
    whole = train.run(step, new(optax.sgd(1.0)), itertools.repeat(BATCH), 12, **QUIET)
    begun = new(optax.sgd(1.0))
    train.run(step, begun, itertools.repeat(BATCH), 7, folder=tmp_path, **QUIET)
    shutil.rmtree(next((tmp_path / "checkpoints").glob("*7")))
    state = train.run(
        step, new(optax.sgd(1.0)), itertools.repeat(BATCH), 12, folder=tmp_path, **QUIET
    )
    assert [row["step"] for row in train.read_metrics(tmp_path)] == list(range(1, 13))
    assert train.digest(state) == train.digest(whole)


class Halves:
    """F(p) = (mean of x, p / 2), whose fixed point is (mean of x, 0)."""

    event = Event((2,))

    def fit_step(self, params, key, x, *, weights=None):
        new = {"mean": jnp.mean(x, 0), "half": params["half"] / 2}
        return new, {"half": params["half"]}


def test_the_gradient_is_the_step_and_a_smaller_rate_damps_it(key):
    params = {"mean": jnp.array([4.0, -2.0]), "half": jnp.array(8.0)}
    loss = functools.partial(fixed_points.fixed_point_loss, Halves())
    (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(params, key, BATCH)
    far = np.array([4.0, -2.0]) - X.mean(0)
    np.testing.assert_allclose(value, 0.5 * (np.sum(far**2) + 4.0**2), rtol=1e-5)
    np.testing.assert_allclose(grads["mean"], far, rtol=1e-5)
    assert grads["half"] == 4.0  # not 2: no gradient goes through F
    assert metrics == {"half": 8.0}
    moving = jax.grad(lambda x: fixed_points.half_squared_distance(x, x / 2))(jnp.array(8.0))
    assert moving == 4.0
    updates, _ = optax.sgd(0.25).update(grads, optax.sgd(0.25).init(params))
    damped = optax.apply_updates(params, updates)
    want = 0.75 * np.array([4.0, -2.0]) + 0.25 * X.mean(0)
    np.testing.assert_allclose(damped["mean"], want, rtol=1e-5)


def test_what_does_not_fit_in_steps_is_refused(key):
    with pytest.raises(TypeError, match=r"a model with fit_step; BayesianNetwork offers .*fit"):
        fixed_points.fixed_point_loss(coin(), {}, key, BATCH)
    with pytest.raises(ValueError, match=r"x needs shape \(2,\)"):
        fixed_points.fixed_point_loss(MODEL, {}, key, {"x": X[:, :1]})
