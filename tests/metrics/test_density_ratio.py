"""Log ratios of a classifier, against the densities that made the samples."""

import numpy as np
import pytest
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier

from gm.metrics import density_ratio


@pytest.fixture
def samples():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4000, 2)), 0.5 + 1.2 * rng.normal(size=(2000, 2))


def test_the_ratio_is_that_of_the_densities(samples):
    """Whose log is quadratic, as the default classifier's; of two sets of unlike sizes."""
    at = np.array([[0.0, 0.0], [1.0, -1.0], [-1.0, 0.5]])
    want = stats.norm.logpdf(at).sum(1) - stats.norm.logpdf(at, 0.5, 1.2).sum(1)
    np.testing.assert_allclose(density_ratio.log_ratio(*samples, at), want, atol=0.15)


def test_the_divergence_is_right_within_its_error(samples):
    got = density_ratio.kl_divergence(*samples)
    want = 2 * (np.log(1.2) + (1 + 0.25) / (2 * 1.44) - 0.5)
    assert abs(got.value - want) < 4 * got.standard_error
    assert (got.unit, got.kind, got.count) == ("nats", "estimate", 6000)
    same = density_ratio.kl_divergence(samples[0][:2000], samples[0][2000:])
    assert abs(same.value) < 0.02
    coarse = density_ratio.kl_divergence(*samples, classifier=KNeighborsClassifier(200))
    assert 0.02 < coarse.value < want + 4 * got.standard_error


def test_wrong_samples_have_a_clear_error(samples):
    x, y = samples
    with pytest.raises(ValueError, match="samples of one dimension"):
        density_ratio.kl_divergence(x, y[:, :1])
    with pytest.raises(ValueError, match="at least 4 examples on both sides; got 4000 and 3"):
        density_ratio.kl_divergence(x, y[:3])
    with pytest.raises(ValueError, match="at least 2 folds; got 1"):
        density_ratio.kl_divergence(x, y, folds=1)
    with pytest.raises(ValueError, match="samples of one dimension"):
        density_ratio.log_ratio(x, y, np.zeros((1, 3)))
