"""Multi-scale flows of images by maximum likelihood: couplings from coarse to fine, and Glow.

Dinh, Sohl-Dickstein & Bengio (2017), "Density estimation using Real NVP", arXiv:1605.08803; Kingma
& Dhariwal (2018), "Glow", arXiv:1807.03039; Ho et al. (2019), "Flow++", arXiv:1902.00275. Integers
are dequantized, so that all numbers are bounds. On 2 CPU cores:

python experiments/flows/images.py
    8x8 digits; not run yet.
python experiments/flows/images.py mnist
    MNIST of 256 levels, a third of an epoch: 1.308 bits/dim in 11 minutes beside other work
    (published after days on GPUs: RealNVP 1.06, Glow 1.05).
python experiments/flows/images.py glow
    8x8 digits, Glow; not run yet.
python experiments/flows/images.py mnist_long
    MNIST to convergence, for a GPU; not run yet. Likewise cifar10 and cifar10_spline: Glow with
    affine and with spline couplings; --dataset FILE.npz trains on a part of the images.
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Flow):
    """What to train on, and how."""

    dataset: str = "digits_dequantized"
    num_bins: int = 0
    num_components: int = 5
    num_layers: int = 4
    """Layers of the coarsest pixels; of Glow, steps of each level."""
    num_levels: int = 2
    """How often height and width are halved."""
    glow: bool = False
    """Glow in place of couplings from coarse to fine."""
    channels: int = 32
    """Channels of hidden layers of networks."""
    num_blocks: int = 2
    """Residual blocks of each network; not of Glow's."""
    hidden: tuple[int, ...] = (128, 128)
    bound: float = 8.0
    logit_margin: float | None = 1e-6


GLOW = Config(num_components=0, glow=True, logit_margin=0.05, learning_rate=1e-3)
CIFAR10 = dataclasses.replace(
    GLOW, dataset="cifar10_dequantized", num_levels=3, num_layers=16, channels=256, batch_size=64
)
MNIST = Config("mnist_dequantized", num_components=4, batch_size=32)
PRESETS = {
    "digits": Config(num_steps=3_000, weight_decay=1.0),
    "glow": dataclasses.replace(GLOW, num_steps=3_000, weight_decay=1.0),
    "mnist": dataclasses.replace(MNIST, channels=16, num_blocks=1, num_steps=600, ema_decay=0.98),
    "mnist_long": dataclasses.replace(
        MNIST, channels=96, num_blocks=4, num_steps=100_000, **options.ACCELERATOR
    ),
    "cifar10": dataclasses.replace(CIFAR10, num_steps=50_000, **options.ACCELERATOR),
    "cifar10_spline": dataclasses.replace(
        CIFAR10, num_bins=8, num_steps=50_000, **options.ACCELERATOR
    ),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm import distributions as dist
from gm.bijections import transformers
from gm.models import flows
from gm.networks import ResidualConvNet
from gm.recipes import likelihood, loading
from gm.recipes.experiment import Experiment

EXAMPLES = 1_000  # that activation normalization starts from
PUBLISHED = {
    "mnist_dequantized": {
        likelihood.BITS: (1.06, "Grathwohl et al. 2019, arXiv:1810.01367: RealNVP (Glow: 1.05)")
    }
}


def build(c: Config) -> Experiment:
    """A multi-scale flow of affine, spline or mixture-CDF couplings."""
    dataset = loading.load(c, "images")
    if c.num_components:
        transformer = transformers.Inverse(transformers.MixtureCDF(c.num_components))
        family, kind = dist.Logistic, f"mixtures of {c.num_components} logistics"
    elif c.num_bins:
        transformer, family = transformers.Spline(c.num_bins, c.bound), dist.Normal
        kind = f"splines of {c.num_bins} bins"
    else:
        transformer, family, kind = transformers.Affine(2.0), dist.Normal, "affine"
    own = {"transformer": transformer, "num_levels": c.num_levels}
    if c.glow:
        own |= {"num_steps": c.num_layers, "channels": (c.channels, c.channels)}
        model, name = flows.glow(dataset.event, **own), f"Glow {c.num_levels}x{c.num_layers}"
    else:
        own |= {"hidden": c.hidden, "num_coarse": c.num_layers, "family": family}
        network = ResidualConvNet(c.channels, (), c.num_blocks, output_scale=0.0)
        model = flows.multiscale(dataset.event, network=network, **own)
        name = f"multi-scale couplings, {c.num_levels} levels, {c.num_blocks} blocks"
    name = f"{name}, {c.channels} channels, {kind}"
    if c.logit_margin is not None:
        model = flows.of_logits(model, c.logit_margin)
    return likelihood.experiment(c, dataset, model, name, examples=EXAMPLES, published=PUBLISHED)


if __name__ == "__main__":
    command.run(ASKED, build)
