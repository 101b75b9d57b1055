"""TFDS: features of every kind, and prepared data sets (skipped where absent)."""

import functools
import inspect
import itertools
import json
import pathlib
import types

import numpy as np
import pytest

from gm import data
from gm.core import Event
from gm.data import tfds
from gm.data.stored import Records

ROOT = pathlib.Path(__file__).resolve().parents[2]


@functools.cache
def load(name, **options):
    return data.load(name, **options)


def test_mnist_splits_are_the_customary_ones(prepared):
    mnist = load(prepared("mnist"), in_memory=False)
    assert [len(s) for s in (mnist.train, mnist.validation, mnist.test)] == [50_000, 10_000, 10_000]
    assert (mnist.event, mnist.num_labels) == (Event((28, 28), 256), 10)
    batch = next(mnist.test.in_order(100))
    mnist.event.check(batch["x"])
    assert set(batch["label"]) == set(range(10))


@pytest.mark.slow
def test_mnist_holds_the_published_numbers_of_each_label(prepared):
    mnist = load(prepared("mnist"))
    assert not mnist.train.streamed
    assert mnist.train.source.columns["x"].dtype == np.uint8
    # Counts of the test labels, as in the files of LeCun et al.
    want = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(np.bincount(mnist.test.y), want)
    labels = np.bincount(np.concatenate([mnist.train.y, mnist.validation.y]))
    np.testing.assert_array_equal(
        labels, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )


def test_a_prepared_set_streams_the_batches_that_memory_gives(prepared):
    name = prepared("fsdd") + "_mulaw"
    memory, streamed = (load(name, length=64, in_memory=held) for held in (True, False))
    assert (streamed.train.streamed, memory.train.streamed) == (True, False)
    for part in ("train", "validation"):
        a, b = (getattr(d, part).batches(32, seed=1).starting_at(1562) for d in (memory, streamed))
        for of_memory, of_grain in zip(itertools.islice(a, 3), b, strict=False):
            np.testing.assert_array_equal(of_memory["x"], of_grain["x"])
            np.testing.assert_array_equal(of_memory["label"], of_grain["label"])


def test_binarized_mnist_is_the_official_three_splits_of_two_values(prepared):
    dataset = data.load(prepared("binarized_mnist"), in_memory=False)
    sizes = [len(s) for s in (dataset.train, dataset.validation, dataset.test)]
    assert sizes == [50_000, 10_000, 10_000]
    assert (dataset.event, dataset.num_labels) == (Event((28, 28), 2), None)
    batch = dataset.train.batches(64)(0)
    assert batch.keys() == {"x"}
    dataset.event.check(batch["x"])
    assert 0.1 < batch["x"].mean() < 0.16  # 13 % of the pixels are on


def test_a_set_larger_than_the_limit_streams(prepared, monkeypatch):
    monkeypatch.setattr("gm.data.tfds.MEMORY", 70_000 * 784 - 1)
    dataset = data.load(prepared("fashion_mnist"))
    assert dataset.train.streamed
    batch = next(dataset.test.in_order(16))
    assert batch["x"].shape == (16, 28, 28)
    assert batch["label"].max() < dataset.num_labels == 10


def test_tiny_shakespeare_is_windows_of_its_three_texts(prepared):
    dataset = data.load(prepared("tiny_shakespeare"), window=100)
    assert dataset.event == Event((100,), 65)
    assert len(dataset.train) == 1_003_854 - 99
    assert len(dataset.test) == 557
    assert data.decode(dataset.train.x[0], dataset.vocabulary).startswith(
        "First Citizen:\nBefore we"
    )


def test_spoken_digits_have_the_asked_length(prepared):
    dataset = data.load(prepared("fsdd"), length=4000)
    assert (dataset.event, dataset.num_labels) == (Event((4000,)), 10)
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [2025, 225, 250]
    x = dataset.test.x
    assert x.dtype == np.float32
    assert 0.2 < np.abs(x).max() <= 1
    assert (x[:, -1] == 0).any()
    assert dataset.preprocessing == "the first 4000 samples, padded with silence"
    with pytest.raises(ValueError, match="at least 1 sample"):
        data.load("fsdd", length=0)


def test_wine_is_eleven_numbers_and_a_quality(prepared):
    wine = data.load(prepared("wine_quality/red"))
    assert (wine.event, wine.num_labels) == (Event((11,)), 9)
    x = np.concatenate([wine.train.x, wine.validation.x, wine.test.x])
    y = np.concatenate([wine.train.y, wine.validation.y, wine.test.y])
    assert x.shape == (1599, 11)
    # Mean alcohol (the first column) and quality, from winequality.names.
    np.testing.assert_allclose([x[:, 0].mean(), y.mean()], [10.42, 5.636], atol=5e-3)
    standardized = wine.map(data.Standardize.fit(wine.train.x))
    np.testing.assert_allclose(standardized.train.x.std(0), 1, atol=1e-3)


