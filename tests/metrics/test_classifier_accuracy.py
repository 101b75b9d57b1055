"""Classifier accuracy of class-conditional samples: right on data, at chance on noise."""

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

from gm import data
from gm.metrics import classifier_accuracy


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


@pytest.fixture(scope="module")
def classifier(digits):
    return classifier_accuracy.fit(digits.train.x, digits.train.y)


def test_a_classifier_is_right_on_real_digits_and_guesses_on_noise(digits, classifier):
    score = classifier.accuracy(digits.test.x, digits.test.y)
    assert score.value >= 97.0
    assert (score.unit, score.kind, score.count) == ("%", "estimate", 180)
    noise = np.random.default_rng(0).integers(0, 17, (500, 8, 8))
    found = classifier.accuracy(noise, np.arange(500) % 10)
    # Labels asked for are balanced, so a guess without knowledge is right once in ten.
    assert abs(found.value - 10.0) < 5 * found.standard_error


def test_accuracy_counts_and_has_its_binomial_error(digits, classifier):
    label = classifier.predict(digits.test.x)
    label[:18] = (label[:18] + 1) % 10
    score = classifier.accuracy(digits.test.x, label)
    assert score.value == pytest.approx(90.0)
    p = 163 / 182  # smoothed by one success and one failure
    assert score.standard_error == pytest.approx(100 * np.sqrt(p * (1 - p) / 180))
    assert classifier.accuracy(digits.test.x, classifier.predict(digits.test.x)).standard_error > 0


def test_features_are_what_the_classifier_is_shown():
    x = np.random.default_rng(0).normal(size=(80, 2, 3)).astype(np.float32)
    label = (x[:, 1, 2] > 0).astype(int)
    one = classifier_accuracy.fit(
        x, label, features=lambda x: x[:, 1, 2:], classifier=KNeighborsClassifier(1)
    )
    assert one.classifier.n_features_in_ == 1
    assert one.accuracy(x, label).value == 100.0


def test_no_more_examples_are_used_than_allowed():
    x = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    few = classifier_accuracy.fit(
        x, np.arange(100) % 2, classifier=KNeighborsClassifier(1), max_examples=30
    )
    assert few.classifier.n_samples_fit_ == 30


def test_spectrogram_of_a_sine_is_one_ridge_whatever_its_loudness():
    t = np.arange(1000)
    x = np.sin(2 * np.pi * 10 / 64 * t)[None].astype(np.float32)
    ridge = classifier_accuracy.log_spectrogram(x, window=64)
    assert ridge.shape == (1, 15, 33)
    assert np.all(ridge[0].argmax(-1) == 10)
    np.testing.assert_allclose(ridge, classifier_accuracy.log_spectrogram(0.01 * x, 64), atol=1e-4)
    # A Hann window leaves two neighbours at half the amplitude: power 1, 1/4, 1/4 of 33 bins.
    assert ridge.max() == pytest.approx(np.log(33 / 1.5), abs=1e-3)
    silence = classifier_accuracy.log_spectrogram(np.zeros((2, 128)), 64)
    np.testing.assert_allclose(silence, np.log(1e-3), rtol=1e-6)


def test_what_cannot_be_classified_is_refused(digits, classifier):
    with pytest.raises(ValueError, match=r"examples of shape \('N', 8, 8\)"):
        classifier.predict(digits.test.x[0])
    with pytest.raises(ValueError, match="a label"):
        classifier.accuracy(digits.test.x, digits.test.y[:3])
    with pytest.raises(ValueError, match="two labels at least"):
        classifier_accuracy.fit(digits.train.x, np.zeros(len(digits.train.x), int))
    with pytest.raises(ValueError, match="finite features"):
        classifier_accuracy.fit(np.full((4, 2), np.nan), np.array([0, 1, 0, 1]))
    with pytest.raises(ValueError, match=r"real values \[N, T\], T >= 256; got int32.*mu_law"):
        classifier_accuracy.log_spectrogram(np.zeros((2, 512), np.int32))


@pytest.mark.slow
def test_spoken_digits_are_classified_at_4_khz(prepared):
    dataset = data.load(prepared("fsdd") + "_decimated", length=4096)
    assert dataset.event.shape == (2048,)
    classifier = classifier_accuracy.fit(
        dataset.train.x,
        dataset.train.y,
        features=lambda x: classifier_accuracy.log_spectrogram(x, 128),
    )
    assert classifier.accuracy(dataset.test.x, dataset.test.y).value >= 95.0
