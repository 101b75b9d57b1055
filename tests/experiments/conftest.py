"""Experiments are imported as they import one another; dry ones are traced in place of run."""

import importlib
import pathlib
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from gm import core, metrics, train
from gm.metrics import importance

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "experiments"


@pytest.fixture
def experiment(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


@pytest.fixture
def dry(monkeypatch, experiment):
    """The step, the scores and the samples are traced in place of run; returns what was traced."""
    seen = SimpleNamespace(steps=0, scored=[], validated=[], how=[], labels=[])

    def run(step, state, batches, num_steps, **keep):
        (batch, *_) = zip(batches.starting_at(0), range(1), strict=False)
        jax.eval_shape(step, state, batch[0])
        seen.steps += num_steps
        if "evaluate" in keep:
            reported, seen.scored = seen.scored, seen.validated
            keep["evaluate"](state)
            seen.scored = reported
        return state

    def evaluate(model, params, data, *, key=None, num_samples=1, context=None, **options):
        batch = data if isinstance(data, np.ndarray) else next(data.in_order(1))
        x = batch[0] if isinstance(batch, np.ndarray) else batch["x"][0]
        model.event.check(np.asarray(x)[None])
        given = () if context is None else (batch[context][0],)
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

    def init(model, key):
        return jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), jax.eval_shape(model.init, key))

    monkeypatch.setattr(experiment("fitting"), "init", init)
    monkeypatch.setattr(train, "run", run)
    monkeypatch.setattr(metrics, "evaluate", evaluate)
    monkeypatch.setattr(experiment("maximum_likelihood"), "_sample", sample)
    monkeypatch.setattr(experiment("texts"), "_sample", sample)
    return seen