def test_a_set_with_configurations_or_other_versions_says_so(prepared):
    prepared("wine_quality")
    with pytest.raises(ValueError, match="ask for 'wine_quality/red'"):
        data.load("wine_quality")
    with pytest.raises(FileNotFoundError, match="which holds red, white of wine_quality"):
        data.load("wine_quality/rose")
    with pytest.raises(FileNotFoundError, match=r"'wine_quality/red' is prepared as 1\.0\.0"):
        data.load("wine_quality/red:9.9.9")
    assert len(data.load("wine_quality/red:1.0.0").test) == 159


def feature(dtype, shape=(), kind="Tensor"):
    """As much of a feature of TFDS as is looked at."""
    return type(kind, (), {"np_dtype": np.dtype(dtype), "shape": shape})()


class Columns(dict):
    """Features by name, which are one feature as well."""

    @property
    def np_dtype(self):
        return {name: column.np_dtype for name, column in self.items()}


def test_sound_is_cropped_or_padded_at_its_end_and_full_scale_is_one():
    event, decode, _ = tfds._decoder("sound", feature("int16", (None,)), None, 4)
    assert event == Event((4,))
    np.testing.assert_array_equal(decode(np.array([-(2**15), 2**14])), [-1, 0.5, 0, 0])
    np.testing.assert_array_equal(decode(np.arange(9) * 2**12), [0, 0.125, 0.25, 0.375])
    _, of_floats, _ = tfds._decoder("sound", feature("float32", (None,)), None, 2)
    np.testing.assert_array_equal(of_floats(np.array([0.5])), [0.5, 0])


def test_images_of_one_channel_have_none_and_bytes_have_256_levels():
    event, decode, _ = tfds._decoder("grey", feature("uint8", (2, 3, 1)), None, 0)
    assert event == Event((2, 3), 256)
    np.testing.assert_array_equal(decode(np.arange(6).reshape(2, 3, 1)), [[0, 1, 2], [3, 4, 5]])
    colour, _, _ = tfds._decoder("colour", feature("uint8", (2, 3, 3)), None, 0)
    assert colour == Event((2, 3, 3), 256)
    assert tfds._decoder("bits", feature("bool", (5,)), None, 0)[0] == Event((5,), 2)
    with pytest.raises(ValueError, match="holds int64, which does not say how many values"):
        tfds._decoder("ints", feature("int64", (5,)), None, 0)


def test_tables_are_vectors_in_the_order_of_their_names():
    columns = Columns(b=feature("float32"), a=feature("float32", (2,)), c=feature("int64"))
    event, decode, _ = tfds._decoder("table", columns, None, 0)
    assert event == Event((4,))
    # int64 beside float32: double precision, until it is known that float32 is enough.
    row = decode({"b": 1.5, "a": [2.0, 3.0], "c": 1_700_000_001})
    np.testing.assert_array_equal(row, [2.0, 3.0, 1.5, 1_700_000_001])


def test_reals_are_narrowed_once_float32_is_enough():
    near, far = np.arange(40.0)[:, None], 1.7e9 + np.arange(40.0)[:, None] % 10
    (held,) = tfds._single([{"x": near, "label": near}], "near")
    assert held.columns["x"].dtype == np.float32
    with pytest.raises(ValueError, match="far has a column that float32 cannot represent"):
        tfds._single([{"x": near}, {"x": far}, {"x": far}], "far")


def test_x_and_label_are_those_of_the_task_or_the_first_image():
    image, label = feature("uint8", (2, 2, 1), "Image"), feature("int64", (), "ClassLabel")
    assert tfds._choose({"a": image, "b": label}, ("a", "b")) == ("a", "b")
    found = tfds._choose({"name": feature("O", (), "Text"), "image": image, "label": label}, None)
    assert found == ("image", "label")
    assert tfds._choose({"b": image, "a": image, "label": label}, None) == ("a", "label")
    assert tfds._choose({"a": image, "b": feature("float32")}, ("a", "b")) == ("a", None)
    with pytest.raises(ValueError, match="no images, text or numbers"):
        tfds._choose({"label": label}, None)
    with pytest.raises(OverflowError):
        tfds._decode("x", "y", np.asarray, {"x": 0, "y": np.int64(3_000_000_000)})


class Builder:
    """A prepared data set of 100 numbers."""

    name = "numbers"

    def __init__(self, **splits):
        self.held = splits
        self.info = types.SimpleNamespace(splits=splits)

    def as_data_source(self, split):
        return [{"x": i} for i in self.held[split]]


def numbers(source):
    return [source.examples[i]["x"] for i in source.numbers]


