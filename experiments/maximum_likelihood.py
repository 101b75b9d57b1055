"""What the experiments by maximum likelihood share: the training, the score, the report.

This file is no script: the experiments beside it call it.
"""

import functools
import pathlib
from typing import Any

import fitting
import jax
import jax.numpy as jnp
import numpy as np
import optax
import options

from gm import core, data, metrics, plot, train
from gm.core import Array, Params
from gm.losses import likelihood
from gm.metrics import results
from gm.models.autoregressive import Ensemble

METRIC = "negative log-likelihood"


def given(model: Any) -> dict[str, str]:
    """What a conditional model is given, for losses and scores."""
    return {} if model.context is None else {"context": "label"}


def optimizer(c: options.MaximumLikelihood) -> optax.GradientTransformation:
    """AdamW after a clipped gradient and that of the L1 penalty; what it moves is averaged."""
    warmup = min(100, c.num_steps // 10)
    schedule = optax.warmup_cosine_decay_schedule(0.0, c.learning_rate, warmup, c.num_steps)
    adam = optax.adamw(schedule, weight_decay=c.weight_decay)
    sparse = optax.stateless_with_tree_map(lambda g, w: g + c.l1 * jnp.sign(w) * (w.ndim > 1))
    clipped = optax.chain(optax.clip_by_global_norm(c.clip_norm), sparse, adam)
    return train.with_ema(clipped, c.ema_decay)


def fit(
    c: options.MaximumLikelihood,
    dataset: data.Dataset,
    model: Any,
    loss: fitting.Loss = likelihood.negative_log_likelihood,
) -> fitting.Fitted:
    """Trains; a conditional model is given the label."""

    def validate(state: train.State) -> dict[str, float]:
        return {"nats": evaluate(c, model, dataset.validation, state.averaged).value}

    def picture(state: train.State, path: pathlib.Path) -> None:
        show(c, dataset, model, state.averaged, path)

    loss = functools.partial(loss, core.in_precision(model, c.dtype), **given(model))
    adam = optimizer(c)
    step = train.make_step(loss, adam)
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    state = train.init(fitting.init(model, key_init), adam, key_train)
    batches = dataset.train.batches(c.batch_size, c.seed, on_device=c.steps_per_dispatch > 1)
    keep = {"steps_per_dispatch": c.steps_per_dispatch, "plot": picture if c.folder else None}
    return fitting.run(c, step, state, batches, validate, **keep)


def evaluate(
    c: options.MaximumLikelihood, model: Any, split: data.Split, params: Params
) -> metrics.Score:
    """The mean negative log-likelihood on a split."""
    return metrics.evaluate(model, params, split, batch_size=c.eval_batch_size, **given(model))


def draw(model: Any, params: Params, seed: int, num: int = 64) -> np.ndarray:
    """Samples [num, *event]; of each label in turn, and of one member of an ensemble."""
    model = model.member(0) if isinstance(model, Ensemble) else model
    keys = jax.random.split(jax.random.key(seed), num)
    y = () if model.context is None else (np.arange(num) % model.context.num_values,)
    return np.asarray(_sample(model, params, keys, *y))


@functools.partial(jax.jit, static_argnames="model")  # compiled once for all pictures of a run
def _sample(model: Any, params: Params, keys: Array, *y: Array) -> Array:
    return jax.vmap(functools.partial(model.sample, params))(keys, *y)


def show(
    c: options.MaximumLikelihood,
    dataset: data.Dataset,
    model: Any,
    params: Params,
    path: pathlib.Path,
) -> None:
    """Writes a picture of test examples, and of samples."""
    panels = {"data": dataset.test.x[:64], "model": draw(model, params, c.seed)}
    plot.save(plot.samples(panels, num_values=model.event.num_values), path)


def report(
    c: options.MaximumLikelihood,
    dataset: data.Dataset,
    model: Any,
    fitted: fitting.Fitted,
    label: str,
    *,
    published: dict[str, dict[str, tuple[float, str]]] | None = None,
    **fields: Any,
) -> dict[str, float]:
    """Scores the test set; leaves result.json, with the fields given, and samples.png."""
    scores = fitted.scores(METRIC, functools.partial(evaluate, c, model, dataset.test))
    bits = {k: s.bits_per_dim(dataset.test.scored_event).value for k, s in scores.items()}
    for metric, score in scores.items():
        print(f"{label}, {dataset.name}: test {metric} {score} = {bits[metric]:.3f} bits/dim")
    if c.folder is not None:
        own = {"principle": "maximum likelihood", "model": label, **fields}
        own["published"] = (published or {}).get(dataset.name)
        results.write(c.folder, fitted.record(scores, dataset, **own))
        show(c, dataset, model, fitted.params, c.folder / "samples.png")
    return {"nats": scores[METRIC].value, "bits_per_dim": bits[METRIC], "seconds": fitted.seconds}
