"""What the experiments by maximum likelihood share: options, the training, the report."""

import dataclasses
import functools
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import numpy as np
import optax

from gm import core, data, metrics, plot, train
from gm.core import Event, Params
from gm.losses import likelihood
from gm.metrics import results

METRIC = "negative log-likelihood"


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train on, and how; an experiment adds what its model needs."""

    dataset: str = "digits"
    """Any name that gm.data.load takes: digits, claw, mnist_dynamic, mine.npz, ..."""
    num_steps: int = 500
    batch_size: int = 32
    learning_rate: float = 4e-3
    weight_decay: float = 1.0
    ema_decay: float = 0.999
    clip_norm: float = 1e6
    """Gradients longer than this are shortened."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the products in training; scores and samples are in float32."""
    steps_per_dispatch: int = 1
    """More spares small models the dispatch of steps; the data then stays on the device."""
    eval_batch_size: int = 256
    seed: int = 0
    folder: pathlib.Path | None = None
    """For checkpoints, metrics, pictures and result.json; by default nothing is kept."""


def labels_of(dataset: data.Dataset) -> Event:
    """The space of the labels, as the context of a conditional model."""
    if dataset.num_labels is None:
        raise SystemExit(f"{dataset.name} has no labels; digits and mnist_threshold have.")
    return Event((), dataset.num_labels)


def fit(
    c: Config,
    dataset: data.Dataset,
    model: Any,
    loss: Callable = likelihood.negative_log_likelihood,
    score: Any = None,
) -> tuple[Params, float]:
    """The averaged parameters after training, and the seconds it took.

    Args:
      c: the options.
      dataset: to learn from and to choose with.
      model: what learns; given the label where it is conditional.
      loss: a loss of the model.
      score: the model that the validation examples are scored with, if it is another one.
    """
    context = {"context": "label"} if model.context is not None else {}
    scored = model if score is None else score

    def validate(state: train.State) -> dict[str, float]:
        held_out = dataset.validation.arrays()
        options = {"batch_size": c.eval_batch_size, **context}
        return {"nats": metrics.evaluate(scored, state.averaged, held_out, **options).value}

    def picture(state: train.State, path: pathlib.Path) -> None:
        panels = {"data": dataset.test.x[:64], "model": draw(scored, state.averaged, c.seed)}
        plot.save(plot.samples(panels, num_values=model.event.num_values), path)

    schedule = optax.warmup_cosine_decay_schedule(
        0.0, c.learning_rate, min(100, c.num_steps // 10), c.num_steps
    )
    optimizer = optax.chain(
        optax.clip_by_global_norm(c.clip_norm),
        optax.adamw(schedule, weight_decay=c.weight_decay),
    )
    optimizer = train.with_ema(optimizer, c.ema_decay)
    step = train.make_step(
        functools.partial(loss, core.in_precision(model, c.dtype), **context), optimizer
    )
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    state = train.init(jax.jit(model.init)(key_init), optimizer, key_train)
    begin, many = time.perf_counter(), c.steps_per_dispatch
    batches = dataset.train.batches(c.batch_size, c.seed, on_device=many > 1)
    keep = {"folder": c.folder, "config": c, "draw": picture if c.folder else None}
    keep |= {"evaluate": validate, "steps_per_dispatch": many}
    state = train.run(step, state, batches, c.num_steps, **keep)
    return state.averaged, time.perf_counter() - begin


def draw(model: Any, params: Params, seed: int, num: int = 64) -> np.ndarray:
    """Samples [num, *event]; of a conditional model, of each label in turn."""
    keys = jax.random.split(jax.random.key(seed), num)
    y = () if model.context is None else (np.arange(num) % model.context.num_values,)
    return np.asarray(jax.jit(jax.vmap(functools.partial(model.sample, params)))(keys, *y))


def report(
    c: Config,
    dataset: data.Dataset,
    model: Any,
    params: Params,
    seconds: float,
    *,
    experiment: str,
    label: str,
    published: dict[str, dict[str, tuple[float, str]]],
    principle: str = "maximum likelihood",
) -> dict[str, float]:
    """Scores the test set, prints it, and leaves result.json and samples.png in the folder."""
    context = {"context": "label"} if model.context is not None else {}
    arrays = dataset.test.arrays()
    score = metrics.evaluate(model, params, arrays, batch_size=c.eval_batch_size, **context)
    bits = score.bits_per_dim(model.event)
    print(f"{label}, {dataset.name}: test NLL {score} = {bits.value:.3f} bits/dim")
    if c.folder is not None:
        rows = results.record_all(
            {METRIC: score},
            dataset,
            published=published.get(dataset.name),
            experiment=experiment,
            model=label,
            principle=principle,
            steps=c.num_steps,
            seconds=seconds,
        )
        results.write(c.folder, rows)
        for newest in sorted((c.folder / "samples").glob("*.png"))[-1:]:
            shutil.copy(newest, c.folder / "samples.png")
    return {"nats": score.value, "bits_per_dim": bits.value, "seconds": seconds}
