"""Experiment, which an experiment file builds from its options, and Fitted, a trained model."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from gm import data, metrics
from gm.core import Params

Published = Mapping[str, Mapping[str, tuple[float, str]]]  # {data set: {metric: (value, source)}}


@dataclasses.dataclass(frozen=True)
class Fitted:
    """The result of training.

    Attributes:
      params: the reported parameters, averaged if there is an average.
      step: the number of updates that led to them; 0 for a fit without steps.
      seconds: the duration of training.
      others: if the validation loss has increased, the parameters that are not reported and their
        number of updates, {"last step": (params, step)} or {"best validation": (params, step)}.
      scores: the scores, if training computes them, as cross-validation does; by default the
        experiment's `score` does.
    """

    params: Params
    step: int
    seconds: float
    others: Mapping[str, tuple[Params, int]] = dataclasses.field(default_factory=dict)
    scores: Mapping[str, metrics.Score] | None = None


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A model, a learning principle and data, with functions to fit, score and sample.

    Attributes:
      dataset: the data set.
      model: the model to score and to sample.
      name: the name of the model in reports: "MADE 500".
      principle: the learning principle in reports: "maximum likelihood", "ELBO", ...
      fit: trains the model and returns the parameters.
      score: score(params, split) -> {metric: score}, the most important metric first.
      picture: picture(params, path) writes samples; texts go to path with the suffix `.txt`.
      held_out: the split to report on; by default the test split.
      split: the name of that split in result files.
      brief: like score, but only its first metric, for parameters that are not reported; None if
        score has only one.
      published: values of the literature, for any data sets.
      standardized: how the model's units follow from those of the data set, for recipes that
        standardize each fold.
      num_members: the size of the leading axis of the parameters, one entry per seed; None without
        such an axis.
    """

    dataset: data.Dataset
    model: Any
    name: str
    principle: str
    fit: Callable[[], Fitted]
    score: Callable[[Params, data.Split], Mapping[str, metrics.Score]]
    picture: Callable[[Params, pathlib.Path], None]
    held_out: data.Split | None = None
    split: str = "test"
    brief: Callable[[Params, data.Split], Mapping[str, metrics.Score]] | None = None
    published: Published = dataclasses.field(default_factory=dict)
    standardized: data.Standardize | None = None
    num_members: int | None = None

    def to_original(self, x: np.ndarray) -> np.ndarray:
        """Samples of the model, [N, *event], in the units of the data."""
        if self.standardized is not None:
            x = self.standardized.undo(self.dataset.event, x)
        return self.dataset.to_original(x)

    @property
    def reported(self) -> data.Split:
        """The split to report on."""
        return self.dataset.test if self.held_out is None else self.held_out

    @property
    def shapes(self) -> Params:
        """Shapes and dtypes of the parameters of one member."""
        return jax.eval_shape(self.model.init, jax.random.key(0))


def member_of(params: Params, i: int) -> Params:
    """The parameters of one member, selected along the leading axis."""
    return jax.tree.map(lambda a: a[i], params)
