import itertools
import math

import numpy as np
import pytest

from gm.metrics import modes

GRID = np.array(list(itertools.product([-4.0, -2.0, 0.0, 2.0, 4.0], repeat=2)))


def test_a_hand_count():
    """Two samples at one mode, one 3 scales from another, one just outside a third."""
    centers = np.array([[0.0, 0.0], [10.0, 0.0], [0.0, 10.0], [10.0, 10.0]])
    x = np.array([[0.0, 0.0], [0.5, 0.0], [10.0, 3.0], [0.0, 13.1]])
    got = modes.mode_coverage(x, centers, scale=1.0)
    assert (got.captured, got.high_quality, got.num_modes, got.count) == (2, 0.75, 4, 4)
    # Shares 1/2, 1/4, 1/4, 0 of four modes.
    want = 0.5 * math.log(2) + 0.25 * math.log(1) * 2
    assert math.isclose(got.reverse_kl, want)
    assert str(got) == ("2 of 4 modes, 75.0 % high quality, reverse KL 0.347 nats (4 samples)")


def test_perfect_samples_reach_every_mode():
    """In 2-D the mass within 3 standard deviations is 1 - exp(-9/2); KL is about (M - 1) / 2N."""
    rng = np.random.default_rng(0)
    x = GRID[rng.integers(0, 25, 20_000)] + 0.05 * rng.normal(size=(20_000, 2))
    got = modes.mode_coverage(x, GRID, 0.05)
    assert got.captured == 25
    # Four standard errors of a binomial share.
    assert abs(got.high_quality - (1 - math.exp(-4.5))) < 4 * math.sqrt(0.011 / 20_000)
    # 2 N KL is chi-squared with 24 degrees of freedom: below 60 but once in ten thousand.
    assert 0 < got.reverse_kl < 60 / 40_000


def test_one_mode_is_the_worst_case():
    got = modes.mode_coverage(np.zeros((7, 2)), GRID, 0.05)
    assert (got.captured, got.high_quality) == (1, 1.0)
    assert math.isclose(got.reverse_kl, math.log(25))


def test_poor_samples_capture_nothing_but_still_fall_to_their_nearest_mode():
    got = modes.mode_coverage(GRID + 0.5, GRID, 0.05)
    assert (got.captured, got.high_quality, got.reverse_kl) == (0, 0.0, 0.0)


@pytest.mark.parametrize("x", [np.zeros((3, 3)), np.zeros(2), np.zeros((0, 2)), [[np.nan, 0.0]]])
def test_wrong_samples_have_a_clear_error(x):
    with pytest.raises(ValueError, match="mode_coverage needs"):
        modes.mode_coverage(x, GRID, 0.05)


def test_coverage_as_scores_has_units():
    got = modes.mode_coverage(GRID, GRID, 0.05).scores()
    assert {name: (s.value, s.unit, s.count) for name, s in got.items()} == {
        "modes captured": (25.0, "modes", 25),
        "samples of high quality": (100.0, "%", 25),
        "reverse KL of mode counts": (0.0, "nats", 25),
    }
