"""Models that are fitted without gradients, with settings selected by validation."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from gm import data, metrics
from gm.core import Params
from gm.recipes import fitting, options, samples
from gm.recipes.experiment import Experiment, Fitted, Published

METRIC = "negative log-likelihood"


def experiment(
    c: options.Data,
    dataset: data.Dataset,
    model: Any,
    name: str,
    candidates: Mapping[str, Callable[[], Params]],
    *,
    principle: str = "maximum likelihood (closed form)",
    published: Published | None = None,
) -> Experiment:
    """Selects the best of several fits by the likelihood of the validation examples.

    Args:
      c: the options.
      dataset: the data set.
      model: the model to score and to sample.
      name: the name of the model in reports.
      candidates: {description: a function that fits}.
      principle: the learning principle, for reports.
      published: values of the literature, {data set: {metric: (value, source)}}.
    """

    def nats(params: Params, split: data.Split) -> metrics.Score:
        return metrics.evaluate(model, params, split)

    def fit() -> Fitted:
        fitting.enter(c)
        begin = time.perf_counter()
        fits = {setting: of() for setting, of in candidates.items()}
        values = {s: nats(params, dataset.validation).value for s, params in fits.items()}
        best = min(values, key=values.__getitem__)
        print(f"{name}: {best}, the best of {len(fits)} by validation")
        return Fitted(fits[best], 0, time.perf_counter() - begin)

    def picture(params: Params, path: pathlib.Path) -> None:
        samples.beside_data(dataset, model, params, c.seed, path)

    return Experiment(
        dataset,
        model,
        name,
        principle,
        fit,
        score=lambda params, split: {METRIC: nats(params, split)},
        picture=picture,
        published=published or {},
    )
