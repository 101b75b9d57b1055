r"""MADE by maximum likelihood: exact log-likelihoods, drawn with caches.

python experiments/made.py
    8x8 digits, 17 levels: 86 nats (1.94 bits/dim), 10 seconds on 2 CPU cores.
TFDS_DATA_DIR=... python experiments/made.py --dataset binarized_mnist --hidden 500 \
    --num-steps 32000 --learning-rate 2e-3 --weight-decay 0.03
    Fixed binarized MNIST, one hidden layer of 500, one order: 89.78 nats, in 2 to 4 minutes.
    Germain et al. (2015), arXiv:1502.03509: 94.5 with 500 units, 88.40 with 8,000.
"""

import dataclasses
import functools
import pathlib
import shutil
import time
from typing import Literal

import jax
import numpy as np
import optax
import tyro

from gm import core, data, metrics, plot, train
from gm import distributions as dist
from gm.core import Params
from gm.losses import likelihood
from gm.metrics import results
from gm.models.autoregressive import MADE, degrees_by_entropy

METRIC = "negative log-likelihood"
SOURCE = "Germain et al. 2015, arXiv:1502.03509, 500 units (8,000 units: 88.40)"
PUBLISHED = {"binarized_mnist": {METRIC: (94.5, SOURCE)}}


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train on, and how."""

    dataset: str = "digits"
    """Any name that gm.data.load takes: digits, claw, mnist_dynamic, mine.npz, ..."""
    hidden: tuple[int, ...] = (200,)
    """Units in each hidden layer."""
    direct: bool = True
    """Masked connections straight from inputs to outputs."""
    num_steps: int = 500
    batch_size: int = 32
    learning_rate: float = 4e-3
    weight_decay: float = 1.0
    ema_decay: float = 0.999
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the products in training; scores and samples are in float32."""
    steps_per_dispatch: int = 1
    """More spares small models the dispatch of steps; the data then stays on the device."""
    seed: int = 0
    folder: pathlib.Path | None = None
    """For checkpoints, metrics, pictures and result.json; by default nothing is kept."""


def fit(c: Config) -> tuple[data.Dataset, MADE, Params, float]:
    """The data, the model, its averaged parameters after training, and the seconds it took."""
    dataset = data.load(c.dataset)
    event, degrees = dataset.event, None
    if event.discrete:
        degrees = degrees_by_entropy(dataset.train.x, event.num_values, c.hidden)
    head = dist.head_for(event, ordered=not dataset.vocabulary)
    model = MADE(event, head, c.hidden, direct=c.direct, degrees=degrees)

    def validate(state: train.State) -> dict[str, float]:
        return {"nats": metrics.evaluate(model, state.averaged, dataset.validation.x).value}

    def draw(state: train.State, path: pathlib.Path) -> None:
        keys = jax.random.split(jax.random.key(c.seed), 64)
        x = jax.jit(jax.vmap(model.sample, (None, 0)))(state.averaged, keys)
        panels = {"data": dataset.test.x[:64], "MADE": np.asarray(x)}
        plot.save(plot.samples(panels, num_values=event.num_values), path)

    schedule = optax.cosine_decay_schedule(c.learning_rate, c.num_steps)
    optimizer = optax.adamw(schedule, weight_decay=c.weight_decay)
    optimizer = train.with_ema(optimizer, c.ema_decay)
    half = core.in_precision(model, c.dtype)
    loss = functools.partial(likelihood.negative_log_likelihood, half)
    step = train.make_step(loss, optimizer)
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    state = train.init(model.init(key_init), optimizer, key_train)
    begin = time.perf_counter()
    many = c.steps_per_dispatch
    batches = dataset.train.batches(c.batch_size, c.seed, on_device=many > 1)
    keep = {"folder": c.folder, "config": c, "draw": draw if c.folder else None}
    keep |= {"evaluate": validate, "steps_per_dispatch": many}
    state = train.run(step, state, batches, c.num_steps, **keep)
    return dataset, model, state.averaged, time.perf_counter() - begin


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set, draws; returns the numbers."""
    dataset, model, params, seconds = fit(c)
    score = metrics.evaluate(model, params, dataset.test.x)
    bits = score.bits_per_dim(model.event)
    print(f"test NLL {score} = {bits.value:.3f} bits/dim")
    if c.folder is not None:
        rows = results.record_all(
            {METRIC: score},
            dataset,
            published=PUBLISHED.get(dataset.name),
            experiment="made",
            model=f"MADE {'x'.join(map(str, c.hidden))}",
            principle="maximum likelihood",
            steps=c.num_steps,
            seconds=seconds,
        )
        results.write(c.folder, rows)
        for newest in sorted((c.folder / "samples").glob("*.png"))[-1:]:
            shutil.copy(newest, c.folder / "samples.png")
    return {"nats": score.value, "bits_per_dim": bits.value, "seconds": seconds}


if __name__ == "__main__":
    main(tyro.cli(Config))
