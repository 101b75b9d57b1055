"""Batches are a pure function of (seed, step), in memory and through grain."""

import itertools

import jax
import numpy as np
import pytest

from gm.core import Event
from gm.data import DynamicBinarization, Split
from gm.data.batches import permutation, step_key
from gm.data.stored import Arrays, Records

N = 23
X = np.random.default_rng(0).integers(0, 17, (N, 2, 3)).astype(np.uint8)
LABEL = np.arange(N, dtype=np.int32)
EVENT = Event((2, 3), 17)


class Examples:
    """A record file: numbered items, several at once."""

    def __init__(self, offset=0):
        self.offset = offset

    def __getitems__(self, numbers):
        return [(X[i - self.offset], i - self.offset) for i in numbers]


def decode(item):
    return {"x": item[0], "label": np.int32(item[1])}


@pytest.fixture
def memory():
    return Split(Arrays({"x": X, "label": LABEL}), EVENT)


@pytest.fixture
def streamed():
    return Split(Records(Examples(offset=100), range(100, 100 + N), decode), EVENT)


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].dtype == b[name].dtype
        np.testing.assert_array_equal(a[name], b[name])


def test_a_batch_is_a_function_of_seed_and_step(memory):
    assert_same(memory.batches(5, seed=3)(11), memory.batches(5, seed=3)(11))
    assert np.any(memory.batches(5, seed=3)(11)["label"] != memory.batches(5, seed=4)(11)["label"])


def test_a_batch_holds_the_examples_its_indices_name(memory):
    batches = memory.batches(5)
    batch, indices = batches(7), batches.indices(7)
    np.testing.assert_array_equal(batch["x"], X[indices])
    np.testing.assert_array_equal(batch["label"], indices)
    assert batch["x"].dtype == batch["label"].dtype == np.int32
    EVENT.check(batch["x"])


@pytest.mark.parametrize("batch_size", [1, 5, 23, 60])
def test_every_epoch_holds_every_example_once(memory, batch_size):
    batches = memory.batches(batch_size, seed=1)
    stream = np.concatenate([batches.indices(step) for step in range(3 * N // batch_size + 1)])
    for epoch in range(3):
        held = stream[epoch * N : (epoch + 1) * N]
        assert sorted(held) == list(range(N))
    assert np.any(stream[:N] != stream[N : 2 * N])


def test_the_permutation_is_the_same_in_every_release():
    """Philox's raw numbers for the key (7, 2), from its definition in Salmon et al. (2011)."""
    np.testing.assert_array_equal(permutation(7, 2, 8), np.argsort(philox(7, 2, 8)))


def philox(key0, key1, num):
    """Philox 4x64, ten rounds, counters 1, 2, ...; as in the Random123 paper, table 2."""
    mask, out = 2**64 - 1, []
    for count in range(1, num // 4 + 1):
        c, k = [count, 0, 0, 0], [key0, key1]
        for _ in range(10):
            high0, low0 = divmod(c[0] * 0xD2E7470EE14C6C93, 2**64)
            high1, low1 = divmod(c[2] * 0xCA5A826395121157, 2**64)
            c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0]
            k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
        out += c
    return np.array(out, np.uint64)


def test_resuming_at_a_step_equals_running_to_it(memory, streamed):
    for split in (memory, streamed):
        batches = split.batches(6, seed=2)
        ran = list(itertools.islice(batches, 9))[4:]
        resumed = list(itertools.islice(batches.starting_at(4), 5))
        for a, b in zip(ran, resumed, strict=True):
            assert_same(a, b)


def test_grain_gives_the_batches_that_memory_gives(memory, streamed):
    memory, streamed = memory.map(DynamicBinarization()), streamed.map(DynamicBinarization())
    assert streamed.streamed
    assert not memory.streamed
    of_memory = memory.batches(6, seed=5).starting_at(2)
    of_grain = streamed.batches(6, seed=5).starting_at(2)
    for step, a, b in zip(range(2, 12), of_memory, of_grain, strict=False):
        assert_same(a, b)
        assert_same(a, streamed.batches(6, seed=5)(step))


def test_in_order_gives_every_example_once(memory, streamed):
    for split in (memory, streamed):
        parts = list(split.in_order(6))
        assert [len(part["x"]) for part in parts] == [6, 6, 6, 5]
        np.testing.assert_array_equal(np.concatenate([part["x"] for part in parts]), X)
        np.testing.assert_array_equal(np.concatenate([part["label"] for part in parts]), LABEL)
        np.testing.assert_array_equal(split.x, X)
        np.testing.assert_array_equal(split.y, LABEL)
        assert split.arrays().keys() == {"x", "label", "context"}
        np.testing.assert_array_equal(split.arrays()["context"], LABEL)
        assert split.x.dtype == np.int32


def test_records_read_into_memory_are_the_same_examples(streamed):
    held = streamed.source.in_memory()
    np.testing.assert_array_equal(held.columns["x"], X)
    assert held.columns["x"].dtype == np.uint8


def test_the_parts_of_all_hosts_are_the_batch(memory):
    split = memory.map(DynamicBinarization())
    whole = split.batches(6, seed=1)(9)
    parts = [split.batches(6, seed=1, shard_index=i, shard_count=3)(9) for i in range(3)]
    assert_same(whole, {name: np.concatenate([p[name] for p in parts]) for name in whole})


def test_transforms_use_other_numbers_than_a_model_with_the_same_seed():
    model_keys = jax.random.split(jax.random.fold_in(jax.random.key(3), 4), 2)
    data_key = step_key(3, 4)
    for key in (jax.random.fold_in(jax.random.key(3), 4), *model_keys):
        assert not np.array_equal(jax.random.key_data(key), jax.random.key_data(data_key))


def test_wrong_requests_have_one_clear_error(memory):
    with pytest.raises(ValueError, match="batch_size of at least 1"):
        memory.batches(0)
    with pytest.raises(ValueError, match="seed of at least 0"):
        memory.batches(1, seed=-1)
    with pytest.raises(ValueError, match="divisible by shard_count"):
        memory.batches(5, shard_count=2)
    with pytest.raises(ValueError, match="shard_index in"):
        memory.batches(4, shard_index=2, shard_count=2)
    with pytest.raises(ValueError, match="step of at least 0"):
        memory.batches(4)(-1)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        memory.in_order(0)
    with pytest.raises(ValueError, match="with examples"):
        Split(Arrays({"x": X[:0]}), EVENT).batches(1)
