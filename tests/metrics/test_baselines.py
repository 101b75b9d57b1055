import math

import numpy as np
import pytest
from sklearn.datasets import load_digits

from gm.core import Event
from gm.metrics import baselines


@pytest.fixture(scope="module")
def digits():
    """Training and test digits; the test set is a random tenth."""
    images = load_digits().images.astype(np.uint8)
    order = np.random.RandomState(0).permutation(len(images))
    return images[order[:-180]], images[order[-180:]]


def test_independent_elements_by_hand():
    """Counts (2, 1) and (0, 3) of two values, one added to each, over five."""
    x_train = np.array([[0, 1], [0, 1], [1, 1]])
    score = baselines.independent(x_train, np.array([[0, 1], [1, 0]]), num_values=2)
    want = [-math.log(3 / 5) - math.log(4 / 5), -math.log(2 / 5) - math.log(1 / 5)]
    assert math.isclose(score.value, np.mean(want))
    assert (score.count, score.kind, score.unit) == (2, "exact", "nats")


def test_smoothed_probabilities_sum_to_one():
    x = np.random.default_rng(0).integers(0, 3, (20, 1))
    every = np.arange(5)[:, None]
    total = sum(math.exp(-baselines.independent(x, v[None], 5, 0.3).value) for v in every)
    assert math.isclose(total, 1.0)


def test_independent_pixels_on_digits(digits):
    """107.3 nats, 2.42 bits/dim on a random tenth; tenths differ by 0.6 nats."""
    score = baselines.independent(*digits, num_values=17)
    assert abs(score.value - 107.3) < 0.6
    bits = score.bits_per_dim(Event((8, 8), 17))
    assert abs(bits.value - 2.42) < 0.015
    assert bits.kind == "exact"


def test_compressors_on_digits(digits):
    """The known rates, to the two digits they are known to."""
    rates = baselines.compressors(digits[1])
    assert {name: round(rate, 2) for name, rate in rates.items()} == {
        "lzma": 2.98,
        "bz2": 2.90,
        "zlib": 3.22,
    }


def test_training_data_makes_every_compressor_cheaper(digits):
    alone, given = baselines.compressors(digits[1]), baselines.compressors(digits[1], digits[0])
    assert all(1 < given[name] < alone[name] for name in alone)


def test_repeated_data_cost_nearly_nothing():
    assert all(rate < 0.2 for rate in baselines.compressors(np.zeros((100, 8, 8), int)).values())


def test_wrong_values_have_a_clear_error(digits):
    with pytest.raises(ValueError, match=r"x_test needs integers in \[0, 256\)"):
        baselines.compressors(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="at least one example"):
        baselines.compressors(np.zeros((0, 3), int))
    with pytest.raises(ValueError, match=r"x_train needs integers in \[0, 16\); got values"):
        baselines.independent(*digits, num_values=16)
