import numpy as np
import pytest
from scipy import stats
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.linear_model import LogisticRegression

from gm.metrics import c2st

SMALL = ExtraTreesClassifier(30, random_state=0)


def test_equal_distributions_have_an_accuracy_of_one_half():
    """Over 100 pairs, p-values below 0.1 come in a tenth of the cases at most, and in some."""
    rng = np.random.default_rng(0)
    scores = [
        c2st.accuracy(*rng.normal(size=(2, 60, 2)), classifier=LogisticRegression(), seed=i)
        for i in range(100)
    ]
    rejected = sum(score.p_value < 0.1 for score in scores)
    assert 1 <= rejected <= stats.binom.ppf(0.9999, 100, 0.1)
    accuracy = np.array([score.value for score in scores])
    assert abs(accuracy.mean() - 0.5) < 4 * accuracy.std() / 10
    # The stated error is the spread over the pairs, which 100 of them fix to 7 %.
    np.testing.assert_allclose(scores[0].standard_error, accuracy.std(), rtol=0.3)


def test_the_accuracy_shows_the_total_variation_distance():
    """Uniform on [0, 1] and on [0.5, 1.5]: total variation 1/2, best accuracy 3/4."""
    rng = np.random.default_rng(1)
    x, y = rng.uniform(size=(2, 800, 1))
    score = c2st.accuracy(x, y + 0.5, classifier=ExtraTreesClassifier(30, max_depth=4))
    assert abs(score.value - 0.75) < 4 * score.standard_error
    assert score.p_value < 1e-6


def test_separate_distributions_have_an_accuracy_of_one():
    """By the default classifier, with integers; the error of a perfect score is not zero."""
    rng = np.random.default_rng(2)
    x = rng.integers(0, 8, (40, 2, 2))
    score = c2st.accuracy(x, x + 9)
    assert (score.value, score.count) == (1.0, 40)
    assert 0 < score.standard_error < 0.05
    np.testing.assert_allclose(score.p_value, 0.5**40)
    assert (score.unit, score.kind) == ("accuracy", "estimate")


def test_an_accuracy_below_chance_is_no_evidence():
    """Data that repeat in both sets are held out of one and trained on in the other."""
    x = np.random.default_rng(3).normal(size=(50, 2))
    score = c2st.accuracy(x, x, classifier=SMALL)
    assert score.value < 0.5
    assert score.p_value > 0.5


def test_classes_are_balanced_and_the_classifier_is_left_unfitted():
    rng = np.random.default_rng(4)
    estimator = LogisticRegression()
    score = c2st.accuracy(
        rng.normal(size=(100, 1)), rng.normal(size=(40, 1)), classifier=estimator, held_out=0.25
    )
    assert score.count == 20
    assert not hasattr(estimator, "coef_")


def test_the_seed_decides_the_score():
    x, y = np.random.default_rng(5).normal(size=(2, 40, 2))
    first, again, other = (
        c2st.accuracy(x, y, classifier=SMALL, seed=seed).value for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("data", "samples", "message"),
    [
        (np.zeros((4, 2)), np.zeros((4, 3)), "of one shape"),
        (np.zeros((4, 2)), np.full((4, 2), np.nan), "x_model holds nan"),
        (np.zeros((1, 2)), np.zeros((9, 2)), "both sides of the split; got 1 per class"),
    ],
    ids=["shape", "nan", "too few"],
)
def test_wrong_samples_have_a_clear_error(data, samples, message):
    with pytest.raises(ValueError, match=message):
        c2st.accuracy(data, samples)
