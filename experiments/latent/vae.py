"""VAE by the ELBO, scored by the ELBO and by importance sampling.

Kingma & Welling (2014), arXiv:1312.6114; Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519.

python experiments/latent/vae.py
    8x8 digits, 17 levels: bound 86.4 nats, estimate 83.0 (1.87 bits/dim), 90 s on one CPU core.
python experiments/latent/vae.py mnist
    Fixed binarized MNIST, 2x200 units, 50 latents: bound 94.2 nats, estimate 89.9 (K = 1,000), in
    5 to 8 minutes on 2 CPU cores (Burda et al., after very long training: 88.71, K = 5,000).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Latent):
    """What to train on, and how."""

    hidden: tuple[int, ...] = (200, 200)
    """Units in each hidden layer of the encoder, and of the decoder."""
    latent_dim: int = 16
    """Normal numbers of z."""
    num_steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1


MNIST = Config("binarized_mnist", latent_dim=50, batch_size=128, num_steps=80_000)
PRESETS = {
    "digits": Config(),
    "mnist": dataclasses.replace(MNIST, learning_rate=2e-3, weight_decay=0.01),
}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import jax

from gm import distributions as dist
from gm.models.latent import VAE
from gm.networks import MLP
from gm.recipes import latent, loading
from gm.recipes.experiment import Experiment

SOURCE = "Burda et al. 2016, arXiv:1509.00519, appendix: VAE with one layer, K = 5,000"
PUBLISHED = {"binarized_mnist": {latent.ESTIMATE: (88.71, SOURCE)}}


def build(c: Config) -> Experiment:
    """A VAE of two MLPs, by its bound."""
    dataset = loading.load(c)
    event, head = dataset.event, dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    encoder = MLP(c.hidden, (2 * c.latent_dim,), len(event.shape) + 1, jax.nn.silu)
    decoder = MLP(c.hidden, (*event.shape, head.num_params), activation=jax.nn.silu)
    model = VAE(event, head, encoder, decoder, c.latent_dim)
    name = f"VAE {'x'.join(map(str, c.hidden))}, {c.latent_dim} latents"
    return latent.experiment(c, dataset, model, name, published=PUBLISHED)


if __name__ == "__main__":
    command.run(ASKED, build)
