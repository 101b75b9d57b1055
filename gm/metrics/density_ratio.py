r"""The ratio of two densities from samples of both, by a classifier; and KL by that ratio.

    log p(x) / q(x) = logit P("x is of p" | x) - log (N / M)

for N samples of p and M of q: Qin (1998); Sugiyama, Suzuki & Kanamori (2012), "Density ratio
estimation in machine learning". It is as good as the classifier's probabilities: a misfit makes it
wrong without a sign, and where the two sets do not overlap no classifier knows it.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from gm.core import Array
from gm.losses import batches, lower_bounds
from gm.metrics.score import Score


def log_ratio(
    x_p: Array | np.ndarray,
    x_q: Array | np.ndarray,
    at: Array | np.ndarray,
    *,
    classifier: Any = None,
) -> np.ndarray:
    """log p(x) / q(x) at points x, nats, by a classifier fitted on samples of both.

    Args:
      x_p: [N, ...] samples of p; x_q: [M, ...] of q.
      at: [K, ...] points; for means over them, not among those samples.
      classifier: an unfitted scikit-learn classifier with probabilities; by default a logistic
        regression on all squares and products, which is right for Normals.

    Returns:
      [K].
    """
    x_p, x_q, at = (_flat(x) for x in (x_p, x_q, at))
    batches.two_samples("log_ratio", x_p, x_q)
    batches.two_samples("log_ratio", x_p, at)
    fitted = _fit(classifier, x_p, x_q)
    return lower_bounds.log_ratio_of_logits(_logits(fitted, at), len(x_p), len(x_q))


def kl_divergence(
    x_p: Array | np.ndarray,
    x_q: Array | np.ndarray,
    *,
    classifier: Any = None,
    folds: int = 2,
    seed: int = 0,
) -> Score:
    """KL(p || q) by the mean log ratio on examples that the classifier was not fitted on.

    Each fold of both sets is scored by a classifier of the others. The bound of Donsker & Varadhan
    with the log ratio for a critic, so that a poor classifier gives too little: below zero even,
    where p = q and it fits noise.

    Args:
      x_p: [N, ...] samples of p; x_q: [M, ...] of q.
      classifier: as in `log_ratio`.
      folds: at least 2.
      seed: of the folds.

    Returns:
      Estimate in nats, with the standard error of the bound at these classifiers: it leaves out
      what fitting them on other samples would change, and what they cannot express. Coverage of
      its 95 % interval, 500 samples of Normals of one dimension and the default classifier, which
      is right for them: 92 % (`benchmarks/estimator_coverage.py`).

    Raises:
      ValueError: samples of two shapes, or fewer than two per fold.
    """
    x_p, x_q = _flat(x_p), _flat(x_q)
    batches.two_samples("kl_divergence", x_p, x_q, least=2 * folds)
    if folds < 2:
        raise ValueError(f"kl_divergence needs at least 2 folds; got {folds}.")
    rng = np.random.default_rng(seed)
    fold_p, fold_q = (rng.permutation(len(x)) % folds for x in (x_p, x_q))
    t_p, t_q = np.empty(len(x_p)), np.empty(len(x_q))
    for fold in range(folds):
        mine_p, mine_q = fold_p == fold, fold_q == fold
        fitted = _fit(classifier, x_p[~mine_p], x_q[~mine_q])
        counts = int(np.sum(~mine_p)), int(np.sum(~mine_q))
        for t, x, mine in ((t_p, x_p, mine_p), (t_q, x_q, mine_q)):
            t[mine] = lower_bounds.log_ratio_of_logits(_logits(fitted, x[mine]), *counts)
    value = float(t_p.mean() - (np.logaddexp.reduce(t_q) - math.log(len(t_q))))
    weights = np.exp(t_q - t_q.max())
    weights /= weights.mean()
    error = math.hypot(*(t.std(ddof=1) / math.sqrt(len(t)) for t in (t_p, weights)))
    return Score(value, error, len(x_p) + len(x_q), kind="estimate")


def _fit(classifier: Any, x_p: np.ndarray, x_q: np.ndarray) -> Any:
    from sklearn.base import clone
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import PolynomialFeatures, StandardScaler

    if classifier is None:
        squares = PolynomialFeatures(2, include_bias=False)
        classifier = make_pipeline(StandardScaler(), squares, LogisticRegression(C=1e3))
    labels = np.repeat([1, 0], [len(x_p), len(x_q)])
    return clone(classifier).fit(np.concatenate([x_p, x_q]), labels)


def _logits(fitted: Any, x: np.ndarray) -> np.ndarray:
    """log odds of the first set; certain ones are cut at what float64 can tell from 1."""
    log_probs = np.log(np.maximum(fitted.predict_proba(x), 1e-12))
    return log_probs[:, 1] - log_probs[:, 0]


def _flat(x: Array | np.ndarray) -> np.ndarray:
    x = np.asarray(x, np.float64)
    return x.reshape(len(x), -1) if x.ndim else x
