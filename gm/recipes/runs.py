"""The use of a run's folder after training: its model for a notebook, and commands on it.

    dataset, model, params = runs.load(made.build, made.Config, "runs/made")

and, from a terminal, with the file that trained it:

    python experiments/autoregressive/made.py sample runs/made --num 64 --temperature 0.9
    python experiments/autoregressive/made.py evaluate runs/made --dataset mine.npz
    python experiments/autoregressive/made.py complete runs/made --known 0.5
    python experiments/autoregressive/made.py export runs/made made.safetensors

A folder contains only numbers and text: no code is imported by a name found in it. The caller says
which experiment it belongs to, and this is checked against the parameters.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import os
import pathlib
from collections.abc import Callable
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from gm import core, data, train
from gm.core import Params
from gm.recipes import after, reports, samples
from gm.recipes.experiment import Experiment, member_of
from gm.sampling import ancestral, decoding
from gm.tasks import completion

C = TypeVar("C")
Build = Callable[[Any], Experiment]


def load(
    build: Build,
    config: type[C],
    folder: str | os.PathLike,
    *,
    member: int = 0,
    dataset: data.Dataset | None = None,
) -> tuple[data.Dataset, Any, Params]:
    """Loads the data, the model and the reported parameters of a run.

    Args:
      build: `build` of the experiment file that trained it.
      config: the class of its options.
      folder: the folder of the run.
      member: the index of the model, if several seeds were trained.
      dataset: the data set of the run, if it was not loaded by a name or from a file.

    Raises:
      FileNotFoundError: there is no run, or it has not finished.
      ValueError: the run is of another experiment or data set, or damaged.
    """
    experiment, params = opened(build, config, folder, member, dataset)
    return experiment.dataset, experiment.model, params


def opened(
    build: Build,
    config: type[C],
    folder: str | os.PathLike,
    member: int = 0,
    dataset: data.Dataset | None = None,
) -> tuple[Experiment, Params]:
    """The experiment that a run's options build, and its parameters; raises like `load`."""
    folder = pathlib.Path(folder).expanduser()
    c = options_of(config, folder)
    if dataset is not None:
        if str(dataset) != c.dataset:
            raise ValueError(f"the run was trained on {c.dataset}; got {dataset}.")
        c = dataclasses.replace(c, dataset=dataset)
    experiment, path = build(c), folder / reports.WEIGHTS
    if not path.exists():
        raise FileNotFoundError(
            f"{folder} has no {reports.WEIGHTS}, which a run writes at its end. Resume it with the "
            f"command that started it; `gm inspect {folder}` shows where it stopped."
        )
    many, shapes = experiment.num_members, experiment.shapes
    if many is None:
        return experiment, train.weights.load(path, shapes, model=experiment.model)
    if not 0 <= member < many:
        raise ValueError(f"the run has seeds 0 to {many - 1}; got {member}.")
    stacked = jax.tree.map(lambda a: jax.ShapeDtypeStruct((many, *a.shape), a.dtype), shapes)
    params = train.weights.load(path, stacked, model=experiment.model)
    return experiment, member_of(params, member)


def options_of(config: type[C], folder: pathlib.Path) -> C:
    """The options of a run, from its config.json.

    Raises:
      FileNotFoundError: there is no config.json.
      ValueError: the options are not those of this experiment.
    """
    path = folder / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"{folder} has no config.json: it is not the folder of a run.")
    saved = json.loads(path.read_text("utf-8"))
    known = {field.name for field in dataclasses.fields(config)}
    wrong = sorted(set(saved) ^ (known - {"folder"})) if isinstance(saved, dict) else ["all of it"]
    if wrong:
        raise ValueError(
            f"{path} is not of this experiment: {', '.join(wrong)} differ. Use the file that "
            "trained it, of the same release."
        )
    return config(**{k: _restored(getattr(config, k), v) for k, v in saved.items()}, folder=folder)


def _restored(default: Any, saved: Any) -> Any:
    """The value of an option in JSON, converted to the type of its default."""
    if isinstance(default, enum.Enum):
        return type(default)[str(saved).rpartition(".")[2]]
    return tuple(saved) if isinstance(saved, list) else saved


def sample(asked: after.Sample, experiment: Experiment, params: Params) -> None:
    """Writes samples to an .npz file, with a picture or a text."""
    model = samples.one_of(experiment.model)
    context = _labels(model, asked)
    process = _processor(asked)
    if process is not None:
        core.require(model, core.Autoregressive, "temperature, top_k and nucleus")

        def one(key, *y):
            return ancestral.sample(model, params, key, *y, logits_processor=process)

    else:

        def one(key, *y):
            return model.sample(params, key, *y)

    keys = jax.random.split(jax.random.key(asked.seed), asked.num)
    x = np.asarray(jax.jit(jax.vmap(one))(keys, *context))
    _write(x, asked.out or asked.folder / "sampled.npz", experiment, *context)


