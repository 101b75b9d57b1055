"""Many steps in one dispatch, on batches that are stacked or gathered on the device."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import train
from gm.train import checkpoints

QUIET = {"progress": False, "log_every": 1000, "checkpoint_every": 1000}


def leaves(state):
    return jax.tree.leaves(jax.tree.map(np.asarray, state.params))


@dataclasses.dataclass(frozen=True)
class OnDevice:
    """Batches of 48 of 100 examples, gathered on the device; each step adds its own noise."""

    seed: int = 0
    on_device: bool = True

    @property
    def columns(self):
        x = np.random.default_rng(self.seed).normal(size=(100, 3))
        return {"x": x.astype(np.float32)}

    def indices(self, step):
        return np.random.default_rng([self.seed, step]).integers(0, 100, 48)

    def gather(self, columns, indices, step):
        noise = jax.random.normal(jax.random.fold_in(jax.random.key(self.seed), step), (48, 3))
        return {"x": columns["x"][indices] + 0.1 * noise}

    def starting_at(self, step):
        columns = jax.tree.map(jnp.asarray, self.columns)
        gather = jax.jit(self.gather)
        while True:
            yield gather(columns, self.indices(step), step)
            step += 1


@pytest.mark.parametrize("kind", ["loss", "game"])
def test_how_steps_are_grouped_does_not_change_a_bit(kind, request, problem):
    step = request.getfixturevalue("step" if kind == "loss" else "game_step")
    fresh = request.getfixturevalue("new" if kind == "loss" else "new_game")
    ends = {
        train.digest(train.run(step, fresh(), problem.Batches(), 30, steps_per_dispatch=k, **QUIET))
        for k in (2, 7)
    }
    assert len(ends) == 1
    alone = train.run(step, fresh(), problem.Batches(), 30, **QUIET)
    several = train.run(step, fresh(), problem.Batches(), 30, steps_per_dispatch=7, **QUIET)
    for x, y in zip(leaves(alone), leaves(several), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)  # another program rounds otherwise


def test_rows_checkpoints_and_resuming_between_dispatches(step, new, problem, tmp_path):
    """Whatever is due comes at its own step, and a run in halves ends in the same bits."""
    options = {"progress": False, "log_every": 3, "checkpoint_every": 4, "steps_per_dispatch": 5}
    whole = train.run(step, new(), problem.Batches(), 20, folder=tmp_path / "whole", **options)
    assert [row["step"] for row in train.read_metrics(tmp_path / "whole")] == [
        *range(3, 19, 3),
        20,
    ]
    assert checkpoints.steps(tmp_path / "whole") == [12, 16, 20]
    for end in (7, 20):
        halves = train.run(step, new(), problem.Batches(), end, folder=tmp_path / "b", **options)
    assert train.digest(halves) == train.digest(whole)
    state = new()
    for n in range(6):
        state, metrics = step(state, problem.Batches()[n])
    row = train.read_metrics(tmp_path / "whole")[1]
    np.testing.assert_allclose(row["loss"], metrics["loss"], rtol=1e-5)


@pytest.mark.parametrize("most", [1, 8])
def test_batches_gathered_on_the_device_are_those_of_the_host(most, step, new):
    options = {"steps_per_dispatch": most, **QUIET}
    host = train.run(step, new(), OnDevice(on_device=False), 20, **options)
    device = train.run(step, new(), OnDevice(), 20, **options)
    if most > 1:  # the same program but for the gathering
        assert train.digest(host) == train.digest(device)
    for x, y in zip(leaves(host), leaves(device), strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


def test_eight_devices_gather_what_one_does(problem, step, new):
    eight = train.make_step(problem.loss, problem.OPTIMIZER, mesh=train.data_mesh())
    one = train.run(step, new(), OnDevice(), 12, steps_per_dispatch=5, **QUIET)
    many = train.run(eight, new(), OnDevice(), 12, steps_per_dispatch=5, **QUIET)
    for x, y in zip(leaves(one), leaves(many), strict=True):
        np.testing.assert_allclose(x, y, rtol=2e-5, atol=2e-6)


def test_grouped_steps_compile_once(problem, one, new):
    traces = []

    def loss(params, key, batch):
        traces.append(1)
        return problem.loss(params, key, batch)

    step = train.make_step(loss, problem.OPTIMIZER, mesh=one)
    options = {"progress": False, "log_every": 3, "steps_per_dispatch": 5}
    state = train.run(step, new(), problem.Batches(), 17, **options)
    assert step.program(state).several._cache_size() == 1
    assert len(traces) <= 2  # once for the shapes of the metrics


@pytest.mark.parametrize("bad", [5, 6, 9])
def test_a_step_that_is_not_finite_ends_its_dispatch(bad, step, new, problem, tmp_path):
    options = {"progress": False, "folder": tmp_path, "steps_per_dispatch": 5}
    with pytest.raises(FloatingPointError, match=rf"step {bad} .*loss=nan"):
        train.run(step, new(), problem.Batches(bad=bad), 50, **options)
    assert checkpoints.steps(tmp_path) == [bad]
    healed = train.run(step, new(), problem.Batches(), 12, **options)
    whole = train.run(step, new(), problem.Batches(), 12, progress=False, steps_per_dispatch=3)
    assert train.digest(healed) == train.digest(whole)


def test_stacked_batches_that_end_are_refused_after_saving(step, new, problem, tmp_path):
    batches = [problem.Batches()[n] for n in range(7)]
    with pytest.raises(ValueError, match="batches ended after 7 steps; num_steps is 9"):
        train.run(step, new(), batches, 9, folder=tmp_path, steps_per_dispatch=5, progress=False)
    assert checkpoints.steps(tmp_path) == [5]


def test_a_wrong_number_of_steps_is_refused(step, new, problem):
    with pytest.raises(ValueError, match="steps_per_dispatch must be at least 1; got 0"):
        train.run(step, new(), problem.Batches(), 2, steps_per_dispatch=0)
