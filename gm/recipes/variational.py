"""Scores of a flow against a density that is known: both divergences, and importance sampling."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from gm import metrics
from gm.core import Array, Params
from gm.losses import reverse_kl

TO_TRUTH, FROM_TRUTH = "KL(model || truth)", "KL(truth || model)"
SHARE, FORWARD_SHARE = "effective sample size", "effective sample size, samples of the truth"
NORMALIZER = "log normaliser, estimated less exact"


def scores(
    model: Any,
    params: Params,
    log_prob: reverse_kl.LogDensity,
    x: np.ndarray,
    num_samples: int,
    *,
    seed: int = 0,
) -> dict[str, metrics.Score]:
    """What samples of the model say of it, and what samples of the truth say.

    Args:
      model: with `log_prob` and `sample_and_log_prob`.
      params: of the model.
      log_prob: of one x under the truth, normalised, nats.
      x: [N, *event], samples of the truth.
      num_samples: S, of the model.
      seed: of those.
    """

    def of_model(params: Params) -> Array:
        return reverse_kl.log_weights(model, params, jax.random.key(seed), log_prob, num_samples)

    def of_truth(params: Params, x: Array) -> Array:
        return jax.vmap(lambda x: log_prob(x) - model.log_prob(params, x))(x)

    own, other = jax.jit(of_model)(params), jax.jit(of_truth)(params, x)
    log_z, error = reverse_kl.log_normalizer(own)
    share, forward_share = (
        reverse_kl.effective_share(own),
        reverse_kl.forward_effective_share(other),
    )
    kind, percent = {"kind": "estimate"}, {"unit": "%", "kind": "estimate"}
    return {
        TO_TRUTH: metrics.Score.mean(-np.asarray(own), **kind),
        FROM_TRUTH: metrics.Score.mean(np.asarray(other), **kind),
        SHARE: metrics.Score(100.0 * float(share), None, num_samples, **percent),
        FORWARD_SHARE: metrics.Score(100.0 * float(forward_share), None, len(x), **percent),
        NORMALIZER: metrics.Score(float(log_z), float(error), num_samples, **kind),
    }
