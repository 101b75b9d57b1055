r"""MADE by maximum likelihood: exact log-likelihoods, drawn with caches.

python experiments/made.py
    8x8 digits, 17 levels: 86.5 nats (1.95 bits/dim), 20 seconds on one CPU core.
TFDS_DATA_DIR=... python experiments/made.py --dataset binarized_mnist --hidden 500 \
    --num-steps 32000 --learning-rate 2e-3 --weight-decay 0.03
    Fixed binarized MNIST, one hidden layer of 500, one order: 89.78 nats, in 2 to 4 minutes.
    Germain et al. (2015), arXiv:1502.03509: 94.5 with 500 units, 88.40 with 8,000.
TFDS_DATA_DIR=... python experiments/made.py --dataset binarized_mnist --hidden 2000 \
    --num-steps 12000 --batch-size 64 --learning-rate 2e-3 --weight-decay 0 --l1 8e-5
    87.40 nats, in 9 minutes on one CPU core: the L1 penalty is worth a nat of overfitting.
python experiments/made.py --dataset dna.npz --hidden 500 --num-masks 128 --random-order \
    --num-steps 20000 --batch-size 100 --learning-rate 2e-3 --weight-decay 0 --l1 1.5e-4 \
    --l1-direct 1e-3
    The DNA set, 1,400 examples: 78.99 nats in a minute (the paper, mask sampling: 79.66).
python experiments/made.py --dataset mushrooms.npz --hidden 1000 1000 --num-masks 16 \
    --num-steps 25000 --batch-size 100 --learning-rate 2e-3 --weight-decay 0 --l1 7e-5 \
    --l1-direct 2e-5
    Mushrooms: 9.598 nats in 4 minutes (the paper: 9.68).
TFDS_DATA_DIR=... python experiments/made.py --dataset binarized_mnist --hidden 8000 8000 \
    --num-masks 32 --no-direct --num-steps 200000 --batch-size 100 --learning-rate 1e-3 \
    --weight-decay 0.01 --dtype bfloat16 --steps-per-dispatch 50
    The paper's best, 86.64, for a GPU; not yet run.
"""

import dataclasses

import command
import options


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


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import fitting
import jax.numpy as jnp
import loading
import maximum_likelihood

from gm import data
from gm import distributions as dist
from gm.losses import likelihood, order_agnostic
from gm.models.autoregressive import MADE, Ensemble, degrees_by_entropy

PAPER = "Germain et al. 2015, arXiv:1502.03509"
METRIC = maximum_likelihood.METRIC
PUBLISHED = {
    "binarized_mnist": {
        METRIC: (88.40, f"{PAPER}, 8,000 units (500 units: 94.5; 32 masks: 86.64)")
    },
    "dna": {METRIC: (79.66, f"{PAPER}, mask sampling")},
    "mushrooms": {METRIC: (9.68, f"{PAPER}, mask sampling (DARN: 9.55)")},
}


def assemble(c: Config) -> tuple[data.Dataset, MADE | Ensemble, fitting.Loss]:
    """The data, the model, and its loss."""
    dataset = loading.load(c)
    event, degrees = dataset.event, None
    if event.discrete and not c.random_order:
        degrees = degrees_by_entropy(dataset.train.x, event.num_values, c.hidden)
    head = dist.head_for(event, ordered=not dataset.vocabulary)
    sizes = {"direct": c.direct, "degrees": degrees}
    if c.num_masks == 1:
        model, loss = MADE(event, head, c.hidden, **sizes), likelihood.negative_log_likelihood
    else:
        sizes |= {"mask_seed": c.seed, "random_order": c.random_order}
        model = Ensemble(MADE(event, head, c.hidden, **sizes), c.num_masks)
        loss = order_agnostic.sampled_member_nll

    def penalized(model, params, key, batch):
        nats, found = loss(model, params, key, batch)
        direct = params["params"]["shortcut"]["kernel"]
        return nats + (c.l1_direct - c.l1) * jnp.sum(jnp.abs(direct)), found

    return dataset, model, loss if c.l1_direct is None else penalized


def fit(c: Config) -> tuple[data.Dataset, MADE | Ensemble, fitting.Fitted]:
    """The data, the model, and what its training came to."""
    dataset, model, loss = assemble(c)
    return dataset, model, maximum_likelihood.fit(c, dataset, model, loss)


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set, samples; returns the numbers."""
    dataset, model, fitted = fit(c)
    label = f"MADE {'x'.join(map(str, c.hidden))}"
    if c.num_masks > 1:
        label += f", {c.num_masks} {'orders' if c.random_order else 'masks'}"
    fields = {"experiment": "made", "published": PUBLISHED}
    return maximum_likelihood.report(c, dataset, model, fitted, label, **fields)


if __name__ == "__main__":
    command.run(main, CONFIG)
