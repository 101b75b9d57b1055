"""A Transformer by maximum likelihood, on text or on the pixels of images.

Vaswani et al. (2017), arXiv:1706.03762; sizes and numbers of Karpathy's nanoGPT.

python experiments/autoregressive/transformer.py
    What the standard library says of itself; no download.
python experiments/autoregressive/transformer.py shakespeare
    Tiny Shakespeare, last tenth: 1.728 nats/char in 90 s on 2 CPU cores (nanoGPT, same size: 1.88).
python experiments/autoregressive/transformer.py shakespeare_large
    nanoGPT's configuration for one GPU; not yet run (1.4697 nats/char there).
"""

import dataclasses

from gm.recipes import command, options


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
    clip_norm: float = 1.0
    steps_per_dispatch: int = 20


TEXT = Config("tiny_shakespeare", num_steps=1500, batch_size=12, learning_rate=1.5e-2)
LARGE = Config("tiny_shakespeare", window=256, width=384, num_layers=6, num_heads=6, dropout=0.2)
NANO = dataclasses.replace(LARGE, batch_size=64, num_steps=5000, muon=False, learning_rate=1e-3)
PRESETS = {
    "python_docs": Config(),
    "shakespeare": TEXT,
    "shakespeare_large": dataclasses.replace(NANO, dtype="bfloat16"),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import functools

from gm import distributions as dist
from gm.losses import likelihood
from gm.models.autoregressive import CausalModel
from gm.networks import Transformer
from gm.recipes import loading, texts
from gm.recipes.experiment import Experiment

SMALL, ONE = (
    (1.88, "Karpathy, nanoGPT, 2,000 steps on a CPU"),
    (1.4697, "Karpathy, nanoGPT, one GPU"),
)


def build(c: Config) -> Experiment:
    """A causal Transformer by maximum likelihood."""
    dataset = loading.load(c, window=c.window)
    head = dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    sizes = {"width": c.width, "num_layers": c.num_layers, "num_heads": c.num_heads}
    model = CausalModel(dataset.event, head, Transformer(**sizes, dropout=c.dropout))
    name = f"Transformer, {c.num_layers} layers, {c.num_heads} heads, {c.width} wide"
    loss = functools.partial(likelihood.negative_log_likelihood, dropout=c.dropout > 0.0)
    own = {"loss": loss, "optimizer": (texts.muon if c.muon else texts.adamw)(c)}
    own["published"] = {"tiny_shakespeare": {texts.METRIC: ONE if c.window == 256 else SMALL}}
    return texts.experiment(c, dataset, model, name, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
