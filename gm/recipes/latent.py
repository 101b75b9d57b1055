"""Latent-variable models, trained by a bound and scored by two."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import optax

from gm import data, metrics, plot, train
from gm.core import Params
from gm.losses import variational
from gm.recipes import fitting, options
from gm.recipes.experiment import Experiment, Fitted

BOUND, ESTIMATE = "negative ELBO", "negative log-likelihood, importance-sampled"


def experiment(
    c: options.Latent,
    dataset: data.Dataset,
    model: Any,
    name: str,
    *,
    published: Mapping[str, Mapping[str, tuple[float, str]]] | None = None,
) -> Experiment:
    """A latent-variable model by the ELBO, or by the importance-weighted bound of several samples.

    Args:
      c: the options.
      dataset: to learn from.
      model: what is scored and sampled.
      name: of the model in reports.
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

    def score(params: Params, split: data.Split) -> dict[str, metrics.Score]:
        of = functools.partial(metrics.evaluate, model, params, split, key=key_score)
        return {BOUND: of(), ESTIMATE: of(num_samples=c.eval_samples)}

    def picture(params: Params, path: pathlib.Path) -> None:
        x = fitting.sample(model, params, c.seed, 64)
        panels = {"data": dataset.test.x[:64], "model": x}
        plot.save(plot.samples(panels, num_values=model.event.num_values), path)

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
        published=(published or {}).get(dataset.name, {}),
        num_members=c.members,
    )
