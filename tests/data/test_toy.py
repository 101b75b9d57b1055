"""Toy densities: they integrate to one, and their samples follow them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import data
from gm.core import Event
from gm.data import toy

load = functools.cache(data.load)
LINE = [name for name, d in toy.DENSITIES.items() if d.event.shape == (1,)]
QUICK = {"strongly_skewed", "claw", "two_moons", "checkerboard", "grid25"}  # one of each kind
NUM = 4000


def quick(names):
    """The others show the same code on another table."""
    slow = pytest.mark.slow
    return [name if name in QUICK else pytest.param(name, marks=slow) for name in names]


def masses(density, edges):
    """The mass of every cell of a grid by the trapezoid rule; edges are the cells' fine edges."""
    axes = [np.asarray(edges)] * density.event.size
    points = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    flat = jnp.asarray(points.reshape(-1, density.event.size), jnp.float32)
    p = np.exp(np.asarray(jax.jit(jax.vmap(density.log_prob))(flat), np.float64))
    return p.reshape(points.shape[:-1])


def assert_samples_follow(counts, expected):
    """Chi-squared on the cells that expect four or more, the others pooled."""
    big = expected >= 4
    counts = np.append(counts[big], counts[~big].sum())
    expected = np.append(expected[big], max(expected[~big].sum(), 1e-3))
    expected *= counts.sum() / expected.sum()
    keep = expected > 0.5
    statistic = np.sum((counts[keep] - expected[keep]) ** 2 / expected[keep])
    assert counts[~keep].sum() <= 5
    assert stats.chi2(keep.sum() - 1).sf(statistic) > 1e-4


@pytest.mark.parametrize("name", quick(LINE))
def test_density_on_the_line_integrates_to_one_and_samples_follow_it(name):
    density = toy.DENSITIES[name]
    edges = np.linspace(-8, 8, 6401)
    p = masses(density, edges)
    total = np.trapezoid(p, edges)
    np.testing.assert_allclose(total, 1, atol=1e-4)
    cells = np.array([np.trapezoid(p[i : i + 41], edges[i : i + 41]) for i in range(0, 6400, 40)])
    x = load(name).test.x[:NUM, 0]
    counts, _ = np.histogram(x, edges[::40])
    assert_samples_follow(counts, NUM * cells)


@pytest.mark.parametrize("name", quick(["two_moons", "spirals", "checkerboard"]))
def test_density_in_the_plane_integrates_to_one_and_samples_follow_it(name):
    """Midpoints of cells of 0.04, narrower than half a standard deviation."""
    density = toy.DENSITIES[name]
    width, fine = 0.04, 5
    middles = np.arange(-5, 5, width) + width / 2
    p = masses(density, middles) * width**2
    np.testing.assert_allclose(p.sum(), 1, atol=1e-4)
    size = len(middles) // fine
    cells = p.reshape(size, fine, size, fine).sum((1, 3))
    edges = -5 + width * fine * np.arange(size + 1)
    x = load(name).test.x[:NUM]
    counts, _, _ = np.histogram2d(x[:, 0], x[:, 1], (edges, edges))
    assert_samples_follow(counts, NUM * cells)


@pytest.mark.parametrize("name", quick(["ring8", "grid25"]))
def test_samples_fall_into_every_mode_with_the_stated_spread(name):
    """Modes lie dozens of scales apart, so each is a Gaussian of its own."""
    density, x = toy.DENSITIES[name], load(name).test.x
    centers = np.array(density.centers)
    offset = x[:, None] - centers
    nearest = np.square(offset).sum(-1).argmin(1)
    counts = np.bincount(nearest, minlength=len(centers))
    assert stats.chisquare(counts).pvalue > 1e-4
    z = offset[np.arange(len(x)), nearest] / density.scale
    assert stats.kstest(z.ravel(), "norm").pvalue > 1e-4


# Table 1 of Marron & Wand (1992): numbers 2, 3, 4, 6, 9 and 10, as (weight, mean, scale).
MARRON_WAND = {
    "skewed": [(1 / 5, 0, 1), (1 / 5, 1 / 2, 2 / 3), (3 / 5, 13 / 12, 5 / 9)],
    "strongly_skewed": [(1 / 8, 3 * ((2 / 3) ** j - 1), (2 / 3) ** j) for j in range(8)],
    "kurtotic": [(2 / 3, 0, 1), (1 / 3, 0, 1 / 10)],
    "bimodal": [(1 / 2, -1, 2 / 3), (1 / 2, 1, 2 / 3)],
    "trimodal": [(9 / 20, -6 / 5, 3 / 5), (9 / 20, 6 / 5, 3 / 5), (1 / 10, 0, 1 / 4)],
    "claw": [(1 / 2, 0, 1), *((1 / 10, j / 2 - 1, 1 / 10) for j in range(5))],
}


