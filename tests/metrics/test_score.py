import math

import numpy as np
import pytest
from scipy import stats

from gm.core import Event
from gm.metrics import Score


def test_mean_and_standard_error_are_those_of_scipy():
    values = np.array([1.0, 4.0, 2.5, 9.0], np.float32)
    score = Score.mean(values)
    assert score.value == values.mean()
    assert math.isclose(score.standard_error, stats.sem(values.astype(np.float64)))
    assert (score.count, score.unit, score.kind) == (4, "nats", "exact")


def test_mean_sums_in_float64():
    """A float32 running sum of 2^24 + 1 + 1 + ... would never move."""
    values = np.concatenate([[2.0**24], np.ones(2**12)]).astype(np.float32)
    assert Score.mean(values).value == (2.0**24 + 2**12) / (2**12 + 1)


def test_one_example_has_no_standard_error():
    score = Score.mean(np.array([2.0]))
    assert score.standard_error is None
    assert score.bits_per_dim(Event((2,), 2)).standard_error is None
    assert str(score) == "2 nats (exact, 1 example)"


def test_a_mean_of_nothing_is_refused():
    with pytest.raises(ValueError, match=r"shape \[N\], N >= 1"):
        Score.mean(np.array([]))


@pytest.mark.parametrize(("levels", "shape"), [(2, (28, 28)), (17, (8, 8)), (256, (32, 32, 3))])
def test_a_uniform_distribution_costs_log2_of_its_levels(levels, shape):
    """K equal values cost log K nats, log2 K bits, per dimension."""
    event = Event(shape, levels)
    score = Score(event.size * math.log(levels), 0.5, 10).bits_per_dim(event)
    assert math.isclose(score.value, math.log2(levels))
    assert math.isclose(score.standard_error, 0.5 / (event.size * math.log(2)))
    assert (score.unit, score.kind, score.num_samples) == ("bits/dim", "exact", None)


def test_a_uniform_density_of_dequantized_data_costs_log2_of_its_levels_too():
    """The uniform density on [0, 1)^D has 0 nats; its mass on K^D cells is K^-D each."""
    score = Score(0.0, 0.1, 10).bits_per_dim(Event((3,)), dequantized_levels=256)
    assert math.isclose(score.value, 8.0)
    assert (score.kind, score.num_samples) == ("bound", 1)


def test_bits_are_refused_where_they_make_no_sense():
    with pytest.raises(ValueError, match="in nats; got accuracy"):
        Score(0.5, 0.1, 10, "accuracy", "estimate").bits_per_dim(Event((3,)))
    with pytest.raises(ValueError, match="real-valued events only"):
        Score(1.0, 0.1, 10).bits_per_dim(Event((3,), 17), dequantized_levels=17)


def test_kinds_are_three():
    with pytest.raises(ValueError, match="exact, bound, estimate; got 'guess'"):
        Score(1.0, 0.1, 10, kind="guess")


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Score(89.9312, 0.2371, 10_000), "89.93 ± 0.24 nats (exact, 10,000 examples)"),
        (
            Score(95.04, 0.24, 10_000, kind="bound", num_samples=1),
            "95.04 ± 0.24 nats (bound, 1 sample, 10,000 examples)",
        ),
        (
            Score(2.4202, 0.00561, 180, "bits/dim", "bound", 1000),
            "2.4202 ± 0.0056 bits/dim (bound, 1,000 samples, 180 examples)",
        ),
        (
            Score(0.53125, 0.0112, 2000, "accuracy", "estimate", p_value=0.0021),
            "0.531 ± 0.011 accuracy (estimate, 2,000 examples, p = 0.002)",
        ),
        (Score(12345.6, 123.0, 5), "12346 ± 123 nats (exact, 5 examples)"),
        (Score(24.0, None, 2500, "modes", "estimate"), "24 modes (estimate, 2,500 examples)"),
    ],
)
def test_a_score_reads_as_a_sentence(score, text):
    assert str(score) == text
