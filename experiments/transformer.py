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

import command
import options


@dataclasses.dataclass(frozen=True)
class Config(options.Fast):
    """What to train on, and how."""

    dataset: str = "python_docs"
    """Any name that gm.data.load takes: tiny_shakespeare, digits, binarized_mnist, ..."""
    window: int = 64
    """Characters of an example, where it is text."""
    width: int = 128
    """Features of an element."""
    num_layers: int = 4
    """Of attention and feed-forward network."""
    num_heads: int = 4
    """Of each attention."""
    dropout: float = 0.0
    """Part of the features that are left out in training."""
    num_steps: int = 2000
    batch_size: int = 16
    learning_rate: float = 1e-2
    muon: bool = True
    """Orthogonal updates of matrices (Jordan et al. 2024); else AdamW for everything."""
    weight_decay: float = 0.1
    ema_decay: float = 0.99
    steps_per_dispatch: int = 20


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import functools
import pathlib

import fitting
import jax
import loading
import texts

from gm import core, data, metrics, train
from gm import distributions as dist
from gm.losses import likelihood
from gm.models.autoregressive import CausalModel
from gm.networks import Transformer

PUBLISHED = {"tiny_shakespeare": {texts.METRIC: (1.88, "Karpathy, nanoGPT, 2,000 steps on a CPU")}}


def assemble(c: Config) -> tuple[data.Dataset, CausalModel, fitting.Loss]:
    """The data, the model, and its loss."""
    dataset = loading.load(c, window=c.window)
    head = dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    sizes = {"width": c.width, "num_layers": c.num_layers, "num_heads": c.num_heads}
    model = CausalModel(dataset.event, head, Transformer(**sizes, dropout=c.dropout))
    loss = functools.partial(likelihood.negative_log_likelihood, dropout=c.dropout > 0.0)
    return dataset, model, loss


def fit(c: Config) -> tuple[data.Dataset, CausalModel, fitting.Fitted]:
    """The data, the model, and what its training came to."""
    dataset, model, loss = assemble(c)

    def validate(state: train.State) -> dict[str, float]:
        return {"nats": metrics.evaluate(model, state.averaged, dataset.validation).value}

    def picture(state: train.State, path: pathlib.Path) -> None:
        texts.show(c, dataset, model, state.averaged, path)

    optimizer = texts.optimizer(c, 1.0, muon=c.muon)
    step = train.make_step(functools.partial(loss, core.in_precision(model, c.dtype)), optimizer)
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    state = train.init(fitting.init(model, key_init), optimizer, key_train)
    batches = dataset.train.batches(c.batch_size, c.seed, on_device=c.steps_per_dispatch > 1)
    keep = {"plot": picture if c.folder else None, "steps_per_dispatch": c.steps_per_dispatch}
    return dataset, model, fitting.run(c, step, state, batches, validate, **keep)


def main(c: Config) -> dict[str, float]:
    """Trains, scores what was held out, samples; returns the numbers."""
    dataset, model, fitted = fit(c)
    label = f"Transformer, {c.num_layers} layers, {c.num_heads} heads, {c.width} wide"
    own = {"experiment": "transformer", "published": PUBLISHED.get(dataset.name)}
    found = texts.report(c, dataset, model, fitted, label, **own)
    if c.folder is not None:
        texts.show(c, dataset, model, fitted.params, c.folder / "samples.png")
    return found


if __name__ == "__main__":
    command.run(main, CONFIG)
