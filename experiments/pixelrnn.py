r"""PixelRNN by maximum likelihood: Diagonal BiLSTM, or Row LSTM; given labels with --conditional.

python experiments/pixelrnn.py
    8x8 digits, 17 levels, Diagonal BiLSTM: 85.6 nats (1.93 bits/dim), 35 seconds on one CPU core.
    --row for the Row LSTM.
TFDS_DATA_DIR=... python experiments/pixelrnn.py --dataset binarized_mnist --channels 16 \
    --num-layers 7 --num-steps 100000 --batch-size 64 --steps-per-dispatch 50
    7 layers of 16 for a GPU; not yet run. van den Oord et al. (2016), arXiv:1601.06759: 79.20.
"""

import dataclasses

import command
import options


@dataclasses.dataclass(frozen=True)
class Config(options.MaximumLikelihood):
    """What to train on, and how."""

    learning_rate: float = 4e-3
    weight_decay: float = 0.01
    clip_norm: float = 10.0
    eval_batch_size: int = 100
    row: bool = False
    """Row LSTM instead of Diagonal BiLSTM."""
    conditional: bool = False
    """Given the label."""
    channels: int = 16
    """h, features of each colour."""
    num_layers: int = 2
    """Of LSTMs."""
    first_size: int = 7
    """Pixels along a side of the first convolution."""


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import loading
import maximum_likelihood

from gm import data
from gm import distributions as dist
from gm.models.autoregressive import CausalModel
from gm.networks import DiagonalBiLSTM, PixelRNN, RowLSTM

SOURCE = "van den Oord et al. 2016, arXiv:1601.06759, Diagonal BiLSTM (7 layers, h = 16)"
PUBLISHED = {"binarized_mnist": {maximum_likelihood.METRIC: (79.20, SOURCE)}}


def assemble(c: Config) -> tuple[data.Dataset, CausalModel]:
    """The data, and the model."""
    dataset = loading.load(c, "images")
    sizes = {"channels": c.channels, "num_layers": c.num_layers, "first_size": c.first_size}
    network = PixelRNN(layer=RowLSTM if c.row else DiagonalBiLSTM, **sizes)
    context = loading.labels_of(dataset) if c.conditional else None
    return dataset, CausalModel(dataset.event, dist.head_for(dataset.event), network, context)


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set, samples; returns the numbers."""
    dataset, model = assemble(c)
    fitted = maximum_likelihood.fit(c, dataset, model)
    label = f"PixelRNN, {'Row LSTM' if c.row else 'Diagonal BiLSTM'} {c.num_layers}x{c.channels}"
    label += ", class-conditional" * c.conditional
    fields = {"experiment": "pixelrnn", "published": PUBLISHED}
    return maximum_likelihood.report(c, dataset, model, fitted, label, **fields)


if __name__ == "__main__":
    command.run(main, CONFIG)
