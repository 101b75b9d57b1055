r"""VAE by the ELBO, scored by the ELBO and by importance sampling.

python experiments/vae.py
    8x8 digits, 17 levels: bound 86.4 nats, estimate 83.0 (1.87 bits/dim), 90 s on one CPU core.
TFDS_DATA_DIR=... python experiments/vae.py --dataset binarized_mnist --latent-dim 50 \
    --batch-size 128 --num-steps 80000 --learning-rate 2e-3 --weight-decay 0.01
    Fixed binarized MNIST, 2x200 units, 50 latents: bound 94.2 nats, estimate 89.9 (K = 1,000), in
    5 to 8 minutes on 2 CPU cores.
    Burda et al. (2016), arXiv:1509.00519, after very long training: 88.71 (K = 5,000).
"""

import dataclasses

import command
import options


@dataclasses.dataclass(frozen=True)
class Config(options.Chosen):
    """What to train on, and how."""

    hidden: tuple[int, ...] = (200, 200)
    """Units in each hidden layer of the encoder, and of the decoder."""
    latent_dim: int = 16
    """Normal numbers of z."""
    num_samples: int = 1
    """Samples of z per example in training; more than one trains the importance-weighted bound."""
    num_steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    eval_samples: int = 1000
    """Samples of z per test example in the estimate of log p(x)."""


if __name__ == "__main__":
    CONFIG = command.parse(Config)

import functools

import fitting
import jax
import loading
import numpy as np
import optax

from gm import data, metrics, plot, train
from gm import distributions as dist
from gm.core import Params
from gm.losses import variational
from gm.metrics import results
from gm.models.latent import VAE
from gm.networks import MLP

BOUND, ESTIMATE = "negative ELBO", "negative log-likelihood, importance-sampled"
SOURCE = "Burda et al. 2016, arXiv:1509.00519, appendix: VAE with one layer, K = 5,000"
PUBLISHED = {"binarized_mnist": {ESTIMATE: (88.71, SOURCE)}}


def assemble(c: Config) -> tuple[data.Dataset, VAE, fitting.Loss]:
    """The data, the model, and its bound."""
    dataset = loading.load(c)
    event, head = dataset.event, dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    encoder = MLP(c.hidden, (2 * c.latent_dim,), len(event.shape) + 1, jax.nn.silu)
    decoder = MLP(c.hidden, (*event.shape, head.num_params), activation=jax.nn.silu)
    model = VAE(event, head, encoder, decoder, c.latent_dim)
    if c.num_samples == 1:
        return dataset, model, variational.negative_elbo
    loss = functools.partial(variational.negative_iwae, num_samples=c.num_samples)
    return dataset, model, loss


def fit(c: Config) -> tuple[data.Dataset, VAE, fitting.Fitted]:
    """The data, the model, and what its training came to."""
    dataset, model, loss = assemble(c)
    key_init, key_train, key_validate = jax.random.split(jax.random.key(c.seed), 3)

    def validate(state: train.State) -> dict[str, float]:
        split = dataset.validation
        return {"nats": metrics.evaluate(model, state.averaged, split, key=key_validate).value}

    schedule = optax.cosine_decay_schedule(c.learning_rate, c.num_steps)
    optimizer = optax.adamw(schedule, weight_decay=c.weight_decay)
    optimizer = train.with_ema(optimizer, c.ema_decay)
    step = train.make_step(functools.partial(loss, model), optimizer)
    state = train.init(fitting.init(model, key_init), optimizer, key_train)
    batches = dataset.train.batches(c.batch_size, c.seed)
    return dataset, model, fitting.run(c, step, state, batches, validate)


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set twice, samples; returns the numbers."""
    dataset, model, fitted = fit(c)
    key_score, key_sample = jax.random.split(jax.random.key(c.seed))

    def score(params: Params, num_samples: int) -> metrics.Score:
        options = {"key": key_score, "num_samples": num_samples}
        return metrics.evaluate(model, params, dataset.test, **options)

    scores = {
        **fitted.scores(BOUND, functools.partial(score, num_samples=1)),
        **fitted.scores(ESTIMATE, functools.partial(score, num_samples=c.eval_samples)),
    }
    for name, found in scores.items():
        bits = found.bits_per_dim(dataset.test.scored_event).value
        print(f"{name}: {found} = {bits:.3f} bits/dim")
    if c.folder is not None:
        own = {"experiment": "vae", "published": PUBLISHED.get(dataset.name)}
        own["model"] = f"VAE {'x'.join(map(str, c.hidden))}, {c.latent_dim} latents"
        own["principle"] = "ELBO" if c.num_samples == 1 else f"IWAE-{c.num_samples}"
        results.write(c.folder, fitted.record(scores, dataset, **own))
        sample = jax.jit(jax.vmap(model.sample, (None, 0)))
        x = np.asarray(sample(fitted.params, jax.random.split(key_sample, 64)))
        panels = {"data": dataset.test.x[:64], "VAE": x}
        plot.save(plot.samples(panels, num_values=model.event.num_values), c.folder / "samples.png")
    return {name: score.value for name, score in scores.items()} | {"seconds": fitted.seconds}


if __name__ == "__main__":
    command.run(main, CONFIG)
