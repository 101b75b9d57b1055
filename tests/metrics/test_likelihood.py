import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy import stats

from gm import core, data, train
from gm.metrics import Score, evaluate, likelihood

TABLE = np.log(np.array([[0.2, 0.3, 0.5], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2]], np.float32))
X = np.random.default_rng(0).integers(0, 3, (10, 3))


@pytest.mark.parametrize(
    "examples",
    [
        X.astype(np.uint8),
        jnp.asarray(X),
        {"x": X},
        [{"x": X[:4]}, {"x": X[4:8]}, {"x": X[8:]}],
        ({"x": x} for x in (X[:4], X[4:])),
        data.from_arrays(X[:1], X[:1], X, num_values=3).test,
    ],
    ids=["numpy", "jax", "mapping", "batches", "generator", "split"],
)
def test_the_score_of_a_density_is_its_exact_mean(independent, examples):
    """Ten examples in batches of four: the last is padded, and the padding does not count."""
    score = evaluate(independent, TABLE, examples, batch_size=4)
    want = -TABLE[np.arange(3), X].sum(1)
    np.testing.assert_allclose(score.value, want.mean(), rtol=1e-6)
    np.testing.assert_allclose(score.standard_error, stats.sem(want), rtol=1e-5)
    assert (score.count, score.unit, score.kind, score.num_samples) == (10, "nats", "exact", None)


def test_sets_of_similar_sizes_share_a_program_and_own_batches_are_not_enlarged():
    """7 and 10 examples are scored as 16; batches of two as batches of two."""
    shapes = []

    @dataclasses.dataclass(frozen=True)
    class Counted:
        event: core.Event = core.Event((3,), 3)

        def log_prob(self, params, x):
            jax.debug.callback(lambda x: shapes.append(x.shape), x)
            return jnp.zeros(())

    for examples, times in ((X[:7], 16), (X, 16), ([{"x": X[:2]}, {"x": X[2:3]}], 4)):
        shapes.clear()
        score = evaluate(Counted(), None, examples)
        jax.effects_barrier()
        assert len(shapes) == times
        assert score.count == (3 if isinstance(examples, list) else len(examples))


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


def test_the_bound_is_exact_at_the_true_posterior(linear_gaussian, key):
    """Every weight equals p(x) when q is the posterior, so one sample suffices."""
    x = np.linspace(-3, 3, 7)
    score = evaluate(linear_gaussian, 1.0, x, key=key, num_samples=3)
    want = -stats.norm(0, np.sqrt(2)).logpdf(x)
    np.testing.assert_allclose(score.value, want.mean(), rtol=1e-6)
    assert (score.kind, score.num_samples, score.count) == ("bound", 3, 7)


def test_samples_tighten_the_bound_and_every_example_has_its_own(linear_gaussian, key):
    """One sample of a q twice as wide: -log p + KL(q || posterior) on average, 2.1 its spread."""
    x = np.full(1024, 0.7)
    one = likelihood.negative_log_probs(linear_gaussian, 2.0, x, key=key).values
    kl = (2.0**2 - 1) / 2 - np.log(2.0)
    log_p = stats.norm(0, np.sqrt(2)).logpdf(0.7)
    assert abs(one.mean() - (kl - log_p)) < 5 * stats.sem(one)
    assert len(np.unique(one)) > 1000
    many = evaluate(linear_gaussian, 2.0, x, key=key, num_samples=100)
    assert abs(many.value + log_p) < 0.02  # (variance of w) / 2K = 0.003
    assert (many.num_samples, many.kind) == (100, "bound")
    assert many.standard_error < 0.1 * stats.sem(one)


def test_the_bound_does_not_depend_on_the_batch_size(linear_gaussian, key):
    x = np.linspace(-3, 3, 7)
    values = [
        likelihood.negative_log_probs(linear_gaussian, 2.0, x, key=key, batch_size=size).values
        for size in (3, 7)
    ]
    np.testing.assert_allclose(*values, rtol=1e-6)


@dataclasses.dataclass(frozen=True)
class Box:
    """The uniform density on [0, 1)^4, from `low` nats up."""

    event = core.Event((2, 2))
    low: float = 0.0

    def log_prob(self, params, x):
        inside = jnp.all((x >= 0.0) & (x < 1.0))
        return jnp.where(inside, self.low, -jnp.inf)


LEVELS = np.random.default_rng(1).integers(0, 17, (5, 2, 2))
DIGITS = data.from_arrays(LEVELS, LEVELS, LEVELS, num_values=17)


