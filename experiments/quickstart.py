"""One model of each kind on 8x8 digits: trained, scored, drawn from, in one table and two pictures.

    python experiments/quickstart.py

About 2 minutes on 2 CPU cores, no download. Writes samples.png and learning_curves.png. The
training itself is in made.py, vae.py and gan.py beside this file.
"""

import dataclasses
import pathlib
import tempfile
import time

import gan
import jax
import made
import numpy as np
import tyro
import vae
from rich import box, console, table

from gm import core, data, metrics, plot, train

TITLE = "8x8 digits of 17 levels: 180 test images; draws against 360 unseen images"
HEADER = ("model", "learning principle", "nats", "bits/dim", "", "told apart", "1000 MMD²")
HEADER += ("train s", "draws/s")
NATS, MMD = "validation, nats per image", "squared MMD to validation images"
CURVES = {"MADE": "eval/nats", "VAE": "eval/nats", "GAN": "eval/squared_mmd"}


@dataclasses.dataclass(frozen=True)
class Config:
    """How long to train, and where to put the pictures."""

    made_steps: int = made.Config.num_steps
    vae_steps: int = vae.Config.num_steps
    gan_steps: int = gan.Config.num_steps
    eval_samples: int = 500  # of the bound on the VAE's likelihood
    seed: int = 0
    folder: pathlib.Path = pathlib.Path("runs/quickstart")


def draw(model: core.Samplable, params: core.Params, num_x: int) -> tuple[np.ndarray, float]:
    """Samples of 17 levels, and how many a second once compiled."""
    sample = jax.jit(jax.vmap(model.sample, (None, 0)))
    keys = jax.random.split(jax.random.key(0), num_x)
    jax.block_until_ready(sample(params, keys))
    begin = time.perf_counter()
    x = np.asarray(sample(params, keys))
    per_second = num_x / (time.perf_counter() - begin)
    if not model.event.discrete:  # the level that each real value lies in
        x = np.clip(np.floor(17 * x), 0, 16).astype(np.int32)
    return x, per_second


def two_sample(unseen: np.ndarray, x: np.ndarray) -> tuple[str, str]:
    """How samples compare with unseen data: classifier accuracy, and squared MMD in thousandths."""
    accuracy = metrics.classifier.two_sample(unseen, x)
    mmd, error = metrics.mmd.squared_mmd(unseen, x)
    told = f"{accuracy.value:.2f} ± {accuracy.standard_error:.2f}"
    return told, f"{1e3 * mmd:.1f} ± {1e3 * error:.1f}"


def likelihood(score: metrics.Score, event: core.Event) -> tuple[str, str, str]:
    """Nats, bits per dimension, and what kind of number it is."""
    bits = score.bits_per_dim(event)
    kind = f"{score.kind}, K = {score.num_samples}" if score.num_samples else score.kind
    nats = f"{score.value:.1f} ± {score.standard_error:.1f}"
    return nats, f"{bits.value:.2f} ± {bits.standard_error:.2f}", kind


def main(c: Config) -> dict[str, float]:
    """Trains three models, prints the table, writes the pictures; returns the held-out nats."""
    digits = data.load("digits")
    unseen = np.concatenate([digits.validation.x, digits.test.x])
    panels, curves, scores = {"data": unseen}, {}, {}
    rows = table.Table(*HEADER, box=box.SIMPLE_HEAD, title=TITLE, padding=(0, 1, 0, 0))
    independent = metrics.baselines.independent(digits.train.x, digits.test.x, 17)
    rows.add_row("independent pixels", "counting", *likelihood(independent, digits.event))
    for name, bits in metrics.baselines.compressors(digits.test.x).items():
        rows.add_row(name, "compression", "", f"{bits:.2f}", "exact")
    rows.add_row("training images", "", "", "", "", *two_sample(unseen, digits.train.x))
    jobs = {
        "MADE": ("maximum likelihood", made, c.made_steps),
        "VAE": ("ELBO", vae, c.vae_steps),
        "GAN": ("non-saturating game", gan, c.gan_steps),
    }
    for name, (principle, experiment, num_steps) in jobs.items():
        with tempfile.TemporaryDirectory() as run:
            config = experiment.Config(num_steps=num_steps, seed=c.seed, folder=pathlib.Path(run))
            _, model, params, seconds = experiment.fit(config)
            curves[name] = [row for row in train.read_metrics(run) if CURVES[name] in row]
        cells = "", "", "no likelihood"
        if isinstance(model, core.Density | core.Latent):
            options = {"key": jax.random.key(c.seed), "num_samples": c.eval_samples}
            score = metrics.evaluate(model, params, digits.test.x, **options)
            scores[name], cells = score.value, likelihood(score, digits.event)
        panels[name], speed = draw(model, params, 1000)
        told = two_sample(unseen, panels[name])
        rows.add_row(name, principle, *cells, *told, f"{seconds:.0f}", f"{speed:,.0f}")

    console.Console(width=132).print(rows)
    lines = {
        name: ([row["step"] for row in log], [row[CURVES[name]] for row in log])
        for name, log in curves.items()
    }
    figure = plot.curve_panels(
        {NATS: {n: lines[n] for n in scores}, MMD: {"GAN": lines["GAN"]}},
        references={NATS: {"independent pixels": independent.value}},
    )
    plot.save(figure, c.folder / "learning_curves.png")
    figure = plot.side_by_side({k: x[:36] for k, x in panels.items()}, num_values=17)
    written = plot.save(figure, c.folder / "samples.png")
    print("Pictures:", c.folder / "learning_curves.png", written)
    return scores


if __name__ == "__main__":
    main(tyro.cli(Config))
