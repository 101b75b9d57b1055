"""Training of experiments: early stopping by validation, or several seeds as one program."""

from __future__ import annotations

import functools
import pathlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gm import data, train
from gm.core import Array, Key, Metrics, Params, PyTree
from gm.recipes import loading, options, reports
from gm.recipes.experiment import Experiment, Fitted, member_of
from gm.train import folders, identity

Loss = Callable[..., tuple[Array, Metrics]]  # of (model, params, key, batch)
Learner = tuple[Callable, optax.GradientTransformation] | Mapping[str, train.Player]


def main(build: Callable[[Any], Experiment], c: options.Data) -> dict[str, float]:
    """Trains, scores the held-out split and reports; returns the scores.

    Args:
      build: `build` of an experiment file.
      c: its options.
    """
    experiment = build(c)
    return reports.report(build, c, experiment, experiment.fit())


def enter(c: options.Data) -> None:
    """Makes or checks the folder, if there is one, of a fit without steps."""
    if c.folder is not None:
        folders.enter(c.folder, loading.with_name(c), identity.Run({}), "auto")


def in_steps(
    c: options.Training,
    dataset: data.Dataset,
    init: Callable[[Key], Params],
    learner: Learner,
    validate: Callable[[Params], Mapping[str, float]],
    picture: Callable[[Params, pathlib.Path], None],
    *,
    by: str | None = "nats",
    entry: str | None = None,
    schedule: optax.Schedule | None = None,
    memory: Callable[[Params], PyTree] | None = None,
    batches: Any = None,
    traced_init: bool = True,
) -> Fitted:
    """Trains with the options, with pictures on the way; prints if the validation loss increased.

    Args:
      c: the options. If num_seeds is more than 1, that many models are trained as one program, on
        the same batches; their last parameters, with a leading axis [num_seeds], are reported.
      dataset: the data set.
      init: init(key) -> params.
      learner: (loss, optimizer), or the players of a game.
      validate: validate(params) -> metrics, after each tenth of the steps; averaged over seeds.
      picture: picture(params, path) writes samples of one model, after each tenth of the steps.
      by: the metric of `validate` that selects the best parameters, those with its least value;
        None to report the last ones.
      entry: the entry of params that validate and picture get; None for all of params.
      schedule: the learning rate schedule, for logging.
      memory: memory(params) -> the initial value of what the loss carries from step to step.
      batches: batches of training data; by default shuffled ones of the train split.
      traced_init: whether init can be traced, into one program for all seeds; an init from
        examples, in NumPy, cannot.
    """
    many = c.members
    players = (learner,) if isinstance(learner, Mapping) else learner
    step = train.make_step(*players, num_members=many)
    state = _init(c, init, players[-1], memory, traced_init)
    if batches is None:
        batches = dataset.train.batches(c.batch_size, c.seed, on_device=c.steps_per_dispatch > 1)

    def reported(state: train.State) -> Params:
        return state.averaged if entry is None else state.averaged[entry]

    def evaluate(state: train.State) -> dict[str, float]:
        found = [validate(params) for params in _members(reported(state), many)]
        rate = (
            {} if schedule is None else {"learning_rate": float(schedule(int(np.max(state.step))))}
        )
        return {name: float(np.mean([f[name] for f in found])) for name in found[0]} | rate

    def plot(state: train.State, path: pathlib.Path) -> None:
        picture(_members(reported(state), many)[0], path)

    best = train.Best(by) if by and many is None else None
    keep = {
        "folder": c.folder,
        "config": loading.with_name(c),
        "plot": plot if c.folder else None,
        "best": best,
    }
    keep |= {"evaluate": evaluate, "steps_per_dispatch": c.steps_per_dispatch}
    begin = time.perf_counter()
    state = train.run(step, state, batches, c.num_steps, **keep)
    last, seconds = (reported(state), c.num_steps), time.perf_counter() - begin
    if best is None or not best.risen:
        return Fitted(*last, seconds)
    return _chosen(c, best, last, seconds)


def init_of(
    model: Any, dataset: data.Dataset, examples: int
) -> tuple[Callable[[Key], Params], bool]:
    """model.init, from so many training examples unless they are 0; and whether it is traced."""
    if not examples:
        return model.init, True
    x = np.asarray(next(dataset.train.in_order(examples))["x"])
    return functools.partial(model.init, x=x), False


def _init(
    c: options.Training,
    init: Callable[[Key], Params],
    optimizer: optax.GradientTransformation | Mapping[str, train.Player],
    memory: Callable[[Params], PyTree] | None,
    traced: bool,
) -> train.State:
    """The state before the first step; several seeds add a leading axis."""

    def one(key: Key) -> train.State:
        key_init, key_train = jax.random.split(key)
        params = init(key_init)
        return train.init(params, optimizer, key_train, memory and memory(params))

    key = jax.random.key(c.seed)
    if not traced:
        states = [one(k) for k in jax.random.split(key, c.num_seeds)] if c.members else [one(key)]
        return jax.tree.map(lambda *s: jnp.stack(s), *states) if c.members else states[0]
    if c.members:
        return jax.jit(jax.vmap(one))(jax.random.split(key, c.num_seeds))
    return jax.jit(one)(key)


def _members(params: Params, many: int | None) -> list[Params]:
    """The parameters of each seed."""
    return [params] if many is None else [member_of(params, i) for i in range(many)]


def _chosen(
    c: options.Training, best: train.Best, last: tuple[Params, int], seconds: float
) -> Fitted:
    """The parameters with the best validation loss, or the last ones by option; prints which."""
    chosen, what = (best.params, best.step), f"of step {best.step} (--no-keep-best: of the last)"
    others = {"last step": last}
    if not c.keep_best:
        chosen, others, what = last, {"best validation": chosen}, "of the last step, as asked"
    print(
        f"validation has risen from {best.value:.2f} {best.name} at step {best.step} to "
        f"{best.last_value:.2f} at step {best.last_step}; the report uses the parameters {what}"
    )
    return Fitted(*chosen, seconds, others)
