"""What the experiments given a label share: its space, and a classifier that judges samples."""

import dataclasses
from typing import Any

import maximum_likelihood
import numpy as np

from gm import data
from gm.core import Event, Params
from gm.metrics import recognition, results


@dataclasses.dataclass(frozen=True)
class Config(maximum_likelihood.Config):
    """What to train on, and how."""

    eval_samples: int = 500
    """How many are drawn and recognised, of each label in turn."""


def labels_of(dataset: data.Dataset) -> Event:
    """The space of the labels, as the context of a conditional model."""
    if dataset.num_labels is None:
        raise SystemExit(f"{dataset.name} has no labels; digits and mnist_threshold have.")
    return Event((), dataset.num_labels)


def recognise(
    c: Config,
    dataset: data.Dataset,
    model: Any,
    params: Params,
    label: str,
    *,
    features: recognition.Features = recognition.flat,
    **fields: Any,
) -> tuple[dict[str, float], np.ndarray, np.ndarray]:
    """How many samples a classifier of real data takes for what they were asked to be.

    It joins result.json, with the fields given. Also returns the samples and what was asked for.
    """
    x = maximum_likelihood.draw(model, params, c.seed, c.eval_samples)
    y = np.arange(len(x)) % model.context.num_values
    judge = recognition.fit(dataset.train.x, dataset.train.y, features=features)
    scores = {
        "recognised test examples": judge.accuracy(dataset.test.x, dataset.test.y),
        "recognised samples": judge.accuracy(x, y),
    }
    print(*(f"{metric}: {score}" for metric, score in scores.items()), sep="\n")
    if c.folder is not None:
        fields = {"principle": "maximum likelihood", "steps": c.num_steps, **fields}
        rows = results.read(c.folder / "result.json")
        results.write(c.folder, rows + results.record_all(scores, dataset, model=label, **fields))
    return {metric: score.value for metric, score in scores.items()}, x, y
