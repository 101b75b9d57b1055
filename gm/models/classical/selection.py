r"""Choosing among models of several sizes, by an information criterion or by held-out examples.

    choice = by_bic([Mixture(event, k, components.Gaussians(2)) for k in range(1, 9)], x)
    choice = by_held_out(models, x, validation)
    choice.model, choice.params, choice.scores

BIC = -2 \sum_n log p(x_n) + (free numbers) log N (Schwarz, 1978, "Estimating the dimension of a
model") is consistent where one of the models is true and its likelihood is regular, which that of a
mixture with too many components is not; held-out examples ask for nothing but examples.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Key, Params


@dataclasses.dataclass(frozen=True)
class Choice:
    """The best of several models.

    Attributes:
      model: the one whose score is least.
      params: of its fit.
      scores: of every model, in their order; BIC, or nats per held-out example.
    """

    model: Any
    params: Params
    scores: tuple[float, ...]


def by_bic(models: Sequence[Any], x: np.ndarray, key: Key | None = None, **options: Any) -> Choice:
    """The model of the least BIC.

    Args:
      models: each with `fit`, `log_prob` and `num_params`.
      x: [N, *event].
      key: of each fit.
      **options: of each fit.

    Raises:
      TypeError: a model has no fit or no density.
      ValueError: there are no models.
    """
    fits = _fitted(models, x, key, options, "by_bic")
    return _least(models, fits, [bic(m, p, x) for m, p in zip(models, fits, strict=True)])


def by_held_out(
    models: Sequence[Any],
    x: np.ndarray,
    held_out: np.ndarray,
    key: Key | None = None,
    **options: Any,
) -> Choice:
    """The model that gives the held-out examples the highest likelihood.

    Args:
      models: each with `fit` and `log_prob`.
      x: [N, *event].
      held_out: [M, *event], which no fit has seen.
      key: of each fit.
      **options: of each fit.

    Raises:
      TypeError: a model has no fit or no density.
      ValueError: there are no models.
    """
    fits = _fitted(models, x, key, options, "by_held_out")
    nats = [-np.mean(_log_probs(m, p, held_out)) for m, p in zip(models, fits, strict=True)]
    return _least(models, fits, nats)


def bic(model: Any, params: Params, x: np.ndarray) -> float:
    """The Bayesian information criterion: lower is better.

    Args:
      model: with `log_prob` and `num_params`, the number of its free numbers.
      params: of a fit.
      x: [N, *event], what it was fitted to.
    """
    total = float(np.sum(_log_probs(model, params, x)))
    return -2.0 * total + model.num_params * math.log(len(x))


def _fitted(models: Sequence[Any], x: np.ndarray, key: Key, options: Any, name: str) -> list:
    if not models:
        raise ValueError(f"{name} needs at least one model; got none.")
    for model in models:
        for capability in (core.Fittable, core.Density):
            core.require(model, capability, name)
    return [model.fit(x, key, **options) for model in models]


def _log_probs(model: Any, params: Params, x: np.ndarray) -> np.ndarray:
    """[N] in float64, nats."""
    found = jax.jit(jax.vmap(model.log_prob, (None, 0)))(params, jnp.asarray(x))
    return np.asarray(found, np.float64)


def _least(models: Sequence[Any], fits: list[Params], scores: list[float]) -> Choice:
    best = int(np.nanargmin(scores))
    return Choice(models[best], fits[best], tuple(float(score) for score in scores))
