"""The bound certificate of a VAE trained on the digits, beside probabilistic PCA's, which is exact.

    python benchmarks/certificate.py > benchmarks/results/certificate.txt

Every bound of log p(x) on 32 examples that each model samples itself, so that both ends of the
annealed bracket hold; and how much of it is left at 100 and 400 temperatures.
`--picture FILE` plots the VAE's bounds.
"""

import dataclasses
import functools
import pathlib

import jax
import numpy as np
import optax
import tyro

from gm import core, data, metrics, networks, plot, train
from gm import distributions as dist
from gm.losses import variational
from gm.models.classical import FactorAnalysis
from gm.models.latent import VAE


@dataclasses.dataclass(frozen=True)
class Config:
    """How much."""

    num_steps: int = 2000
    """Of training."""
    num_examples: int = 32
    num_samples: int = 1000
    """K of IWAE."""
    num_chains: int = 16
    temperatures: tuple[int, ...] = (100, 400)
    picture: pathlib.Path | None = None
    """Where to write the plot."""


class Loose(FactorAnalysis):
    """With a round posterior in place of the exact one."""

    def encode(self, params: core.Params, x: jax.Array) -> dist.Normal:
        """N(E[z | x], 0.5² I)"""
        loc = self.represent(params, x)
        return dist.Normal(loc, 0.5 + 0.0 * loc)


def pca() -> tuple[Loose, core.Params]:
    """Probabilistic PCA of the digits, standardized grey levels."""
    x = (data.load("digits").train.x / 16.0).astype(np.float32)
    model = Loose(core.Event((8, 8)), 10, isotropic=True)
    return model, model.fit(x)


def vae(c: Config) -> tuple[VAE, core.Params]:
    """A VAE of the binarized digits, 10 latents."""
    digits = data.load("digits_threshold")
    head = dist.head_for(digits.event)
    encoder = networks.MLP((100,), (20,), input_ndim=3)
    decoder = networks.MLP((100,), (*digits.event.shape, head.num_params))
    model, optimizer = VAE(digits.event, head, encoder, decoder, 10), optax.adamw(1e-3)
    step = train.make_step(functools.partial(variational.negative_elbo, model), optimizer)
    state = train.init(model.init(jax.random.key(0)), optimizer, jax.random.key(1))
    batches = digits.train.batches(64, on_device=True)
    state = train.run(step, state, batches, c.num_steps, steps_per_dispatch=100)
    return model, jax.device_get(state.params)


def main(c: Config) -> None:
    """A table for each model and number of temperatures."""
    for name, (model, params) in {"probabilistic PCA": pca(), "VAE": vae(c)}.items():
        for count in c.temperatures:
            keep = {"num_samples": c.num_samples, "num_chains": c.num_chains, "num_steps": count}
            found = metrics.certificate(
                model, params, jax.random.key(2), num_examples=c.num_examples, **keep
            )
            sizes = found.effective_sample_size.mean(), found.acceptance.mean()
            print(f"\n{name}, {count} temperatures: ESS {sizes[0]:.1f}, acceptance {sizes[1]:.2f}")
            print(found, flush=True)
        if c.picture and name == "VAE":
            label = "nats above the forward annealed bound"
            plot.save(plot.curves(found.lines(), "example", label), c.picture)


if __name__ == "__main__":
    main(tyro.cli(Config))
