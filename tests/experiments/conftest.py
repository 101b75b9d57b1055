"""Experiments are imported as modules; dry ones are traced in place of run."""

import importlib
import pathlib
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from gm import core, metrics, train
from gm.metrics import importance
from gm.recipes import fitting, samples

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def experiment(monkeypatch):
    """A function that gives the module of an experiment file by its name."""
    monkeypatch.syspath_prepend(str(ROOT))

    def named(name):
        (path,) = (ROOT / "experiments").rglob(f"{name}.py")
        return importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))

    return named


@pytest.fixture
def main(experiment):
    """A function that trains and reports an experiment with options, given its name."""

    def run(name, **options):
        module = experiment(name)
        return fitting.main(module.build, module.Config(**options))

    return run


@pytest.fixture
def dry(monkeypatch):
    """The step, the scores and the samples are traced in place of run; returns what was traced."""
    seen = SimpleNamespace(steps=0, scored=[], validated=[], how=[], labels=[])

    def run(step, state, batches, num_steps, **keep):
        (batch, *_) = zip(batches.starting_at(0), range(1), strict=False)
        jax.eval_shape(step, state, batch[0])
        seen.steps += num_steps
        reported, seen.scored = seen.scored, seen.validated
        keep["evaluate"](state)
        seen.scored = reported
        return state

    def evaluate(model, params, data, *, key=None, num_samples=1, **options):
        batch = data if isinstance(data, np.ndarray) else next(data.in_order(1))
        x = batch[0] if isinstance(batch, np.ndarray) else batch["x"][0]
        model.event.check(np.asarray(x)[None])
        given = (batch["context"][0],) if getattr(model, "context", None) else ()
        kind = "exact" if isinstance(model, core.Density) else "bound"
        if kind == "exact":
            found = jax.eval_shape(model.log_prob, params, x, *given)
        else:
            found = jax.eval_shape(
                lambda p, k, x: importance.log_prob(model, p, k, x, num_samples=num_samples),
                params,
                key,
                x,
            )
        assert found.shape == ()
        seen.scored.append(data)
        seen.how.append(options)
        own = {} if kind == "exact" else {"num_samples": num_samples}
        return metrics.Score(1.0, 0.5, len(data), kind=kind, **own)

    def sample(model, params, keys, *y):
        one = jax.eval_shape(model.sample, params, keys[0], *(a[0] for a in y))
        assert (one.shape, one.dtype) == (model.event.shape, model.event.dtype)
        seen.labels += map(np.ravel, y)
        return np.zeros((len(keys), *one.shape), one.dtype)

    begin = fitting._init

    def zeros(c, init, optimizer, memory, traced):
        def params(key):
            shapes = jax.eval_shape(getattr(init, "func", init), key)  # without the examples
            return jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), shapes)

        return begin(c, params, optimizer, memory, True)

    monkeypatch.setattr(fitting, "_init", zeros)
    monkeypatch.setattr(samples, "_sample", sample)
    monkeypatch.setattr(train, "run", run)
    monkeypatch.setattr(metrics, "evaluate", evaluate)
    return seen
