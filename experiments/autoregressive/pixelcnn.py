"""PixelCNN and Gated PixelCNN by maximum likelihood; class-conditional with --conditional.

van den Oord, Kalchbrenner & Kavukcuoglu (2016), arXiv:1601.06759; van den Oord et al. (2016),
arXiv:1606.05328.

python experiments/autoregressive/pixelcnn.py
    8x8 digits, 17 levels: 87.9 nats (1.98 bits/dim), 30 seconds on one CPU core.
python experiments/autoregressive/pixelcnn.py gated
    8x8 digits, class-conditional: a classifier agrees with the label of 98 % of the samples.
python experiments/autoregressive/pixelcnn.py mnist_small
    Fixed binarized MNIST, 12 layers of 24: 84.86 nats in 31 minutes on one CPU core.
python experiments/autoregressive/pixelcnn.py mnist
    15 layers of 64 for a GPU; not yet run (the paper: 81.30).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.ClassConditional):
    """What to train on, and how."""

    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    clip_norm: float = 10.0
    eval_batch_size: int = 100
    gated: bool = False
    """Two stacks of gated convolutions instead of residual blocks of masked ones."""
    conditional: bool = False
    """Class-conditional: p(x | label)."""
    channels: int = 16
    """h, features of each colour; between residual blocks twice as many."""
    num_layers: int = 5
    """Residual blocks, or gated layers."""
    first_size: int = 7
    """Pixels along a side of the first convolution."""
    pixel_bias: bool = False
    """A learned bias for each pixel, after the first layer."""


MNIST = Config("binarized_mnist", channels=64, num_layers=15, num_steps=30_000, batch_size=128)
SMALL = Config("binarized_mnist", channels=24, num_layers=12, num_steps=13_000, batch_size=16)
GATED = Config(gated=True, conditional=True, channels=24, num_layers=4, num_steps=1500)
PRESETS = {
    "digits": Config(),
    "gated": dataclasses.replace(GATED, learning_rate=3e-3),
    "mnist_small": dataclasses.replace(SMALL, pixel_bias=True, learning_rate=3e-3),
    "mnist": dataclasses.replace(MNIST, **options.ACCELERATOR),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm import distributions as dist
from gm.models.autoregressive import CausalModel
from gm.networks import GatedPixelCNN, PixelCNN
from gm.recipes import class_conditional, likelihood, loading
from gm.recipes.experiment import Experiment

SOURCE = "van den Oord et al. 2016, arXiv:1601.06759, PixelCNN"
PUBLISHED = {"binarized_mnist": {likelihood.METRIC: (81.30, SOURCE)}}


def build(c: Config) -> Experiment:
    """A PixelCNN by maximum likelihood."""
    dataset, network = loading.load(c, "images"), GatedPixelCNN if c.gated else PixelCNN
    sizes = {"channels": c.channels, "num_layers": c.num_layers, "first_size": c.first_size}
    context = loading.labels_of(dataset) if c.conditional else None
    head = dist.head_for(dataset.event)
    model = CausalModel(dataset.event, head, network(**sizes, pixel_bias=c.pixel_bias), context)
    name = f"{'Gated ' * c.gated}PixelCNN {c.num_layers}x{c.channels}"
    name += ", with pixel biases" * c.pixel_bias
    recipe = class_conditional if c.conditional else likelihood
    return recipe.experiment(c, dataset, model, name, published=PUBLISHED)


if __name__ == "__main__":
    command.run(ASKED, build)
