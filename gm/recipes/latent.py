"""Latent-variable models: training by a variational bound, and two bounds as scores."""

from __future__ import annotations

import functools
import pathlib
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
    published: Published | None = None,
) -> Experiment:
    """A latent-variable model, trained by the ELBO or, with several samples, the IWAE bound.

    Args:
      c: the options.
      dataset: the data set.
      model: the model to score and to sample.
      name: the name of the model in reports.
      published: values of the literature, {data set: {metric: (value, source)}}.
    """
    key_validate, key_score = jax.random.split(jax.random.key(c.seed))
    loss, principle = variational.negative_elbo, "ELBO"
    if c.num_samples > 1:
        loss = functools.partial(variational.negative_iwae, num_samples=c.num_samples)
        principle = f"IWAE-{c.num_samples}"

    def validate(params: Params) -> dict[str, float]:
        split = dataset.validation
        return {"nats": metrics.evaluate(model, params, split, key=key_validate).value}

    def bound(params: Params, split: data.Split, num_samples: int = 1) -> metrics.Score:
        return metrics.evaluate(model, params, split, key=key_score, num_samples=num_samples)

    def score(params: Params, split: data.Split) -> dict[str, metrics.Score]:
        found = {BOUND: bound(params, split)}
        return found | {ESTIMATE: bound(params, split, c.eval_samples)}

    def picture(params: Params, path: pathlib.Path) -> None:
        samples.beside_data(dataset, model, params, c.seed, path)

    def fit() -> Fitted:
        schedule = optax.cosine_decay_schedule(c.learning_rate, c.num_steps)
        adam = train.with_ema(optax.adamw(schedule, weight_decay=c.weight_decay), c.ema_decay)
        learner, show = (functools.partial(loss, model), adam), {"schedule": schedule}
        return fitting.in_steps(c, dataset, model.init, learner, validate, picture, **show)

    return Experiment(
        dataset,
        model,
        name,
        principle,
        fit,
        score,
        picture,
        brief=lambda params, split: {BOUND: bound(params, split)},
        published=published or {},
        num_members=c.members,
    )
