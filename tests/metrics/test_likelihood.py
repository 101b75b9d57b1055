import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import core
from gm.metrics import evaluate, likelihood

TABLE = np.log(np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]], np.float32))
X = np.random.default_rng(0).integers(0, 3, (10, 3))


@pytest.mark.parametrize(
    "data",
    [
        X.astype(np.uint8),
        jnp.asarray(X),
        {"x": X},
        [{"x": X[:4]}, {"x": X[4:8]}, {"x": X[8:]}],
        ({"x": x[None]} for x in X),
    ],
    ids=["numpy", "jax", "mapping", "batches", "generator"],
)
def test_the_score_of_a_density_is_its_exact_mean(independent, data):
    """Ten examples in batches of four: the last is padded, and the padding does not count."""
    score = evaluate(independent, TABLE, data, batch_size=4)
    want = -TABLE[np.arange(3), X].sum(1)
    np.testing.assert_allclose(score.value, want.mean(), rtol=1e-6)
    np.testing.assert_allclose(score.standard_error, stats.sem(want), rtol=1e-5)
    assert (score.count, score.unit, score.kind, score.num_samples) == (10, "nats", "exact", None)


def test_one_compilation_serves_all_batches_and_all_calls():
    traces = []

    @dataclasses.dataclass(frozen=True)
    class Counting:
        event = core.Event(())

        def log_prob(self, params, x):
            traces.append(x)
            return -params * x

    x = np.arange(10, dtype=np.float64)
    for params in (1.0, 2.0):
        assert evaluate(Counting(), params, x, batch_size=4).value == params * x.mean()
    assert len(traces) == 1


@pytest.mark.parametrize("num_samples", [1, 60])
def test_the_bound_is_exact_at_the_true_posterior(linear_gaussian, key, num_samples):
    """Every weight equals p(x) when q is the posterior, so one sample suffices."""
    x = np.linspace(-3, 3, 7)
    score = evaluate(linear_gaussian, 1.0, x, key=key, num_samples=num_samples)
    want = -stats.norm(0, np.sqrt(2)).logpdf(x)
    np.testing.assert_allclose(score.value, want.mean(), rtol=1e-6)
    assert (score.kind, score.num_samples, score.count) == ("bound", num_samples, 7)


def test_the_bound_does_not_depend_on_the_batch_size(linear_gaussian, key):
    x = np.linspace(-3, 3, 7)
    values = [
        likelihood.negative_log_probs(linear_gaussian, 2.0, x, key=key, batch_size=size)[0]
        for size in (3, 7)
    ]
    np.testing.assert_allclose(*values, rtol=1e-6)


def test_a_model_with_both_faces_is_scored_exactly(linear_gaussian):
    @dataclasses.dataclass(frozen=True)
    class Both(type(linear_gaussian)):
        def log_prob(self, params, x):
            return jax.scipy.stats.norm.logpdf(x, 0, jnp.sqrt(2.0))

    assert evaluate(Both(), 1.0, np.ones(2)).kind == "exact"


def test_a_model_that_only_draws_cannot_be_scored(draws):
    with pytest.raises(TypeError, match="evaluate needs a model with log_prob; Draws offers sampl"):
        evaluate(draws, (), np.zeros((2, 3), np.float32))


def test_a_bound_needs_a_key(linear_gaussian):
    with pytest.raises(ValueError, match="LinearGaussian has no log_prob"):
        evaluate(linear_gaussian, 1.0, np.ones(2))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 3)), r"integers in \[0, 3\); got float64"),
        (np.full((4, 3), 3), "from 3 to 3"),
        (np.zeros((4, 2), int), r"shape \(3,\)"),
        (np.zeros(3, int), r"give x\[None\]"),
        (np.zeros((0, 3), int), "at least one example"),
        ([], "at least one example"),
    ],
    ids=["floats", "too large", "shape", "one example", "no rows", "no batches"],
)
def test_wrong_data_has_a_clear_error(independent, data, message):
    with pytest.raises(ValueError, match=message):
        evaluate(independent, TABLE, data)


def test_examples_without_a_finite_score_are_counted_and_named(independent):
    params = TABLE.copy()
    params[0, 2] = -np.inf  # a first element of 2 has probability zero
    params[1, 0] = np.nan
    data = np.array([[0, 1, 1], [2, 1, 1], [0, 0, 0], [1, 1, 2]])
    with pytest.raises(FloatingPointError, match=r"2 of 4 .* index 1 \(inf\), 2 \(nan\)\."):
        evaluate(independent, params, data)
