r"""A recurrent network on characters, its state carried from window to window.

python experiments/char_rnn.py
    What the standard library says of itself; no download.
TFDS_DATA_DIR=... python experiments/char_rnn.py --dataset tiny_shakespeare --num-steps 2500
    1.49 nats/char on the last tenth, 5 to 6 minutes on one CPU core.
"""

import dataclasses
import functools
import pathlib
import time
from typing import Literal

import jax
import numpy as np
import optax
import tyro

from gm import core, data, metrics, train
from gm import distributions as dist
from gm.core import Event, Params
from gm.losses import likelihood
from gm.metrics import results
from gm.models.autoregressive import CausalModel
from gm.networks import GRU, LSTM, RecurrentNetwork

METRIC = "negative log-likelihood"


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train on, and how."""

    dataset: str = "python_docs"
    """Any text that gm.data.load takes: tiny_shakespeare, ..."""
    lstm: bool = False
    """Long short-term memory in place of gated recurrent units, which learn sooner here."""
    widths: tuple[int, ...] = (512,)
    """Features of each layer."""
    window: int = 64
    """Characters through which gradients go back; the state goes on."""
    eval_window: int = 1000
    """Characters of a window that is scored, each from an empty state."""
    num_steps: int = 2000
    batch_size: int = 32
    learning_rate: float = 5e-3
    weight_decay: float = 0.1
    ema_decay: float = 0.99
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the products in training; scores and samples are in float32."""
    steps_per_dispatch: int = 10
    """The data stays on the device; 1 makes every batch on the host."""
    sample_length: int = 500
    """Characters of a text that is drawn."""
    seed: int = 0
    folder: pathlib.Path | None = None
    """For checkpoints, metrics, samples and result.json; by default nothing is kept."""


def fit(c: Config) -> tuple[data.Dataset, CausalModel, Params, float]:
    """Data in long windows, a model of them, its parameters after training, and the seconds."""
    dataset = data.load(c.dataset, window=c.window)
    network = RecurrentNetwork(cell=LSTM if c.lstm else GRU, widths=c.widths)
    model = CausalModel(dataset.event, dist.head_for(dataset.event, ordered=False), network)
    held_out = data.load(c.dataset, window=c.eval_window)
    long = dataclasses.replace(model, event=held_out.event)  # the same parameters

    def validate(state: train.State) -> dict[str, float]:
        score = metrics.evaluate(long, state.averaged, held_out.validation.x)
        return {"nats per char": score.per_char(long.event).value}

    drawn = Event((c.sample_length,), model.event.num_values)
    sample = jax.jit(dataclasses.replace(model, event=drawn).sample)

    def draw(state: train.State, path: pathlib.Path) -> None:
        text = data.decode(sample(state.averaged, jax.random.key(c.seed)), dataset.vocabulary)
        path.with_suffix(".txt").write_text(text, encoding="utf-8")

    rate = optax.warmup_cosine_decay_schedule(0.0, c.learning_rate, c.num_steps // 20, c.num_steps)
    optimizer = optax.adamw(rate, b2=0.99, weight_decay=c.weight_decay)
    clip = optax.clip_by_global_norm(float(c.window))  # losses are sums over a window
    optimizer = optax.chain(clip, optimizer)
    optimizer = train.with_ema(optimizer, c.ema_decay)
    half = core.in_precision(model, c.dtype)
    loss = functools.partial(likelihood.continued_negative_log_likelihood, half)
    step = train.make_step(loss, optimizer)
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    params = model.init(key_init)
    memory = jax.vmap(model.memory, None, axis_size=c.batch_size)(params)
    state = train.init(params, optimizer, key_train, memory)
    begin = time.perf_counter()
    many = c.steps_per_dispatch
    batches = data.streams(dataset.train, c.batch_size, c.seed, on_device=many > 1)
    keep = {"folder": c.folder, "config": c, "draw": draw if c.folder else None}
    keep |= {"evaluate": validate, "steps_per_dispatch": many}
    state = train.run(step, state, batches, c.num_steps, **keep)
    return held_out, long, state.averaged, time.perf_counter() - begin


def main(c: Config) -> dict[str, float]:
    """Trains, scores the last tenth of the text, draws; returns the numbers."""
    dataset, model, params, seconds = fit(c)
    x = np.concatenate([dataset.validation.x, dataset.test.x])
    score = metrics.evaluate(model, params, x, batch_size=128).per_char(model.event)
    print(f"validation + test NLL {score}")
    if c.folder is not None:
        size = f"{'LSTM' if c.lstm else 'GRU'} {'+'.join(map(str, c.widths))}"
        fields = {"experiment": "char_rnn", "model": size, "split": "validation + test"}
        fields |= {"principle": "maximum likelihood", "steps": c.num_steps, "seconds": seconds}
        results.write(c.folder, results.record_all({METRIC: score}, dataset, **fields))
        text = sorted((c.folder / "samples").glob("*.txt"))[-1].read_text("utf-8")
        (c.folder / "samples.txt").write_text(text, "utf-8")
        print(text)
    return {score.unit: score.value, "seconds": seconds}


if __name__ == "__main__":
    main(tyro.cli(Config))
