"""Masked autoregressive flows by maximum likelihood: MAF, and neural spline flows.

Papamakarios, Pavlakou & Murray (2017), "Masked autoregressive flow for density estimation",
arXiv:1705.07057; Durkan et al. (2019), "Neural spline flows", arXiv:1906.04032. On 2 CPU cores:

python experiments/flows/autoregressive.py
    Two moons, autoregressive splines; not run yet.
python experiments/flows/autoregressive.py digits
    8x8 digits, dequantized: a bound; not run yet.
python experiments/flows/autoregressive.py mnist
    MNIST of 256 levels, dequantized, MAF: a bound in bits/dim; not run yet.
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Flow):
    """What to train on, and how."""

    num_layers: int = 4


MNIST = Config("mnist_dequantized", num_layers=5, num_bins=0, hidden=(1024,), num_steps=20_000)
PRESETS = {
    "two_moons": Config(),
    "digits": Config("digits_dequantized", num_bins=8, weight_decay=1.0, num_steps=3_000),
    "mnist": dataclasses.replace(
        MNIST, logit_margin=1e-6, learning_rate=3e-4, batch_size=100, weight_decay=1e-2
    ),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm.models import flows
from gm.recipes import likelihood, loading
from gm.recipes.experiment import Experiment

EXAMPLES = 5_000  # that the last layer is fitted to


def build(c: Config) -> Experiment:
    """A flow of affine or spline autoregressive layers."""
    dataset = loading.load(c, "vectors")
    sizes = {"num_layers": c.num_layers, "hidden": c.hidden}
    if c.num_bins:
        model = flows.spline_maf(dataset.event, num_bins=c.num_bins, bound=c.bound, **sizes)
        name = f"autoregressive splines, {c.num_layers} layers, {c.num_bins} bins"
    else:
        model, name = flows.maf(dataset.event, **sizes), f"MAF, {c.num_layers} layers"
    if c.logit_margin is not None:
        model = flows.of_logits(model, c.logit_margin)
    return likelihood.experiment(c, dataset, model, name, examples=EXAMPLES)


if __name__ == "__main__":
    command.run(ASKED, build)
