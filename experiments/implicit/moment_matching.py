"""Generators without a critic: a distance between a batch of samples and a batch of data.

Li, Swersky & Zemel (2015), "Generative moment matching networks", arXiv:1502.02761; Dziugaite, Roy
& Ghahramani (2015), arXiv:1505.03906; Bellemare et al. (2017), arXiv:1705.10743 (energy distance);
Deshpande, Zhang & Schwing (2018), arXiv:1803.11188 (sliced); Genevay, Peyré & Cuturi (2018),
arXiv:1706.00292 (Sinkhorn).

python experiments/implicit/moment_matching.py
    25 Gaussians, by the MMD of kernels of five widths.
python experiments/implicit/moment_matching.py energy
    Also sliced and sinkhorn; digits, digits_energy: 8x8 digits.
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Generator):
    """What to train on, and how; of the distances, the first that is asked for is taken."""

    dataset: str = "grid25"
    batch_size: int = 500
    latent_dim: int = 2
    num_steps: int = 4000
    bandwidths: tuple[float, ...] = ()
    """Of the Gaussian kernels of the MMD, in the units of the data."""
    num_directions: int = 0
    """Directions of the sliced Wasserstein distance."""
    epsilon: float = 0.0
    """Regularization of the Sinkhorn divergence, in squared units; else the energy distance."""


MMD = Config(bandwidths=(0.05, 0.2, 0.5, 1.0, 3.0))
DIGITS = Config("digits", latent_dim=16)
PRESETS = {
    "grid25": MMD,
    "energy": Config(),
    "sliced": Config(num_directions=64),
    "sinkhorn": Config(epsilon=0.01, batch_size=256, num_steps=1000),
    "digits": dataclasses.replace(DIGITS, bandwidths=(0.5, 1.0, 2.0, 4.0)),
    "digits_energy": DIGITS,
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm import data
from gm.core import Array, Batch, Key, Metrics, Params
from gm.losses import entropic, minimum_distance, moments, transport
from gm.models.implicit import Generator
from gm.networks import MLP
from gm.recipes import games, loading
from gm.recipes.experiment import Experiment


def principle_of(c: Config) -> tuple[Callable[[Key], minimum_distance.Distance], str]:
    """The distance between two samples, with a key for its own randomness, and its name."""
    if c.bandwidths:
        kernel = moments.RBF(jnp.asarray(c.bandwidths, jnp.float32))
        distance = functools.partial(moments.squared_mmd, kernel)
        return lambda key: distance, "maximum mean discrepancy"
    if c.num_directions:
        options = {"num_directions": c.num_directions}
        return lambda key: functools.partial(transport.sliced, key, **options), "sliced Wasserstein"
    if c.epsilon:
        distance = functools.partial(entropic.sinkhorn_divergence, epsilon=c.epsilon)
        return lambda key: distance, "Sinkhorn divergence"
    return lambda key: moments.energy_distance, "energy distance"


def build(c: Config) -> Experiment:
    """An MLP by a distance; integers are dequantized, and the generator's values lie in [0, 1]."""
    dataset, squash = loading.load(c), None
    if dataset.event.discrete:
        dataset, squash = dataset.map(data.UniformDequantization()), jax.nn.sigmoid
    network = MLP(c.hidden, dataset.event.shape, output_activation=squash)
    generator = Generator(dataset.event, network, c.latent_dim)
    distance, principle = principle_of(c)

    def loss(model: Generator, params: Params, key: Key, batch: Batch) -> tuple[Array, Metrics]:
        key_own, key_samples = jax.random.split(key)
        options = {"distance": distance(key_own)}
        return minimum_distance.of_samples(model, params, key_samples, batch, **options)

    name = f"generator {'x'.join(map(str, c.hidden))}"
    return games.alone(c, dataset, generator, loss, name, principle)


if __name__ == "__main__":
    command.run(ASKED, build)
