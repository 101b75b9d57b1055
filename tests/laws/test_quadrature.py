"""Adaptive quadrature: against scipy's densities, and what it says where it is too coarse."""

import numpy as np
import pytest
from scipy import stats

from gm.laws import quadrature


def gauss(x):
    return stats.norm.pdf(x[:, :1], 3.0, 0.1) * stats.norm.pdf(x[:, 1:], -200.0, 40.0)


def ridge(x):
    """Of width 0.05 along a curve."""
    return stats.norm.pdf(x[:, :1]) * stats.norm.pdf(x[:, 1:], np.sin(2 * x[:, :1]), 0.05)


@pytest.mark.parametrize("density", [gauss, ridge])
def test_quadrature_integrates_what_its_samples_lie_in(density):
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4096, 2))
    x = z * (0.1, 40.0) + (3.0, -200.0)
    if density is ridge:
        x = np.stack([z[:, 0], np.sin(2 * z[:, 0]) + 0.05 * z[:, 1]], axis=1)
    done = quadrature.integrate(density, [x])
    assert abs(done.total[0] - 1.0) < 1e-3
    assert done.error < 2e-3
    np.testing.assert_allclose(done.mass.sum(), done.total[0])
    counts = np.bincount(done.cells_of(x), minlength=len(done.mass))
    top = np.argsort(done.mass)[-50:]
    assert (
        stats.chisquare(
            counts[top], 4096 * done.mass[top] * counts[top].sum() / (4096 * done.mass[top].sum())
        ).pvalue
        > 1e-4
    )


def test_points_of_a_quadrature_follow_the_density():
    """x_0 ~ N(0, 1) and x_1 ~ N(x_0^2, 1), which is another density with its axes changed over."""
    rng = np.random.default_rng(0)
    z = rng.standard_normal((4096, 2))

    def curved(x):
        return stats.norm.pdf(x[:, :1]) * stats.norm.pdf(x[:, 1:], x[:, :1] ** 2)

    x = np.stack([z[:, 0], z[:, 0] ** 2 + z[:, 1]], axis=1)
    points = quadrature.integrate(curved, [x]).points(4096, rng)
    across = points[:, 1] - points[:, 0] ** 2
    for values in (points[:, 0], across):
        assert stats.kstest(values, "norm").pvalue > 1e-3


def test_quadrature_reaches_heavy_tails_and_any_scale():
    """Moments of several integrands at once, against scipy."""
    rng = np.random.default_rng(0)
    x = 1e4 * rng.standard_t(1.0, (4096, 1)) + 1e5

    def f(x):
        p = stats.t.pdf(x[:, 0], 1.0, 1e5, 1e4)
        return np.stack([p, p * (x[:, 0] < 1e5)], axis=1)

    np.testing.assert_allclose(quadrature.integrate(f, [x]).total, [1.0, 0.5], atol=1e-3)


def test_quadrature_says_where_it_is_too_coarse():
    def noise(x):
        return 1.0 + np.sin(1e7 * x[:, :1] * x[:, 1:]) * np.exp(-(x**2).sum(1, keepdims=True))

    x = np.random.default_rng(0).standard_normal((256, 2))
    assert quadrature.integrate(lambda x: noise(x) * gauss_at_zero(x), [x]).error > 2e-3


def gauss_at_zero(x):
    return np.prod(stats.norm.pdf(x), axis=1, keepdims=True)
