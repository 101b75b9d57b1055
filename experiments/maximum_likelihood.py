"""What the experiments by maximum likelihood share: options, the training, the report."""

import dataclasses
import functools
import pathlib
import shutil
import time
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gm import core, data, metrics, plot, train
from gm.core import Array, Params
from gm.losses import likelihood
from gm.metrics import results
from gm.models.autoregressive import Ensemble

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
    l1: float = 0.0
    """Nats per unit of a weight's size (biases are free): a Laplace prior, for sparse weights."""
    ema_decay: float = 0.999
    clip_norm: float = 1e6
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the products in training; scores and samples are in float32."""
    steps_per_dispatch: int = 1
    eval_batch_size: int = 256
    seed: int = 0
    folder: pathlib.Path | None = None


def given(model: Any) -> dict[str, str]:
    """What a conditional model is given, for losses and scores."""
    return {} if model.context is None else {"context": "label"}


def fit(
    c: Config,
    dataset: data.Dataset,
    model: Any,
    loss: Callable = likelihood.negative_log_likelihood,
) -> tuple[Params, float]:
    """The averaged parameters after training, and the seconds it took.

    A conditional model is given the label.
    """

    def validate(state: train.State) -> dict[str, float]:
        return {"nats": evaluate(c, model, state.averaged, dataset.validation).value}

    def picture(state: train.State, path: pathlib.Path) -> None:
        panels = {"data": dataset.test.x[:64], "model": draw(model, state.averaged, c.seed)}
        plot.save(plot.samples(panels, num_values=model.event.num_values), path)

    warmup = min(100, c.num_steps // 10)
    schedule = optax.warmup_cosine_decay_schedule(0.0, c.learning_rate, warmup, c.num_steps)
    optimizer = optax.adamw(schedule, weight_decay=c.weight_decay)
    sparse = optax.stateless_with_tree_map(lambda g, w: g + c.l1 * jnp.sign(w) * (w.ndim > 1))
    optimizer = optax.chain(optax.clip_by_global_norm(c.clip_norm), sparse, optimizer)
    optimizer = train.with_ema(optimizer, c.ema_decay)
    loss = functools.partial(loss, core.in_precision(model, c.dtype), **given(model))
    step = train.make_step(loss, optimizer)
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    state = train.init(jax.jit(model.init)(key_init), optimizer, key_train)
    begin, many = time.perf_counter(), c.steps_per_dispatch
    batches = dataset.train.batches(c.batch_size, c.seed, on_device=many > 1)
    keep = {"folder": c.folder, "config": c, "evaluate": validate, "steps_per_dispatch": many}
    keep["draw"] = picture if c.folder else None
    state = train.run(step, state, batches, c.num_steps, **keep)
    return state.averaged, time.perf_counter() - begin


def evaluate(c: Config, model: Any, params: Params, split: data.Split) -> metrics.Score:
    """The mean negative log-likelihood on a split."""
    options = {"batch_size": c.eval_batch_size, **given(model)}
    return metrics.evaluate(model, params, split.arrays(), **options)


def draw(model: Any, params: Params, seed: int, num: int = 64) -> np.ndarray:
    """Samples [num, *event]; of each label in turn, and of one member of an ensemble."""
    model = model.member(0) if isinstance(model, Ensemble) else model
    keys = jax.random.split(jax.random.key(seed), num)
    y = () if model.context is None else (np.arange(num) % model.context.num_values,)
    return np.asarray(_sample(model, params, keys, *y))


@functools.partial(jax.jit, static_argnames="model")  # compiled once for all pictures of a run
def _sample(model: Any, params: Params, keys: Array, *y: Array) -> Array:
    return jax.vmap(functools.partial(model.sample, params))(keys, *y)


def report(
    c: Config, dataset: data.Dataset, model: Any, params: Params, label: str, **fields: Any
) -> dict[str, float]:
    """Scores the test set; leaves result.json, with the fields given, and samples.png."""
    score = evaluate(c, model, params, dataset.test)
    bits = score.bits_per_dim(model.event)
    print(f"{label}, {dataset.name}: test NLL {score} = {bits.value:.3f} bits/dim")
    if c.folder is not None:
        fields = {"principle": "maximum likelihood", "steps": c.num_steps, **fields}
        fields["published"] = fields["published"].get(dataset.name)
        results.write(c.folder, results.record_all({METRIC: score}, dataset, model=label, **fields))
        for newest in sorted((c.folder / "samples").glob("*.png"))[-1:]:
            shutil.copy(newest, c.folder / "samples.png")
    return {"nats": score.value, "bits_per_dim": bits.value, "seconds": fields["seconds"]}
