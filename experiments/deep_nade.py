r"""Deep, order-agnostic NADE, and EoNADE: one set of parameters for every order.

python experiments/deep_nade.py
    8x8 digits, 17 levels: 87.9 nats over 8 orders (1.98 bits/dim), 50 seconds on one CPU core.
TFDS_DATA_DIR=... python experiments/deep_nade.py --dataset binarized_mnist --hidden 500 500 \
    --num-orders 128 --num-steps 500000 --batch-size 100 --learning-rate 1e-3 --weight-decay 0.01 \
    --steps-per-dispatch 50
    For a GPU; not yet run. Uria, Murray & Larochelle (2014), arXiv:1310.1757: EoNADE 2hl, 128
    orders, 85.10 nats.
"""

import dataclasses

import command
import options


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


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import fitting
import loading
import maximum_likelihood

from gm import data
from gm import distributions as dist
from gm.losses import order_agnostic
from gm.models.autoregressive import DeepNADE, Ensemble

SOURCE = "Uria et al. 2014, arXiv:1310.1757, EoNADE 2hl, 128 orders"
PUBLISHED = {"binarized_mnist": {maximum_likelihood.METRIC: (85.10, SOURCE)}}


def assemble(c: Config) -> tuple[data.Dataset, DeepNADE, fitting.Loss]:
    """The data, the model of any order, and the loss of all."""
    dataset = loading.load(c)
    head = dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    model = DeepNADE(dataset.event, head, c.hidden, mask_seed=c.seed)
    return dataset, model, order_agnostic.order_agnostic_nll


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set, samples; returns the numbers."""
    dataset, model, loss = assemble(c)
    fitted = maximum_likelihood.fit(c, dataset, model, loss)
    label = f"EoNADE {'x'.join(map(str, c.hidden))}, {c.num_orders} orders"
    fields = {"experiment": "deep_nade", "published": PUBLISHED}
    fields["principle"] = "maximum likelihood of all orders"
    many = Ensemble(model, c.num_orders)
    return maximum_likelihood.report(c, dataset, many, fitted, label, **fields)


if __name__ == "__main__":
    command.run(main, CONFIG)
