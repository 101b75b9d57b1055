"""Maximum likelihood for images and vectors: the optimizer, the score, the pictures."""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gm import core, data, metrics, train
from gm.core import Params
from gm.losses import likelihood
from gm.recipes import fitting, options, samples
from gm.recipes.experiment import Experiment, Fitted, Published

METRIC = "negative log-likelihood"
BITS = "bits per dimension"
FROM_TRUTH = "KL(truth || model)"


def experiment(
    c: options.MaximumLikelihood,
    dataset: data.Dataset,
    model: Any,
    name: str,
    *,
    loss: fitting.Loss = likelihood.negative_log_likelihood,
    trained: Any = None,
    examples: int = 0,
    principle: str = "maximum likelihood",
    published: Published | None = None,
) -> Experiment:
    """A model with a density, fitted by maximum likelihood.

    Args:
      c: the options.
      dataset: the data set; a conditional model gets its context, such as labels.
      model: the model to score and to sample.
      name: the name of the model in reports.
      loss: loss(model, params, key, batch).
      trained: a model with the same parameters that is trained and validated instead of `model`.
      examples: the number of training examples that `model.init(key, x)` starts from, for flows; 0
        for `model.init(key)`.
      principle: the learning principle in reports.
      published: values of the literature, {data set: {metric: (value, source)}}.
    """

    trained = model if trained is None else trained

    def validate(params: Params) -> dict[str, float]:
        return {"nats": evaluate(c, trained, params, dataset.validation).value}

    def picture(params: Params, path: pathlib.Path) -> None:
        samples.beside_data(dataset, model, params, c.seed, path)

    def fit() -> Fitted:
        step = functools.partial(loss, core.in_precision(trained, c.dtype))
        init, traced = fitting.init_of(model, dataset, examples)
        own = {"schedule": schedule(c), "traced_init": traced}
        return fitting.in_steps(c, dataset, init, (step, optimizer(c)), validate, picture, **own)

    def score(params: Params, split: data.Split) -> dict[str, metrics.Score]:
        found = {METRIC: evaluate(c, model, params, split)}
        if split.bound:  # of dequantized integers, for which the literature has bits
            found[BITS] = found[METRIC].bits_per_dim(split.scored_event)
        if hasattr(dataset.density, "quadrature"):
            found[FROM_TRUTH] = from_truth(dataset.density, model, params)
        return found

    return Experiment(
        dataset,
        model,
        name,
        principle,
        fit,
        score,
        picture=picture,
        published=published or {},
        num_members=c.members,
    )


def schedule(c: options.MaximumLikelihood) -> optax.Schedule:
    """Linear warm-up from zero over the first hundred steps, then cosine decay."""
    warmup = min(100, c.num_steps // 10)
    return optax.warmup_cosine_decay_schedule(0.0, c.learning_rate, warmup, c.num_steps)


def optimizer(c: options.MaximumLikelihood) -> optax.GradientTransformation:
    """AdamW with gradient clipping, an L1 penalty and averaged parameters."""
    adam = optax.adamw(schedule(c), weight_decay=c.weight_decay)
    sparse = optax.stateless_with_tree_map(lambda g, w: g + c.l1 * jnp.sign(w) * (w.ndim > 1))
    clipped = optax.chain(optax.clip_by_global_norm(c.clip_norm), sparse, adam)
    return train.with_ema(clipped, c.ema_decay)


def from_truth(density: Any, model: Any, params: Params) -> metrics.Score:
    """KL(truth || model) in nats, by quadrature over a density that is known (`gm.data.toy`)."""
    x, weights = density.quadrature()
    x = x.astype(np.float32)
    truth = np.asarray(jax.jit(jax.vmap(density.log_prob))(x), np.float64)
    nats = metrics.likelihood.negative_log_probs(model, params, x, batch_size=4096).values
    return metrics.Score(float(weights @ (truth + nats)), None, len(x), "nats", "estimate")


def evaluate(
    c: options.MaximumLikelihood, model: Any, params: Params, split: data.Split
) -> metrics.Score:
    """The mean negative log-likelihood on a split."""
    return metrics.evaluate(model, params, split, batch_size=c.eval_batch_size)
