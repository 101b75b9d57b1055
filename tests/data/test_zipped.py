"""Batches of several sets as one: what each part gives at a step, and what would pair them."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import data
from gm.train import identity

FEW = data.from_arrays(np.arange(20.0)[:, None], labels=[np.arange(20) % 2]).train
MANY = data.from_arrays(np.arange(70)[:, None]).map(data.UniformDequantization()).train


def two(seed=0, **options):
    return data.zipped(
        labelled=FEW.batches(4, seed=seed, **options),
        unlabelled=MANY.batches(12, seed=seed + 1, **options),
    )


def assert_same(got, want):
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for x, y in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_batch_holds_that_of_each_part_at_its_step():
    batches, few, many = two(), FEW.batches(4, seed=0), MANY.batches(12, seed=1)
    assert_same(batches(9), {"labelled": few(9), "unlabelled": many(9)})
    assert batches(9)["labelled"]["label"].shape == (4,)
    for step, batch in enumerate(itertools.islice(batches.starting_at(7), 3), 7):
        assert_same(batch, batches(step))
    assert_same(next(iter(batches)), batches(0))
    indices = batches.indices(9)
    np.testing.assert_array_equal(indices["labelled"], few.indices(9))
    np.testing.assert_array_equal(indices["unlabelled"], many.indices(9))


def test_zipped_batches_are_parts_too():
    batches = data.zipped(both=two(seed=3), third=MANY.batches(2, seed=9))
    assert_same(batches(5)["both"], two(seed=3)(5))
    with pytest.raises(ValueError, match="'both' and 'third' both have seed=4"):
        data.zipped(both=two(seed=3), third=MANY.batches(2, seed=4))


def test_what_is_gathered_on_the_device_is_what_the_host_makes():
    batches = two(on_device=True)
    assert batches.on_device
    assert not two().on_device
    columns = jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, batches.columns))
    assert_same(jax.jit(batches.gather)(columns, batches.indices(8), 8), batches(8))


def test_another_seed_of_one_part_is_another_run():
    assert two() == two()
    assert hash(two()) == hash(two())
    saved = identity.describe(two()).values
    assert identity.differences(saved, identity.describe(two())) == []
    other = data.zipped(labelled=FEW.batches(4, seed=0), unlabelled=MANY.batches(12, seed=2))
    assert other != two()
    assert identity.differences(saved, identity.describe(other)) == [
        "parts[unlabelled].seed: 1 there, 2 here"
    ]


def test_what_cannot_be_zipped_is_said():
    few = FEW.batches(4)
    with pytest.raises(ValueError, match="'a' and 'b' both have seed=0, which would pair"):
        data.zipped(a=few, b=MANY.batches(12))
    with pytest.raises(ValueError, match="for all of its parts, or for none"):
        data.zipped(a=few, b=MANY.batches(12, seed=1, on_device=True))
    with pytest.raises(ValueError, match="needs batches by name"):
        data.zipped()
    with pytest.raises(TypeError, match=r"needs batches of gm.data.*got one Split"):
        data.zipped(a=few, b=MANY)
