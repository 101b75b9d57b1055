"""`Best`: keeps the parameters of the best evaluation, for early stopping.

    best = train.Best("nats")
    state = train.run(step, state, batches, num_steps, evaluate=validate, best=best, ...)
    model.log_prob(best.params, x)  # the averaged parameters at best.step

With a folder they are also saved, in the newest folder/best/<step>.safetensors, with the step and
the value (`weights.describe`). A run that is killed and resumed ends with the same best evaluation:
evaluations after the step from which it resumes are discarded and repeated.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Iterable, Mapping

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils

from gm.core import Array, Params
from gm.train import checkpoints, jsons, logs, paths, sharding, weights
from gm.train.state import State


@dataclasses.dataclass
class Best:
    """The best evaluation, set by `run(..., evaluate=, best=)`; the smallest value is the best.

    Attributes:
      name: the name of the scalar metric of `evaluate` to minimise, such as "nats".
      params: `State.averaged` at `step`; None before the first finite evaluation. These are NumPy
        arrays during training, and if a rule splits the state.
      step: the number of updates at the best evaluation; -1 before the first.
      value: the value of the best evaluation.
      last_step: the number of updates at the last evaluation; -1 before the first.
      last_value: the value of the last evaluation.
    """

    name: str
    params: Params | None = dataclasses.field(default=None, repr=False)
    step: int = -1
    value: float = math.inf
    last_step: int = -1
    last_value: float = math.nan

    @property
    def risen(self) -> bool:
        """Whether the last evaluation was worse than the best one."""
        return self.step < self.last_step

    @property
    def record(self) -> dict[str, float]:
        """The entries `best/<name>` and `best/step` for a row and the history; {} before the first
        evaluation."""
        return {f"best/{self.name}": self.value, "best/step": self.step} if self.step >= 0 else {}

    def __str__(self) -> str:
        best = f"best {self.name} {self.value:.6g} at step {self.step}"
        last = f", {self.last_value:.6g} at step {self.last_step}"
        return best + (f"{last}: it has risen since" if self.risen else "")


def begin(best: Best, folder: pathlib.Path | None, state: State) -> None:
    """Restores `best` as it was at the state's step: empty, or from folder/best.

    Args:
      best: the object whose fields are overwritten.
      folder: the folder of the run, or None.
      state: the state of the run; one model, not an ensemble.

    Raises:
      ValueError: the state is an ensemble, or folder/best is damaged or uses another metric.
    """
    if state.step.ndim:
        raise ValueError("best is the best evaluation of one model; the state is of an ensemble.")
    fresh, start = Best(best.name), int(state.step)
    step = -1 if folder is None else sharding.on_first_host(lambda: _newest(folder, start))
    if step >= 0:
        path = _path(folder, step)
        params = weights.load(path, jax.tree.map(_shape, state.averaged))
        fresh.params = jax.tree.map(np.asarray, params)
        about = weights.describe(path)["description"]
        if why := jsons.fault(about, {"name": str, "value": jsons.NUMBER}, "its description"):
            raise ValueError(f"{path} is not the best of a run: {why}.")
        name, fresh.value = about["name"], about["value"]
        if name != best.name:
            raise ValueError(f"the best in {folder} is by {name!r}; asked is one by {best.name!r}.")
        fresh.step, fresh.last_step, fresh.last_value = step, step, fresh.value
    if folder is not None and (folder / "metrics.jsonl").exists():
        named = f"eval/{best.name}"
        for row in [x for x in logs.read_metrics(folder) if fresh.step < x["step"] <= start]:
            if not jsons.fault(row, {named: (*jsons.NUMBER, None)}):
                fresh.last_step = row["step"]
                fresh.last_value = math.nan if row[named] is None else row[named]
    for field in dataclasses.fields(Best):
        setattr(best, field.name, getattr(fresh, field.name))


def offer(
    best: Best,
    numbers: Mapping[str, float],
    step: int,
    params: Params,
    folder: pathlib.Path | None,
) -> None:
    """Records an evaluation, and keeps its parameters if it is the best so far.

    Args:
      best: the object to update.
      numbers: the result of `evaluate`.
      step: the number of updates.
      params: the averaged parameters. All hosts call this together if arrays are split.
      folder: the folder of the run, or None; host 0 writes.

    Raises:
      ValueError: the metric `best.name` is missing, or is not a scalar.
    """
    if best.name not in numbers:
        raise ValueError(
            f"best is decided by {best.name!r}, which evaluate does not return; it returns "
            f"{', '.join(map(repr, numbers)) or 'nothing'}."
        )
    if np.size(numbers[best.name]) != 1:
        raise ValueError(f"best needs {best.name!r} as one number; got {numbers[best.name]!r}.")
    best.last_step, best.last_value = step, float(np.reshape(numbers[best.name], ()))
    if not best.last_value < best.value:  # also if one of them is nan
        return
    params = jax.tree.map(lambda x: np.array(sharding.local(x)), params)
    if folder is not None and jax.process_index() == 0:
        about = {"name": best.name, "value": best.last_value, "step": step}
        weights.save(_path(folder, step), params, description=about)
        _prune(folder)
    best.params, best.step, best.value = params, step, best.last_value


def share(best: Best, state: State) -> None:
    """At the end: shares the best evaluation of host 0 with all hosts, on a device of each."""
    if jax.process_count() > 1:
        names = "step", "value", "last_step", "last_value"
        values = np.array([getattr(best, name) for name in names], np.float64)
        sent = multihost_utils.broadcast_one_to_all(values.view(np.uint32)).view(np.float64)
        best.step, best.value, best.last_step, best.last_value = sent.tolist()
        best.step, best.last_step = int(best.step), int(best.last_step)
        if best.step >= 0:
            mine = sharding.local(state.averaged) if best.params is None else best.params
            best.params = multihost_utils.broadcast_one_to_all(mine)
    best.params = jax.tree.map(jnp.asarray, best.params)


def _path(folder: pathlib.Path, step: int) -> pathlib.Path:
    return folder / "best" / f"{step:09d}.safetensors"


def _shape(x: Array) -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(x.shape, x.dtype)


def _steps(folder: pathlib.Path) -> list[int]:
    """The steps in folder/best, oldest first."""
    names = [name.split(".") for name in paths.listed(folder / "best")]
    return sorted(
        int(stem) for stem, *rest in names if stem.isdecimal() and rest == ["safetensors"]
    )


def _newest(folder: pathlib.Path, start: int) -> int:
    """Removes files of steps after start; returns the newest remaining step, or -1."""
    _remove(folder, [step for step in _steps(folder) if step > start])
    return max(_steps(folder), default=-1)


def _prune(folder: pathlib.Path) -> None:
    """Keeps the newest file, and those that a run needs when it resumes from a checkpoint."""
    found = _steps(folder)
    needed = {found[-1]}
    # In this order, since a partial checkpoint may be completed in between.
    for step in [*checkpoints.under_way(folder), *checkpoints.steps(folder)]:
        needed |= set([x for x in found if x <= step][-1:])
    _remove(folder, set(found) - needed)


def _remove(folder: pathlib.Path, steps: Iterable[int]) -> None:
    for step in steps:
        _path(folder, step).unlink(missing_ok=True)
