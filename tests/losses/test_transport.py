"""Transport in one dimension by scipy and by linear programming, along slices by projections."""

import functools

import jax
import numpy as np
import pytest
from scipy import optimize, stats

from gm.losses import transport


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 2)), 0.5 + 1.5 * rng.normal(size=(5, 2))


def linear_program(costs, a, b):
    """The cost of the best plan."""
    n, m = costs.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    equal = {"A_eq": np.vstack([rows, columns]), "b_eq": np.concatenate([a, b])}
    return optimize.linprog(costs.ravel(), **equal, bounds=(0, None)).fun


@pytest.mark.parametrize("p", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("weighted", [False, True])
def test_the_line_is_sorted_as_the_best_plan_has_it(p, weighted):
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=6), rng.normal(size=4)
    a, b = (rng.dirichlet(np.ones(n)) if weighted else np.full(n, 1 / n) for n in (6, 4))
    want = linear_program(np.abs(x[:, None] - y) ** p, a, b)
    given = {"weights_x": 3.0 * a, "weights_y": b} if weighted else {}
    np.testing.assert_allclose(transport.wasserstein_1d(x, y, p, **given), want, rtol=1e-9)
    same = transport.wasserstein_1d(x, x[::-1], p)
    np.testing.assert_allclose(same, 0.0, atol=1e-15)


def test_one_is_scipys_and_one_of_cdfs_too():
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=100), rng.normal(size=333)
    want = stats.wasserstein_distance(x, y)
    np.testing.assert_allclose(transport.wasserstein_1d(x, y), want, rtol=1e-9)
    grid = np.linspace(-12.0, 12.0, 20_001)
    cdfs = stats.norm(0, 1).cdf(grid), stats.norm(1, 1).cdf(grid)
    np.testing.assert_allclose(transport.wasserstein_of_cdfs(*cdfs, grid), 1.0, rtol=1e-6)


def test_a_shift_costs_its_length_to_the_power_and_has_its_slope():
    x = np.linspace(0.0, 1.0, 8)

    def shifted(s):
        return [transport.wasserstein_1d(x, x[:n] + s, 2.0) for n in (8, 5)]

    np.testing.assert_allclose(shifted(0.3)[0], 0.09)
    slope, other = jax.jit(jax.jacrev(shifted))(0.3)
    np.testing.assert_allclose(slope, 0.6)
    near = [float(shifted(s)[1]) for s in (0.3 - 1e-6, 0.3 + 1e-6)]
    np.testing.assert_allclose(other, (near[1] - near[0]) / 2e-6, rtol=1e-5)


def test_slices_of_a_shift_are_its_projections(key):
    """E (v s)^2 = |s|^2 / D over directions v, and the largest is |s|^2."""
    x = np.random.default_rng(0).normal(size=(20, 3))
    shift = np.array([[1.0, 2.0, -2.0]])
    got = transport.sliced(key, x, x + shift, num_directions=4000)
    assert abs(got - 3.0) < 4 * np.sqrt(9.0**2 * (3 / 15 - 1 / 9) / 4000)
    most = jax.jit(transport.max_sliced)(key, x, x + shift)
    np.testing.assert_allclose(most, 9.0, rtol=1e-3)
    of = jax.jit(transport.sliced, static_argnames="num_directions")
    one = of(key, x[:, :1], 2.0 * x[:, :1], num_directions=3)
    np.testing.assert_allclose(one, np.mean(x[:, 0] ** 2), rtol=1e-12)


def test_weights_are_counts_of_points(key):
    """A point of weight two is two points: on the line, along slices and their maximum."""
    rng = np.random.default_rng(0)
    x, y, counts = rng.normal(size=(6, 3)), rng.normal(size=(9, 3)), np.array([1, 2, 1, 3, 1, 1])
    many = np.repeat(x, counts, axis=0)
    short = functools.partial(transport.max_sliced, num_steps=1)
    for of in map(jax.jit, (transport.sliced, short)):
        weighted = of(key, x, y, weights_x=counts)
        np.testing.assert_allclose(weighted, of(key, many, y), rtol=1e-6)
    assert transport.sliced(key, x, y) != weighted


@pytest.mark.parametrize("p", [1.0, 2.0])
def test_distances_of_cdfs_are_those_of_their_quantiles(p):
    """Of N(0, 1) and N(1, 4) by quantiles; of steps with flat parts by hand."""
    grid = np.linspace(-20.0, 20.0, 4001)
    cdfs = stats.norm(0, 1).cdf(grid), stats.norm(1, 2).cdf(grid)
    u = (np.arange(200_000) + 0.5) / 200_000
    want = np.mean(np.abs(stats.norm(0, 1).ppf(u) - stats.norm(1, 2).ppf(u)) ** p)

    @jax.jit
    @jax.value_and_grad
    def scaled(s, cdf_p, cdf_q, x):
        return transport.wasserstein_of_cdfs(cdf_p, cdf_q, s * x, p)

    got, _ = scaled(1.0, *cdfs, grid)
    np.testing.assert_allclose(got, want, rtol=3e-4)
    # Uniform on [0, 1] and [3, 4] against uniform on [0, 1] and [1, 2]: half the mass moves by 2.
    x = np.array([0.0, 1.0, 2.0, 3.0, 4.0])
    apart, together = np.array([0.0, 0.5, 0.5, 0.5, 1.0]), np.array([0.0, 0.5, 1.0, 1.0, 1.0])
    moved, slope = scaled(1.0, apart, together, x)
    np.testing.assert_allclose(moved, 0.5 * 2.0**p, rtol=1e-10)
    np.testing.assert_allclose(slope, p * moved, rtol=1e-8)


def test_what_cannot_be_moved_is_refused(key):
    x, y = np.zeros((7, 2)), np.zeros((5, 2))
    with pytest.raises(ValueError, match=r"p of at least 1; got 0\.5"):
        transport.wasserstein_1d(x[:, 0], y[:, 0], 0.5)
    with pytest.raises(ValueError, match="at least 1 example on both sides; got 7 and 0"):
        transport.wasserstein_1d(x[:, 0], y[:0, 0])
    with pytest.raises(ValueError, match=r"sliced needs samples of one dimension.*\(7, 1\)"):
        transport.sliced(key, x[:, :1], y)
    with pytest.raises(ValueError, match="a weight for each of 7"):
        transport.sliced(key, x, y, weights_x=np.ones(5))
    with pytest.raises(ValueError, match="weights of at least 0"):
        transport.wasserstein_1d(x[:, 0], y[:, 0], weights_y=np.array([1.0, 1, 1, 1, -1]))
    with pytest.raises(ValueError, match=r"CDFs from 0 to 1; cdf_q goes from 0 to 0\.9"):
        transport.wasserstein_of_cdfs(*np.array([[0.0, 1.0], [0.0, 0.9], [0.0, 1.0]]))
