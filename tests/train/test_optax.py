"""What optax supplies, inside a step: accumulation, clipping, schedules."""

import jax
import numpy as np
import optax

from gm import train


def quadratic(params, key, batch):
    """Without noise, so that a large batch is the mean of small ones."""
    error = batch["x"] @ params["w"] - batch["x"].sum(1)
    return (error**2).mean(), {}


def test_accumulated_gradients_are_those_of_the_large_batch(problem, one):
    x = problem.Batches()[0]["x"]
    large = train.make_step(quadratic, optax.adam(0.1), mesh=one)
    state, _ = large(train.init(problem.PARAMS, optax.adam(0.1), jax.random.key(0)), {"x": x})
    optimizer = optax.MultiSteps(optax.adam(0.1), every_k_schedule=4)
    small = train.make_step(quadratic, optimizer, mesh=one)
    parts = train.init(problem.PARAMS, optimizer, jax.random.key(0))
    for n in range(4):
        np.testing.assert_array_equal(parts.params["w"], problem.PARAMS["w"])  # not moved yet
        parts, _ = small(parts, {"x": x[n::4]})
    np.testing.assert_allclose(parts.params["w"], state.params["w"], rtol=1e-5)


def test_an_accumulating_run_resumes_between_two_updates(problem, one, tmp_path):
    optimizer = train.with_ema(optax.MultiSteps(optax.adam(0.1), every_k_schedule=4), 0.9)
    step = train.make_step(problem.loss, optimizer, mesh=one)

    def new():
        return train.init(problem.PARAMS, optimizer, jax.random.key(0))

    options = {"progress": False, "log_every": 100}
    whole = train.run(step, new(), problem.Batches(), 10, **options)
    for end in (6, 10):
        halves = train.run(step, new(), problem.Batches(), end, folder=tmp_path, **options)
    assert train.digest(halves) == train.digest(whole)


def test_clipping_bounds_the_move_and_a_schedule_sets_it(problem, one):
    """Plain descent, clipped to a norm of 0.5, at rates 1 and then 0.1."""
    schedule = optax.piecewise_constant_schedule(1.0, {1: 0.1})
    optimizer = optax.chain(optax.clip_by_global_norm(0.5), optax.sgd(schedule))
    step = train.make_step(quadratic, optimizer, mesh=one)
    state, moves = train.init(problem.PARAMS, optimizer, jax.random.key(0)), []
    for n in range(2):
        before = np.asarray(state.params["w"])
        state, metrics = step(state, problem.Batches()[n])
        assert metrics["grad_norm"] > 0.5  # the metric is before clipping
        moves.append(np.linalg.norm(np.asarray(state.params["w"]) - before))
    np.testing.assert_allclose(moves, [0.5, 0.05], rtol=1e-4)
