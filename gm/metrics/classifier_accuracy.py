"""Accuracy of a classifier of real data on class-conditional samples.

    classifier = classifier_accuracy.fit(train.x, train.y)
    classifier.accuracy(test.x, test.y)     # on real data: the upper limit
    classifier.accuracy(samples, classes)   # on samples of the given classes

Ravuri & Vinyals (2019), "Classification accuracy score for conditional generative models",
arXiv:1905.10887, train on samples and test on data; here it is the reverse. It measures whether
samples belong to their class, not whether they are diverse: one good example of each class,
repeated, scores 100 %. A likelihood or `mmd` measures diversity.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from gm.core import Array
from gm.metrics.score import Score

Features = Callable[[np.ndarray], np.ndarray]


def flat(x: np.ndarray) -> np.ndarray:
    """[N, ...] -> [N, D], unchanged values: for images with thousands of examples."""
    return np.asarray(x, np.float32).reshape(len(x), -1)


def log_spectrogram(x: np.ndarray, window: int = 256, floor: float = 1e-3) -> np.ndarray:
    """Log power of audio in adjacent windows, relative to the mean power of the recording, so that
    loudness has no effect.

    Args:
      x: [N, T], real values, T >= window.
      window: W, samples of each Hann window; 32 ms is usual for speech.
      floor: the lower bound of the power, as a fraction of the recording's mean.

    Returns:
      [N, T // W, W // 2 + 1] float32, natural logarithms; lowest frequency first.

    Raises:
      ValueError: x is not [N, T] real values with T >= window.
    """
    x = np.asarray(x)
    if x.ndim != 2 or x.shape[1] < window or not np.issubdtype(x.dtype, np.floating):
        raise ValueError(
            f"log_spectrogram needs real values [N, T], T >= {window}; got {x.dtype} of shape "
            f"{x.shape}. Integers of gm.data.MuLaw become real values by gm.data.mu_law_decode."
        )
    frames = x[:, : x.shape[1] // window * window].reshape(len(x), -1, window)
    power = np.abs(np.fft.rfft(frames * np.hanning(window + 1)[:-1])) ** 2
    mean = np.mean(power, axis=(1, 2), keepdims=True)
    return np.log(power / np.maximum(mean, 1e-20) + floor).astype(np.float32)


@dataclasses.dataclass(frozen=True, eq=False)
class Classifier:
    """A fitted classifier of examples.

    Attributes:
      classifier: a fitted scikit-learn classifier.
      features: maps examples [N, ...] to the features [N, ...] that the classifier gets.
      shape: the shape of one example.
    """

    classifier: Any
    features: Features
    shape: tuple[int, ...]

    def predict(self, x: Array | np.ndarray) -> np.ndarray:
        """The label of each example: [N, ...] -> [N].

        Raises:
          ValueError: the examples do not have the shape of those it was fitted on.
        """
        x = np.asarray(x)
        if x.shape[1:] != self.shape or not len(x):
            raise ValueError(
                f"Classifier needs examples of shape {('N', *self.shape)}, as it was fitted on; "
                f"got {x.shape}."
            )
        return self.classifier.predict(flat(self.features(x)))

    def accuracy(self, x: Array | np.ndarray, label: Array | np.ndarray) -> Score:
        """The percentage of examples whose predicted label equals the given one.

        Args:
          x: [N, ...] examples: held-out data, or samples.
          label: [N] integers: labels of the data, or the classes given to the sampler.

        Returns:
          A Score of kind "estimate" in "%", with its binomial standard error (smoothed by one
          success and one failure, so that it is never 0).

        Raises:
          ValueError: the shapes do not fit.
        """
        label = np.asarray(label)
        if label.shape != np.shape(x)[:1]:
            raise ValueError(
                f"accuracy needs a label [N] for each of {len(x)} examples; got {label.shape}."
            )
        right, count = int(np.sum(self.predict(x) == label)), len(label)
        smoothed = (right + 1) / (count + 2)
        error = 100.0 * math.sqrt(smoothed * (1.0 - smoothed) / count)
        return Score(100.0 * right / count, error, count, unit="%", kind="estimate")


def fit(
    x: Array | np.ndarray,
    label: Array | np.ndarray,
    *,
    features: Features = flat,
    classifier: Any = None,
    max_examples: int = 30_000,
    seed: int = 0,
) -> Classifier:
    """Fits a classifier to labelled data.

    Args:
      x: [N, ...] training examples.
      label: [N] integers.
      features: maps examples to the features that the classifier gets; `flat` for images,
        `log_spectrogram` for audio.
      classifier: an unfitted scikit-learn classifier; by default a support vector machine with a
        Gaussian kernel on the first 40 principal components, which needs no tuning. Its accuracy on
        real test data is 98 % for binarized MNIST (half a minute), 98 % for spoken digits with
        spectrograms at 4 kHz (seconds), and 100 % for scikit-learn's digits.
      max_examples: the size of a random subset to use of a larger set; time is quadratic in it.
      seed: the seed of the subset.

    Raises:
      ValueError: the shapes do not fit, features are not finite, or there is only one label.
    """
    from sklearn.base import clone
    from sklearn.decomposition import PCA
    from sklearn.pipeline import make_pipeline
    from sklearn.svm import SVC

    x, label = np.asarray(x), np.asarray(label)
    if label.shape != x.shape[:1] or len(np.unique(label)) < 2:
        raise ValueError(
            "fit needs a label [N] for each of its examples [N, ...], and two labels at least; got "
            f"{x.shape} with labels {label.shape}, {len(np.unique(label))} of them different."
        )
    if len(x) > max_examples:
        chosen = np.random.default_rng(seed).permutation(len(x))[:max_examples]
        x, label = x[chosen], label[chosen]
    shown = flat(features(x))
    if not np.isfinite(shown).all():
        raise ValueError("fit needs finite features; they hold nan or inf.")
    if classifier is None:
        components = PCA(min(40, *shown.shape), random_state=seed)
        classifier = make_pipeline(components, SVC(C=10.0))
    return Classifier(clone(classifier).fit(shown, label), features, x.shape[1:])
