"""Score matching and noise-contrastive estimation recover what made the data."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from gm.losses import scores


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


def score_of(params, x):
    """Of N(mean, 1 / precision) in each dimension."""
    mean, precision = params
    return -precision * (x - mean)


def test_score_matching_of_a_normal_has_the_moments_of_the_data():
    """Hyvärinen (2005), section 3.1: mean and inverse variance, exactly, whatever the sample."""
    x = np.random.default_rng(0).normal(1.0, 2.0, (50, 2))

    def loss(p):
        return jnp.mean(jax.vmap(lambda x: scores.explicit(lambda y: score_of(p, y), x))(x))

    params = (x.mean(0), 1 / x.var(0))
    of = jax.jit(jax.value_and_grad(loss))
    least, slopes = of(params)
    for slope in slopes:
        np.testing.assert_allclose(slope, 0.0, atol=1e-12)
    assert least < of((params[0] + 0.1, params[1]))[0]


def test_slices_have_the_mean_of_the_whole(key):
    matrix = np.array([[1.0, 0.5, 0.0], [0.2, -1.0, 0.3], [0.0, 0.1, 2.0]])
    score, x = (lambda x: jnp.tanh(matrix @ x)), np.array([0.3, -0.2, 0.5])
    one = np.array([0.4])

    @jax.jit
    def estimates(key):
        keys = jax.random.split(key, 2000)
        many = jax.vmap(lambda k: scores.sliced(k, score, x, num_slices=4))(keys)
        of_one = jax.vmap(lambda k: scores.sliced(k, jnp.tanh, one))(keys[:3])
        return many, of_one, scores.explicit(score, x), scores.explicit(jnp.tanh, one)

    found, of_one, whole, want = jax.tree.map(np.asarray, estimates(key))
    assert abs(found.mean() - whole) < 4 * found.std() / np.sqrt(2000)
    np.testing.assert_allclose(of_one, np.full(3, want))


def test_denoising_is_least_at_the_score_of_the_noised_data(key):
    """Of x = 0 always: -y / sigma^2, where the loss is zero; else sigma^2 |error|^2 / 2."""
    x, scale = np.zeros(3), 0.7

    @jax.jit
    def of(key, off):
        def loss(key):
            return scores.denoising(key, lambda y: -y / scale**2 + off, x, scale)

        return jax.vmap(loss)(jax.random.split(key, 4000)).mean()

    np.testing.assert_allclose(of(key, 0.0), 0.0, atol=1e-12)
    np.testing.assert_allclose(of(key, 2.0), 0.5 * scale**2 * 12.0, rtol=1e-9)


def test_noise_contrastive_estimation_finds_the_constant_too():
    """A Normal's precision and log normaliser, within four of the errors of its theory.

    Gutmann & Hyvärinen (2012), theorem 3: the covariance of the estimate is
    I^-1 - (1 + 1/nu) I^-1 g g' I^-1 over the number of data, with I = E_p (1 - h) u u',
    g = E_p (1 - h) u, u = grad log p and h the posterior of data; here by quadrature.
    """
    num, nu = 4000, 4
    rng = np.random.default_rng(0)
    x, y = rng.normal(0.0, 0.5, num), rng.normal(0.0, 1.0, nu * num)

    def log_p(params, x):
        return -0.5 * params[0] * x**2 + params[1]

    def loss(params):
        log_q = [-0.5 * a**2 - 0.5 * jnp.log(2 * jnp.pi) for a in (x, y)]
        return scores.noise_contrastive(log_p(params, x), log_q[0], log_p(params, y), log_q[1])

    value = jax.jit(jax.value_and_grad(loss))
    found = optimize.minimize(lambda p: tuple(map(np.asarray, value(p))), [1.0, 0.0], jac=True).x
    truth = np.array([4.0, -0.5 * np.log(2 * np.pi * 0.25)])
    grid = np.linspace(-6, 6, 20_001)
    p, q = stats.norm(0, 0.5).pdf(grid), stats.norm().pdf(grid)
    h = p / (p + nu * q)
    u = np.stack([-0.5 * grid**2, np.ones_like(grid)])
    width = grid[1] - grid[0]
    information = (u * ((1 - h) * p)) @ u.T * width
    g = (u * ((1 - h) * p)).sum(1) * width
    inverse = np.linalg.inv(information)
    covariance = inverse - (1 + 1 / nu) * np.outer(inverse @ g, inverse @ g)
    error = np.sqrt(np.diag(covariance) / num)
    assert np.all(np.abs(found - truth) < 4 * error), (found, truth, error)
    assert np.all(error < [0.3, 0.1])


def test_the_contrast_is_a_cross_entropy():
    """Of one example of data and two of noise, with the prior odds of 1 to 2."""
    log_p, log_q = np.log([0.4, 0.1, 0.7]), np.log([0.2, 0.3, 0.5])
    post = np.exp(log_p) / (np.exp(log_p) + 2 * np.exp(log_q))
    want = -np.log(post[0]) - np.log(1 - post[1]) - np.log(1 - post[2])
    got = scores.noise_contrastive(log_p[:1], log_q[:1], log_p[1:], log_q[1:])
    np.testing.assert_allclose(got, want)
