r"""PixelCNN and Gated PixelCNN by maximum likelihood; class-conditional with --conditional.

python experiments/pixelcnn.py
    8x8 digits, 17 levels: 87.9 nats (1.98 bits/dim), 30 seconds on one CPU core.
TFDS_DATA_DIR=... python experiments/pixelcnn.py --dataset binarized_mnist --channels 24 \
    --num-layers 12 --pixel-bias --num-steps 13000 --batch-size 16 --learning-rate 3e-3
    Fixed binarized MNIST at a small size: 84.86 nats in 31 minutes on one CPU core; 87.41 after
    12,500 steps without --pixel-bias.
python experiments/pixelcnn.py --gated --conditional --channels 24 --num-layers 4 \
    --num-steps 1500 --batch-size 32 --learning-rate 3e-3
    8x8 digits given the label: a classifier takes 98 % of the samples for what they should be.
TFDS_DATA_DIR=... python experiments/pixelcnn.py --dataset binarized_mnist --channels 64 \
    --num-layers 15 --num-steps 100000 --batch-size 64 --steps-per-dispatch 50
    15 layers for a GPU; not yet run. van den Oord et al. (2016), arXiv:1601.06759: 81.30.
"""

import dataclasses

import command
import options


@dataclasses.dataclass(frozen=True)
class Config(options.Recognised):
    """What to train on, and how."""

    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip_norm: float = 10.0
    eval_batch_size: int = 100
    gated: bool = False
    """Two stacks of gated convolutions instead of residual blocks of masked ones."""
    conditional: bool = False
    """Given the label."""
    channels: int = 16
    """h, features of each colour; between residual blocks twice as many."""
    num_layers: int = 5
    """Residual blocks, or gated layers."""
    first_size: int = 7
    """Pixels along a side of the first convolution."""
    pixel_bias: bool = False
    """A learned bias for each pixel, behind the first layer."""


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import conditional
import loading
import maximum_likelihood

from gm import data
from gm import distributions as dist
from gm.models.autoregressive import CausalModel
from gm.networks import GatedPixelCNN, PixelCNN

SOURCE = "van den Oord et al. 2016, arXiv:1601.06759, PixelCNN"
PUBLISHED = {"binarized_mnist": {maximum_likelihood.METRIC: (81.30, SOURCE)}}


def assemble(c: Config) -> tuple[data.Dataset, CausalModel]:
    """The data, and the model."""
    dataset = loading.load(c, "images")
    sizes = {"channels": c.channels, "num_layers": c.num_layers, "first_size": c.first_size}
    sizes["pixel_bias"] = c.pixel_bias
    network = GatedPixelCNN(**sizes) if c.gated else PixelCNN(**sizes)
    context = loading.labels_of(dataset) if c.conditional else None
    return dataset, CausalModel(dataset.event, dist.head_for(dataset.event), network, context)


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set, samples; returns the numbers."""
    dataset, model = assemble(c)
    fitted = maximum_likelihood.fit(c, dataset, model)
    label = f"{'Gated ' * c.gated}PixelCNN {c.num_layers}x{c.channels}"
    label += ", with pixel biases" * c.pixel_bias + ", class-conditional" * c.conditional
    own = {"experiment": "pixelcnn", "published": PUBLISHED}
    found = maximum_likelihood.report(c, dataset, model, fitted, label, **own)
    if c.conditional:
        found |= conditional.recognise(c, dataset, model, fitted, label, experiment="pixelcnn")[0]
    return found


if __name__ == "__main__":
    command.run(main, CONFIG)
