"""Adversarial training of a generator and a critic, and comparison of samples with unseen data."""

from __future__ import annotations

import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import optax

from gm import data, metrics, plot, train
from gm.core import Key, Loss, Params
from gm.recipes import fitting, loading, options, samples
from gm.recipes.experiment import Experiment, Fitted, Published

SAMPLES = 2500  # samples that are compared with unseen data


def experiment(
    c: options.Game,
    dataset: data.Dataset,
    generator: Any,
    critic: Any,
    losses: Mapping[str, Loss],
    name: str,
    principle: str,
    *,
    published: Published | None = None,
) -> Experiment:
    """A two-player game, which reports the generator after the last step, without early stopping.

    Args:
      c: the options.
      dataset: a data set of real values.
      generator: the model to sample.
      critic: the network that scores examples and samples.
      losses: the losses of "critic" and "generator", as in `gm.losses.adversarial`.
      name: the name of the model in reports.
      principle: the learning principle in reports.
      published: values of the literature, {data set: {metric: (value, source)}}.
    """
    rate = schedule(c)
    adam = optax.adam(rate, b1=0.0, b2=0.99)
    players = {
        "critic": train.Player(losses["critic"], adam, updates=c.critic_updates),
        "generator": train.Player(losses["generator"], train.with_ema(adam, c.ema_decay)),
    }

    def init(key: Key) -> Params:
        key_critic, key_generator = jax.random.split(key)
        return {"critic": critic.init(key_critic), "generator": generator.init(key_generator)}

    size = c.batch_size * c.critic_updates
    own = {"published": published}
    return of_players(c, dataset, generator, init, players, size, name, principle, **own)


def alone(
    c: options.Generator,
    dataset: data.Dataset,
    generator: Any,
    loss: Callable[..., Any],
    name: str,
    principle: str,
    *,
    published: Published | None = None,
) -> Experiment:
    """A generator without a critic, by a distance of its samples from a batch of data.

    Args:
      c, dataset, generator, name, principle, published: as `experiment`.
      loss: loss(model, params, key, batch) of the generator.
    """

    def of_entry(params: Params, key: Key, batch: Any) -> Any:
        return loss(generator, params["generator"], key, batch)

    adam = train.with_ema(optax.adam(schedule(c)), c.ema_decay)
    players = {"generator": train.Player(of_entry, adam)}

    def init(key: Key) -> Params:
        return {"generator": generator.init(key)}

    own = {"published": published}
    return of_players(c, dataset, generator, init, players, c.batch_size, name, principle, **own)


def schedule(c: options.Generator) -> optax.Schedule:
    """Cosine decay to a twentieth."""
    return optax.cosine_decay_schedule(c.learning_rate, c.num_steps, alpha=0.05)


def of_players(
    c: options.Generator,
    dataset: data.Dataset,
    generator: Any,
    init: Callable[[Key], Params],
    players: Mapping[str, train.Player],
    batch_size: int,
    name: str,
    principle: str,
    *,
    published: Published | None = None,
) -> Experiment:
    """A generator, trained by its players, whose samples are compared with unseen data.

    Args:
      c, dataset, generator, name, principle, published: as `experiment`.
      init: init(key) -> the parameters of all players, the generator's as "generator".
      players: of the game; one, where there is no critic.
      batch_size: examples of a step, of all updates of the critic together.
    """
    unseen = loading.joined(dataset.validation, dataset.test)

    def validate(params: Params) -> dict[str, float]:
        x = samples.sample(generator, params, c.seed, 1000)
        return {"squared_mmd": float(metrics.mmd.squared_mmd(dataset.validation.x[:1000], x)[0])}

    def score(params: Params, split: data.Split) -> dict[str, metrics.Score]:
        x = samples.sample(generator, params, c.seed, SAMPLES)
        return compare(dataset, split, x)

    def picture(params: Params, path: pathlib.Path) -> None:
        num = SAMPLES if dataset.event.size == 2 else 64  # points of a plane, or examples
        panels = {"data": unseen.x[:num], "model": samples.sample(generator, params, c.seed, num)}
        plot.save(plot.samples(panels), path)

    def fit() -> Fitted:
        many = c.steps_per_dispatch > 1
        batches = dataset.train.batches(batch_size, c.seed, on_device=many)
        keep = {"by": None, "entry": "generator", "schedule": schedule(c), "batches": batches}
        return fitting.in_steps(c, dataset, init, players, validate, picture, **keep)

    return Experiment(
        dataset,
        generator,
        name,
        principle,
        fit,
        score,
        picture,
        held_out=unseen,
        split="validation + test",
        published=published or {},
        num_members=c.members,
    )


def compare(dataset: data.Dataset, split: data.Split, x: Any) -> dict[str, metrics.Score]:
    """Compares samples with unseen data: a C2ST, MMD, and the modes of a known density."""
    scores = {"C2ST accuracy": metrics.c2st.accuracy(split.x, x)}
    if hasattr(density := dataset.density, "centers"):
        return scores | metrics.modes.mode_coverage(x, density.centers, density.scale).scores()
    mmd, error = metrics.mmd.squared_mmd(split.x, x[:1000])
    return scores | {"squared MMD": metrics.Score(mmd, error, len(split), "MMD²", "estimate")}
