"""Arrays of one's own, and .npz files."""

import numpy as np
import pytest

from gm import data
from gm.core import Event

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 5, (100, 3, 3)).astype(np.uint8)
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


def test_a_given_test_split_is_kept_whole():
    dataset = data.from_arrays(IMAGES[:50], test=IMAGES[50:])
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [45, 5, 50]


def test_the_cut_takes_ten_thousand_of_fifty_thousand():
    dataset = data.from_arrays(np.zeros((60_000, 1)), test=np.zeros((1, 1)))
    assert [len(dataset.train), len(dataset.validation)] == [50_000, 10_000]


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


def test_npz_with_splits(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, train=IMAGES[:80], valid=IMAGES[80:90], test=IMAGES[90:], num_values=8)
    dataset = data.load(path)
    assert (dataset.name, dataset.event) == ("mine", Event((3, 3), 8))
    np.testing.assert_array_equal(dataset.validation.x, IMAGES[80:90])


def test_npz_with_x_and_label(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x=IMAGES, label=LABELS)
    dataset = data.load(str(path), transform=data.Threshold())
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [81, 9, 10]
    assert (dataset.name, dataset.num_labels) == ("mine_threshold", 4)


def test_npz_in_the_form_of_keras(tmp_path):
    path = tmp_path / "keras.npz"
    np.savez(path, x_train=IMAGES, y_train=LABELS, x_test=IMAGES[:7], y_test=LABELS[:7])
    np.testing.assert_array_equal(data.load(path).test.y, LABELS[:7])


def test_a_pickled_array_is_refused(tmp_path):
    path = tmp_path / "pickled.npz"
    np.savez(path, train=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match="'train' as a pickled array, which is not loaded"):
        data.load(path)


def test_npz_without_examples_or_file(tmp_path):
    np.savez(tmp_path / "other.npz", weights=IMAGES)
    with pytest.raises(ValueError, match="needs an array 'train' or 'x'; it holds weights"):
        data.load(tmp_path / "other.npz")
    with pytest.raises(FileNotFoundError, match=r"absent\.npz"):
        data.load(tmp_path / "absent.npz")
