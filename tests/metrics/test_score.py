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


def test_the_error_of_correlated_values_is_that_of_batch_means():
    """Means of runs of four of eight, by hand; of values in any order it is std / sqrt(N)."""
    values = np.array([1.0, 2.0, 4.0, 3.0, 7.0, 6.0, 9.0, 8.0, 9.0])
    runs = np.array([values[j : j + 4].mean() for j in range(6)])
    want = np.sqrt(4 / (5 * 6) * np.sum((runs - values.mean()) ** 2))
    assert math.isclose(Score.mean(values, correlated=True).standard_error, want)
    assert math.isclose(Score.mean(values).standard_error, stats.sem(values))
    assert Score.mean(values[:1], correlated=True).standard_error is None


def test_the_stated_error_is_the_spread_of_means_of_an_autoregression():
    """v_t = 0.8 v_t-1 + e_t: Var of a mean of N = 400 is (1 + 0.8) / (1 - 0.8) s^2 / N, nearly.

    Independent values would have a third of the standard error, and are as well off with either.
    """
    rng, phi, num = np.random.default_rng(0), 0.8, 400
    noise = rng.normal(size=(400, num))
    v = np.zeros_like(noise)
    v[:, 0] = noise[:, 0] / np.sqrt(1 - phi**2)
    for t in range(1, num):
        v[:, t] = phi * v[:, t - 1] + noise[:, t]
    lags = np.arange(1, num)
    factor = 1 + 2 * np.sum((1 - lags / num) * phi**lags)
    true = np.sqrt(factor / (1 - phi**2) / num)
    stated = np.array([Score.mean(row, correlated=True).standard_error for row in v])
    naive = np.array([Score.mean(row).standard_error for row in v])
    # Its own bias at this size is -7 %; 400 runs of a spread of 25 % fix the mean to 1.3 %.
    assert 0.87 < np.sqrt(np.mean(stated**2)) / true < 1.05
    assert naive.mean() / true < 0.36
    assert np.percentile(stated / true, 5) > 0.5
    white = np.array([Score.mean(row, correlated=True).standard_error for row in noise])
    assert 0.93 < np.sqrt(np.mean(white**2)) * np.sqrt(num) < 1.07


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


def test_nats_per_char_divide_value_and_error_by_the_window():
    score = Score(200.0, 5.0, 10).per_char(Event((100,), 65))
    assert (score.value, score.standard_error, score.unit) == (2.0, 0.05, "nats/char")
    assert (score.count, score.kind) == (10, "exact")
    assert Score(200.0, None, 1).per_char(Event((100,), 65)).standard_error is None
    with pytest.raises(ValueError, match="per_char needs a score in nats; got nats/char"):
        score.per_char(Event((100,), 65))


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
