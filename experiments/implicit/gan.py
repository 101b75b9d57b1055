"""GAN: a generator and a critic, non-saturating with R1 or Wasserstein with gradient penalty.

Goodfellow et al. (2014), arXiv:1406.2661; Gulrajani et al. (2017), arXiv:1704.00028.

python experiments/implicit/gan.py
    8x8 digits: a classifier tells samples from unseen data 92 times in 100 (50 would be best); 2
    minutes on one CPU core.
python experiments/implicit/gan.py grid25
    25 Gaussians: 25 modes, 97 % within 3 standard deviations, reverse KL 0.007, in 3 minutes.
python experiments/implicit/gan.py grid25 --num-seeds 10 --steps-per-dispatch 20
    10 seeds as one program: 25 modes from each, 96.8 % (± 0.5 over seeds), reverse KL 0.0065
    (± 0.0014), in 7 minutes on 2 CPU cores. Lin et al. (2018), "PacGAN", arXiv:1712.04086, over 10
    seeds: 24.8, 93.6 %, 0.04 (a plain GAN: 17.3, 0.70).
"""

import dataclasses

from gm.recipes import command, options


@dataclasses.dataclass(frozen=True)
class Config(options.Game):
    """What to train on, and how."""


PRESETS = {"digits": Config(), "grid25": Config("grid25", latent_dim=2, num_steps=40_000)}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

import jax

from gm import data
from gm.losses import adversarial
from gm.models.implicit import Critic, Generator
from gm.networks import MLP
from gm.recipes import games, loading
from gm.recipes.experiment import Experiment

SOURCE = "Lin et al. 2018, arXiv:1712.04086, PacGAN4"
METRICS = ("modes captured", "samples of high quality", "reverse KL of mode counts")
PUBLISHED = {"grid25": {m: (v, SOURCE) for m, v in zip(METRICS, (24.8, 93.6, 0.04), strict=True)}}


def build(c: Config) -> Experiment:
    """Two MLPs in a game; integers are dequantized, and the generator's values lie in [0, 1]."""
    dataset, squash = loading.load(c), None
    if dataset.event.discrete:
        dataset, squash = dataset.map(data.UniformDequantization()), jax.nn.sigmoid
    network = MLP(c.hidden, dataset.event.shape, output_activation=squash)
    generator = Generator(dataset.event, network, c.latent_dim)
    critic = Critic(dataset.event, MLP(c.hidden, (), len(dataset.event.shape), jax.nn.leaky_relu))
    losses, principle = (
        adversarial.non_saturating(generator, critic, r1=c.penalty),
        "non-saturating game",
    )
    if c.wasserstein:
        losses, principle = (
            adversarial.wasserstein(generator, critic, penalty=c.penalty),
            "Wasserstein game",
        )
    name = f"GAN {'x'.join(map(str, c.hidden))}"
    own = {"published": PUBLISHED}
    return games.experiment(c, dataset, generator, critic, losses, name, principle, **own)


if __name__ == "__main__":
    command.run(ASKED, build)
