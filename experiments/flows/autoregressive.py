"""Masked autoregressive flows by maximum likelihood: MAF, and neural spline flows.

Papamakarios, Pavlakou & Murray (2017), "Masked autoregressive flow for density estimation",
arXiv:1705.07057; Durkan et al. (2019), "Neural spline flows", arXiv:1906.04032. On 2 CPU cores:

python experiments/flows/autoregressive.py
    Two moons, autoregressive splines; not run yet.
python experiments/flows/autoregressive.py digits
    8x8 digits, dequantized: a bound; not run yet.
python experiments/flows/autoregressive.py mnist
    MNIST of 256 levels, dequantized, two layers of mixture CDFs, one epoch: 1.556 bits/dim, a
    bound, in 9 minutes beside other work (the paper: 1.89 with affine layers, MADE MoG 1.41).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Flow):
    """What to train on, and how."""

    num_layers: int = 4


MNIST = Config("mnist_dequantized", num_layers=2, num_components=3, hidden=(200,))
PRESETS = {
    "two_moons": Config(),
    "digits": Config("digits_dequantized", num_bins=8, weight_decay=1.0, num_steps=3_000),
    "mnist": dataclasses.replace(
        MNIST, logit_margin=1e-6, batch_size=100, num_steps=500, ema_decay=0.99
    ),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

from gm import distributions as dist
from gm.bijections import transformers
from gm.models import flows
from gm.recipes import likelihood, loading
from gm.recipes.experiment import Experiment

EXAMPLES = 5_000  # that the last layer is fitted to
PUBLISHED = {
    "mnist_dequantized": {
        likelihood.BITS: (1.89, "Papamakarios et al. 2017, arXiv:1705.07057, MAF (MADE MoG: 1.41)")
    }
}


def build(c: Config) -> Experiment:
    """A flow of affine or spline autoregressive layers."""
    dataset = loading.load(c, "vectors")
    sizes = {"num_layers": c.num_layers, "hidden": c.hidden}
    if c.num_components:
        mixture = transformers.Inverse(transformers.MixtureCDF(c.num_components))
        model = flows.autoregressive_flow(dataset.event, mixture, family=dist.Logistic, **sizes)
        name = f"MAF of mixture CDFs, {c.num_layers} layers, {c.num_components} logistics"
    elif c.num_bins:
        model = flows.spline_maf(dataset.event, num_bins=c.num_bins, bound=c.bound, **sizes)
        name = f"autoregressive splines, {c.num_layers} layers, {c.num_bins} bins"
    else:
        model, name = flows.maf(dataset.event, **sizes), f"MAF, {c.num_layers} layers"
    if c.logit_margin is not None:
        model = flows.of_logits(model, c.logit_margin)
    return likelihood.experiment(c, dataset, model, name, examples=EXAMPLES, published=PUBLISHED)


if __name__ == "__main__":
    command.run(ASKED, build)