def test_a_split_of_dequantized_integers_is_scored_as_the_integers_it_bounds():
    """A density of one on K^D cells gives each K^-D: log2 K bits, and a bound."""
    dequantized = DIGITS.map(data.UniformDequantization())
    score = evaluate(Box(), (), dequantized.test, num_samples=50)
    assert score.value == pytest.approx(4 * np.log(17))
    assert (score.kind, score.num_samples, score.standard_error) == ("bound", 1, 0.0)
    bits = score.bits_per_dim(dequantized.test.scored_event)
    assert bits.value == pytest.approx(np.log2(17))
    assert bits.kind == "bound"
    with pytest.raises(ValueError, match="needs no dequantized_levels here"):
        score.bits_per_dim(Box.event, dequantized_levels=17)
    # Arrays are what they are: a density of real values, which may be given its levels.
    plain = evaluate(Box(), (), dequantized.test.arrays())
    assert (plain.value, plain.kind) == (0.0, "exact")
    assert plain.bits_per_dim(Box.event, dequantized_levels=17).value == pytest.approx(bits.value)


def test_a_standardized_split_is_scored_exactly_as_the_examples_it_was_made_from():
    @dataclasses.dataclass(frozen=True)
    class Standard:
        event = core.Event((2,))

        def log_prob(self, params, x):
            return jax.scipy.stats.norm.logpdf(x).sum()

    x = np.random.default_rng(2).normal([3.0, -1.0], [2.0, 0.5], (50, 2)).astype(np.float32)
    standard = data.from_arrays(x, x, x).map(data.Standardize.fit(x))
    score = evaluate(Standard(), (), standard.validation)
    want = -stats.norm(x.mean(0, np.float64), x.std(0, np.float64)).logpdf(x).sum(1)
    np.testing.assert_allclose(score.value, want.mean(), rtol=1e-5)
    np.testing.assert_allclose(score.standard_error, stats.sem(want), rtol=1e-4)
    assert (score.kind, score.num_samples) == ("exact", None)
    assert score.log_volume == pytest.approx(-np.log(x.std(0, np.float64)).sum(), rel=1e-6)


def test_consecutive_windows_of_a_text_have_the_error_of_correlated_values():
    """The first half of this text is twice as costly as its second."""

    @dataclasses.dataclass(frozen=True)
    class Letters:
        event = core.Event((4,), 2)

        def log_prob(self, params, x):
            return -jnp.sum(1.0 + x)

    text = "b" * 400 + "a" * 400
    split = data.from_texts("halves", ("ab" * 4, text, text), 4).test
    score = evaluate(Letters(), (), split)
    values = np.repeat([8.0, 4.0], 100)
    assert score == Score.mean(values, correlated=True)
    assert score.standard_error > 4 * Score.mean(values).standard_error
    assert evaluate(Letters(), (), split, correlated=False) == Score.mean(values)
    assert evaluate(Letters(), (), split.x) == Score.mean(values)
    assert evaluate(Letters(), (), split.x, correlated=True) == score


@dataclasses.dataclass(frozen=True)
class Labelled:
    """log p(x | y) = -y, for one of ten labels."""

    event = core.Event((3,), 3)
    context = core.Event((), 10)

    def log_prob(self, params, x, context):
        return -context.astype(jnp.float32)


def test_labels_are_given_to_a_conditional_model_and_must_be_its_own():
    split = data.from_arrays(X, X, X, labels=(np.arange(10),) * 3, num_values=3).test
    assert evaluate(Labelled(), (), split, batch_size=4).value == 4.5
    for label, message in [
        (
            np.arange(10) + 1,
            r"context needs .*\[0, 10\); got values from 1 to 10, counted from one",
        ),
        (np.arange(10) - 1, r"context needs integers in \[0, 10\); got values from -1 to 8"),
        (np.arange(10) + 2, r"got values from 2 to 11"),
        (np.arange(9), r"a context for each of 10 examples"),
    ]:
        with pytest.raises(ValueError, match=message):
            evaluate(Labelled(), (), {"x": X, "context": label})


def test_what_is_not_one_finite_set_of_examples_is_refused(independent):
    split = data.from_arrays(X, X, X, num_values=3)
    for examples, message in [
        (split.train.batches(4), r"every example once; got endless batches.*split\.in_order"),
        (itertools.cycle([{"x": X}]), "endless"),
        (split, r"needs one split; got a data set of several\. Give dataset\.test"),
        ([(X, X)], r'evaluate needs a batch .*; got a tuple\. Give \{"x": x, "context": y\}'),
        ((X, X[:, 0]), r'got a ndarray of shape \(10, 3\)\. Give \{"x": x\}'),
        ([[0, 1, 2]], "got a list"),
        (3, "an iterable of such mappings; got a int"),
        ("digits", "got a str"),
    ]:
        with pytest.raises(TypeError, match=message):
            evaluate(independent, TABLE, examples)


