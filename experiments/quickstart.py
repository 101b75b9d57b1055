"""One model of each kind on 8x8 digits: trained, scored, sampled, in one table and two pictures.

python experiments/quickstart.py
    Less than 3 minutes on 2 CPU cores, no download.

The training is that of autoregressive/made.py, latent/vae.py and implicit/gan.py in this folder.
Samples are compared with unseen images as integers: the GAN's real values are rounded down to
levels first, so that they are easier to tell from data than in gan.py, which compares real values.
"""

import dataclasses
import pathlib
import sys

from gm.recipes import command


@dataclasses.dataclass(frozen=True)
class Config:
    """How long to train, and where to put the pictures."""

    made_steps: int = 500
    """Updates of MADE."""
    vae_steps: int = 1500
    """Updates of the VAE."""
    gan_steps: int = 8000
    """Updates of the generator, and of the critic."""
    eval_samples: int = 500
    """Samples of z per test image in the bound on the VAE's likelihood."""
    seed: int = 0
    """Of initial parameters, of the order of the data, and of samples."""
    folder: pathlib.Path = pathlib.Path("runs/quickstart")
    """For samples.png and learning_curves.png."""


PRESETS = {"digits": Config()}

if __name__ == "__main__":
    ASKED = command.parse(PRESETS)  # before JAX is imported, so that --help is quick

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1]))  # the root of the repository

import tempfile

import jax
import numpy as np
from rich import box, console, table

from experiments.autoregressive import made
from experiments.implicit import gan
from experiments.latent import vae
from gm import core, data, metrics, plot, train
from gm.recipes import tables

TITLE = "8x8 digits of 17 levels: 180 test images; samples of 17 levels against 360 unseen images"
HEADER = ("model", "learning principle", "nats", "bits/dim", "", "C2ST", "1000 MMD²")
HEADER += ("train s", "samples/s")
NATS, MMD = "validation, nats per image", "squared MMD to validation images"
JOBS = {
    "MADE": ("maximum likelihood", made, "eval/nats"),
    "VAE": ("ELBO", vae, "eval/nats"),
    "GAN": ("non-saturating game", gan, "eval/squared_mmd"),
}


def pictures(c: Config, panels: dict, curves: dict, independent: metrics.Score) -> None:
    """Writes samples, and curves of (steps, values)."""
    lines = {NATS: {name: curves[name] for name in ("MADE", "VAE")}, MMD: {"GAN": curves["GAN"]}}
    references = {NATS: {"independent pixels": independent.value}}
    figure = plot.curve_panels(lines, references=references)
    plot.save(figure, c.folder / "learning_curves.png")
    figure = plot.side_by_side({k: x[:36] for k, x in panels.items()}, num_values=17)
    written = plot.save(figure, c.folder / "samples.png")
    print("Pictures:", c.folder / "learning_curves.png", written)


def main(c: Config) -> dict[str, float]:
    """Trains three models, prints the table, writes the pictures; returns the held-out nats."""
    digits = data.load("digits")
    unseen = np.concatenate([digits.validation.x, digits.test.x])
    panels, curves, scores = {"data": unseen}, {}, {}
    rows = table.Table(*HEADER, box=box.SIMPLE_HEAD, title=TITLE, padding=(0, 1, 0, 0))
    independent = metrics.baselines.independent(digits.train.x, digits.test.x, 17)
    rows.add_row("independent pixels", "closed form", *tables.likelihood(independent, digits.event))
    for name, bits in metrics.baselines.compressors(digits.test.x).items():
        rows.add_row(name, "compression", "", f"{bits:.2f}", "exact")
    rows.add_row("training images", "", "", "", "", *tables.two_sample(unseen, digits.train.x))
    steps = {"MADE": c.made_steps, "VAE": c.vae_steps, "GAN": c.gan_steps}
    for name, (principle, experiment, curve) in JOBS.items():
        with tempfile.TemporaryDirectory() as run:
            own = {"num_steps": steps[name], "seed": c.seed, "folder": pathlib.Path(run)}
            built = experiment.build(experiment.Config(**own))
            model, fitted = built.model, built.fit()
            log = [row for row in train.read_metrics(run) if curve in row]
        curves[name] = [row["step"] for row in log], [row[curve] for row in log]
        row = "", "", "no likelihood"
        if isinstance(model, core.Density | core.Latent):
            choices = {"key": jax.random.key(c.seed), "num_samples": c.eval_samples}
            score = metrics.evaluate(model, fitted.params, digits.test, **choices)
            scores[name], row = score.value, tables.likelihood(score, digits.event)
        panels[name], speed = tables.sample(model, fitted.params, 1000)
        told = tables.two_sample(unseen, panels[name])
        rows.add_row(name, principle, *row, *told, f"{fitted.seconds:.0f}", f"{speed:,.0f}")
    console.Console(width=132).print(rows)
    pictures(c, panels, curves, independent)
    return scores


if __name__ == "__main__":
    command.with_sentences(main, ASKED)