def test_densities_on_the_line_are_those_of_the_table():
    assert MARRON_WAND.keys() == set(LINE)
    for name, modes in MARRON_WAND.items():
        density = toy.DENSITIES[name]
        held = list(zip(density.weights, density.centers, density.scales, strict=True))
        assert held == [(weight, (center,), scale) for weight, center, scale in modes]


def test_claw_is_the_formula():
    x = np.linspace(-3, 3, 50)
    want = sum(w * stats.norm(center, scale).pdf(x) for w, center, scale in MARRON_WAND["claw"])
    log_prob = jax.vmap(toy.CLAW.log_prob)(jnp.asarray(x, jnp.float32)[:, None])
    np.testing.assert_allclose(log_prob, np.log(want), rtol=1e-4, atol=1e-5)


def test_grid_is_the_formula():
    assert sorted(toy.GRID25.centers) == [(a, b) for a in range(-4, 5, 2) for b in range(-4, 5, 2)]
    assert toy.GRID25.scale == 0.05
    at_mode = toy.GRID25.log_prob(jnp.array([2.0, -4.0]))
    np.testing.assert_allclose(at_mode, -np.log(25 * 2 * np.pi * 0.05**2), rtol=1e-5)
    np.testing.assert_allclose(np.hypot(*np.array(toy.RING8.centers).T), 2)


def test_log_prob_far_away_is_finite_with_a_finite_gradient():
    value, gradient = jax.value_and_grad(toy.CLAW.log_prob)(jnp.array([40.0]))
    np.testing.assert_allclose(value, stats.norm.logpdf(40) + np.log(0.5), rtol=1e-5)
    np.testing.assert_allclose(gradient, [-40.0], rtol=1e-5)


def test_checkerboard_edges():
    board = toy.CHECKERBOARD
    points = jnp.array([[-4.0, -4.0], [-2.0, -4.0], [0.0, 0.0], [4.0, 4.0], [3.9, 3.9], [5.0, 1.0]])
    want = [-np.log(32), -np.inf, -np.log(32), -np.inf, -np.log(32), -np.inf]
    np.testing.assert_allclose(jax.vmap(board.log_prob)(points), want, rtol=1e-6)
    x = load("checkerboard").test.x
    assert np.isfinite(jax.vmap(board.log_prob)(x)).all()


def test_a_toy_data_set_knows_its_density_and_is_the_same_every_time():
    dataset = load("grid25")
    assert dataset.density is toy.GRID25
    assert dataset.event == Event((2,))
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == list(toy.SIZES)
    np.testing.assert_array_equal(dataset.test.x, data.load("grid25").test.x)
    standardized = dataset.map(data.Standardize.fit(dataset.train.x))
    assert standardized.density is None


def test_a_mixture_that_is_none_is_refused():
    with pytest.raises(ValueError, match="sum to 1"):
        toy.GaussianMixture(((0.0,),), (1.0,), (0.5,))
    with pytest.raises(ValueError, match="as many scales"):
        toy.GaussianMixture(((0.0,),), (1.0, 2.0), (1.0,))
    with pytest.raises(ValueError, match="different scales"):
        _ = toy.CLAW.scale
    with pytest.raises(ValueError, match="even num_squares"):
        toy.Checkerboard(3)


@pytest.mark.parametrize("name", ["claw", "ring8", "two_moons", "checkerboard"])
def test_quadrature_over_a_density_has_its_moments(name):
    """Against moments of its modes or squares, by hand, and the entropy of the checkerboard."""
    density = toy.DENSITIES[name]
    x, weights = density.quadrature(8)
    if name == "checkerboard":
        # Rows and columns pair up: x and y are uniform, with squares of the diagonals in common.
        mean, second, area = np.zeros(2), np.full(2, 64.0 / 12.0), 32.0
        log_p = np.array([density.log_prob(row) for row in x.astype(np.float32)[:3]])
        np.testing.assert_allclose(log_p, -np.log(area), rtol=1e-6)
    else:
        centers, scales, shares = map(
            np.asarray, (density.centers, density.scales, density.weights)
        )
        mean = shares @ centers
        second = shares @ (centers**2 + scales[:, None] ** 2)
    assert np.sum(weights) == pytest.approx(1.0, abs=1e-12)
    np.testing.assert_allclose(weights @ x, mean, atol=1e-12)
    np.testing.assert_allclose(weights @ x**2, second, rtol=1e-12)
