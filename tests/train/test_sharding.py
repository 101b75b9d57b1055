"""Where arrays live: the rule for parameters, and the same numbers wherever they live."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import PartitionSpec

from gm import train
from gm.train import checkpoints, sharding

WIDTH = 64


def loss(params, key, batch):
    """Two dense layers and noise."""
    h = jnp.tanh(batch["x"] @ params["first"] + params["bias"][None])
    error = h @ params["second"] - jax.random.normal(key, (batch["x"].shape[0], WIDTH))
    return jnp.mean(error**2), {"mean": jnp.mean(error)}


def params_of(seed=0):
    keys = jax.random.split(jax.random.key(seed))
    first = jax.random.normal(keys[0], (3, 8 * WIDTH)) / 2
    second = jax.random.normal(keys[1], (8 * WIDTH, WIDTH)) / 20
    return {"first": first, "bias": jnp.zeros(8 * WIDTH), "second": second}


OPTIMIZER = train.with_ema(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2)))


def test_the_longest_axis_that_divides_evenly_is_split():
    for shape, want in {
        (64, 128): (None, "data"),
        (128, 128): ("data",),
        (128, 65): ("data",),
        (127, 65): (),  # nothing divides
        (8, 8): (),  # too small to be worth it
        (): (),
        (3, 4, 4096): (None, None, "data"),
    }.items():
        assert sharding.fsdp("w", shape, 8) == PartitionSpec(*want), shape
    assert sharding.fsdp("w", (8, 8), 8, min_size=1) == PartitionSpec("data")
    assert sharding.fsdp("w", (64, 128), 1) == PartitionSpec()
    assert sharding.replicated("w", (64, 128), 8) == PartitionSpec()


@pytest.fixture(scope="module")
def steps():
    """On one device, on eight, and on eight that share the state out."""
    one = train.data_mesh(jax.devices()[:1])
    return {
        "one": train.make_step(loss, OPTIMIZER, mesh=one),
        "eight": train.make_step(loss, OPTIMIZER),
        "fsdp": train.make_step(loss, OPTIMIZER, rule=train.fsdp),
    }


def new():
    return train.init(params_of(), OPTIMIZER, jax.random.key(1))


def test_a_state_that_is_shared_out_takes_the_same_steps(steps, problem):
    ends = {}
    for name in ("one", "fsdp"):
        state = new()
        for n in range(5):
            state, metrics = steps[name](state, problem.Batches()[n])
        ends[name] = jax.tree.leaves(jax.device_get((state.params, state.averaged, metrics)))
    for x, y in zip(*ends.values(), strict=True):  # sums over examples are taken in another order
        np.testing.assert_allclose(x, y, rtol=1e-3, atol=1e-5)


def test_fsdp_holds_an_eighth_on_each_device(steps, problem):
    state, _ = steps["fsdp"](new(), problem.Batches()[0])
    inner = state.opt_state["all"].inner[1][0]
    for tree in (state.params, state.opt_state["all"].average, inner.mu, inner.nu):
        for name, spec in {"first": (), "second": ("data",), "bias": ()}.items():
            assert tree[name].sharding.spec == PartitionSpec(*spec), name
        held = tree["second"].addressable_shards
        assert {shard.data.shape for shard in held} == {(WIDTH, WIDTH)}
        assert len({str(shard.index) for shard in held}) == 8


def test_a_rule_of_ones_own_sees_names_and_shapes():
    seen = {}

    def rule(name, shape, num_devices):
        seen[name] = shape
        return PartitionSpec("data") if name == "params['second']" else PartitionSpec()

    state = train.make_step(loss, OPTIMIZER, rule=rule).place(new())
    assert state.params["second"].sharding.spec == PartitionSpec("data")
    assert state.averaged["second"].sharding.spec == PartitionSpec()
    assert seen["params['first']"] == (3, 8 * WIDTH)
    assert seen["opt_state['all'].average['bias']"] == (8 * WIDTH,)


def test_a_checkpoint_of_any_layout_restores_into_any_other(steps, tmp_path):
    for name, step in steps.items():
        state = step.place(new())
        want = train.digest(state)
        checkpoints.save(tmp_path / name, 1, state)
        for other in steps.values():
            like = other.place(new())
            got = checkpoints.restore(tmp_path / name, like)
            assert train.digest(got) == want
            assert [x.sharding for x in jax.tree.leaves(got)] == [
                x.sharding for x in jax.tree.leaves(like)
            ]


def test_a_shared_out_run_logs_evaluates_plots_and_resumes(steps, problem, tmp_path):
    def plot(state, path):
        assert len(state.params["second"].devices()) == 1
        path.write_text("picture")

    options = {
        "progress": False,
        "evaluate": lambda state: {"norm": jnp.linalg.norm(state.params["second"])},
        "plot": plot,
        "checkpoint_every": 3,
    }
    batches = problem.Batches()
    whole = train.run(steps["fsdp"], new(), batches, 8, folder=tmp_path / "whole", **options)
    for end in (4, 8):
        halves = train.run(steps["fsdp"], new(), batches, end, folder=tmp_path / "b", **options)
    assert train.digest(halves) == train.digest(whole)
    want = float(np.linalg.norm(np.asarray(whole.params["second"])))
    assert train.read_metrics(tmp_path / "b")[-1]["eval/norm"] == pytest.approx(want, rel=1e-5)
    assert (tmp_path / "b" / "samples" / "000000008.png").read_text() == "picture"


def test_local_arrays_are_copies_on_one_device(steps, problem):
    state, _ = steps["fsdp"](new(), problem.Batches()[0])
    copy = train.local(state)
    assert train.digest(copy) == train.digest(state)
    assert {len(x.devices()) for x in jax.tree.leaves(copy)} == {1}
    steps["fsdp"](state, problem.Batches()[1])  # consumes what was copied
    assert np.isfinite(copy.params["second"]).all()
