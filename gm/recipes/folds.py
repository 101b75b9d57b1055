"""Cross-validation on small data: each fold trains as one program and keeps its best round.

Each tenth of the examples in turn is the test set, and another is for early stopping. The mean and
variance that standardize all examples are those of all examples outside the test set.
"""

from __future__ import annotations

import dataclasses
import functools
import pathlib
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gm import data, metrics, plot, train
from gm.core import Key, Params
from gm.losses import likelihood, order_agnostic
from gm.models.autoregressive import Ensemble
from gm.recipes import fitting, options, samples
from gm.recipes.experiment import Experiment, Fitted, Published

METRIC = "negative log-likelihood, mean of folds"
PREPROCESSING = "standardized in each fold"  # scores are those of standardized values
STEPS = 200  # updates per round


def experiment(
    c: options.Folds,
    dataset: data.Dataset,
    model: Any,
    name: str,
    *,
    chooser: Any = None,
    published: Published | None = None,
) -> Experiment:
    """A model of real vectors with scores averaged over folds; the folder keeps the first fold's.

    Args:
      c: the options.
      dataset: the data set, of which all three splits are joined and then cut into folds.
      model: the model to score and to sample, in standardized units.
      name: the name of the model in reports.
      chooser: a cheaper model with the same parameters, used for early stopping.
      published: values of the literature, {data set: {metric: (value, source)}}.
    """
    splits = (dataset.train, dataset.validation, dataset.test)
    x = np.random.default_rng(c.seed).permutation(np.concatenate([s.x for s in splits]))
    standard = data.Standardize.fit(np.concatenate(split_fold(x, 0)[1:]))  # of the first fold

    def fit() -> Fitted:
        fitting.enter(c)
        begin, key, nats, kept = time.perf_counter(), jax.random.key(c.seed), [], None
        for i in range(c.num_folds):
            test, validation, rest = standardized(*split_fold(x, i))
            key_fold = jax.random.fold_in(key, i)
            params = fit_fold(c, chooser or model, key_fold, rest, validation)
            nats.append(negative_log_probs(model, params, test))
            known = np.mean(negative_log_probs(chooser or model, params, validation))
            print(f"fold {i + 1} of {c.num_folds}: {metrics.Score.mean(nats[-1])}", end="")
            print(f"; {known:.3f} in validation")
            kept = params if kept is None else kept
        scores = {METRIC: metrics.Score.mean(np.concatenate(nats))}
        return Fitted(kept, c.num_rounds * STEPS, time.perf_counter() - begin, scores=scores)

    def score(params: Params, split: data.Split) -> dict[str, metrics.Score]:
        found = metrics.evaluate(model, params, split.map(standard).x)  # standardized, as METRIC
        return {"negative log-likelihood, first fold": found}

    def picture(params: Params, path: pathlib.Path) -> None:
        real = dataset.test.map(standard).x[:1000]
        panels = {"data": real, "model": samples.sample(model, params, c.seed, 1000)}
        plot.save(plot.samples(panels), path)

    return Experiment(
        dataclasses.replace(dataset, preprocessing=PREPROCESSING),
        model,
        name,
        "maximum likelihood",
        fit,
        score,
        picture,
        published=published or {},
        standardized=standard,
    )


def negative_log_probs(model: Any, params: Params, x: np.ndarray) -> np.ndarray:
    """-log p(x) of each of x: [N, *event], nats."""
    return -np.asarray(jax.jit(jax.vmap(model.log_prob, (None, 0)))(params, x))


def split_fold(x: np.ndarray, i: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The i-th tenth as a test set, the next as a validation set, and the rest for training."""
    size = len(x) // 10
    test, rest = np.split(np.roll(x, -i * size, axis=0), [size])
    return test, rest[:size], rest[size:]


def standardized(
    test: np.ndarray, validation: np.ndarray, rest: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Standardizes all three by the mean and standard deviation of the examples outside test."""
    known = np.concatenate([validation, rest])
    mean, scale = known.mean(0), known.std(0)
    return (test - mean) / scale, (validation - mean) / scale, (rest - mean) / scale


@functools.partial(jax.jit, static_argnames=("c", "scored"))
def fit_fold(
    c: options.Folds, scored: Any, key: Key, x: np.ndarray, validation: np.ndarray
) -> Params:
    """Trains in rounds; returns the parameters after the round with the best validation loss."""
    many, one = order_agnostic.order_agnostic_nll, likelihood.negative_log_likelihood
    model, loss = (scored.model, many) if isinstance(scored, Ensemble) else (scored, one)
    schedule = optax.cosine_decay_schedule(c.learning_rate, c.num_rounds * STEPS)
    optimizer = train.with_ema(optax.adamw(schedule, weight_decay=c.weight_decay), 0.99)

    def step(state, key):
        params, opt_state = state
        key_batch, key_loss = jax.random.split(key)
        chosen = x[jax.random.randint(key_batch, (c.batch_size,), 0, len(x))]
        if c.noise:
            key_loss, key_noise = jax.random.split(key_loss)
            chosen += c.noise * jax.random.normal(key_noise, chosen.shape, chosen.dtype)
        batch = {"x": chosen}
        grads = jax.grad(lambda p: loss(model, p, key_loss, batch)[0])(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    def one_round(carry, key):
        state, best, least = carry
        state, _ = jax.lax.scan(step, state, jax.random.split(key, STEPS))
        averaged = train.averaging.averaged(*state)
        nats = -jnp.mean(jax.vmap(scored.log_prob, (None, 0))(averaged, validation))
        best = jax.tree.map(lambda new, old: jnp.where(nats < least, new, old), averaged, best)
        return (state, best, jnp.minimum(nats, least)), nats

    key_init, key_train = jax.random.split(key)
    params = model.init(key_init)
    carry = (params, optimizer.init(params)), params, jnp.array(jnp.inf)
    return jax.lax.scan(one_round, carry, jax.random.split(key_train, c.num_rounds))[0][1]
