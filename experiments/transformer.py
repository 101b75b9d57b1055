r"""A Transformer by maximum likelihood, on text or on the pixels of images.

python experiments/transformer.py  # what the standard library says of itself; no download
TFDS_DATA_DIR=... python experiments/transformer.py --dataset tiny_shakespeare --num-steps 1500 \
    --batch-size 12 --learning-rate 1.5e-2
    On the last tenth, 1.728 nats/char in 90 s on 2 CPU cores (nanoGPT, same size: 1.88).
TFDS_DATA_DIR=... python experiments/transformer.py --dataset tiny_shakespeare --window 256 \
    --width 384 --num-layers 6 --num-heads 6 --dropout 0.2 --batch-size 64 --num-steps 5000 \
    --no-muon --learning-rate 1e-3 --dtype bfloat16
    nanoGPT's configuration for one GPU, 1.4697 nats/char there; not run here.
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

from gm import core, data, metrics, plot, train
from gm import distributions as dist
from gm.core import Params
from gm.losses import likelihood
from gm.metrics import results
from gm.models.autoregressive import CausalModel
from gm.networks import Transformer

METRIC = "negative log-likelihood"
PUBLISHED = {"tiny_shakespeare": {METRIC: (1.88, "Karpathy, nanoGPT, 2,000 steps on a CPU")}}


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train on, and how."""

    dataset: str = "python_docs"
    """Any name that gm.data.load takes: tiny_shakespeare, digits, binarized_mnist, ..."""
    window: int = 64
    """Characters of an example, where it is text."""
    width: int = 128
    num_layers: int = 4
    num_heads: int = 4
    dropout: float = 0.0
    num_steps: int = 2000
    batch_size: int = 16
    learning_rate: float = 1e-2
    muon: bool = True
    """Orthogonal updates of matrices (Jordan et al. 2024); else AdamW for everything."""
    weight_decay: float = 0.1
    ema_decay: float = 0.99
    dtype: Literal["float32", "bfloat16"] = "float32"
    steps_per_dispatch: int = 20
    seed: int = 0
    folder: pathlib.Path | None = None
    """For checkpoints, metrics, samples and result.json; by default nothing is kept."""


def fit(c: Config) -> tuple[data.Dataset, CausalModel, Params, float]:
    """The data, the model, its averaged parameters after training, and the seconds it took."""
    dataset = data.load(c.dataset, window=c.window)
    head = dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    sizes = {"width": c.width, "num_layers": c.num_layers, "num_heads": c.num_heads}
    model = CausalModel(dataset.event, head, Transformer(**sizes, dropout=c.dropout))

    def validate(state: train.State) -> dict[str, float]:
        return {"nats": metrics.evaluate(model, state.averaged, dataset.validation.x).value}

    sample = jax.jit(jax.vmap(model.sample, (None, 0)))

    def draw(state: train.State, path: pathlib.Path) -> None:
        x = np.asarray(sample(state.averaged, jax.random.split(jax.random.key(c.seed), 16)))
        if dataset.vocabulary:
            text = "\n---\n".join(data.decode(window, dataset.vocabulary) for window in x)
            path.with_suffix(".txt").write_text(text, encoding="utf-8")
        else:
            plot.save(plot.samples({"Transformer": x}, num_values=dataset.event.num_values), path)

    rate = optax.warmup_cosine_decay_schedule(0.0, c.learning_rate, c.num_steps // 20, c.num_steps)
    optimizer = optax.adamw(rate, b2=0.99, weight_decay=c.weight_decay)
    if c.muon:
        optimizer = optax.contrib.muon(rate, weight_decay=c.weight_decay, consistent_rms=0.2)
    optimizer = train.with_ema(optax.chain(optax.clip_by_global_norm(1.0), optimizer), c.ema_decay)
    loss = functools.partial(likelihood.negative_log_likelihood, dropout=c.dropout > 0.0)
    step = train.make_step(functools.partial(loss, core.in_precision(model, c.dtype)), optimizer)
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    state, begin = train.init(model.init(key_init), optimizer, key_train), time.perf_counter()
    batches = dataset.train.batches(c.batch_size, c.seed, on_device=c.steps_per_dispatch > 1)
    keep = {"folder": c.folder, "config": c, "draw": draw if c.folder else None}
    keep |= {"evaluate": validate, "steps_per_dispatch": c.steps_per_dispatch}
    state = train.run(step, state, batches, c.num_steps, **keep)
    return dataset, model, state.averaged, time.perf_counter() - begin


def main(c: Config) -> dict[str, float]:
    """Trains, scores what was held out, draws; returns the numbers."""
    dataset, model, params, seconds = fit(c)
    if dataset.vocabulary:  # the last tenth of the text, as the literature has it
        split, x = "validation + test", np.concatenate([dataset.validation.x, dataset.test.x])
        score = metrics.evaluate(model, params, x).per_char(model.event)
    else:
        split, score = "test", metrics.evaluate(model, params, dataset.test.x)
    print(f"{split} NLL {score}")
    if c.folder is not None:
        size = f"Transformer, {c.num_layers} layers, {c.num_heads} heads, {c.width} wide"
        fields = {"experiment": "transformer", "model": size, "principle": "maximum likelihood"}
        fields |= {"split": split, "steps": c.num_steps, "seconds": seconds}
        fields |= {"published": PUBLISHED.get(dataset.name)}
        results.write(c.folder, results.record_all({METRIC: score}, dataset, **fields))
        for newest in sorted((c.folder / "samples").iterdir())[-1:]:
            (c.folder / f"samples{newest.suffix}").write_bytes(newest.read_bytes())
            print(newest.read_text("utf-8") if newest.suffix == ".txt" else newest)
    return {score.unit: score.value, "seconds": seconds}


if __name__ == "__main__":
    main(tyro.cli(Config))
