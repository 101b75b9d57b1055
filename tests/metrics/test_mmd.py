import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import spatial

from gm.metrics import mmd

SIGMAS = np.array([0.7, 2.0])
KERNEL = mmd.RBF(jnp.asarray(SIGMAS, jnp.float32))


def u_statistic(x, y, sigmas):
    """In float64, as it is defined."""

    def gram(x, y):
        square = ((x[:, None] - y[None]) ** 2).sum(-1)
        return np.mean([np.exp(-square / (2 * s**2)) for s in sigmas], axis=0)

    def within(k):
        return (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))

    return within(gram(x, x)) + within(gram(y, y)) - 2 * gram(x, y).mean()


def mean_kernel(shift, scale_x, scale_y, dim):
    """E k(x, y) for x ~ N(0, scale_x²) and y ~ N(shift, scale_y²) in every direction."""
    total = SIGMAS**2 + scale_x**2 + scale_y**2
    return np.mean((SIGMAS**2 / total) ** (dim / 2) * np.exp(-dim * shift**2 / (2 * total)))


many_mmds = jax.jit(jax.vmap(lambda x, y: mmd.squared_mmd(x, y, KERNEL, chunk=40)))


@pytest.mark.parametrize("offset", [0.0, 100.0])
def test_the_value_is_the_u_statistic_of_float64(offset):
    """Also far from the origin, where distances by a product of matrices lose digits."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)) + offset, rng.normal(size=(7, 3)) * 1.5 + offset
    value, _ = mmd.squared_mmd(x.astype(np.float32), y.astype(np.float32), KERNEL, chunk=2)
    want = u_statistic(x, y, SIGMAS)
    np.testing.assert_allclose(value, want, atol=2e-5 if offset else 1e-6)


@pytest.mark.parametrize(
    ("shift", "scale", "low", "high"),
    [(0.0, 1.0, 0.9, 1.45), (0.15, 1.0, 0.85, 1.2), (1.0, 1.0, 0.85, 1.15), (0.0, 2.0, 0.85, 1.15)],
    ids=["equal", "nearly equal", "shifted", "wider"],
)
def test_estimates_have_no_bias_and_the_error_they_state(shift, scale, low, high):
    """500 pairs of samples of 40 and 30 points in 2-D; 500 of them fix a spread to 3 % or 5 %."""
    x, y = np.random.default_rng(0).normal(size=(2, 500, 40, 2)).astype(np.float32)
    y = y[:, :30] * np.float32(scale) + np.float32(shift)
    values, errors = map(np.asarray, many_mmds(x, y))
    want = mean_kernel(0, 1, 1, 2) + mean_kernel(0, scale, scale, 2)
    want -= 2 * mean_kernel(shift, 1, scale, 2)
    assert abs(values.mean() - want) < 4 * values.std() / np.sqrt(500)
    assert low < np.sqrt((errors**2).mean()) / values.std() < high
    if not shift and scale == 1:
        assert (values < 0).any()


def test_a_kernel_of_ones_own_is_a_pytree_that_gives_a_matrix():
    """With k(x, y) = x·y, MMD² is the squared distance of the means, less its noise."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(6, 2)), rng.normal(size=(9, 2)) + 1
    kernel = jax.tree_util.Partial(lambda a, b: a @ b.T)
    value, _ = mmd.squared_mmd(jnp.asarray(x), jnp.asarray(y), kernel)
    noise = x.var(0, ddof=1).sum() / 6 + y.var(0, ddof=1).sum() / 9
    np.testing.assert_allclose(value, ((x.mean(0) - y.mean(0)) ** 2).sum() - noise, rtol=1e-5)


def test_the_default_kernel_knows_the_data_only():
    rng = np.random.default_rng(2)
    x = rng.integers(0, 17, (12, 4, 4))
    y = rng.integers(0, 17, (15, 4, 4)) // 2
    value, _ = mmd.squared_mmd(x, y)
    x, y = x.reshape(12, 16), y.reshape(15, 16)
    sigmas = np.median(spatial.distance.pdist(x)) * np.array([0.25, 0.5, 1, 2, 4])
    np.testing.assert_allclose(value, u_statistic(x, y, sigmas), rtol=1e-4)


def test_bandwidths_are_multiples_of_the_median_distance():
    """Distances 3, 4, 5 of a right triangle; 10, 20, ... of a line of which a tenth is seen."""
    triangle = np.array([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]], np.float32)
    np.testing.assert_allclose(mmd.median_bandwidths(triangle, (0.5, 1.0)), [2, 4], rtol=1e-5)
    line = np.arange(600, dtype=np.float32)[:, None]
    want = np.median(spatial.distance.pdist(line[::10]))
    np.testing.assert_allclose(mmd.median_bandwidths(line, (1.0,), 60), [want], rtol=1e-5)


def test_coinciding_points_still_have_a_bandwidth():
    """Four equal points and one at a distance of 10: the mean of ten distances is 4."""
    x = np.zeros((5, 2), np.float32)
    value, error = mmd.squared_mmd(x, x)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    np.testing.assert_allclose(error, 0, atol=1e-3)  # the root of float32's rounding
    x[4] = [6.0, 8.0]
    np.testing.assert_allclose(mmd.median_bandwidths(x, (1.0,)), [4.0], rtol=1e-3)


def test_samples_of_other_shapes_are_refused():
    for other in (jnp.zeros((4, 3)), jnp.zeros((2, 2))):
        with pytest.raises(ValueError, match="at least 3 examples of one shape"):
            mmd.squared_mmd(jnp.zeros((4, 2)), other)
