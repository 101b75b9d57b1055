r"""NADE by maximum likelihood: one hidden layer, brought up to date element by element.

python experiments/nade.py
    8x8 digits, 17 levels: 90.7 nats (2.04 bits/dim), 20 seconds on one CPU core.
TFDS_DATA_DIR=... python experiments/nade.py --dataset binarized_mnist --hidden 500 \
    --num-steps 75000 --learning-rate 2e-3 --weight-decay 0.03
    Fixed binarized MNIST, 500 units: 86.91 nats in 30 minutes on one CPU core (Larochelle & Murray
    (2011): 88.33).
"""

import dataclasses

import command
import options


@dataclasses.dataclass(frozen=True)
class Config(options.MaximumLikelihood):
    """What to train on, and how."""

    learning_rate: float = 2e-3
    weight_decay: float = 0.03
    hidden: int = 200
    """Units in the hidden layer."""
    num_orders: int = 1
    """More train in several orders, and average probabilities over them."""


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import fitting
import loading
import maximum_likelihood

from gm import data
from gm import distributions as dist
from gm.losses import likelihood, order_agnostic
from gm.models.autoregressive import NADE, Ensemble

METRIC = maximum_likelihood.METRIC
PUBLISHED = {
    "binarized_mnist": {METRIC: (88.33, "Larochelle & Murray 2011, NADE 500, fixed order")},
    "dna": {METRIC: (84.81, "Larochelle & Murray 2011, NADE, fixed order")},
    "mushrooms": {METRIC: (9.81, "Larochelle & Murray 2011, NADE, fixed order")},
}


def assemble(c: Config) -> tuple[data.Dataset, NADE | Ensemble, fitting.Loss]:
    """The data, the model, and its loss."""
    dataset = loading.load(c)
    head = dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    if c.num_orders == 1:
        model = NADE(dataset.event, head, c.hidden)
        return dataset, model, likelihood.negative_log_likelihood
    model = NADE(dataset.event, head, c.hidden, mask_seed=c.seed)
    return dataset, Ensemble(model, c.num_orders), order_agnostic.sampled_member_nll


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set, samples; returns the numbers."""
    dataset, model, loss = assemble(c)
    fitted = maximum_likelihood.fit(c, dataset, model, loss)
    label = f"NADE {c.hidden}" + f", {c.num_orders} orders" * (c.num_orders > 1)
    fields = {"experiment": "nade", "published": PUBLISHED}
    return maximum_likelihood.report(c, dataset, model, fitted, label, **fields)


if __name__ == "__main__":
    command.run(main, CONFIG)
