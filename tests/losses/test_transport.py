"""Transport in one dimension by scipy and by linear programming; entropic by its own conditions."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize, stats

from gm.losses import gaussians, transport


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
    x = jnp.linspace(0.0, 1.0, 8)
    move = functools.partial(transport.wasserstein_1d, x, p=2.0)
    np.testing.assert_allclose(move(x + 0.3), 0.09)
    slope = jax.grad(lambda s: move(x + s))(0.3)
    np.testing.assert_allclose(slope, 0.6)
    other = jax.grad(lambda s: transport.wasserstein_1d(x, x[:5] + s, 2.0))(0.3)
    near = [float(transport.wasserstein_1d(x, x[:5] + s, 2.0)) for s in (0.3 - 1e-6, 0.3 + 1e-6)]
    np.testing.assert_allclose(other, (near[1] - near[0]) / 2e-6, rtol=1e-5)


def test_slices_of_a_shift_are_its_projections(key):
    """E (v s)^2 = |s|^2 / D over directions v, and the largest is |s|^2."""
    x = np.random.default_rng(0).normal(size=(20, 3))
    shift = np.array([[1.0, 2.0, -2.0]])
    got = transport.sliced(key, x, x + shift, num_directions=4000)
    assert abs(got - 3.0) < 4 * np.sqrt(9.0**2 * (3 / 15 - 1 / 9) / 4000)
    np.testing.assert_allclose(transport.max_sliced(key, x, x + shift), 9.0, rtol=1e-3)
    one = transport.sliced(key, x[:, :1], 2.0 * x[:, :1], num_directions=3)
    np.testing.assert_allclose(one, np.mean(x[:, 0] ** 2), rtol=1e-12)


def test_the_entropic_plan_has_its_marginals_and_nears_the_best(points):
    x, y = points
    costs = np.asarray(transport.squared_distances(x, y))
    np.testing.assert_allclose(costs, ((x[:, None] - y) ** 2).sum(-1), rtol=1e-10)
    best = linear_program(costs, np.full(7, 1 / 7), np.full(5, 1 / 5))
    plan = transport.sinkhorn(x, y, 0.05, tolerance=1e-9, max_steps=20_000)
    f, g = np.asarray(plan.f), np.asarray(plan.g)
    pi = np.exp((f[:, None] + g - costs) / 0.05) / 35
    np.testing.assert_allclose(pi.sum(0), 1 / 5, atol=1e-8)
    np.testing.assert_allclose(pi.sum(1), 1 / 7, atol=1e-8)
    entropy = np.sum(pi * np.log(np.maximum(pi * 35, 1e-300)))
    np.testing.assert_allclose(plan.cost, np.sum(pi * costs) + 0.05 * entropy, rtol=1e-7)
    assert best <= np.sum(pi * costs) <= best + 0.05 * np.log(35)


def test_the_gradient_is_that_of_the_envelope_theorem(points):
    x, y = points
    solve = functools.partial(transport.sinkhorn, y=y, epsilon=0.3, tolerance=1e-11)
    slope = jax.grad(lambda x: solve(x).cost)(x)
    for i, d in ((0, 0), (3, 1)):
        step = np.zeros_like(x)
        step[i, d] = 1e-5
        want = (solve(x + step).cost - solve(x - step).cost) / 2e-5
        np.testing.assert_allclose(slope[i, d], want, rtol=1e-5)


def test_the_divergence_is_zero_at_equality_alone_and_has_weights(points):
    x, y = points
    of = functools.partial(transport.sinkhorn_divergence, epsilon=0.5, tolerance=1e-9)
    np.testing.assert_allclose(of(x, x[::-1]), 0.0, atol=1e-8)
    assert of(x, y) > 0.1
    twice = np.concatenate([x, x[:1]])
    weights = np.array([0.5, 1, 1, 1, 1, 1, 1, 0.5])
    np.testing.assert_allclose(of(twice, y, weights_x=weights), of(x, y), rtol=1e-6)


def test_between_many_samples_of_normals_it_nears_their_distance():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 1)), 1.0 + 0.5 * rng.normal(size=(400, 1))
    one = np.ones((1, 1))
    want = gaussians.squared_wasserstein_2(np.zeros(1), one, np.ones(1), 0.25 * one)
    got = transport.sinkhorn_divergence(x, y, 0.02, tolerance=1e-4)
    assert abs(got - want) < 0.25  # five standard errors of the means' and scales' difference
    exact = transport.wasserstein_1d(x[:, 0], y[:, 0], 2.0)
    np.testing.assert_allclose(got, exact, rtol=0.02)


def test_mass_that_is_dear_to_move_stays(points):
    """At a high price for what is left the plan is the balanced one; at a low one, none moves."""
    x, y = points
    far = y + 100.0
    free = transport.sinkhorn(x, far, 1.0, marginal=0.1)
    # 0.1 KL(0 || a) on either side, and epsilon KL(0 || a b): of measures, each KL is the mass.
    np.testing.assert_allclose(free.cost, 1.2, rtol=1e-3)
    balanced = transport.sinkhorn(x, y, 0.5, tolerance=1e-9)
    dear = transport.sinkhorn(x, y, 0.5, marginal=1e5, tolerance=1e-9)
    np.testing.assert_allclose(dear.cost, balanced.cost, rtol=1e-3)


def test_the_entropic_map_moves_a_cloud_onto_its_shifted_self():
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = x + np.array([[3.0, -1.0]])
    plan = transport.sinkhorn(x, y, 0.05, tolerance=1e-6)
    moved = transport.entropic_map(x, y, plan, 0.05)
    assert np.abs(moved - y).mean() < 0.15
    new = transport.entropic_map(np.zeros((1, 2)), y, plan, 0.05)
    assert np.linalg.norm(np.asarray(new) - [[3.0, -1.0]]) < 0.5


def test_what_cannot_be_moved_is_refused(points):
    x, y = points
    with pytest.raises(ValueError, match=r"p of at least 1; got 0\.5"):
        transport.wasserstein_1d(x[:, 0], y[:, 0], 0.5)
    with pytest.raises(ValueError, match="points on both sides; got 7 and 0"):
        transport.wasserstein_1d(x[:, 0], y[:0, 0])
    with pytest.raises(ValueError, match="a positive epsilon; got 0"):
        transport.sinkhorn(x, y, 0.0)
