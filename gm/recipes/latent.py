"""Latent-variable models: training by a variational bound, and two bounds as scores."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import optax

from gm import data, metrics, train
from gm.core import Params
from gm.losses import variational
from gm.recipes import fitting, options, samples
from gm.recipes.experiment import Experiment, Fitted, Published

BOUND, ESTIMATE = "negative ELBO", "negative log-likelihood, importance-sampled"


def experiment(
    c: options.Latent,
    dataset: data.Dataset,
    model: Any,
    name: str,
    *,
    examples: int = 0,
    counts: Mapping[str, int] | None = None,
    published: Published | None = None,
) -> Experiment:
    """A latent-variable model, trained by the ELBO or, with several samples, the IWAE bound.

    Args:
      c: the options.
      dataset: the data set.
      model: the model to score and to sample.
      name: the name of the model in reports.
      examples: as in `likelihood.experiment`.
      counts: {metric: samples per example} of the bounds to report, the first of one sample; by
        default the ELBO, and `eval_samples` of the options.
      published: values of the literature, {data set: {metric: (value, source)}}.
    """
    counts = counts or {BOUND: 1, ESTIMATE: c.eval_samples}
    key_validate, key_score = jax.random.split(jax.random.key(c.seed))
    loss, principle = variational.negative_elbo, "ELBO"
    if c.num_samples > 1:
        loss = functools.partial(variational.negative_iwae, num_samples=c.num_samples)
        principle = f"IWAE-{c.num_samples}"

    def validate(params: Params) -> dict[str, float]:
        split = dataset.validation
        return {"nats": metrics.evaluate(model, params, split, key=key_validate).value}

    def score(params: Params, split: data.Split) -> dict[str, metrics.Score]:
        return {metric: bound(params, split, count) for metric, count in counts.items()}

    def bound(params: Params, split: data.Split, num_samples: int) -> metrics.Score:
        return metrics.evaluate(model, params, split, key=key_score, num_samples=num_samples)

    def brief(params: Params, split: data.Split) -> dict[str, metrics.Score]:
        metric, count = next(iter(counts.items()))
        return {metric: bound(params, split, count)}

    def picture(params: Params, path: pathlib.Path) -> None:
        samples.beside_data(dataset, model, params, c.seed, path)

    def fit() -> Fitted:
        schedule = optax.cosine_decay_schedule(c.learning_rate, c.num_steps)
        adam = train.with_ema(optax.adamw(schedule, weight_decay=c.weight_decay), c.ema_decay)
        learner, show = (functools.partial(loss, model), adam), {"schedule": schedule}
        init, traced = fitting.init_of(model, dataset, examples)
        show["traced_init"] = traced
        return fitting.in_steps(c, dataset, init, learner, validate, picture, **show)

    return Experiment(
        dataset,
        model,
        name,
        principle,
        fit,
        score,
        picture,
        brief=brief,
        published=published or {},
        num_members=c.members,
    )
