"""Class-conditional models, and the accuracy of a classifier of real data on their samples."""

from __future__ import annotations

import dataclasses
from typing import Any

from gm import data
from gm.core import Params
from gm.metrics import Score, classifier_accuracy
from gm.recipes import likelihood, options, samples
from gm.recipes.experiment import Experiment

REAL, SAMPLED = "classifier accuracy of test examples", "classifier accuracy of samples"


def experiment(
    c: options.ClassConditional,
    dataset: data.Dataset,
    model: Any,
    name: str,
    *,
    features: classifier_accuracy.Features = classifier_accuracy.flat,
    **fields: Any,
) -> Experiment:
    """p(x | label) by maximum likelihood, with the accuracy of a classifier on its samples.

    Args:
      c: the options.
      dataset: a data set with labels.
      model: a model whose context is the label.
      name: the name of the model in reports.
      features: the features of examples that the classifier gets.
      **fields: as in `likelihood.experiment`.
    """
    plain = likelihood.experiment(c, dataset, model, f"{name}, class-conditional", **fields)

    def score(params: Params, split: data.Split) -> dict[str, Score]:
        accuracies = accuracy(c, dataset, model, params, split, features)
        return {**plain.score(params, split), **accuracies}

    return dataclasses.replace(plain, score=score, brief=plain.score)


def accuracy(
    c: options.ClassConditional,
    dataset: data.Dataset,
    model: Any,
    params: Params,
    split: data.Split,
    features: classifier_accuracy.Features = classifier_accuracy.flat,
) -> dict[str, Score]:
    """The accuracy of a classifier of training data on a split, and on samples."""
    classifier = classifier_accuracy.fit(dataset.train.x, dataset.train.y, features=features)
    x = samples.sample(model, params, c.seed, c.eval_samples)
    (y,) = samples.labels_in_turn(model, len(x))
    return {REAL: classifier.accuracy(split.x, split.y), SAMPLED: classifier.accuracy(x, y)}
