"""Arrays of one's own: their kinds, their splits, and what 32 bits would lose of them."""

import dataclasses

import numpy as np
import pytest

from gm import data
from gm.core import Event
from gm.data.dataset import cut

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 5, (100, 3, 3))
BYTES = np.append(RNG.integers(0, 200, 299), 200).astype(np.uint8).reshape(100, 3)
BINARY = RNG.integers(0, 2, (100, 3))
TIMES = 1.7e9 + RNG.uniform(-10, 10, (20_000, 1))
LABELS = np.arange(100) % 4


def test_three_arrays_are_three_splits():
    dataset = data.from_arrays(
        IMAGES[:80], IMAGES[80:90], IMAGES[90:], labels=(LABELS[:80], LABELS[80:90], LABELS[90:])
    )
    assert (dataset.event, dataset.num_labels) == (Event((3, 3), 5), 4)
    assert str(dataset) == "arrays: 80 + 10 + 10 examples of shape (3, 3), integers in [0, 5)"
    np.testing.assert_array_equal(dataset.test.x, IMAGES[90:])
    np.testing.assert_array_equal(dataset.validation.y, LABELS[80:90])


def test_missing_splits_are_cut_from_train_without_overlap():
    x = np.arange(100)[:, None]
    dataset = data.from_arrays(x, labels=[LABELS])
    parts = [split.x.ravel() for split in (dataset.train, dataset.validation, dataset.test)]
    assert [len(part) for part in parts] == [81, 9, 10]
    assert sorted(np.concatenate(parts)) == list(range(100))
    np.testing.assert_array_equal(dataset.test.y, parts[2] % 4)
    np.testing.assert_array_equal(data.from_arrays(x).test.x.ravel(), parts[2])
    order = np.random.RandomState(0).permutation(100)  # NumPy keeps these numbers for ever
    np.testing.assert_array_equal(np.concatenate(parts), order)


def test_a_given_test_split_is_kept_whole():
    dataset = data.from_arrays(IMAGES[:50], test=IMAGES[50:])
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [45, 5, 50]


def test_the_cut_takes_ten_thousand_of_fifty_thousand():
    dataset = data.from_arrays(np.zeros((60_000, 1)), test=np.zeros((1, 1)))
    assert [len(dataset.train), len(dataset.validation)] == [50_000, 10_000]
    assert [cut(n) for n in (1, 10, 59, 49_999, 50_000)] == [1, 1, 5, 4_999, 10_000]


