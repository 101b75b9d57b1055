"""Prepared TFDS data sets; each test skips where its set is absent."""

import functools
import itertools

import numpy as np
import pytest

from gm import data
from gm.core import Event


@functools.cache
def load(name, **options):
    return data.load(name, **options)


def test_mnist_splits_are_the_customary_ones(prepared):
    mnist = load(prepared("mnist"))
    assert [len(s) for s in (mnist.train, mnist.validation, mnist.test)] == [50_000, 10_000, 10_000]
    assert (mnist.event, mnist.num_labels) == (Event((28, 28), 256), 10)
    assert not mnist.train.streamed
    assert mnist.train.source.columns["x"].dtype == np.uint8
    # Counts of the test labels, as in the files of LeCun et al.
    want = [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    np.testing.assert_array_equal(np.bincount(mnist.test.y), want)
    labels = np.bincount(np.concatenate([mnist.train.y, mnist.validation.y]))
    np.testing.assert_array_equal(
        labels, [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    )


def test_mnist_streams_the_batches_that_memory_gives(prepared):
    memory = load(prepared("mnist")).map(data.DynamicBinarization())
    streamed = data.load("mnist", transform=data.DynamicBinarization(), in_memory=False)
    assert streamed.name == "mnist_dynamic"
    assert streamed.train.streamed
    for name in ("train", "validation"):
        a, b = (
            getattr(memory, name).batches(32, seed=1),
            getattr(streamed, name).batches(32, seed=1),
        )
        for of_memory, of_grain in zip(
            itertools.islice(a.starting_at(1562), 3), b.starting_at(1562), strict=False
        ):
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