def test_a_missing_split_is_cut_from_the_end_of_train_first_test_then_validation():
    parts = list(map(numbers, tfds._splits(Builder(train=range(100)))))
    assert parts == [list(range(81)), list(range(81, 90)), list(range(90, 100))]
    parts = list(map(numbers, tfds._splits(Builder(train=range(10), test=range(20, 23)))))
    assert parts == [list(range(9)), [9], [20, 21, 22]]
    parts = list(map(numbers, tfds._splits(Builder(train=range(10), dev=[5], test=[6]))))
    assert parts == [list(range(10)), [5], [6]]
    with pytest.raises(ValueError, match="numbers has no split 'train', only test"):
        tfds._splits(Builder(test=range(3)))


def test_texts_of_a_split_are_joined():
    examples = [{"text": b"one"}, {"text": "two"}, {"text": b"three"}]
    assert tfds._text(Records(examples, range(1, 3), dict), "text") == "two\nthree"


def test_the_newest_version_is_found_by_its_numbers(tmp_path):
    for version in ("9.0.0", "10.0.0", "notes"):
        folder = pathlib.Path(tmp_path, "mine", version)
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").touch()
    assert tfds.find("mine", tmp_path).name == "10.0.0"
    assert tfds.find("mine:9.0.0", tmp_path).name == "9.0.0"
    with pytest.raises(FileNotFoundError, match=r"prepared as 10\.0\.0, 9\.0\.0"):
        tfds.find("mine:8.0.0", tmp_path)
    assert tfds.find("yours", tmp_path) is None


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A small prepared set, and a function that changes one of its descriptions."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import fuzz_data

    fuzz_data.prepare(tmp_path)
    folder = tmp_path / "tiny/1.0.0"

    def change(file, edit):
        value = json.loads((folder / file).read_text())
        edit(value)
        (folder / file).write_text(json.dumps(value))
        return data.load("tiny", data_dir=tmp_path)

    return folder, change


OWN = {"pythonClassName": "own_features.Mine", "tensor": {"dtype": "uint8"}}


@pytest.mark.parametrize(
    ("file", "edit"),
    [
        ("features.json", lambda v: v["featuresDict"]["features"].update(own=OWN)),
        ("features.json", lambda v: v.update({"pythonClassName": "own_features.Mine"})),
        ("features.json", lambda v: v.update({"type": "own_features.Mine", "content": {}})),
        (
            "features.json",
            lambda v: v["featuresDict"]["features"]["image"].update(
                jsonFeature={"json": json.dumps({"own": {"type": "own_features.Mine"}})}
            ),
        ),
        ("dataset_info.json", lambda v: v.update(features=OWN)),
        ("dataset_info.json", lambda v: v.update(moduleName="own_features")),
    ],
)
def test_no_code_is_run_that_a_prepared_folder_names(tiny, monkeypatch, file, edit):
    folder, change = tiny
    (folder / "own_features.py").write_text("import pathlib; pathlib.Path('ran').touch()")
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(".")
    if "moduleName" in inspect.getsource(edit):
        change(file, edit)
    else:
        with pytest.raises(
            ValueError, match=r"tiny.1\.0\.0: features.*(own_features|features\.json)"
        ):
            change(file, edit)
    assert not (folder / "ran").exists()


def split(**fields):
    return lambda value: value["splits"][1].update(fields)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (split(shardLengths=["5"]), r"tiny-validation.* needs 5 examples, as is said; got 4"),
        (split(shardLengths=[]), "the split 'validation' has no examples"),
        (split(filepathTemplate="../../{SPLIT}"), "a file in this folder; got .*validation"),
        (split(filepathTemplate="/etc/hostname"), "a file in this folder; got .*etc"),
        (lambda v: v["splits"].pop(1), "no split is said to hold tiny-validation"),
        (
            lambda v: v["supervisedKeys"]["tuple"]["items"][1].update(featureKey="none"),
            "no feature 'none', the label, among image, label",
        ),
        (lambda v: v.update(fileFormat="tfrecord"), "prepared as tfrecord, which only TensorFlow"),
    ],
)
def test_what_a_folder_says_of_its_files_is_held_to_them(tiny, edit, message):
    _, change = tiny
    with pytest.raises(ValueError, match=rf"tiny.1\.0\.0: .*{message}"):
        change("dataset_info.json", edit)


def test_a_damaged_folder_is_named_in_one_error(tiny):
    folder, change = tiny
    path = folder / "tiny-test.array_record-00000-of-00001"
    whole = path.read_bytes()
    assert len(change("features.json", lambda v: None).test) == 5
    for content in (whole[: len(whole) // 2], b"", whole[:600] + b"\xff\xff" + whole[602:]):
        path.write_bytes(content)
        with pytest.raises(
            ValueError, match=r"1\.0\.0 is not a prepared data set of TFDS, or is dam"
        ):
            change("features.json", lambda v: None)
    path.write_bytes(whole)

    def larger(value):
        image = value["featuresDict"]["features"]["image"]["tensor"]
        image["shape"] = {"dimensions": ["3", "3", "1"]}

    with pytest.raises(ValueError, match=r"1\.0\.0 cannot be read as examples \(numbers 0 to 11\)"):
        change("features.json", larger)
