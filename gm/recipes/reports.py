"""Reports of an experiment: printed scores, `result.json`, parameters, a picture."""

from __future__ import annotations

import inspect
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

from gm import data, metrics, train
from gm.core import Params
from gm.metrics import results
from gm.recipes import loading, options
from gm.recipes.experiment import Experiment, Fitted, member_of

WEIGHTS = "params.safetensors"  # the reported parameters, in the run's folder
SEEDS = ", mean over seeds"


def report(
    build: Callable[[Any], Experiment], c: options.Data, experiment: Experiment, fitted: Fitted
) -> dict[str, float]:
    """Scores the held-out split and prints the scores; saves result.json and the parameters.

    Args:
      build: `build` of the experiment file, whose name appears in results.
      c: its options; without a folder nothing is saved.
      experiment: the result of build.
      fitted: the result of training.

    Returns:
      {metric: value}, and "seconds" of training.
    """
    scores, steps = _all_scores(experiment, fitted)
    for metric, found in scores.items():
        print(f"{experiment.name}, {experiment.dataset.name}: {experiment.split}", end=" ")
        print(sentence(metric, found, experiment.reported))
    if c.folder is not None:
        rows = []
        for metric, found in scores.items():
            rows += results.record_all(
                {metric: found},
                experiment.dataset,
                split=experiment.split,
                published=_published(experiment),
                experiment=name_of(build),
                model=experiment.name,
                principle=experiment.principle,
                steps=steps[metric],
                seconds=fitted.seconds,
            )
        results.write(c.folder, rows)
        save(c, experiment, fitted)
        one = fitted.params if experiment.num_members is None else member_of(fitted.params, 0)
        experiment.picture(one, c.folder / "samples.png")
    return {metric: found.value for metric, found in scores.items()} | {"seconds": fitted.seconds}


def score(experiment: Experiment, params: Params, split: Any) -> dict[str, metrics.Score]:
    """{metric: score} on a split; for several seeds the means over seeds with standard errors."""
    if experiment.num_members is None:
        return dict(experiment.score(params, split))
    seeds = range(experiment.num_members)
    found = [experiment.score(member_of(params, i), split) for i in seeds]
    means = {}
    for metric, one in found[0].items():
        values = [scores[metric].value for scores in found]
        means[metric + SEEDS] = metrics.Score.mean(values, unit=one.unit, kind="estimate")
        print(f"{metric}, seed by seed:", ", ".join(f"{value:.4g}" for value in values), one.unit)
    return means


def sentence(metric: str, found: metrics.Score, split: data.Split) -> str:
    """A metric with its value; for a likelihood also in bits/dim."""
    if found.unit != "nats" or found.kind == "estimate":
        return f"{metric} {found}"
    return f"{metric} {found} = {found.bits_per_dim(split.scored_event).value:.3f} bits/dim"


def save(c: options.Data, experiment: Experiment, fitted: Fitted) -> pathlib.Path:
    """Writes the reported parameters into the run's folder."""
    about = {
        "config": loading.with_name(c),
        "step": fitted.step,
        "num_members": experiment.num_members,
    }
    path = c.folder / WEIGHTS
    return train.weights.save(path, fitted.params, model=experiment.model, description=about)


def name_of(build: Callable[[Any], Experiment]) -> str:
    """The name of an experiment: that of the file with its `build`."""
    return pathlib.Path(inspect.getfile(build)).stem


def _all_scores(
    experiment: Experiment, fitted: Fitted
) -> tuple[dict[str, metrics.Score], dict[str, int]]:
    """{metric: score} and {metric: number of updates}, including parameters not reported."""
    scores = fitted.scores
    if scores is None:
        scores = score(experiment, fitted.params, experiment.reported)
    found, steps = dict(scores), dict.fromkeys(scores, fitted.step)
    for name, (params, step) in fitted.others.items():
        brief = experiment.brief or experiment.score
        metric, other = next(iter(brief(params, experiment.reported).items()))
        found[f"{metric}, {name}"], steps[f"{metric}, {name}"] = other, step
    return found, steps


def _published(experiment: Experiment) -> Mapping[str, tuple[float, str]]:
    """The published values on this data set, also under the names of means over seeds."""
    published = experiment.published.get(experiment.dataset.name, {})
    return {**published, **{k + SEEDS: v for k, v in published.items()}}
