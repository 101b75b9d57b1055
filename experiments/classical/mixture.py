"""Mixtures of Gaussians or of Bernoullis by expectation maximization.

Dempster, Laird & Rubin (1977). On 2 CPU cores:

python experiments/classical/mixture.py
    8x8 digits in black and white, 20 Bernoullis: 18.34 nats, in seconds.
python experiments/classical/mixture.py mnist
    Fixed binarized MNIST, 500 Bernoullis: 125.96 nats in 17 minutes beside other work (Larochelle &
    Murray (2011): 137.64).
python experiments/classical/mixture.py grid25
    25 Gaussians, by 25 of them.
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Data):
    """What to fit, and to what."""

    dataset: str = "digits_threshold"
    """Bits or real vectors: any such name or file that gm.data.load takes."""
    num_components: int = 20
    """Distributions that are mixed."""
    diagonal: bool = False
    """Of real vectors: elements of a component are independent."""
    num_steps: int = 100
    """Steps of expectation maximization, at most."""
    restarts: int = 3
    """Starts, of which the likeliest end is kept."""
    smoothings: tuple[float, ...] = (0.01, 0.1)
    """Of bits: pseudo-examples of either value in each component; validation chooses one."""


PRESETS = {
    "digits": Config(),
    "mnist": Config("binarized_mnist", num_components=500, restarts=1, smoothings=(0.1,)),
    "grid25": Config("grid25", num_components=25, restarts=8),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import functools

import jax

from gm.models.classical import Mixture, components
from gm.recipes import closed_form, loading
from gm.recipes.experiment import Experiment

PUBLISHED = {
    "binarized_mnist": {
        closed_form.METRIC: (137.64, "Larochelle & Murray 2011, table 2: mixture of 500 Bernoullis")
    }
}


def build(c: Config) -> Experiment:
    """A mixture of as many components as asked, of the kind that the data want."""
    dataset, key = loading.load(c), jax.random.key(c.seed)
    event, fits = dataset.event, {}
    sizes = {"num_steps": c.num_steps, "restarts": c.restarts}
    if event.discrete:
        kinds = {f"smoothing {s:g}": components.Bernoullis(event.size, s) for s in c.smoothings}
    else:
        of = components.DiagonalGaussians if c.diagonal else components.Gaussians
        kinds = {"expectation maximization": of(event.size)}
    for setting, kind in kinds.items():
        model = Mixture(event, c.num_components, kind)
        fits[setting] = functools.partial(model.fit, dataset.train.x, key, **sizes)
    name = f"mixture of {c.num_components} {'Bernoullis' if event.discrete else 'Gaussians'}"
    own = {"principle": "maximum likelihood (EM)", "published": PUBLISHED}
    return closed_form.experiment(c, dataset, model, name, fits, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
