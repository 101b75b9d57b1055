"""MMD, energy distance and Stein's discrepancy, by closed forms of Normals and by enumeration."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm.losses import moments


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


RBF = moments.RBF(np.array([0.7, 2.0]))
KERNELS = {
    "rbf": (
        RBF,
        lambda x, y: np.mean([np.exp(-np.sum((x - y) ** 2) / 2 / s**2) for s in (0.7, 2)]),
    ),
    "rq": (
        moments.RationalQuadratic(np.array([0.5, 2.0]), np.array(1.5)),
        lambda x, y: np.mean([(1 + np.sum((x - y) ** 2) / 2 / a / 2.25) ** -a for a in (0.5, 2.0)]),
    ),
    "linear": (moments.linear, lambda x, y: x @ y),
    "distance": (moments.negative_distance, lambda x, y: -np.linalg.norm(x - y)),
}


@pytest.mark.parametrize("name", KERNELS)
def test_the_estimate_is_the_mean_over_pairs_of_different_points(name):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2)), 1.0 + rng.normal(size=(4, 2))
    kernel, k = KERNELS[name]
    within = [np.mean([k(a, b) for a, b in itertools.permutations(points, 2)]) for points in (x, y)]
    want = sum(within) - 2 * np.mean([[k(a, b) for b in y] for a in x])
    of = jax.jit(jax.value_and_grad(lambda s: moments.squared_mmd(kernel, x, y + s)))
    value, gradient = of(0.0)
    np.testing.assert_allclose(value, want, rtol=1e-6)
    near = [float(of(s)[0]) for s in (-1e-5, 1e-5)]
    np.testing.assert_allclose(gradient, (near[1] - near[0]) / 2e-5, rtol=1e-5)


def test_learned_features_are_what_the_kernel_sees():
    x, y = np.random.default_rng(0).normal(size=(2, 6, 3))
    kernel = moments.of_features(lambda x: x[:, :1] * 2.0, moments.linear)
    of = jax.jit(moments.squared_mmd, static_argnums=0)
    want = of(moments.linear, 2 * x[:, :1], 2 * y[:, :1])
    np.testing.assert_allclose(of(kernel, x, y), want)


def test_the_mean_estimate_is_the_mmd_of_normals():
    """Of a Gaussian kernel, E k = s / sqrt(s^2 + 2) exp(-m^2 / 2 (s^2 + 2)) for means m apart."""
    s, m = 1.3, 0.8
    kernel = moments.RBF(np.array([s]))
    between = s / np.sqrt(s**2 + 2) * np.exp(-(m**2) / 2 / (s**2 + 2))
    want = 2 * s / np.sqrt(s**2 + 2) - 2 * between
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 20, 1)), m + rng.normal(size=(400, 20, 1))
    estimates = (moments.squared_mmd, moments.linear_time_mmd)
    of = jax.jit(jax.vmap(lambda x, y: [estimate(kernel, x, y) for estimate in estimates]))
    found, (fast, errors) = jax.tree.map(np.asarray, of(x, y))
    assert abs(found.mean() - want) < 4 * found.std() / np.sqrt(400)
    assert abs(fast.mean() - want) < 4 * fast.std() / np.sqrt(400)
    np.testing.assert_allclose(np.sqrt(np.mean(errors**2)), fast.std(), rtol=0.15)


def test_energy_distance_of_the_line_is_that_of_scipy():
    """scipy's is the root of E over all pairs, a point's pair with itself among them."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=50), 0.5 + rng.normal(size=70)
    got = jax.jit(moments.energy_distance)(x[:, None], y[:, None])
    within = [
        np.abs(a[:, None] - a).sum() * (1 / len(a) ** 2 - 1 / len(a) / (len(a) - 1)) for a in (x, y)
    ]
    want = stats.energy_distance(x, y) ** 2 + sum(within)
    np.testing.assert_allclose(got, want, rtol=1e-10)


def test_steins_discrepancy_is_zero_for_samples_of_the_density_alone():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 30, 2))
    of = functools.partial(moments.kernel_stein_discrepancy, moments.inverse_multiquadric)
    of = jax.jit(jax.vmap(of))
    found = np.asarray(of(x, -x))  # the score of N(0, I)
    assert abs(found.mean()) < 4 * found.std() / np.sqrt(200)
    wide = np.asarray(of(x, -x / 4.0))
    assert wide.mean() > 10 * wide.std() / np.sqrt(200)


def test_a_stein_kernel_by_hand():
    """One dimension, k = exp(-(a - b)^2 / 2): all four terms written out."""
    x, s = np.array([[0.3], [1.1]]), np.array([[-0.5], [0.2]])
    d = x[0, 0] - x[1, 0]
    k = np.exp(-(d**2) / 2)
    want = k * (s[0, 0] * s[1, 0] + s[0, 0] * d - s[1, 0] * d + 1 - d**2)
    of = functools.partial(
        moments.kernel_stein_discrepancy, lambda a, b: jnp.exp(-jnp.sum((a - b) ** 2) / 2)
    )
    np.testing.assert_allclose(jax.jit(of)(x, s), want)
