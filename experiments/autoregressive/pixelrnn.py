"""PixelRNN by maximum likelihood: Diagonal BiLSTM or Row LSTM; --conditional: class-conditional.

van den Oord, Kalchbrenner & Kavukcuoglu (2016), arXiv:1601.06759.

python experiments/autoregressive/pixelrnn.py
    8x8 digits, 17 levels, Diagonal BiLSTM: 85.6 nats (1.93 bits/dim), 35 seconds on one CPU core.
python experiments/autoregressive/pixelrnn.py row
    The same with the Row LSTM.
python experiments/autoregressive/pixelrnn.py mnist
    Fixed binarized MNIST, 7 layers of 16, for a GPU; not yet run (the paper: 79.20).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.ClassConditional):
    """What to train on, and how."""

    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    clip_norm: float = 10.0
    eval_batch_size: int = 100
    row: bool = False
    """Row LSTM instead of Diagonal BiLSTM."""
    conditional: bool = False
    """Class-conditional: p(x | label)."""
    channels: int = 16
    """h, features of each colour."""
    num_layers: int = 2
    """Of LSTMs."""
    first_size: int = 7
    """Pixels along a side of the first convolution."""


MNIST = Config("binarized_mnist", num_layers=7, num_steps=12_000, batch_size=128)
PRESETS = {
    "digits": Config(),
    "row": Config(row=True),
    "mnist": dataclasses.replace(MNIST, steps_per_dispatch=10),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm import distributions as dist
from gm.models.autoregressive import CausalModel
from gm.networks import DiagonalBiLSTM, PixelRNN, RowLSTM
from gm.recipes import class_conditional, likelihood, loading
from gm.recipes.experiment import Experiment

SOURCE = "van den Oord et al. 2016, arXiv:1601.06759, Diagonal BiLSTM (7 layers, h = 16)"
PUBLISHED = {"binarized_mnist": {likelihood.METRIC: (79.20, SOURCE)}}


def build(c: Config) -> Experiment:
    """A PixelRNN by maximum likelihood."""
    dataset = loading.load(c, "images")
    sizes = {"channels": c.channels, "num_layers": c.num_layers, "first_size": c.first_size}
    network = PixelRNN(layer=RowLSTM if c.row else DiagonalBiLSTM, **sizes)
    context = loading.labels_of(dataset) if c.conditional else None
    model = CausalModel(dataset.event, dist.head_for(dataset.event), network, context)
    name = f"PixelRNN, {'Row LSTM' if c.row else 'Diagonal BiLSTM'} {c.num_layers}x{c.channels}"
    recipe = class_conditional if c.conditional else likelihood
    return recipe.experiment(c, dataset, model, name, published=PUBLISHED)


if __name__ == "__main__":
    command.run(ASKED, build)
