"""What an experiment file builds of its options, and what training it gives."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import jax

from gm import data, metrics
from gm.core import Params

Published = Mapping[str, Mapping[str, tuple[float, str]]]  # {data set: {metric: (value, source)}}


@dataclasses.dataclass(frozen=True)
class Fitted:
    """What training came to.

    Attributes:
      params: the parameters that are reported: the averaged ones, where there are averages.
      step: updates behind them; 0 where nothing is trained in steps.
      seconds: of all training.
      others: where validation has risen, those not reported and the updates behind them, as
        {"last step": (params, step)}, or of the "best validation".
      scores: what training has found already, as cross-validation does; else the experiment's
        `score` is reported.
    """

    params: Params
    step: int
    seconds: float
    others: Mapping[str, tuple[Params, int]] = dataclasses.field(default_factory=dict)
    scores: Mapping[str, metrics.Score] | None = None


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A model, a learning principle and data, with how they are fitted, scored and shown.

    Attributes:
      dataset: to learn from.
      model: what is scored and sampled.
      name: of the model in reports: "MADE 500".
      principle: "maximum likelihood", "ELBO", ...
      fit: trains, and gives the parameters.
      score: score(params, split) -> {metric: score}, the most important metric first.
      picture: picture(params, path) writes samples; texts go to path with the ending `.txt`.
      held_out: what is reported on; the test split by default.
      split: its name in result files.
      brief: as score, with its first metric alone: of parameters that are not reported. None where
        score has no other.
      published: values of the literature, of any data sets.
      num_members: of parameters with a leading axis, one entry for each seed; None without it.
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
    num_members: int | None = None

    @property
    def reported(self) -> data.Split:
        """The split that is reported on."""
        return self.dataset.test if self.held_out is None else self.held_out

    @property
    def shapes(self) -> Params:
        """Shapes and dtypes of one member's parameters."""
        return jax.eval_shape(self.model.init, jax.random.key(0))


def member_of(params: Params, i: int) -> Params:
    """The parameters of one member of several, which lie along a leading axis."""
    return jax.tree.map(lambda a: a[i], params)