def test_a_model_that_cannot_be_compiled_for_is_refused(independent):
    @dataclasses.dataclass
    class Thawed:
        event: core.Event = independent.event

        def log_prob(self, params, x):
            return params

    with pytest.raises(TypeError, match=r"make Thawed a frozen dataclass"):
        evaluate(Thawed(), TABLE, X)
    with pytest.raises(TypeError, match=r"evaluate needs a model; got the class Independent"):
        evaluate(type(independent), TABLE, X)
    state = train.init(TABLE, optax.sgd(0.1), jax.random.key(0))
    with pytest.raises(TypeError, match=r"got a training state: give state\.params"):
        evaluate(independent, state, X)


def test_a_model_with_both_faces_is_scored_exactly(linear_gaussian):
    @dataclasses.dataclass(frozen=True)
    class Both(type(linear_gaussian)):
        def log_prob(self, params, x):
            return jax.scipy.stats.norm.logpdf(x, 0, jnp.sqrt(2.0))

    assert evaluate(Both(), 1.0, np.ones(2)).kind == "exact"


@dataclasses.dataclass(frozen=True)
class FromBelow:
    """A bound of y - e, with e uniform between 0 and 1, given a pytree (y, ...)."""

    event = core.Event(())

    def lower_bound(self, params, key, x, context=None):
        return context["y"][0] - jax.random.uniform(key)


def test_a_model_with_a_lower_bound_alone_is_scored_by_it(key):
    x, y = np.zeros(300, np.float32), np.stack([np.arange(300.0), np.zeros(300)], 1)
    batch = {"x": x, "context": {"y": y.astype(np.float32)}}
    score = evaluate(FromBelow(), (), batch, key=key, num_samples=4, batch_size=128)
    assert (score.kind, score.num_samples, score.count) == ("bound", 4, 300)
    assert abs(score.value - (0.5 - np.mean(y[:, 0]))) < 5 * np.sqrt(1 / 12 / 1200)
    scored = likelihood.negative_log_probs(
        FromBelow(), (), batch, key=key, num_samples=4, batch_size=128
    )
    # The variance of a mean of four; that of one would be four times as much.
    np.testing.assert_allclose(np.var(scored.values + y[:, 0]), 1 / 48, rtol=0.4)
    with pytest.raises(ValueError, match="needs a key"):
        evaluate(FromBelow(), (), batch)


def test_a_model_that_only_samples_cannot_be_scored(sampler):
    with pytest.raises(
        TypeError, match="evaluate needs a model with log_prob; Sampler offers sampl"
    ):
        evaluate(sampler, (), np.zeros((2, 3), np.float32))


def test_a_bound_needs_a_key(linear_gaussian):
    with pytest.raises(ValueError, match="LinearGaussian has no log_prob"):
        evaluate(linear_gaussian, 1.0, np.ones(2))


@pytest.mark.parametrize(
    ("examples", "message"),
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
def test_wrong_data_has_a_clear_error(independent, examples, message):
    with pytest.raises(ValueError, match=message):
        evaluate(independent, TABLE, examples)


def test_examples_without_a_finite_score_are_counted_and_named(independent):
    params = TABLE.copy()
    params[0, 2] = -np.inf  # a first element of 2 has probability zero
    params[1, 0] = np.nan
    x = np.array([[0, 1, 1], [2, 1, 1], [0, 0, 0], [1, 1, 2]])
    with pytest.raises(FloatingPointError, match=r"2 of 4 .* index 1 \(inf\), 2 \(nan\)\."):
        evaluate(independent, params, x)


@dataclasses.dataclass(frozen=True)
class Product:
    """log_prob is a product of matrices; what matters is the precision that it is asked for."""

    event: core.Event = core.Event((2,))

    def log_prob(self, params, x):
        return jnp.dot(params, x)


def test_scores_take_products_of_float32_on_every_backend():
    """An accelerator would round the factors to 10 bits of mantissa; the program says not to."""
    args = Product(), jnp.ones(2), None, jnp.arange(3), jnp.ones((3, 2)), None, None
    text = likelihood._log_probs.lower(*args).as_text()
    assert "precision = [HIGHEST, HIGHEST]" in text
