r"""PixelRNN by maximum likelihood: Diagonal BiLSTM, or Row LSTM; given labels with --conditional.

python experiments/pixelrnn.py
    8x8 digits, 17 levels, Diagonal BiLSTM: a minute on 2 CPU cores. --row for the Row LSTM.
TFDS_DATA_DIR=... python experiments/pixelrnn.py --dataset binarized_mnist --channels 16 \
    --num-layers 7 --num-steps 100000 --batch-size 64 --steps-per-dispatch 50
    7 layers of 16 for a GPU; not yet run. van den Oord et al. (2016), arXiv:1601.06759: 79.20.
"""

import dataclasses

import conditional
import maximum_likelihood
import tyro

from gm import data
from gm import distributions as dist
from gm.models.autoregressive import CausalModel
from gm.networks import DiagonalBiLSTM, PixelRNN, RowLSTM

SOURCE = "van den Oord et al. 2016, arXiv:1601.06759, Diagonal BiLSTM (7 layers, h = 16)"
PUBLISHED = {"binarized_mnist": {maximum_likelihood.METRIC: (79.20, SOURCE)}}


@dataclasses.dataclass(frozen=True)
class Config(maximum_likelihood.Config):
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
    """h, of each colour."""
    num_layers: int = 2
    first_size: int = 7


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set, draws; returns the numbers."""
    dataset = data.load(c.dataset)
    layer = RowLSTM if c.row else DiagonalBiLSTM
    network = PixelRNN(
        layer=layer, channels=c.channels, num_layers=c.num_layers, first_size=c.first_size
    )
    context = conditional.labels_of(dataset) if c.conditional else None
    model = CausalModel(dataset.event, dist.head_for(dataset.event), network, context)
    params, seconds = maximum_likelihood.fit(c, dataset, model)
    label = f"PixelRNN, {'Row LSTM' if c.row else 'Diagonal BiLSTM'} {c.num_layers}x{c.channels}"
    label += ", given the label" * c.conditional
    fields = {"experiment": "pixelrnn", "published": PUBLISHED, "seconds": seconds}
    return maximum_likelihood.report(c, dataset, model, params, label, **fields)


if __name__ == "__main__":
    main(tyro.cli(Config))
