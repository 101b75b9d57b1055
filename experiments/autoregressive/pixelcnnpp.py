"""PixelCNN++ by maximum likelihood, PixelSNAIL with --snail; class-conditional with --conditional.

Salimans et al. (2017), arXiv:1701.05517; Chen et al. (2018), arXiv:1712.09763.

python experiments/autoregressive/pixelcnnpp.py
    8x8 digits, 17 levels: 81.6 nats (1.84 bits/dim), 100 seconds on one CPU core.
python experiments/autoregressive/pixelcnnpp.py snail
    The same with attention.
python experiments/autoregressive/pixelcnnpp.py cifar10
    32x32 colour images for a GPU; not yet run (the paper: 2.92 bits/dim, with dropout and reflected
    images); cifar10_snail likewise (the paper: 2.85).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.ClassConditional):
    """What to train on, and how."""

    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.995
    clip_norm: float = 10.0
    eval_batch_size: int = 100
    snail: bool = False
    """PixelSNAIL in place of PixelCNN++."""
    conditional: bool = False
    """Class-conditional: p(x | label)."""
    channels: int = 16
    """Features of a pixel."""
    num_blocks: int = 2
    """Residual blocks at each resolution of PixelCNN++; attentions of PixelSNAIL."""
    num_levels: int = 2
    """Resolutions of PixelCNN++."""
    num_layers: int = 2
    """Convolutional blocks between the attentions of PixelSNAIL."""
    num_components: int = 5
    """Discretised logistics that a pixel's distribution is a mixture of."""


LARGE = Config("cifar10", num_components=10, num_steps=500_000, **options.ACCELERATOR)
PAPER = dataclasses.replace(LARGE, channels=160, num_blocks=5, num_levels=3, batch_size=64)
SNAIL = dataclasses.replace(LARGE, snail=True, channels=256, num_blocks=12, num_layers=4)
PRESETS = {
    "digits": Config(),
    "snail": Config(snail=True),
    "cifar10": dataclasses.replace(PAPER, learning_rate=1e-3),
    "cifar10_snail": dataclasses.replace(SNAIL, learning_rate=3e-4),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm.models.autoregressive import PixelModel
from gm.networks import PixelCNNPlusPlus, PixelSNAIL
from gm.recipes import class_conditional, likelihood, loading
from gm.recipes.experiment import Experiment


def build(c: Config) -> Experiment:
    """PixelCNN++ or PixelSNAIL by maximum likelihood."""
    dataset, sizes = loading.load(c), {"channels": c.channels, "num_blocks": c.num_blocks}
    if c.snail:
        network = PixelSNAIL(**sizes, num_layers=c.num_layers, value_channels=c.channels // 2)
        name = f"PixelSNAIL {c.num_blocks}x{c.num_layers}x{c.channels}"
    else:
        network = PixelCNNPlusPlus(**sizes, num_levels=c.num_levels)
        name = f"PixelCNN++ {c.num_levels}x{c.num_blocks}x{c.channels}"
    context = loading.labels_of(dataset) if c.conditional else None
    model = PixelModel(dataset.event, network, c.num_components, context)
    return (class_conditional if c.conditional else likelihood).experiment(c, dataset, model, name)


if __name__ == "__main__":
    command.run(ASKED, build)
