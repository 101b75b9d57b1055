r"""PixelCNN++ by maximum likelihood, PixelSNAIL with --snail; given labels with --conditional.

python experiments/pixelcnnpp.py
    8x8 digits, 17 levels: 81.6 nats (1.84 bits/dim), 100 seconds on one CPU core.
python experiments/pixelcnnpp.py --snail
    The same with attention.
python experiments/pixelcnnpp.py --dataset images.npz --channels 160 --num-blocks 5 --num-levels 3 \
    --num-components 10 --num-steps 500000 --batch-size 64 --learning-rate 1e-3 --dtype bfloat16 \
    --steps-per-dispatch 50
    For a GPU; not yet run. images.npz holds x: [N, 32, 32, 3] bytes, and num_values = 256. Salimans
    et al. (2017), arXiv:1701.05517: 2.92 bits/dim on CIFAR-10, with dropout and reflected images.
python experiments/pixelcnnpp.py --snail --dataset images.npz --channels 256 --num-blocks 12 \
    --num-layers 4 --num-components 10 --num-steps 500000 --batch-size 32 --learning-rate 3e-4 \
    --dtype bfloat16 --steps-per-dispatch 50
    For a GPU; not yet run. Chen et al. (2018), arXiv:1712.09763: 2.85 bits/dim, likewise.
"""

import dataclasses

import command
import options


@dataclasses.dataclass(frozen=True)
class Config(options.MaximumLikelihood):
    """What to train on, and how."""

    learning_rate: float = 2e-3
    weight_decay: float = 0.01
    ema_decay: float = 0.995
    clip_norm: float = 10.0
    eval_batch_size: int = 100
    snail: bool = False
    """PixelSNAIL in place of PixelCNN++."""
    conditional: bool = False
    """Given the label."""
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


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import loading
import maximum_likelihood

from gm import data
from gm.models.autoregressive import PixelModel
from gm.networks import PixelCNNPlusPlus, PixelSNAIL


def assemble(c: Config) -> tuple[data.Dataset, PixelModel]:
    """The data, and the model."""
    dataset, sizes = loading.load(c), {"channels": c.channels, "num_blocks": c.num_blocks}
    if c.snail:
        network = PixelSNAIL(**sizes, num_layers=c.num_layers, value_channels=c.channels // 2)
    else:
        network = PixelCNNPlusPlus(**sizes, num_levels=c.num_levels)
    context = loading.labels_of(dataset) if c.conditional else None
    return dataset, PixelModel(dataset.event, network, c.num_components, context)


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set, samples; returns the numbers."""
    dataset, model = assemble(c)
    fitted = maximum_likelihood.fit(c, dataset, model)
    label = f"PixelCNN++ {c.num_levels}x{c.num_blocks}x{c.channels}"
    if c.snail:
        label = f"PixelSNAIL {c.num_blocks}x{c.num_layers}x{c.channels}"
    label += ", class-conditional" * c.conditional
    return maximum_likelihood.report(c, dataset, model, fitted, label, experiment="pixelcnnpp")


if __name__ == "__main__":
    command.run(main, CONFIG)
