"""Models that are fitted without gradients, one of whose settings validation chooses."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from gm import data, metrics, plot
from gm.core import Params
from gm.recipes import fitting, loading, options
from gm.recipes.experiment import Experiment, Fitted
from gm.train import folders, identity

METRIC = "negative log-likelihood"


def experiment(
    c: options.Data,
    dataset: data.Dataset,
    model: Any,
    name: str,
    candidates: Mapping[str, Callable[[], Params]],
    *,
    principle: str = "maximum likelihood (closed form)",
    published: Mapping[str, Mapping[str, tuple[float, str]]] | None = None,
) -> Experiment:
    """The best of several fits by the likelihood of the validation examples.

    Args:
      c: the options.
      dataset: to learn from.
      model: what is scored and sampled.
      name: of the model in reports.
      candidates: {what it is: a function that fits}.
      principle: in reports.
      published: values of the literature, {data set: {metric: (value, source)}}.
    """

    def nats(params: Params, split: data.Split) -> metrics.Score:
        return metrics.evaluate(model, params, split)

    def fit() -> Fitted:
        if c.folder is not None:
            folders.enter(c.folder, loading.with_name(c), identity.Run({}), "auto")
        begin = time.perf_counter()
        fits = {setting: of() for setting, of in candidates.items()}
        values = {s: nats(params, dataset.validation).value for s, params in fits.items()}
        best = min(values, key=values.__getitem__)
        print(f"{name}: {best}, of {len(fits)} that validation was asked about")
        return Fitted(fits[best], 0, time.perf_counter() - begin)

    def picture(params: Params, path: pathlib.Path) -> None:
        panels = {"data": dataset.test.x[:64], "model": fitting.sample(model, params, c.seed, 64)}
        plot.save(plot.samples(panels, num_values=model.event.num_values), path)

    return Experiment(
        dataset,
        model,
        name,
        principle,
        fit,
        score=lambda params, split: {METRIC: nats(params, split)},
        picture=picture,
        published=(published or {}).get(dataset.name, {}),
    )
