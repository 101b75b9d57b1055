"""NADE by maximum likelihood: one hidden layer, brought up to date element by element.

Larochelle & Murray (2011); Uria et al. (2016), arXiv:1605.02226. One CPU core:

python experiments/autoregressive/nade.py
    8x8 digits, 17 levels: 90.7 nats (2.04 bits/dim), 20 seconds.
python experiments/autoregressive/nade.py mnist
    Fixed binarized MNIST, 500 units: 86.91 nats in 30 minutes (Larochelle & Murray: 88.33).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.MaximumLikelihood):
    """What to train on, and how."""

    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    hidden: int = 200
    """Units in the hidden layer."""
    num_orders: int = 1
    """More train in several orders, and average probabilities over them."""


PRESETS = {"digits": Config(), "mnist": Config("binarized_mnist", hidden=500, num_steps=75_000)}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm import distributions as dist
from gm.losses import order_agnostic
from gm.models.autoregressive import NADE, Ensemble
from gm.recipes import likelihood, loading
from gm.recipes.experiment import Experiment

SOURCE = "Larochelle & Murray 2011, NADE, fixed order"
PUBLISHED = {
    "binarized_mnist": {likelihood.METRIC: (88.33, f"{SOURCE}, 500 units")},
    "dna": {likelihood.METRIC: (84.81, SOURCE)},
    "mushrooms": {likelihood.METRIC: (9.81, SOURCE)},
}


def build(c: Config) -> Experiment:
    """NADE in one order, or an ensemble of several, by maximum likelihood."""
    dataset = loading.load(c)
    head = dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    name, own = f"NADE {c.hidden}", {"published": PUBLISHED}
    if c.num_orders == 1:
        model = NADE(dataset.event, head, c.hidden)
        return likelihood.experiment(c, dataset, model, name, **own)
    model = NADE(dataset.event, head, c.hidden, mask_seed=c.seed)
    name, own["loss"] = f"{name}, {c.num_orders} orders", order_agnostic.sampled_member_nll
    return likelihood.experiment(c, dataset, Ensemble(model, c.num_orders), name, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
