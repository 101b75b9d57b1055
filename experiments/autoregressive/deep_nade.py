"""Deep NADE, and EoNADE: one set of parameters for every order.

Uria, Murray & Larochelle (2014), "A deep and tractable density estimator", arXiv:1310.1757.

python experiments/autoregressive/deep_nade.py
    8x8 digits, 17 levels: 87.9 nats over 8 orders (1.98 bits/dim), 50 seconds on one CPU core.
python experiments/autoregressive/deep_nade.py mnist
    Fixed binarized MNIST, two hidden layers of 500, 128 orders, for a GPU; not yet run (the paper:
    85.10).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.MaximumLikelihood):
    """What to train on, and how."""

    num_steps: int = 2000
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    hidden: tuple[int, ...] = (200, 200)
    """Units in each hidden layer."""
    num_orders: int = 8
    """Over which probabilities are averaged when scoring and sampling; training takes any."""


MNIST = Config("binarized_mnist", hidden=(500, 500), num_orders=128, num_steps=500_000)
PRESETS = {
    "digits": Config(),
    "mnist": dataclasses.replace(
        MNIST, batch_size=100, learning_rate=1e-3, weight_decay=0.01, steps_per_dispatch=50
    ),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm import distributions as dist
from gm.losses import order_agnostic
from gm.models.autoregressive import DeepNADE, Ensemble
from gm.recipes import likelihood, loading
from gm.recipes.experiment import Experiment

SOURCE = "Uria et al. 2014, arXiv:1310.1757, EoNADE 2hl, 128 orders"
PUBLISHED = {"binarized_mnist": {likelihood.METRIC: (85.10, SOURCE)}}


def build(c: Config) -> Experiment:
    """Trained in all orders at once, scored as the average over some."""
    dataset = loading.load(c)
    head = dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    model = DeepNADE(dataset.event, head, c.hidden, mask_seed=c.seed)
    name = f"EoNADE {'x'.join(map(str, c.hidden))}, {c.num_orders} orders"
    own = {"trained": model, "loss": order_agnostic.order_agnostic_nll, "published": PUBLISHED}
    own["principle"] = "maximum likelihood of all orders"
    return likelihood.experiment(c, dataset, Ensemble(model, c.num_orders), name, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
