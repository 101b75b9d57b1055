"""Models that are fitted without gradients, with settings selected by validation."""

from __future__ import annotations

import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

from gm import data, metrics
from gm.core import Params
from gm.recipes import fitting, loading, options, samples
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

    A text is scored in nats/char on its last tenth, validation and test together, as the literature
    does.

    Args:
      c: the options.
      dataset: the data set.
      model: the model to score and to sample.
      name: the name of the model in reports.
      candidates: {description: a function that fits}.
      principle: the learning principle, for reports.
      published: values of the literature, {data set: {metric: (value, source)}}.
    """

    text = bool(dataset.vocabulary)

    def nats(params: Params, split: data.Split) -> metrics.Score:
        found = metrics.evaluate(model, params, split)
        return found.per_char(model.event) if text else found

    def fit() -> Fitted:
        fitting.enter(c)
        begin = time.perf_counter()
        fits = {setting: of() for setting, of in candidates.items()}
        values = {s: nats(params, dataset.validation).value for s, params in fits.items()}
        best = min(values, key=values.__getitem__)
        print(f"{name}: {best}, the best of {len(fits)} by validation")
        return Fitted(fits[best], 0, time.perf_counter() - begin)

    def picture(params: Params, path: pathlib.Path) -> None:
        if text:
            samples.show(dataset, samples.sample(model, params, c.seed, 16), "samples", path)
        else:
            samples.beside_data(dataset, model, params, c.seed, path)

    return Experiment(
        dataset,
        model,
        name,
        principle,
        fit,
        score=lambda params, split: {METRIC: nats(params, split)},
        picture=picture,
        held_out=loading.joined(dataset.validation, dataset.test) if text else dataset.test,
        split="validation + test" if text else "test",
        published=published or {},
    )