def test_kinds_follow_the_dtype():
    assert data.from_arrays(RNG.normal(size=(20, 2))).event == Event((2,))
    assert data.from_arrays(RNG.normal(size=(20, 2))).train.x.dtype == np.float32
    assert data.from_arrays(np.ones((20, 2), bool)).event == Event((2,), 2)
    assert data.from_arrays(np.zeros((20, 2), int)).event == Event((2,), 2)
    assert data.from_arrays(IMAGES, num_values=256).event.num_values == 256


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        (
            (IMAGES, IMAGES, IMAGES),
            {"num_values": 4},
            r"train needs integers in \[0, 4\); .* 0 to 4",
        ),
        ((np.array([[1], [-1]]),), {}, "values from -1 to 1"),
        ((np.array([[1.0], [np.nan]]),), {}, "finite"),
        ((np.ones((5, 2)),), {"num_values": 2}, "needs integers"),
        ((np.ones((5, 2)), np.ones((5, 2), int)), {}, "floats in every one; got float64, int64"),
        ((IMAGES, IMAGES[:, :2]), {}, "validation needs shape"),
        ((IMAGES[:0],), {}, "needs examples"),
        ((np.array(["a", "b"]),), {}, "needs integers in every split or floats"),
        ((IMAGES,), {"labels": [LABELS[:9]]}, "a label of at least 0 for each of its 100"),
        ((IMAGES,), {"labels": [None, LABELS]}, "which is not given"),
        ((IMAGES, IMAGES), {"labels": [LABELS]}, "or for none"),
        ((IMAGES[:1],), {}, "too few to cut"),
    ],
)
def test_wrong_arrays_have_one_clear_error(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(*arrays, **options)


def test_bytes_have_256_levels_unless_they_are_binary_or_it_is_said():
    assert data.from_arrays(BYTES).event == Event((3,), 256)
    assert data.from_arrays(BYTES, num_values=201).event.num_values == 201
    assert data.from_arrays(BYTES.astype(int)).event.num_values == 201
    assert data.from_arrays(BINARY.astype(np.uint8)).event.num_values == 2
    with pytest.warns(
        UserWarning, match=r"bytes of at most 4, interpreted as 256 .* num_values=5 if"
    ):
        assert data.from_arrays(IMAGES.astype(np.uint8)).event.num_values == 256


@pytest.mark.parametrize(
    ("x", "event", "taken"),
    [
        (BINARY.astype(np.float32), Event((3,)), "0 and 1, interpreted as real values"),
        (2.0 * BINARY - 1, Event((3,)), "-1 and 1, interpreted as real values"),
        (255.0 * BINARY, Event((3,)), "0 and 255, interpreted as real values"),
        (BINARY.astype(np.uint8) * 255, Event((3,), 256), "0 and 255, interpreted as 256 levels"),
        (BINARY * 7, Event((3,), 8), "0 and 7, interpreted as 8 levels"),
    ],
    ids=["0.0 and 1.0", "-1.0 and 1.0", "0.0 and 255.0", "0 and 255", "0 and 7"],
)
def test_two_values_are_binary_where_it_is_said_and_noticed_where_it_is_not(x, event, taken):
    with pytest.warns(UserWarning, match=f"only the values {taken}.*binary=True .*--binary"):
        assert data.from_arrays(x).event == event
    dataset = data.from_arrays(x[:60], x[60:80], x[80:], binary=True)
    assert dataset.event == Event((3,), 2)
    np.testing.assert_array_equal(dataset.train.x, BINARY[:60])
    np.testing.assert_array_equal(dataset.test.x, BINARY[80:])


def test_what_holds_more_than_two_values_is_not_binary():
    for x in (IMAGES, RNG.normal(size=(20, 2)), np.full((20, 2), 3)):
        with pytest.raises(ValueError, match=r"two values, .* for binary=True; got .*Threshold"):
            data.from_arrays(x, binary=True)
    with pytest.raises(ValueError, match="cannot be binary with num_values=4"):
        data.from_arrays(BINARY, binary=True, num_values=4)
    assert data.from_arrays(np.zeros((20, 2)), binary=True).event == Event((2,), 2)
    assert data.from_arrays(np.ones((20, 2)), binary=True).train.x.min() == 1
    # Three levels that begin like two; 1 and 2 are not in question.
    assert data.from_arrays(np.append(np.tile([0.0, 1.0], 9_000), 0.5)[:, None]).event == Event(
        (1,)
    )
    assert data.from_arrays(np.tile([1, 2], 20)[:, None]).event.num_values == 3


@pytest.mark.parametrize(
    ("x", "options", "message"),
    [
        (np.arange(40)[:, None] + 2**31 - 39, {}, "integers of at most 2147483647; got 2147483648"),
        (np.array([[0], [2**40]]), {}, "integers of at most 2147483647; got 1099511627776"),
        (np.array([[0], [2**63]], np.uint64), {}, "integers of at most 2147483647"),
        (np.linspace(0.0, -1e39, 40)[:, None], {}, r"floats of at most 3\.4e38, .*; got 1e\+39"),
        (IMAGES, {"labels": [np.full(100, 3_000_000_000)]}, "below 2147483647; got labels from 3"),
        (IMAGES, {"labels": [np.full(100, -1)]}, "labels of at least 0 .* from -1 to -1"),
        (
            TIMES,
            {},
            r"cannot represent, 0: its values reach 1\.7e\+09, .* steps of 128, .*standardize=True",
        ),
        (RNG.uniform(0, 1e-47, (50, 1)), {}, "float32 cannot represent"),
        ((IMAGES, LABELS), {}, "one array for each split; got a tuple of 2"),
        (IMAGES, {"label": "y"}, "no columns with names, so label='y'"),
    ],
)
def test_nothing_is_narrowed_to_other_values(x, options, message):
    with pytest.raises(ValueError, match=message):
        data.from_arrays(x, **options)


def test_the_largest_values_that_32_bits_hold_are_kept():
    top, steps = np.float64(np.finfo(np.float32).max), np.array([[0], [1], [2**31 - 2]])
    x = data.from_arrays(np.array([[0.0], [-top]]), steps[:1] * 0.0, steps[:1] * 0.0).train.x
    assert x.min() == -np.finfo(np.float32).max
    dataset = data.from_arrays(steps, steps, steps, labels=[steps[:, 0]] * 3)
    assert dataset.train.x.max() == dataset.train.y.max() == 2**31 - 2
    np.testing.assert_array_equal(data.from_arrays(np.full((40, 1), 0.1)).test.x, np.float32(0.1))


def test_columns_far_from_zero_are_standardized_in_double_precision():
    """What float32 makes one value, scored by the density of the columns as they were."""
    mean, std = 1.7e9 + (TIMES[:15_000] - 1.7e9).mean(), (TIMES[:15_000] - 1.7e9).std()
    x = np.concatenate([TIMES, RNG.normal(2.0, 3.0, (20_000, 1))], 1)
    dataset = data.from_arrays(x[:15_000], x[15_000:16_000], x[16_000:], standardize=True)
    assert (dataset.name, dataset.preprocessing) == ("arrays_standardized", "standardized")
    np.testing.assert_allclose(dataset.test.x[:, 0], (TIMES[16_000:, 0] - mean) / std, atol=3e-7)
    assert len(np.unique(dataset.train.x[:, 0])) > 14_900
    for split in (dataset.train, dataset.validation, dataset.test):
        want = -np.log(std) - np.log(x[:15_000, 1].std())
        assert split.log_volume == pytest.approx(want, rel=1e-9)
        assert (split.bound, split.scored_event) == (False, Event((2,)))
    np.testing.assert_allclose(dataset.to_original(dataset.test.x), x[16_000:], atol=1e-4)
    known = dataset.train.standardized
    other = data.from_arrays(*[x[:50] + 7.0] * 3, standardize=known)  # by another mean and scale
    np.testing.assert_allclose(other.to_original(other.test.x), x[:50] + 7.0, atol=1e-4)
    assert other.test.log_volume == dataset.test.log_volume
    with pytest.raises(ValueError, match="Standardize needs real values"):
        data.from_arrays(IMAGES, standardize=True)


def test_the_context_of_a_data_set_is_its_labels_or_what_is_given_as_such():
    x, y = np.zeros((20, 3), np.float32), np.arange(20) % 4
    labelled = data.from_arrays(x, labels=(y,))
    assert labelled.context == Event((), 4)
    batch = labelled.train.batches(4)(0)
    np.testing.assert_array_equal(batch["context"], batch["label"])
    c = np.linspace(0.0, 1.0, 40).reshape(20, 2)
    given = data.from_arrays(x + c[:, :1], labels=(y,), contexts=(c,))
    assert given.context == Event((2,))
    batch = given.test.batches(2)(0)
    assert batch["context"].dtype == np.float32
    np.testing.assert_allclose(batch["context"][:, 0], batch["x"][:, 0], rtol=1e-6)
    assert data.from_arrays(x).context is None
    assert "context" not in data.from_arrays(x).train.batches(4)(0)
    named = dataclasses.replace(labelled.train, context="x").batches(4)(0)
    assert named["context"] is named["x"]
    for wrong in ((c[:5],), (c, c)):
        with pytest.raises(ValueError, match="needs a context for each of its"):
            data.from_arrays(x, contexts=wrong)
