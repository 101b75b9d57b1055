r"""VAE by the ELBO, scored by the ELBO and by importance sampling.

python experiments/vae.py
    8x8 digits, 17 levels: 83 nats (1.86 bits/dim, K = 500), 20 seconds on 2 CPU cores.
TFDS_DATA_DIR=... python experiments/vae.py --dataset binarized_mnist --latent-dim 50 \
    --batch-size 128 --num-steps 80000 --learning-rate 2e-3 --weight-decay 0.01
    Fixed binarized MNIST, 2x200 units, 50 latents: bound 94.2 nats, estimate 89.9 (K = 1,000), in
    5 to 8 minutes on 2 CPU cores.
    Burda et al. (2016), arXiv:1509.00519, after very long training: 88.71 (K = 5,000).
"""

import dataclasses
import functools
import pathlib
import time

import jax
import numpy as np
import optax
import tyro

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


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train on, and how."""

    dataset: str = "digits"
    """Any name that gm.data.load takes: digits, claw, mnist_dynamic, mine.npz, ..."""
    hidden: tuple[int, ...] = (200, 200)
    """Units in each hidden layer of the encoder, and of the decoder."""
    latent_dim: int = 16
    num_samples: int = 1
    """Samples of z per example in training; more than one trains the importance-weighted bound."""
    num_steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.1
    ema_decay: float = 0.999
    eval_samples: int = 1000
    """Samples of z per test example in the estimate of log p(x)."""
    seed: int = 0
    folder: pathlib.Path | None = None
    """For checkpoints, metrics, samples.png and result.json; by default nothing is kept."""


def fit(c: Config) -> tuple[data.Dataset, VAE, Params, float]:
    """The data, the model, its averaged parameters after training, and the seconds it took."""
    dataset = data.load(c.dataset)
    event, head = dataset.event, dist.head_for(dataset.event, ordered=not dataset.vocabulary)
    encoder = MLP(c.hidden, (2 * c.latent_dim,), len(event.shape) + 1, jax.nn.silu)
    decoder = MLP(c.hidden, (*event.shape, head.num_params), activation=jax.nn.silu)
    model = VAE(event, head, encoder, decoder, c.latent_dim)
    key_init, key_train, key_validate = jax.random.split(jax.random.key(c.seed), 3)

    def validate(state: train.State) -> dict[str, float]:
        x = dataset.validation.x
        return {"nats": metrics.evaluate(model, state.averaged, x, key=key_validate).value}

    if c.num_samples == 1:
        loss = functools.partial(variational.negative_elbo, model)
    else:
        loss = functools.partial(variational.negative_iwae, model, num_samples=c.num_samples)
    schedule = optax.cosine_decay_schedule(c.learning_rate, c.num_steps)
    optimizer = optax.adamw(schedule, weight_decay=c.weight_decay)
    optimizer = train.with_ema(optimizer, c.ema_decay)
    step = train.make_step(loss, optimizer)
    state = train.init(model.init(key_init), optimizer, key_train)
    begin = time.perf_counter()
    batches = dataset.train.batches(c.batch_size, c.seed)
    run = functools.partial(train.run, folder=c.folder, config=c, evaluate=validate)
    state = run(step, state, batches, c.num_steps)
    return dataset, model, state.averaged, time.perf_counter() - begin


def main(c: Config) -> dict[str, float]:
    """Trains, scores the test set twice, draws; returns the numbers."""
    dataset, model, params, seconds = fit(c)
    key_score, key_draw = jax.random.split(jax.random.key(c.seed))
    score = functools.partial(metrics.evaluate, model, params, dataset.test.x, key=key_score)
    scores = {BOUND: score(num_samples=1), ESTIMATE: score(num_samples=c.eval_samples)}
    for name, score in scores.items():
        print(f"{name}: {score} = {score.bits_per_dim(model.event).value:.3f} bits/dim")
    if c.folder is not None:
        rows = results.record_all(
            scores,
            dataset,
            published=PUBLISHED.get(dataset.name),
            experiment="vae",
            model=f"VAE {'x'.join(map(str, c.hidden))}, {c.latent_dim} latents",
            principle="ELBO" if c.num_samples == 1 else f"IWAE-{c.num_samples}",
            steps=c.num_steps,
            seconds=seconds,
        )
        results.write(c.folder, rows)
        draw = jax.jit(jax.vmap(model.sample, (None, 0)))
        x = np.asarray(draw(params, jax.random.split(key_draw, 64)))
        panels = {"data": dataset.test.x[:64], "VAE": x}
        plot.save(plot.samples(panels, num_values=model.event.num_values), c.folder / "samples.png")
    return {name: score.value for name, score in scores.items()} | {"seconds": seconds}


if __name__ == "__main__":
    main(tyro.cli(Config))
