"""Fréchet distance, precision to coverage, and memorization, against closed forms and nulls."""

import numpy as np
import pytest
from scipy import linalg, stats

from gm.metrics import frechet, memorization, prdc

RNG = np.random.default_rng(0)


def covariance(dim, rank=None):
    root = RNG.normal(size=(dim, rank or dim))
    return root @ root.T / dim


def test_the_distance_of_gaussians_is_its_formula_with_a_matrix_root():
    mean_p, mean_q, cov_p, cov_q = RNG.normal(size=5), RNG.normal(size=5), *map(covariance, (5, 5))
    root = linalg.sqrtm(cov_p @ cov_q)
    want = np.sum((mean_p - mean_q) ** 2) + np.trace(cov_p + cov_q - 2.0 * root.real)
    found = frechet.distance(mean_p, cov_p, mean_q, cov_q)
    np.testing.assert_allclose(found, want, rtol=1e-8)
    np.testing.assert_allclose(frechet.distance(mean_q, cov_q, mean_p, cov_p), want, rtol=1e-8)


def test_the_distance_is_real_and_right_where_covariances_are_singular():
    """The root of their product is complex in rounding; on a line it is (s - t)^2."""
    thin, zero = covariance(40, rank=3), np.zeros(40)
    np.testing.assert_allclose(frechet.distance(zero, thin, zero, thin), 0.0, atol=1e-12)
    direction = np.outer(*[np.full(40, 40**-0.5)] * 2)
    found = frechet.distance(zero, 4.0 * direction, zero, 9.0 * direction)
    np.testing.assert_allclose(found, 1.0, rtol=1e-12)


def test_the_extrapolated_distance_has_no_bias_where_the_plain_one_has():
    """Normals one apart in 8 dimensions: errors are those of the spread over repetitions."""
    plain, far, error, errors = [], [], [], []
    for _ in range(60):
        x, y = RNG.normal(size=(400, 8)), RNG.normal(size=(400, 8)) + np.eye(8)[0]
        found = frechet.extrapolated(x, y)
        far.append(found.value), errors.append(found.standard_error)
        found = frechet.frechet(x, y)
        plain.append(found.value), error.append(found.standard_error)
    spread = np.std(far) / np.sqrt(60)
    assert abs(np.mean(far) - 1.0) < 3.5 * spread
    assert np.mean(plain) > 1.05 + 3.5 * np.std(plain) / np.sqrt(60)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(errors))), np.std(far), rtol=0.35)
    np.testing.assert_allclose(np.sqrt(np.mean(np.square(error))), np.std(plain), rtol=0.35)


def test_density_and_coverage_have_their_means_where_samples_follow_the_data():
    """E density = 1 and E coverage = 1 - prod (N - j) / (N + M - j): Naeem et al., section 4."""
    found = [prdc.prdc(RNG.normal(size=(60, 3)), RNG.normal(size=(90, 3)), k=3) for _ in range(80)]
    coverage = np.array([one.coverage for one in found])
    want = 1.0 - np.prod([(60 - j) / (150 - j) for j in (1, 2, 3)])
    np.testing.assert_allclose(found[0].expected_coverage, want, rtol=1e-12)
    assert abs(coverage.mean() - want) < 3.5 * coverage.std() / np.sqrt(80)
    density = np.array([one.density for one in found])
    assert abs(density.mean() - 1.0) < 3.5 * density.std() / np.sqrt(80)


def test_quality_and_variety_are_two_numbers(monkeypatch):
    """Real x on a line; fakes on one half of it, and half of them far away; rows in chunks."""
    monkeypatch.setattr(prdc, "ROWS", 7)
    real = np.arange(100.0)[:, None]
    fake = np.concatenate([np.arange(50.0), 1e3 + 100.0 * np.arange(50.0)])[:, None] + 0.25
    found = prdc.prdc(real, fake, k=2)
    assert (found.precision, found.coverage) == (0.5, 0.51)
    # The ball of an end reaches 2, of another x 1: fakes at i + 1/4 are in those of i and i + 1.
    within = np.abs(real - fake.T) < np.where((real == 0) | (real == 99), 2.0, 1.0)
    assert found.density == within.sum() / (2 * 100)
    near = np.abs(real[:, None] - fake[None])[..., 0]
    balls = np.sort(np.abs(fake - fake.T), axis=1)[:, 2]
    assert found.recall == np.mean(np.any(near < balls, axis=1))
    assert found.scores()["density"].value == found.density


def test_copies_are_found_and_at_the_null_the_statistic_is_standard_normal():
    z = []
    for _ in range(150):
        training, unseen, samples = (RNG.normal(size=(n, 2)) for n in (50, 60, 70))
        z.append(memorization.copying(training, unseen, samples).value)
    # Distances of both sides are to one training set, given which they are independent.
    assert stats.kstest(z, "norm").pvalue > 1e-3
    copies = training[RNG.integers(0, 50, 70)] + 1e-3
    found = memorization.copying(training, unseen, copies)
    assert found.value < -5.0
    assert found.p_value < 1e-6
    assert memorization.copying(training, unseen, 5.0 * samples).value > 3.0
    assert memorization.authenticity(training, copies).value < 0.05


def test_authenticity_has_its_share_where_samples_follow_the_data():
    """c / (1 + c), c the share of a ball outside another whose centre is on its edge."""
    c = 1.0 - (2.0 / 3.0 - np.sqrt(0.75) / np.pi)
    training, samples = RNG.normal(size=(3000, 2)), RNG.normal(size=(3000, 2))
    found = memorization.authenticity(training, samples)
    assert abs(found.value - c / (1.0 + c)) < 3.5 * found.standard_error
    training, samples = RNG.normal(size=(3000, 1)), RNG.normal(size=(3000, 1))
    found = memorization.authenticity(training, samples)
    assert abs(found.value - 1.0 / 3.0) < 3.5 * found.standard_error


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: frechet.frechet(x[:3], x), "more examples than features"),
        (lambda x: frechet.frechet(x, x[:, :2]), "features .* of one D"),
        (lambda x: frechet.extrapolated(x[:14], x), "in each of 4 parts"),
        (lambda x: frechet.frechet(x * np.nan, x), "finite features"),
        (lambda x: frechet.distance(x[0], -np.eye(3), x[0], np.eye(3)), "negative eigenvalues"),
        (lambda x: frechet.distance(x[0], np.eye(2), x[0], np.eye(3)), r"covariances \[D, D\]"),
        (lambda x: prdc.prdc(x, x, k=50), "more than k >= 1 of each"),
        (lambda x: prdc.prdc(x, x * np.inf), "finite values"),
        (lambda x: memorization.copying(x, x[:0], x), "at least one of each side"),
        (lambda x: memorization.authenticity(x[:1], x), "at least 2 training examples"),
    ],
)
def test_what_cannot_be_scored_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call(RNG.normal(size=(50, 3)))
