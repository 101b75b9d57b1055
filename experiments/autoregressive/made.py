"""MADE by maximum likelihood: exact log-likelihoods, sampled with caches.

Germain, Gregor, Murray & Larochelle (2015), arXiv:1502.03509. One CPU core, where nothing is said:

python experiments/autoregressive/made.py
    8x8 digits, 17 levels: 86.5 nats (1.95 bits/dim), 20 seconds.
python experiments/autoregressive/made.py mnist
    Fixed binarized MNIST, one hidden layer of 500: 89.78 nats in 2 to 4 minutes (the paper: 94.5
    with 500 units, 88.40 with 8,000).
python experiments/autoregressive/made.py mnist_wide
    2,000 units: 87.40 nats in 9 minutes; the L1 penalty is worth a nat of overfitting.
python experiments/autoregressive/made.py mnist_masks
    Two layers of 8,000, 32 masks, for a GPU; not yet run (the paper: 86.64).
python experiments/autoregressive/made.py dna
    The DNA set, 1,400 examples, 128 orders: 78.99 nats in a minute (the paper: 79.66).
python experiments/autoregressive/made.py mushrooms
    16 masks: 9.598 nats in 4 minutes (the paper: 9.68).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.MaximumLikelihood):
    """What to train on, and how."""

    hidden: tuple[int, ...] = (200,)
    """Units in each hidden layer."""
    direct: bool = True
    """Masked connections straight from inputs to outputs."""
    l1_direct: float | None = None
    """Of those connections, in place of l1: they learn first, and small data needs little else."""
    num_masks: int = 1
    """More train connectivity-agnostic, and average probabilities over so many masks."""
    random_order: bool = False
    """Another order with each mask, too."""


MNIST = Config("binarized_mnist", learning_rate=2e-3)
WIDE = dataclasses.replace(MNIST, hidden=(2000,), num_steps=12_000, weight_decay=0.0)
MASKS = Config("binarized_mnist", hidden=(8000, 8000), num_masks=32, direct=False, batch_size=100)
SMALL = Config(batch_size=100, learning_rate=2e-3, weight_decay=0.0)
DNA = dataclasses.replace(SMALL, dataset="dna", num_masks=128, random_order=True, num_steps=20_000)
MUSHROOMS = dataclasses.replace(SMALL, dataset="mushrooms", num_masks=16, num_steps=25_000)
PRESETS = {
    "digits": Config(),
    "mnist": dataclasses.replace(MNIST, hidden=(500,), num_steps=32_000, weight_decay=0.03),
    "mnist_wide": dataclasses.replace(WIDE, batch_size=64, l1=8e-5),
    "mnist_masks": dataclasses.replace(
        MASKS, num_steps=200_000, learning_rate=1e-3, weight_decay=0.01, **options.ACCELERATOR
    ),
    "dna": dataclasses.replace(DNA, hidden=(500,), l1=1.5e-4, l1_direct=1e-3),
    "mushrooms": dataclasses.replace(MUSHROOMS, hidden=(1000, 1000), l1=7e-5, l1_direct=2e-5),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import jax.numpy as jnp

from gm import distributions as dist
from gm.losses import likelihood as nll
from gm.losses import order_agnostic
from gm.models.autoregressive import MADE, Ensemble, degrees_by_entropy
from gm.recipes import likelihood, loading
from gm.recipes.experiment import Experiment

PAPER = "Germain et al. 2015, arXiv:1502.03509"
PUBLISHED = {
    "binarized_mnist": {
        likelihood.METRIC: (88.40, f"{PAPER}, 8,000 units (500 units: 94.5; 32 masks: 86.64)")
    },
    "dna": {likelihood.METRIC: (79.66, f"{PAPER}, mask sampling")},
    "mushrooms": {likelihood.METRIC: (9.68, f"{PAPER}, mask sampling (DARN: 9.55)")},
}


def build(c: Config) -> Experiment:
    """MADE, or an ensemble of its masks and orders, by maximum likelihood."""
    dataset = loading.load(c)
    event, degrees, name = dataset.event, None, f"MADE {'x'.join(map(str, c.hidden))}"
    if event.discrete and not c.random_order:
        degrees = degrees_by_entropy(dataset.train.x, event.num_values, c.hidden)
    head = dist.head_for(event, ordered=not dataset.vocabulary)
    model = MADE(event, head, c.hidden, direct=c.direct, degrees=degrees)
    loss = nll.negative_log_likelihood
    if c.num_masks > 1:
        model = dataclasses.replace(model, mask_seed=c.seed, random_order=c.random_order)
        model, loss = Ensemble(model, c.num_masks), order_agnostic.sampled_member_nll
        name += f", {c.num_masks} {'orders' if c.random_order else 'masks'}"

    def penalized(model, params, key, batch):
        nats, found = loss(model, params, key, batch)
        direct = params["params"]["shortcut"]["kernel"]
        return nats + (c.l1_direct - c.l1) * jnp.sum(jnp.abs(direct)), found

    own = {"loss": loss if c.l1_direct is None else penalized, "published": PUBLISHED}
    return likelihood.experiment(c, dataset, model, name, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
