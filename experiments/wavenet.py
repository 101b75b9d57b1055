r"""WaveNet by maximum likelihood, conditional on the label: what is drawn is also recognised.

python experiments/wavenet.py
    8x8 digits as rows of 64 pixels.
"""

import dataclasses
import functools
import pathlib
import time

import jax
import numpy as np
import optax
import tyro

from gm import data, metrics, plot, train
from gm import distributions as dist
from gm.core import Event, Params
from gm.losses import likelihood
from gm.metrics import recognition, results
from gm.models.autoregressive import CausalModel
from gm.networks import WaveNet

NLL, REAL, DRAWN = "negative log-likelihood", "recognised, test data", "recognised, samples"


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train on, and how."""

    dataset: str = "digits"
    """Any name that gm.data.load takes and that has labels: digits, fsdd_decimated_mulaw, ..."""
    sample_rate: int | None = None
    """Of sound, in Hz, after preprocessing: it is recognised by its spectrogram, and written."""
    length: int = 4096
    """Of sound, samples per recording before preprocessing."""
    channels: int = 32
    skip_channels: int = 64
    dilations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    softmax: bool = False
    """A logit for each value, as in the paper, in place of 10 discretised logistics."""
    num_steps: int = 1500
    batch_size: int = 32
    learning_rate: float = 4e-3
    weight_decay: float = 0.1
    ema_decay: float = 0.999
    eval_samples: int = 200
    """How many are drawn and recognised."""
    seed: int = 0
    folder: pathlib.Path | None = None
    """For checkpoints, metrics, samples.png, samples.wav, result.json; by default none is kept."""


def fit(c: Config) -> tuple[data.Dataset, CausalModel, Params, float]:
    """The data, the model, its averaged parameters after training, and the seconds it took."""
    dataset = data.load(c.dataset, length=c.length)
    head = dist.head_for(dataset.event, ordered=not c.softmax)
    network = WaveNet(c.channels, c.skip_channels, c.dilations)
    model = CausalModel(dataset.event, head, network, Event((), dataset.num_labels))

    def validate(state: train.State) -> dict[str, float]:
        score = functools.partial(metrics.evaluate, batch_size=32, context="label")
        return {"nats": score(model, state.averaged, dataset.validation.arrays()).value}

    schedule = optax.cosine_decay_schedule(c.learning_rate, c.num_steps)
    optimizer = optax.adamw(schedule, weight_decay=c.weight_decay)
    optimizer = train.with_ema(optimizer, c.ema_decay)
    loss = functools.partial(likelihood.negative_log_likelihood, model, context="label")
    step = train.make_step(loss, optimizer)
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    state = train.init(model.init(key_init), optimizer, key_train)
    batches = dataset.train.batches(c.batch_size, c.seed)
    keep = {"folder": c.folder, "config": c, "evaluate": validate}
    begin = time.perf_counter()
    state = train.run(step, state, batches, c.num_steps, **keep)
    return dataset, model, state.averaged, time.perf_counter() - begin


def heard(c: Config, x: np.ndarray) -> np.ndarray:
    """What is shown and recognised: images as they are, spectrograms of sound, low notes below."""
    if c.sample_rate is None:
        return x
    window, sound = c.sample_rate * 32 // 1000, np.asarray(data.mu_law_decode(x))
    return recognition.log_spectrogram(sound, window).swapaxes(1, 2)[:, ::-1]


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set, draws, and asks a classifier what was drawn."""
    dataset, model, params, seconds = fit(c)
    test, see = dataset.test.arrays(), functools.partial(heard, c)
    label = np.resize(np.arange(dataset.num_labels, dtype=np.int32), c.eval_samples)
    keys = jax.random.split(jax.random.key(c.seed), len(label))
    x = np.asarray(jax.jit(jax.vmap(model.sample, (None, 0, 0)))(params, keys, label))

    judge = recognition.fit(dataset.train.x, dataset.train.y, features=see)
    nll = metrics.evaluate(model, params, test, batch_size=32, context="label")
    scores = {NLL: nll, REAL: judge.accuracy(**test), DRAWN: judge.accuracy(x, label)}
    print(*(f"{name}: {score}" for name, score in scores.items()), sep="\n")
    print(f"{nll.value / model.event.size:.4f} nats per element")
    if c.folder is not None:
        rows = results.record_all(
            scores,
            dataset,
            experiment="wavenet",
            model=f"WaveNet, {len(c.dilations)}x{c.channels}, given the label",
            principle="maximum likelihood",
            steps=c.num_steps,
            seconds=seconds,
        )
        results.write(c.folder, rows)
        order = np.argsort(test["label"], kind="stable")[:: len(test["x"]) // 30]
        panels = {"data": see(test["x"][order]), "WaveNet": see(x[np.argsort(label[:30])])}
        plot.save(plot.side_by_side(panels, columns=6), c.folder / "samples.png")
        if c.sample_rate is not None:
            one_of_each = np.asarray(data.mu_law_decode(x[: dataset.num_labels]))
            data.write_wav(c.folder / "samples.wav", one_of_each.ravel(), c.sample_rate)
    return {name: score.value for name, score in scores.items()} | {"seconds": seconds}


if __name__ == "__main__":
    main(tyro.cli(Config))
