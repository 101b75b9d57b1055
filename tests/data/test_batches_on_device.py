"""Batches made inside jit from a copy of the split are those of the host, bit for bit."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from gm import data
from gm.core import Event
from gm.data import Split, Standardize
from gm.data.stored import Arrays, Records

RNG = np.random.default_rng(0)
BOOL = RNG.random((23, 2, 3)) < 0.5
REALS = data.from_arrays(RNG.normal(size=(700, 2)))
BYTES = data.from_arrays(RNG.integers(0, 256, (700, 3)).astype(np.uint8), labels=[np.arange(700)])
TEXT = "".join(RNG.choice(list("abcdefg"), 500))
load = functools.cache(data.load)


def standardized(name):
    dataset = load(name)
    return dataset.map(Standardize.fit(dataset.train.x)).train


KINDS = {
    "digits": lambda: load("digits").train,
    "dynamic": lambda: load("digits_dynamic").train,
    "dequantized": lambda: load("digits_dequantized").train,
    "threshold": lambda: load("digits_threshold").train,
    "two transforms": lambda: standardized("digits_dequantized"),
    "reals": lambda: REALS.train,
    "standardized": lambda: REALS.map(Standardize((0.1, -0.3), (0.7, 1.9))).train,
    "bytes of one's own": lambda: BYTES.train,
    "bool": lambda: Split(Arrays({"x": BOOL}), Event((2, 3), 2)),
    "bool of one's own": lambda: data.from_arrays(BOOL, labels=[np.arange(23)]).train,
    "float64": lambda: Split(Arrays({"x": RNG.normal(size=(50, 2))}), Event((2,))),
    "text": lambda: data.from_texts("letters", [TEXT] * 3, window=16).train,
    "text end to end": lambda: data.from_texts("letters", [TEXT] * 3, window=16).test,
    "python_docs": lambda: load("python_docs").train,
}


@pytest.fixture
def streamed():
    return Split(Records(BOOL, range(23), lambda x: {"x": x}), Event((2, 3), 2))


def on_device(batches):
    """The columns, put on the device, and the jitted gather."""
    return jax.tree.map(jnp.asarray, dict(batches.columns)), jax.jit(batches.gather)


def assert_same(got, want):
    assert got.keys() == want.keys()
    for name in want:
        assert got[name].dtype == want[name].dtype
        assert np.asarray(got[name]).tobytes() == np.asarray(want[name]).tobytes()


def assert_same_at_some_steps(split, batch_size=60):
    """The first steps, one across the end of the first epoch, and one long after."""
    batches = split.batches(batch_size, seed=3, on_device=True)
    columns, gather = on_device(batches)
    for step in (0, 1, len(split) // batch_size, 1000):
        assert_same(gather(columns, batches.indices(step), step), batches(step))


@pytest.mark.parametrize("kind", KINDS)
def test_the_device_makes_the_batches_of_the_host(kind):
    assert_same_at_some_steps(KINDS[kind]())


def test_bytes_stay_bytes_on_the_device():
    batches = BYTES.train.batches(60)
    assert batches.device_bytes == len(BYTES.train) * (3 + 4)
    assert batches.columns["x"].dtype == np.uint8


def test_a_text_takes_no_more_on_the_device_than_its_characters():
    batches = data.from_texts("letters", [TEXT] * 3, window=100).train.batches(8, on_device=True)
    assert batches.columns["x"].shape == (500,)
    assert batches.device_bytes == 4 * 500


@pytest.mark.parametrize("kind", ["two transforms", "dynamic"])
def test_a_step_that_goes_on_with_the_batch_sees_the_same_numbers(kind):
    """Without care, Standardize's product and this sum are rounded once, not twice."""
    batches = KINDS[kind]().batches(60, on_device=True)
    columns, _ = on_device(batches)

    def use(batch):
        return batch["x"] - 0.3, jax.nn.one_hot(batch["label"], 10)

    got = jax.jit(lambda *args: use(batches.gather(*args)))(columns, batches.indices(5), 5)
    np.testing.assert_array_equal(got[0], jax.jit(use)(batches(5))[0])
    np.testing.assert_array_equal(got[1], jax.jit(use)(batches(5))[1])


