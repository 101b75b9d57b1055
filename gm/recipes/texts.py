"""Maximum likelihood for texts: the optimizer, the score of the last tenth, samples as text."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Callable
from typing import Any

import optax

from gm import core, data, metrics, train
from gm.core import Params, PyTree
from gm.losses import likelihood
from gm.recipes import fitting, loading, options, samples
from gm.recipes.experiment import Experiment, Fitted, Published

METRIC = "negative log-likelihood"


def experiment(
    c: options.Fast,
    dataset: data.Dataset,
    model: Any,
    name: str,
    *,
    loss: fitting.Loss = likelihood.negative_log_likelihood,
    trained: Any = None,
    optimizer: optax.GradientTransformation | None = None,
    memory: Callable[[Params], PyTree] | None = None,
    batches: Any = None,
    published: Published | None = None,
    num_texts: int = 16,
    batch_size: int = 256,
) -> Experiment:
    """A model of windows of a text (or of any integers), fitted by maximum likelihood.

    As is usual in the literature, a text is scored in nats/char on its last tenth, validation and
    test together; other data are scored on their test set.

    Args:
      c: the options.
      dataset: the data set.
      model: the model to score and to sample.
      name: the name of the model in reports.
      loss: loss(model, params, key, batch).
      trained: a model with the same parameters that the loss gets instead of `model`.
      optimizer: the optimizer; by default `adamw`.
      memory: memory(params) -> the initial value of what the loss carries from step to step.
      batches: batches of training data; by default shuffled windows.
      published: values of the literature, {data set: {metric: (value, source)}}.
      num_texts: the number of sampled texts to show.
      batch_size: windows scored at once.
    """
    text = bool(dataset.vocabulary)
    unit = "nats_per_char" if text else "nats"

    def score(params: Params, split: data.Split) -> metrics.Score:
        found = metrics.evaluate(model, params, split, batch_size=batch_size, correlated=text)
        return found.per_char(model.event) if text else found

    def picture(params: Params, path: pathlib.Path) -> None:
        samples.show(dataset, samples.sample(model, params, c.seed, num_texts), "samples", path)

    def validate(params: Params) -> dict[str, float]:
        return {unit: score(params, dataset.validation).value}

    def fit() -> Fitted:
        step = functools.partial(loss, core.in_precision(trained or model, c.dtype))
        learner = step, averaged(c, optimizer or adamw(c))
        keep = {"schedule": schedule(c), "by": unit, "memory": memory, "batches": batches}
        return fitting.in_steps(c, dataset, model.init, learner, validate, picture, **keep)

    held_out = loading.joined(dataset.validation, dataset.test) if text else dataset.test
    return Experiment(
        dataset,
        model,
        name,
        "maximum likelihood",
        fit,
        score=lambda params, split: {METRIC: score(params, split)},
        picture=picture,
        held_out=held_out,
        split="validation + test" if text else "test",
        published=published or {},
        num_members=c.members,
    )


def schedule(c: options.Fast) -> optax.Schedule:
    """Linear warm-up from zero over a twentieth of the steps, then cosine decay."""
    return optax.warmup_cosine_decay_schedule(0.0, c.learning_rate, c.num_steps // 20, c.num_steps)


def adamw(c: options.Fast) -> optax.GradientTransformation:
    """AdamW."""
    return optax.adamw(schedule(c), b2=0.99, weight_decay=c.weight_decay)


def muon(c: options.Fast) -> optax.GradientTransformation:
    """Muon: orthogonalized updates of matrices (Jordan et al. 2024), and Adam for the rest."""
    return optax.contrib.muon(schedule(c), weight_decay=c.weight_decay, consistent_rms=0.2)


def averaged(c: options.Fast, inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """The optimizer, with clipped gradients and averaged parameters."""
    clipped = optax.chain(optax.clip_by_global_norm(c.clip_norm), inner)
    return train.with_ema(clipped, c.ema_decay)
