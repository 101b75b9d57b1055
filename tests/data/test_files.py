"""Files of one's own: what they hold, by which names, and what is said of a broken one."""

import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from scipy import io

from gm import data
from gm.core import Event
from gm.data import contents

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
    with pytest.warns(UserWarning, match="dna has only the values 0 and 1, .* binary=True"):
        assert data.load(path).event == Event((4,))
    dataset = data.load(path, binary=True)
    assert dataset.event == Event((4,), 2)
    np.testing.assert_array_equal(dataset.train.x, x)
    assert data.load(f"{path}_dequantized", binary=True).train.scored_event == Event((4,), 2)


def test_options_of_files_are_refused_where_they_do_not_fit():
    with pytest.raises(ValueError, match=r"two values; got digits: .*'digits_threshold'"):
        data.load("digits", binary=True)
    assert data.load("digits_dynamic", binary=True).event.num_values == 2
    with pytest.raises(ValueError, match=r"label is for a column of a \.csv file, and 'digits'"):
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
        with pytest.raises(
            ValueError, match=rf"mine\.{suffix} is not a valid \.{suffix} file, or is inc"
        ):
            data.load(path)


def test_what_is_not_asked_for_is_not_read_and_what_is_too_large_is_refused(tmp_path):
    path = tmp_path / "mine.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, x in (("train", IMAGES), ("unused", np.zeros(10**7, np.uint8))):
            with file.open(f"{name}.npy", "w") as member:
                np.save(member, x)
    tracemalloc.start()
    with pytest.warns(UserWarning, match="holds unused as well"):
        assert len(data.load(path, max_bytes=10_000).train) == 81
    assert tracemalloc.get_traced_memory()[1] < 10**6
    tracemalloc.stop()
    message = r"mine\.npz holds 7,328 bytes .* at most 7,000 .*max_bytes=7328"
    with pytest.warns(match="unused"), pytest.raises(ValueError, match=message):
        data.load(path, max_bytes=7_000)
    np.save(tmp_path / "mine.npy", IMAGES)
    io.savemat(tmp_path / "mine.mat", {"x": IMAGES}, do_compression=True)
    (tmp_path / "mine.csv").write_text("1,2\n" * 2000)
    for suffix in ("npy", "mat", "csv"):
        with pytest.raises(ValueError, match=rf"mine\.{suffix} holds .* at most 7,000"):
            data.load(tmp_path / f"mine.{suffix}", max_bytes=7_000)


def test_a_header_that_says_another_size_is_refused(tmp_path):
    """Before anything is made of that size."""
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**7,)}
    with zipfile.ZipFile(tmp_path / "mine.npz", "w") as file, file.open("x.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
        member.write(bytes(80))
    with open(tmp_path / "mine.npy", "wb") as file:
        np.lib.format.write_array_header_1_0(file, header | {"shape": (-2, -5)})
        file.write(bytes(80))
    tracemalloc.start()
    for suffix in ("npz", "npy"):
        with pytest.raises(ValueError, match=rf"mine\.{suffix} is not a valid \.{suffix} file"):
            data.load(tmp_path / f"mine.{suffix}")
    assert tracemalloc.get_traced_memory()[1] < 10**7
    tracemalloc.stop()


def test_a_deflated_variable_of_matlab_is_bounded_by_its_size(tmp_path):
    path = tmp_path / "mine.mat"
    io.savemat(path, {"x": IMAGES}, do_compression=True)
    content = path.read_bytes()
    inside = bytearray(zlib.decompress(content[136:]) + bytes(10**7))
    inside[4:8] = (len(inside) - 8).to_bytes(4, "little")
    packed = zlib.compress(inside)
    path.write_bytes(content[:132] + len(packed).to_bytes(4, "little") + packed)
    with pytest.raises(ValueError, match=r"mine\.mat is not a valid \.mat file"):
        data.load(path)


def test_a_zip_whose_list_is_damaged_is_refused(tmp_path):
    """Else a split would vanish, and another be cut from train in its place."""
    path = tmp_path / "mine.npz"
    np.savez(path, train=IMAGES, test=IMAGES[:9])
    whole = path.read_bytes()
    name, train = whole.rindex(b"test.npy"), whole.rindex(b"train.npy")
    renamed = whole[:name] + b"tesu.npy" + whole[name + 8 :]
    size = len(whole) - 22 - train - 9  # the remark on `train` takes up what is said of `test`
    hidden = whole[: train - 14] + size.to_bytes(2, "little") + whole[train - 12 :]
    for content in (renamed, hidden):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=r"mine\.npz is not a valid \.npz file"):
            data.load(path)


@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}])
def test_matlab_files_are_read_as_scipy_does(tmp_path, options):
    path, x = tmp_path / "mine.mat", IMAGES.reshape(100, 9)
    held = {"train": x * 1.0, "valid": x[:3].astype(np.int32), "test": x[:9].astype(np.uint8)}
    held |= {"a_name_of_a_length": x[:1] > 2, "train_labels": LABELS[:, None] * 1.0}
    io.savemat(path, held if options.get("format") != "4" else {"train": x * 1.0}, **options)
    with open(path, "rb") as file:
        opened = contents.of(path, file)
        assert set(opened.names) == set(io.loadmat(path)) - {
            "__header__",
            "__version__",
            "__globals__",
        }
        for name, want in io.loadmat(path).items():
            if name in opened.names:
                found = opened.read(name)
                np.testing.assert_array_equal(found, want)
                assert (found.dtype, found.shape) == (want.dtype, want.shape)


def test_matlab_files_of_the_other_order_of_bytes_are_read(tmp_path):
    """Made by hand: int16 [2, 2] and its name, in elements of a short form."""
    big = [(6, b"\0\0\0\x0a" + bytes(4)), (5, b"\0\0\0\2" * 2)]
    elements = b"".join(k.to_bytes(4) + len(v).to_bytes(4) + v for k, v in big)
    elements += b"\0\1\0\1x\0\0\0" + b"\0\0\0\3\0\0\0\x08" + np.arange(4, dtype=">i2").tobytes()
    path = tmp_path / "mine.mat"
    matrix = (14).to_bytes(4) + len(elements).to_bytes(4) + elements
    path.write_bytes(b"MATLAB 5.0".ljust(124) + b"\1\0MI" + matrix)
    want = io.loadmat(path)["x"]
    with open(path, "rb") as file:
        np.testing.assert_array_equal(contents.of(path, file).read("x"), want)
    np.testing.assert_array_equal(want, [[0, 2], [1, 3]])


def test_variables_of_matlab_that_are_no_numbers_are_refused(tmp_path):
    path = tmp_path / "mine.mat"
    io.savemat(path, {"train": {"a": 1}, "test": IMAGES})
    with pytest.raises(ValueError, match=r"mine\.mat holds 'train' as a struct; .* full\(x\)"):
        data.load(path)


def test_num_values_is_one_integer(tmp_path):
    np.savez(tmp_path / "mine.npz", train=IMAGES, num_values=5.5)
    with pytest.raises(ValueError, match=r"mine\.npz needs one integer as num_values; got float64"):
        data.load(tmp_path / "mine.npz")


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
    with pytest.raises(ValueError, match=r"load of the folder of all of them, 'sounds'"):
        data.load("sounds/one.wav")
    with pytest.raises(ValueError, match=r"load reads \(\.npz, .*numpy\.savez\('mine\.npz'"):
        data.load("mine.h5")
