"""Nearest-neighbour estimates: by hand, and of densities whose entropy and divergence are known."""

import numpy as np
import pytest
from scipy import special, stats

from gm.metrics import neighbors


def test_an_entropy_by_hand():
    """Four points of the line: distances to the nearest 1, 1, 2 and 3."""
    x = np.array([[0.0], [1.0], [3.0], [6.0]])
    want = np.mean(np.log([1.0, 1.0, 2.0, 3.0])) + special.psi(4) - special.psi(1) + np.log(2.0)
    got = neighbors.entropy(x, k=1)
    np.testing.assert_allclose(got.value, want)
    assert (got.unit, got.kind, got.count) == ("nats", "estimate", 4)


def test_a_divergence_by_hand():
    """Nearest among the other x: 1, 1, 3; among y: 0.5, 0.5, 2; M / (N - 1) = 1."""
    x, y = np.array([[0.0], [1.0], [4.0]]), np.array([[0.5], [2.0]])
    want = np.mean(np.log([0.5, 0.5, 2.0 / 3.0]))
    np.testing.assert_allclose(neighbors.kl_divergence(x, y, k=1).value, want)


def test_estimates_are_right_within_their_errors():
    """N(0, 1) in three dimensions; KL of two Normals of the plane."""
    rng = np.random.default_rng(0)
    got = neighbors.entropy(rng.normal(size=(4000, 3)))
    want = stats.multivariate_normal(np.zeros(3)).entropy()
    assert abs(got.value - want) < 4 * got.standard_error + 0.02
    x, y = rng.normal(size=(4000, 2)), 0.5 + 1.2 * rng.normal(size=(3000, 2))
    got = neighbors.kl_divergence(x, y)
    want = 2 * (np.log(1.2) + (1 + 0.25) / (2 * 1.44) - 0.5)
    assert abs(got.value - want) < 4 * got.standard_error
    assert 0.01 < got.standard_error < 0.05
    scaled = neighbors.kl_divergence(10.0 * x, 10.0 * y)
    np.testing.assert_allclose(scaled.value, got.value, rtol=1e-9)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((3, 2)), np.ones((9, 2)), "more points .* than neighbours"),
        (np.zeros((9, 2)), np.ones((9, 2)), "hardly ever coincide; 9 points have 3 others"),
        (np.ones((9, 2)), np.ones((9, 3)), "samples of one dimension"),
        (np.full((9, 2), np.nan), np.ones((9, 2)), "finite values"),
        (np.ones((9, 2)), np.ones((0, 2)), "at least 1 example on both sides"),
    ],
)
def test_wrong_samples_have_a_clear_error(x, y, message):
    with pytest.raises(ValueError, match=message):
        neighbors.kl_divergence(x, y)
    if "sides" not in message and "dimension" not in message:
        with pytest.raises(ValueError, match="entropy needs"):
            neighbors.entropy(x)