def test_zeros_keep_their_sign_and_the_smallest_stored_floats_their_value():
    x = np.array([[0.0], [-0.0], [1.5], [1e-42]], np.float32)
    assert_same_at_some_steps(Split(Arrays({"x": x}), Event((1,))), batch_size=3)
    same = Standardize((0.0,), (1.0,))
    assert_same_at_some_steps(Split(Arrays({"x": x[:3]}), Event((1,)), (same,)), batch_size=2)


@pytest.mark.parametrize("kind", ["dynamic", "text"])
def test_the_indices_of_all_hosts_make_the_batches_of_all_hosts(kind):
    split = KINDS[kind]()
    hosts = [
        split.batches(60, seed=1, shard_index=i, shard_count=2, on_device=True) for i in range(2)
    ]
    for step in (0, 9, len(split) // 60):
        indices = np.concatenate([host.indices(step) for host in hosts])
        parts = [host(step) for host in hosts]
        whole = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
        for host in hosts:
            columns, gather = on_device(host)
            assert_same(gather(columns, indices, step), whole)


@pytest.mark.parametrize("kind", ["dynamic", "two transforms", "text"])
def test_eight_devices_make_the_batch_of_one(kind):
    mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    batches = KINDS[kind]().batches(64, on_device=True)
    columns = jax.device_put(dict(batches.columns), NamedSharding(mesh, PartitionSpec()))
    split = NamedSharding(mesh, PartitionSpec("data"))
    got = jax.jit(batches.gather, out_shardings=split)(
        columns, jax.device_put(batches.indices(22), split), 22
    )
    assert_same(got, batches(22))


def test_steps_and_equal_batches_compile_once():
    split, traces = KINDS["dynamic"](), []

    @functools.partial(jax.jit, static_argnums=0)
    def make(batches, columns, indices, step):
        traces.append(step)
        return batches.gather(columns, indices, step)

    columns, _ = on_device(split.batches(60))
    for step in range(30):
        batches = split.batches(60, on_device=True)
        make(batches, columns, batches.indices(step), step)
    assert len(traces) == 1
    make(split.batches(60, seed=1, on_device=True), columns, batches.indices(0), 0)
    assert len(traces) == 2


def test_a_gather_that_is_jitted_again_does_not_compile_again():
    batches = KINDS["reals"]().batches(60)
    columns, gather = on_device(batches)
    gather(columns, batches.indices(0), 0)
    again = jax.jit(batches.gather)
    again(columns, batches.indices(1), 1)
    assert again._cache_size() == gather._cache_size() == 1


def test_the_host_keeps_numpy_where_nothing_is_transformed():
    for kind in ("digits", "text", "bool"):
        batch = KINDS[kind]().batches(60, on_device=True)(0)
        assert all(type(values) is np.ndarray for values in batch.values())


def test_each_host_reads_its_own_part_by_default(monkeypatch):
    split = KINDS["digits"]()
    monkeypatch.setattr(jax, "process_index", lambda: 2)
    monkeypatch.setattr(jax, "process_count", lambda: 3)
    assert split.batches(6) == split.batches(6, shard_index=2, shard_count=3)
    whole = split.batches(6, shard_index=0, shard_count=1)
    np.testing.assert_array_equal(split.batches(6).indices(4), whole.indices(4)[4:])


def test_what_cannot_be_on_the_device_is_refused(streamed, monkeypatch):
    with pytest.raises(ValueError, match=r"is streamed\. Load it with in_memory=True"):
        streamed.batches(4, on_device=True)
    with pytest.raises(ValueError, match="is streamed"):
        _ = streamed.batches(4).columns
    split = KINDS["bool"]()
    monkeypatch.setattr("gm.data.batches.DEVICE_MEMORY", BOOL.nbytes)
    split.batches(4, on_device=True)
    monkeypatch.setattr("gm.data.batches.DEVICE_MEMORY", BOOL.nbytes - 1)
    split.batches(4)
    with pytest.raises(ValueError, match=r"at most 0\.0 GiB, .* With on_device=False the host"):
        split.batches(4, on_device=True)


def test_the_indices_of_one_of_two_hosts_are_refused():
    batches = KINDS["digits"]().batches(60, shard_count=2, on_device=True)
    columns, gather = on_device(batches)
    with pytest.raises(ValueError, match=r"whole batch, \(60,\): those of all 2 .* got \(30,\)"):
        gather(columns, batches.indices(0), 0)
