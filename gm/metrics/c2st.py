"""The classifier two-sample test (C2ST): held-out accuracy in separating samples from data."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gm.core import Array
from gm.metrics.score import Score


def accuracy(
    x_data: Array | np.ndarray,
    x_model: Array | np.ndarray,
    *,
    classifier: Any = None,
    held_out: float = 0.5,
    seed: int = 0,
) -> Score:
    """Held-out accuracy of a classifier that separates data from a model's samples.

    Lopez-Paz & Oquab (2017), arXiv:1610.06545, section 3. Both sets are cut to the same size
    and split, stratified by class, into a training and a test part. If both sets are from the same
    distribution, each of the n test examples is classified correctly with probability 1/2: the
    p-value is P(Binomial(n, 1/2) >= number correct), and a small one rejects the model.

    How to read it: 0.5 is perfect; at 1 the classifier is never wrong. The accuracy is 1/2 plus
    half of the part of the total variation distance that this classifier, trained on this many
    examples, can detect. A stronger one or more data detects more, so compare models only with the
    same classifier and the same sizes. Score two random halves of the data as well (random, because
    data are often sorted: scikit-learn's digits are sorted by writer, and the accuracy for their
    first and second half is 0.78). The model must not have been trained on x_data; otherwise a
    model that repeats its training data scores 0.5. Any difference in format separates the two
    sets: compare integers with integers, and round or dequantize both sides in the same way.

    Args:
      x_data: [N, ...] examples.
      x_model: [M, ...] samples; each has the shape of an example.
      classifier: an unfitted scikit-learn classifier; by default 300 extremely randomised
        trees, which need no scaling or tuning and take about a second for 2 x 1,000 images.
      held_out: the fraction of each class in the test part.
      seed: the seed of the split and of the default classifier.

    Returns:
      A Score of kind "estimate": the accuracy, its binomial standard error (smoothed by one success
      and one failure, so that it is never 0), the number of test examples and the p-value.

    Raises:
      ValueError: the shapes of examples differ, values are not finite, or a part is empty.
    """
    from scipy import stats
    from sklearn.base import clone
    from sklearn.ensemble import ExtraTreesClassifier

    sets = [np.asarray(x_data), np.asarray(x_model)]
    _check(*sets)
    size = min(map(len, sets))
    num_test = round(held_out * size)
    if not 0 < num_test < size:
        raise ValueError(
            f"c2st.accuracy needs examples on both sides of the split; got {size} per class with "
            f"held_out={held_out}."
        )
    orders = np.random.default_rng(seed).spawn(2)
    sets = [
        x[order.permutation(len(x))[:size]].reshape(size, -1).astype(np.float32)
        for x, order in zip(sets, orders, strict=True)
    ]
    test = np.concatenate([x[:num_test] for x in sets])
    train = np.concatenate([x[num_test:] for x in sets])
    if classifier is None:
        classifier = ExtraTreesClassifier(300, random_state=seed)
    fitted = clone(classifier).fit(train, np.repeat([0, 1], size - num_test))
    count = 2 * num_test
    right = int(np.sum(fitted.predict(test) == np.repeat([0, 1], num_test)))
    smoothed = (right + 1) / (count + 2)
    return Score(
        value=right / count,
        standard_error=math.sqrt(smoothed * (1 - smoothed) / count),
        count=count,
        unit="accuracy",
        kind="estimate",
        p_value=float(stats.binom.sf(right - 1, count, 0.5)),
    )


def _check(x_data: np.ndarray, x_model: np.ndarray) -> None:
    """Raises ValueError unless both are finite batches of examples of the same shape."""
    if x_data.ndim == 0 or x_data.shape[1:] != x_model.shape[1:]:
        raise ValueError(
            "c2st.accuracy needs data and samples of one shape [N, ...]; got "
            f"{x_data.shape} and {x_model.shape}."
        )
    for name, x in (("x_data", x_data), ("x_model", x_model)):
        if not np.isfinite(x).all():
            raise ValueError(f"c2st.accuracy needs finite values; {name} holds nan or inf.")
