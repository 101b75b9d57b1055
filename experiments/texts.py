"""What the experiments on texts share: the optimizer, the last tenth of a text, the report.

This file is no script: the experiments beside it call it.
"""

import functools
import pathlib
from typing import Any

import fitting
import jax
import numpy as np
import optax
import options

from gm import data, metrics, plot, train
from gm.core import Array, Params
from gm.metrics import results

METRIC = "negative log-likelihood"


def optimizer(
    c: options.Chosen, clip_norm: float, *, muon: bool = False
) -> optax.GradientTransformation:
    """AdamW, or muon for the matrices, warmed up over a twentieth of the steps, and averaged."""
    rate = optax.warmup_cosine_decay_schedule(0.0, c.learning_rate, c.num_steps // 20, c.num_steps)
    inner = optax.adamw(rate, b2=0.99, weight_decay=c.weight_decay)
    if muon:
        inner = optax.contrib.muon(rate, weight_decay=c.weight_decay, consistent_rms=0.2)
    clipped = optax.chain(optax.clip_by_global_norm(clip_norm), inner)
    return train.with_ema(clipped, c.ema_decay)


def score(
    dataset: data.Dataset, model: Any, params: Params, batch_size: int = 256
) -> metrics.Score:
    """Of a text in nats/char on its last tenth, as the literature has it; else of the test set."""
    evaluate = functools.partial(metrics.evaluate, model, params, batch_size=batch_size)
    if not dataset.vocabulary:
        return evaluate(dataset.test)
    x = np.concatenate([dataset.validation.x, dataset.test.x])
    return evaluate(x, correlated=True).per_char(model.event)


def show(
    c: options.Chosen,
    dataset: data.Dataset,
    model: Any,
    params: Params,
    path: pathlib.Path,
    num: int = 16,
) -> None:
    """Writes samples, as a picture or, in path with the ending `.txt`, as texts."""
    x = np.asarray(_sample(model, params, jax.random.split(jax.random.key(c.seed), num)))
    if dataset.vocabulary:
        text = "\n---\n".join(data.decode(one, dataset.vocabulary) for one in x)
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
    else:
        plot.save(plot.samples({"samples": x}, num_values=model.event.num_values), path)


@functools.partial(jax.jit, static_argnames="model")  # compiled once for all samples of a run
def _sample(model: Any, params: Params, keys: Array) -> Array:
    return jax.vmap(functools.partial(model.sample, params))(keys)


def report(
    c: options.Chosen,
    dataset: data.Dataset,
    model: Any,
    fitted: fitting.Fitted,
    label: str,
    *,
    batch_size: int = 256,
    **fields: Any,
) -> dict[str, float]:
    """Scores what was held out; leaves result.json, with the fields given."""
    split = "validation + test" if dataset.vocabulary else "test"
    of = functools.partial(score, dataset, model, batch_size=batch_size)
    scores = fitted.scores(METRIC, of)
    for metric, found in scores.items():
        print(f"{label}, {dataset.name}: {split} {metric} {found}")
    if c.folder is not None:
        own = {"principle": "maximum likelihood", "model": label, "split": split, **fields}
        results.write(c.folder, fitted.record(scores, dataset, **own))
    return {scores[METRIC].unit: scores[METRIC].value, "seconds": fitted.seconds}
