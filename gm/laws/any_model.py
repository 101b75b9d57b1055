"""Laws of every model, and of every model that samples or learns."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Key, Params, PyTree
from gm.laws import spaces
from gm.laws.law import LawBroken, NotApplicable, demand
from gm.laws.trial import Measure, Trial, differs
from gm.losses import variational

NUM_SAMPLES = 8192
LARGER = (2.0, 3.0, 3.0)  # scales of noise on the parameters that show faults hidden by less noise
NUM_WEIGHTS = (1024, 8)  # keys, and log weights per key
_MADE_ANEW = "two traces of {} are different programs: it depends on something besides its "
_MADE_ANEW += "arguments that changes from call to call, such as a global generator or a counter"


def samples(trial: Trial, params: Params, key: Key, inputs: dict[str, Array]) -> Array:
    """Samples [NUM_SAMPLES, *event]."""
    del inputs
    return jax.vmap(trial.sample, (None, 0))(params, jax.random.split(key, NUM_SAMPLES))


def elsewhere(trial: Trial, *measures: Measure) -> Iterator[list[PyTree]]:
    """Results of measures at other parameters, with more noise."""
    for i, size in enumerate(LARGER):
        begun = trial.run("init", trial.original.init, jax.random.fold_in(trial.key, i))
        params = spaces.perturb(begun, trial.rng(f"elsewhere {i}"), size)
        yield trial.measure_again(params, *measures)


def outputs(
    trial: Trial, params: Params, key: Key, inputs: dict[str, Array]
) -> tuple[Array, list[Array | None]]:
    """The outputs of a model with parameters at every x, and a gradient of them for each leaf.

    These are samples of an implicit model, values and log_dets of a bijection, scores of a critic,
    log p(x) of a density [N], log weights of a latent-variable model [2, *NUM_WEIGHTS], or bounds
    [N].
    """
    leaves, tree = jax.tree.flatten(params)
    real = [jnp.issubdtype(jnp.result_type(leaf), jnp.floating) for leaf in leaves]

    def of(moving: list[Array]) -> Array:
        moving = iter(moving)
        every = [next(moving) if r else leaf for leaf, r in zip(leaves, real, strict=True)]
        return _output(trial.model, jax.tree.unflatten(tree, every), key, inputs["x"])

    out, pull = jax.vjp(of, [leaf for leaf, r in zip(leaves, real, strict=True) if r])
    # Any weights work that do not cancel; infinite outputs have no gradient.
    weights = jnp.sin(1.0 + jnp.arange(out.size, dtype=out.dtype)).reshape(out.shape)
    (grads,) = pull(jnp.where(jnp.isfinite(out), weights, jnp.zeros_like(weights)))
    grads = iter(grads)
    return out, [next(grads) if r else None for r in real]


def _output(model: Any, params: Params, key: Key, x: Array) -> Array:
    if isinstance(model, core.Implicit):
        keys = jax.random.split(key, 64)
        return jax.vmap(lambda k: model.generate(params, model.prior(params).sample(k)))(keys)
    if isinstance(model, core.Bijection):
        y, log_det = jax.vmap(model.forward, (None, 0))(params, x)
        return jnp.concatenate([y.reshape(len(x), -1), log_det[:, None]], axis=1)
    if isinstance(model, core.Critic):
        return jax.vmap(model.score, (None, 0))(params, x)
    if isinstance(model, core.Density):
        return jax.vmap(lambda x: core.scalar(model.log_prob(params, x), model))(x)
    if not isinstance(model, core.Latent):
        return jax.vmap(model.lower_bound, (None, 0, 0))(params, jax.random.split(key, len(x)), x)
    return log_weights(model, params, key, x)


def log_weights(model: core.Latent, params: Params, key: Key, x: Array) -> Array:
    """log p(x, z) - log q(z | x) of the first two x: [2, *NUM_WEIGHTS]."""
    keys, num = jax.random.split(key, NUM_WEIGHTS[0]), NUM_WEIGHTS[1]
    weights = jax.vmap(lambda x, k: variational.log_weights(model, params, k, x, num), (None, 0), 0)
    return jax.vmap(weights, (0, None))(x[:2], keys)


def model_is_a_value(trial: Trial) -> None:
    """The model is a frozen dataclass with hashable fields, and init is a function of its key."""
    model = trial.original
    how = "make it a frozen dataclass of hashable fields: @dataclasses.dataclass(frozen=True)"
    demand(dataclasses.is_dataclass(model), f"it is not a dataclass; {how}")
    try:
        hash(model)
    except TypeError as error:
        raise LawBroken(f"{error}; {how}") from None
    demand(type(model).__dataclass_params__.frozen, f"its fields are mutable; {how}")
    same = dataclasses.replace(model)
    demand(model == same, "a copy is not equal to it")
    demand(hash(model) == hash(same), "a copy has a different hash")
    traced = trial.program("init", model.init).trace(trial.key)
    demand(not differs(traced, model.init, trial.key), _MADE_ANEW.format("init"))


def sampling_is_a_function_of_its_key(trial: Trial, x: np.ndarray) -> None:
    """The same key gives the same x, in the event's space; different keys give different x."""
    event, given = trial.event, (trial.params, trial.key)
    demand(x.shape[1:] == event.shape, f"x has shape {x.shape[1:]}, not {event.shape}")
    kept = np.all(np.isfinite(x.reshape(len(x), -1)), axis=1)
    lost = 100.0 * np.mean(~kept)
    demand(bool(np.any(kept)), "no sample is finite")
    try:
        event.check(x[kept])
    except ValueError as error:
        raise LawBroken(str(error)) from None
    traced = trial.sample.trace(*given)
    demand(not differs(traced, trial.model.sample, *given), _MADE_ANEW.format("sample"))
    # At some parameters a density may be concentrated at one x, but not at others as well.
    sets = itertools.chain([x], (x for (x,) in elsewhere(trial, samples)))
    demand(any(np.any(x != x[:1]) for x in sets), f"{len(x)} keys gave the same sample")
    if lost > 0.0:
        raise NotApplicable(f"{lost:.1f} % of the samples are beyond float32 at these parameters")


def gradients_reach_every_parameter(
    trial: Trial, seen: tuple[np.ndarray, list[np.ndarray | None]]
) -> None:
    """Every leaf of the parameters has an effect on the outputs of the model."""
    paths = [
        jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(trial.params)
    ]
    dead, some = set(range(len(paths))), False
    for attempt in range(4):  # a unit may be inactive at all points once, but not every time
        for i in sorted(dead):
            grad = seen[1][i]
            if grad is None or grad.size == 0:
                dead.discard(i)
                continue
            if not np.all(np.isfinite(grad)):
                _demand_moderate(seen[0])
                raise LawBroken(f"the gradient of {paths[i]} is not finite")
            if np.any(grad != 0.0):
                dead.discard(i)
        if not dead:
            return
        some |= bool(np.any(np.isfinite(seen[0])))
        noise = trial.rng(f"attempt {attempt}")
        (seen,) = trial.measure_again(spaces.perturb(trial.params, noise, 2.0), outputs)
    if not some:
        raise NotApplicable("no x that was tried has a finite output")
    raise LawBroken(f"no gradient reaches {paths[min(dead)]}")


def _demand_moderate(out: np.ndarray) -> None:
    """Raises NotApplicable if outputs are so large that their gradients overflow."""
    largest = np.max(np.abs(np.nan_to_num(out)))
    if largest > 1e6 or not np.all(np.isfinite(out)):
        raise NotApplicable(f"outputs reach {largest:.1e} at these parameters, too far for float32")
