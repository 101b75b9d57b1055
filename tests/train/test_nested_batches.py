"""Batches of two sources and sizes: on one device and on eight, resumed, refused."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import data, train
from gm.train import feeds, sharding

QUIET = {"progress": False, "log_every": 4, "checkpoint_every": 4}
RNG = np.random.default_rng(0)
FEW = data.from_arrays(RNG.normal(size=(40, 3)), labels=[RNG.integers(0, 2, 40)]).train
MANY = data.from_arrays(RNG.normal(size=(90, 3))).train
OPTIMIZER = optax.adam(0.1)


def batches(**options):
    few, many = FEW.batches(16, seed=0, **options), MANY.batches(32, seed=1, **options)
    return data.zipped(labelled=few, unlabelled=many)


def loss(params, key, batch):
    """Regression on the labels, and a penalty where there are none."""
    labelled, unlabelled = batch["labelled"], batch["unlabelled"]
    error = labelled["x"] @ params["w"] - labelled["label"]
    spread = unlabelled["x"] @ params["w"] + jax.random.normal(key, (len(unlabelled["x"]),))
    return jnp.mean(error**2) + 0.1 * jnp.mean(spread**4), {}


def new():
    return train.init({"w": np.ones(3, np.float32)}, OPTIMIZER, jax.random.key(0))


@pytest.fixture(scope="module")
def one_step(one):
    return train.make_step(loss, OPTIMIZER, mesh=one)


@pytest.mark.parametrize("most", [1, 4])
def test_eight_devices_equal_one(one_step, most):
    """Batch by batch, and gathered on the device where several steps are one dispatch."""
    eight = train.make_step(loss, OPTIMIZER)
    options = {"steps_per_dispatch": most, **QUIET}
    a = train.run(one_step, new(), batches(), 8, **options)
    b = train.run(eight, new(), batches(on_device=most > 1), 8, **options)
    assert not np.allclose(a.params["w"], 1.0, atol=0.1)
    np.testing.assert_allclose(a.params["w"], b.params["w"], rtol=2e-5, atol=2e-6)
    if most > 1:
        stacked = train.run(one_step, new(), batches(), 8, **options)
        gathered = train.run(one_step, new(), batches(on_device=True), 8, **options)
        assert train.digest(stacked) == train.digest(gathered)


def test_a_run_that_stops_and_goes_on_equals_one_that_does_not(one_step, tmp_path):
    whole = train.run(one_step, new(), batches(), 8, **QUIET)
    for end in (3, 8):
        parts = train.run(one_step, new(), batches(), end, folder=tmp_path, **QUIET)
    assert train.digest(parts) == train.digest(whole)
    other = data.zipped(labelled=FEW.batches(16, seed=0), unlabelled=MANY.batches(32, seed=2))
    with pytest.raises(ValueError, match=r"batches.parts\[unlabelled\].seed: 1 there, 2 here"):
        train.run(one_step, new(), other, 12, folder=tmp_path, **QUIET)


def test_a_step_that_is_not_finite_names_the_examples_of_each_part(one_step):
    few = data.from_arrays(np.full((16, 3), 1e30), labels=[np.arange(16)]).train
    bad = data.zipped(labelled=few.batches(16), unlabelled=MANY.batches(32, seed=1))
    with pytest.raises(
        FloatingPointError, match=r"the examples \{'labelled': \[.*'unlabelled': \["
    ):
        train.run(one_step, new(), bad, 8, **QUIET)


def test_each_size_is_held_to_the_devices_and_the_parts_of_its_own(one_step):
    x, y = np.zeros((16, 3)), np.zeros((12, 3))
    assert sharding.batch_sizes({"x": x, "context": {"a": x}}) == [16]
    assert sharding.batch_sizes({"x": {"image": x}, "context": {"a": x}}) == [16]
    assert sharding.batch_sizes({"a": {"x": x}, "b": {"x": y, "label": y[:, 0]}}) == [16, 12]
    assert feeds.feed_of(batches(on_device=True), 0, 4, one_step, 2).size == 48
    with pytest.raises(ValueError, match="a batch of 12 cannot be cut evenly for 8 device"):
        train.make_step(loss, OPTIMIZER).put({"labelled": {"x": x}, "unlabelled": {"x": y}})
    for wrong in ({"x": x, "y": y}, {"a": {"x": x, "label": y}}, {"x": {"a": x, "b": y}}):
        with pytest.raises(ValueError, match="one leading size B in common"):
            sharding.batch_sizes(wrong)