def evaluate(asked: after.Evaluate, experiment: Experiment, params: Params) -> None:
    """Prints the scores of a split of the run's data, or of other data that fit the model."""
    dataset, reported = experiment.dataset, experiment.reported
    if asked.dataset is not None:
        scaled = dataset.train.standardized or False  # by the mean and scale of the run's data
        own = {"binary": asked.binary, "label": asked.column, "standardize": scaled}
        other = data.load(asked.dataset, **own)
        for transform in dataset.train.transforms:
            other = other.map(transform)
        if other.event != dataset.event:
            raise ValueError(f"the run was trained on {dataset}; {other} does not fit its model.")
        dataset, reported = other, other.test
    split = reported if asked.split == "reported" else getattr(dataset, asked.split)
    for metric, found in experiment.score(params, split).items():
        said = reports.sentence(metric, found, split)
        print(f"{experiment.name}, {dataset.name}, {asked.split}: {said}")


def complete(asked: after.Complete, experiment: Experiment, params: Params) -> None:
    """Writes completions of a prompt, or of the first part of test examples."""
    model, dataset = samples.one_of(experiment.model), experiment.dataset
    core.require(model, core.Autoregressive, "complete")
    event, keys = model.event, jax.random.split(jax.random.key(asked.seed), asked.num)
    context = _labels(model, asked)
    if asked.prompt is not None:
        if not dataset.vocabulary:
            raise ValueError(f"a prompt is for texts; the run was trained on {dataset}.")
        prefix = data.encode(asked.prompt, dataset.vocabulary)

        def one(key, *y):
            return completion.continue_from(model, params, key, prefix, *y)

        x = np.asarray(jax.jit(jax.vmap(one))(keys, *context))
        return _write(x, asked.out or asked.folder / "completed.npz", experiment, *context)
    if not 0.0 < asked.known < 1.0:
        raise ValueError(f"known is a part of each example, between 0 and 1; got {asked.known}.")
    given = np.resize(dataset.test.x, (asked.num, *event.shape))
    known = (np.arange(event.size) < round(asked.known * event.size)).reshape(event.shape)

    def rest(key, x, *y):
        return completion.complete(model, params, key, x, jnp.asarray(known), *y)

    if context:
        context = (np.resize(dataset.test.y, asked.num),)
    x = np.asarray(jax.jit(jax.vmap(rest))(keys, given, *context))
    _write(x, asked.out or asked.folder / "completed.npz", experiment, *context)


def export(asked: after.Export, experiment: Experiment, params: Params) -> None:
    """Writes parameters with metadata to .safetensors, or to .npz."""
    out = asked.out.expanduser()
    if out.suffix == ".safetensors":
        about = {"experiment": experiment.name, "dataset": experiment.dataset.name}
        train.weights.save(out, params, model=experiment.model, description=about)
    elif out.suffix == ".npz":
        leaves = jax.tree_util.tree_leaves_with_path(params)
        names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in leaves]
        np.savez(out, **{n: np.asarray(x) for n, (_, x) in zip(names, leaves, strict=True)})
    else:
        raise ValueError(f"export writes .safetensors and .npz; got {out}.")
    size = sum(a.size for a in jax.tree.leaves(params))
    print(f"{experiment.name}: {size:,} parameters are in {out}")


def _labels(model: Any, asked: after.Sample | after.Complete) -> tuple[np.ndarray, ...]:
    """The context of each sample: one label for all, or each in turn; () without a context."""
    label, turns = getattr(asked, "label", None), samples.labels_in_turn(model, asked.num)
    if label is None:
        return turns
    if not turns:
        raise ValueError("a label is for class-conditional models; this model has no context.")
    if not 0 <= label < model.context.num_values:
        raise ValueError(f"label must lie in [0, {model.context.num_values}); got {label}.")
    return (np.full_like(turns[0], label),)


def _processor(asked: after.Sample) -> decoding.LogitsProcessor | None:
    """The logits processor of the options; None if they do not change the conditionals."""
    parts = []
    if asked.temperature != 1.0:
        parts.append(decoding.temperature(asked.temperature))
    if asked.top_k is not None:
        parts.append(decoding.top_k(asked.top_k))
    if asked.nucleus is not None:
        parts.append(decoding.nucleus(asked.nucleus))
    return decoding.chain(*parts) if parts else None


def _write(x: np.ndarray, out: pathlib.Path, experiment: Experiment, *label: np.ndarray) -> None:
    """Writes examples as arrays, and as a picture or a text."""
    out = out.expanduser()
    if out.suffix != ".npz":
        raise ValueError(f"samples are written as .npz, with a picture beside it; got {out}.")
    out.parent.mkdir(parents=True, exist_ok=True)
    original = experiment.to_original(x)
    np.savez(out, x=original, **{"label": label[0]} if label else {})
    shown = samples.show(experiment.dataset, x, experiment.name, out.with_suffix(".png"))
    if experiment.dataset.vocabulary:
        print(shown.read_text("utf-8"))
    scaled = "" if original is x else ", in the units of the data"
    print(f"{len(x)} examples are in {out}{scaled}; {shown} shows them")


ACTIONS: dict[type, Callable[[Any, Experiment, Params], None]] = {
    after.Sample: sample,
    after.Evaluate: evaluate,
    after.Complete: complete,
    after.Export: export,
}


def act(asked: after.Run, build: Build, config: type) -> None:
    """Executes a command on a run's folder."""
    experiment, params = opened(build, config, asked.folder, asked.member)
    ACTIONS[type(asked)](asked, experiment, params)
