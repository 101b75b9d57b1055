"""Files of one's own: what they hold, by which names, and what is said of a broken one."""

import numpy as np
import pytest
from scipy import io

from gm import data
from gm.core import Event

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 5, (100, 3, 3))
LABELS = np.arange(100) % 4


def sizes(dataset):
    return [len(split) for split in (dataset.train, dataset.validation, dataset.test)]


@pytest.mark.parametrize(
    ("train", "validation", "test", "labels"),
    [
        ("train", "valid", "test", "train_labels valid_labels test_labels"),
        ("train_data", "valid_data", "test_data", "train_label valid_label test_label"),
        ("x_train", "x_val", "x_test", "y_train y_val y_test"),
        ("X_train", "X_validation", "X_test", "Y_train Y_validation Y_test"),
        ("train_x", "val_x", "test_x", "train_y val_y test_y"),
    ],
)
def test_the_names_in_use_are_understood(tmp_path, train, validation, test, labels):
    parts = [slice(0, 80), slice(80, 90), slice(90, 100)]
    held = dict(zip((train, validation, test), (IMAGES[p] for p in parts), strict=True))
    held |= dict(zip(labels.split(), (LABELS[p] for p in parts), strict=True))
    np.savez(tmp_path / "mine.npz", **held, num_values=8)
    dataset = data.load(tmp_path / "mine.npz")
    assert (dataset.name, dataset.event, dataset.num_labels) == ("mine", Event((3, 3), 8), 4)
    for split, part in zip((dataset.train, dataset.validation, dataset.test), parts, strict=True):
        np.testing.assert_array_equal(split.x, IMAGES[part])
        np.testing.assert_array_equal(split.y, LABELS[part])


def test_npz_with_x_and_label_is_cut_in_three(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x=IMAGES, label=LABELS)
    dataset = data.load(str(path), transform=data.Threshold())
    assert sizes(dataset) == [81, 9, 10]
    assert (dataset.name, dataset.num_labels) == ("mine_threshold", 4)
    again = data.load(f"{path}_threshold")
    np.testing.assert_array_equal(again.test.x, dataset.test.x)


def test_arrays_without_a_name_are_cut_in_three(tmp_path):
    want = data.from_arrays(IMAGES).test.x
    np.save(tmp_path / "mine.npy", IMAGES)
    np.savez(tmp_path / "mine.npz", IMAGES)
    io.savemat(tmp_path / "mine.mat", {"whatever": IMAGES})
    for suffix in ("npy", "npz", "mat"):
        dataset = data.load(tmp_path / f"mine.{suffix}")
        assert sizes(dataset) == [81, 9, 10]
        np.testing.assert_array_equal(dataset.test.x, want)


def test_mat_files_hold_labels_as_a_column(tmp_path):
    held = {"train_data": IMAGES[:80], "val_data": IMAGES[80:90], "test_data": IMAGES[90:]}
    held |= {"train_labels": LABELS[:80, None], "test_labels": LABELS[None, 90:]}
    io.savemat(tmp_path / "mine.mat", held | {"val_labels": LABELS[80:90, None]})
    dataset = data.load(tmp_path / "mine.mat")
    assert sizes(dataset) == [80, 10, 10]
    np.testing.assert_array_equal(dataset.test.y, LABELS[90:])
    np.testing.assert_array_equal(dataset.validation.x, IMAGES[80:90])


def test_binary_data_published_as_floats_are_binary_where_it_is_said(tmp_path):
    path, x = tmp_path / "dna.npz", RNG.integers(0, 2, (60, 4))
    np.savez(path, train=x.astype(np.float32), valid=x[:5].astype(np.float32), test=x[:7] * 1.0)
    with pytest.warns(UserWarning, match="dna holds only 0 and 1, .* binary=True"):
        assert data.load(path).event == Event((4,))
    dataset = data.load(path, binary=True)
    assert dataset.event == Event((4,), 2)
    np.testing.assert_array_equal(dataset.train.x, x)
    assert data.load(f"{path}_dequantized", binary=True).train.scored_event == Event((4,), 2)


def test_options_of_files_are_refused_where_they_do_not_fit():
    with pytest.raises(ValueError, match=r"two values; got digits: .*'digits_threshold'"):
        data.load("digits", binary=True)
    assert data.load("digits_dynamic", binary=True).event.num_values == 2
    with pytest.raises(ValueError, match=r"label names a column of a \.csv file; 'digits'"):
        data.load("digits", label="digit")


def test_what_a_file_holds_besides_is_named(tmp_path):
    np.savez(tmp_path / "mine.npz", train=IMAGES, vali=IMAGES, test=IMAGES)
    with pytest.warns(UserWarning, match="holds vali as well, which is not read"):
        data.load(tmp_path / "mine.npz")
    np.savez(tmp_path / "both.npz", x=IMAGES, X=IMAGES)
    with pytest.raises(ValueError, match="differ in capitals only: x, X"):
        data.load(tmp_path / "both.npz")


def test_a_pickled_array_is_refused(tmp_path):
    x = np.array([{"a": 1}], dtype=object)
    np.savez(tmp_path / "pickled.npz", train=x)
    with pytest.raises(ValueError, match="'train' as a pickled array, which is not loaded"):
        data.load(tmp_path / "pickled.npz")
    np.save(tmp_path / "pickled.npy", x)
    with pytest.raises(ValueError, match=r"'pickled.npy' as a pickled array"):
        data.load(tmp_path / "pickled.npy")


@pytest.mark.parametrize("suffix", ["npz", "npy", "mat"])
def test_a_file_that_is_not_what_its_name_says_has_one_clear_error(tmp_path, suffix):
    path = tmp_path / f"mine.{suffix}"
    whole = tmp_path / f"whole.{suffix}"
    {"npz": np.savez, "npy": np.save}.get(suffix, lambda p, x: io.savemat(p, {"x": x}))(
        whole, IMAGES
    )
    whole = whole.read_bytes()
    contents = [b"hello, world\n", b"", whole[:250], whole[:-200]]
    if suffix == "npz":  # the only one with checksums
        contents.append(whole[:300] + bytes(20) + whole[320:])
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"mine\.{suffix} is no \.{suffix} file, or not the"):
            data.load(path)


def test_a_file_without_examples_or_none_at_all(tmp_path):
    np.savez(tmp_path / "other.npz", weights=IMAGES)
    with pytest.raises(ValueError, match="needs an array 'train' or 'x'; it holds weights"):
        data.load(tmp_path / "other.npz")
    for suffix in ("npz", "npy", "csv", "mat"):
        with pytest.raises(FileNotFoundError, match=rf"absent\.{suffix}"):
            data.load(tmp_path / f"absent.{suffix}")


def test_other_files_get_the_line_that_converts_them(tmp_path):
    hdf5 = (
        b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + bytes(400)
    )  # the header of MATLAB 7.3
    (tmp_path / "new.mat").write_bytes(hdf5)
    with pytest.raises(ValueError, match=r"MATLAB 7\.3 .*numpy\.savez\('.*new\.npz', .*h5py\.File"):
        data.load(tmp_path / "new.mat")
    (tmp_path / "poems.txt").write_text("roses are red")
    with pytest.raises(ValueError, match=r"gm\.data\.from_texts\('poems', open\("):
        data.load(tmp_path / "poems.txt")
    with pytest.raises(ValueError, match=r"load reads \(\.npz, .*numpy\.savez\('mine\.npz'"):
        data.load("mine.h5")
