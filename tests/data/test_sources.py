"""Data sets by name, and what is said when there is none."""

import re
import subprocess
import sys

import numpy as np
import pytest

from gm import data
from gm.core import Event


def test_digits_are_the_fixed_splits_of_scikit_learn():
    digits = data.load("digits")
    assert str(digits) == "digits: 1,437 + 180 + 180 examples of shape (8, 8), integers in [0, 17)"
    assert (digits.event, digits.num_labels) == (Event((8, 8), 17), 10)
    splits = (digits.train, digits.validation, digits.test)
    from sklearn import datasets

    bunch = datasets.load_digits()
    held = {
        (x.tobytes(), int(y)) for split in splits for x, y in zip(split.x, split.y, strict=True)
    }
    want = {
        (x.astype(np.int32).tobytes(), int(y))
        for x, y in zip(bunch.images, bunch.target, strict=True)
    }
    assert held == want
    np.testing.assert_array_equal(digits.test.x, data.load("digits").test.x)


def test_independent_pixels_score_as_published_on_the_test_digits():
    """107.3 nats on a random tenth; tenths differ, hence 2 nats of tolerance."""
    digits = data.load("digits")
    onehot = digits.train.x.reshape(-1, 64, 1) == np.arange(17)
    log_p = np.log((onehot.sum(0) + 1) / (len(digits.train) + 17))
    nats = -log_p[np.arange(64), digits.test.x.reshape(-1, 64)].sum(1).mean()
    assert abs(nats - 107.3) < 2
    assert abs(nats / 64 / np.log(2) - 2.42) < 0.05


def test_a_transform_may_be_given_when_loading():
    digits = data.load("digits", transform=data.Threshold())
    assert (digits.name, digits.event) == ("digits_threshold", Event((8, 8), 2))


def test_a_name_says_its_transform_and_loads_back():
    for transform in (data.Threshold(), data.DynamicBinarization(), data.UniformDequantization()):
        dataset = data.load("digits", transform=transform)
        again = data.load(dataset.name)
        assert (again.name, again.event) == (dataset.name, dataset.event)
        assert again.preprocessing == dataset.preprocessing == transform.describe
        np.testing.assert_array_equal(again.test.x, dataset.test.x)


@pytest.mark.parametrize(
    ("name", "near"), [("mnits", "mnist"), ("digit", "digits"), ("grid_25", "grid25")]
)
def test_an_unknown_name_gets_near_matches(name, near, tmp_path):
    with pytest.raises(ValueError, match=f"unknown dataset '{name}'; did you mean '{near}'"):
        data.load(name, data_dir=tmp_path)


def test_a_name_like_no_other_gets_the_list(tmp_path):
    with pytest.raises(
        ValueError, match=r"unknown dataset 'qqqqqq'\. Built in are banana, bimodal"
    ):
        data.load("qqqqqq", data_dir=tmp_path)
    with pytest.raises(ValueError, match="unknown dataset ''"):
        data.load("", data_dir=tmp_path)


def test_a_known_set_that_is_not_prepared_says_how_to_prepare_it(tmp_path, monkeypatch):
    command = re.escape(f"tfds build mnist --file_format=array_record --data_dir={tmp_path}.")
    with pytest.raises(FileNotFoundError, match=command):
        data.load("mnist", data_dir=tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "elsewhere"))
    with pytest.raises(FileNotFoundError, match=r"not prepared in .*elsewhere"):
        data.load("cifar100")


def test_importing_the_room_loads_no_heavy_library():
    code = (
        "import sys, gm.data; heavy = {'grain', 'tensorflow_datasets', 'sklearn', 'scipy.stats', "
        "'scipy.io'} & set(sys.modules); "
        "sys.exit(', '.join(heavy) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
