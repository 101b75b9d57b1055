"""Entropic transport by its own optimality conditions, by linear programming, and by ott-jax."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize

from gm.losses import entropic, gaussians, moments, transport


@pytest.fixture(autouse=True)
def x64():
    with jax.enable_x64(True):
        yield


@pytest.fixture
def points():
    rng = np.random.default_rng(0)
    return rng.normal(size=(7, 2)), 0.5 + 1.5 * rng.normal(size=(5, 2))


def compiled(of, x, y, epsilon, **options):
    """As one program, of clouds alone: weights stay known values, which are checked."""
    return jax.jit(functools.partial(of, epsilon=epsilon, **options))(x, y)


def linear_program(costs, a, b):
    """The cost of the best plan."""
    n, m = costs.shape
    rows = np.kron(np.eye(n), np.ones(m))
    columns = np.kron(np.ones(n), np.eye(m))
    equal = {"A_eq": np.vstack([rows, columns]), "b_eq": np.concatenate([a, b])}
    return optimize.linprog(costs.ravel(), **equal, bounds=(0, None)).fun


def test_the_entropic_plan_has_its_marginals_and_nears_the_best(points):
    x, y = points
    costs = np.asarray(jax.jit(transport.squared_distances)(x, y))
    np.testing.assert_allclose(costs, ((x[:, None] - y) ** 2).sum(-1), rtol=1e-10)
    best = linear_program(costs, np.full(7, 1 / 7), np.full(5, 1 / 5))
    plan = compiled(entropic.sinkhorn, x, y, 0.05, tolerance=1e-9, max_steps=20_000)
    f, g = np.asarray(plan.f), np.asarray(plan.g)
    pi = np.exp((f[:, None] + g - costs) / 0.05) / 35
    np.testing.assert_allclose(pi.sum(0), 1 / 5, atol=1e-8)
    np.testing.assert_allclose(pi.sum(1), 1 / 7, atol=1e-8)
    entropy = np.sum(pi * np.log(np.maximum(pi * 35, 1e-300)))
    np.testing.assert_allclose(plan.cost, np.sum(pi * costs) + 0.05 * entropy, rtol=1e-7)
    assert best <= np.sum(pi * costs) <= best + 0.05 * np.log(35)


def test_the_gradient_is_that_of_the_envelope_theorem(points):
    x, y = points
    solve = functools.partial(entropic.sinkhorn, y=y, epsilon=0.3, tolerance=1e-11)
    of = jax.jit(jax.value_and_grad(lambda x: solve(x).cost))
    slope = of(x)[1]
    for i, d in ((0, 0), (3, 1)):
        step = np.zeros_like(x)
        step[i, d] = 1e-5
        want = (of(x + step)[0] - of(x - step)[0]) / 2e-5
        np.testing.assert_allclose(slope[i, d], want, rtol=1e-5)


def test_the_divergence_is_zero_at_equality_alone_and_has_weights(points):
    x, y = points
    of = functools.partial(entropic.sinkhorn_divergence, epsilon=0.5, tolerance=1e-9)
    twice = np.concatenate([x, x[:1]])
    weights = np.array([0.5, 1, 1, 1, 1, 1, 1, 0.5])
    same, apart, weighted = jax.jit(
        lambda x, y: (of(x, x[::-1]), of(x, y), of(twice, y, weights_x=weights))
    )(x, y)
    np.testing.assert_allclose(same, 0.0, atol=1e-8)
    assert apart > 0.1
    np.testing.assert_allclose(weighted, apart, rtol=1e-6)


def test_between_many_samples_of_normals_it_nears_their_distance():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 1)), 1.0 + 0.5 * rng.normal(size=(400, 1))
    one = np.ones((1, 1))
    want = jax.jit(gaussians.squared_wasserstein_2)(np.zeros(1), one, np.ones(1), 0.25 * one)
    got = compiled(entropic.sinkhorn_divergence, x, y, 0.02, tolerance=1e-4)
    assert abs(got - want) < 0.25  # five standard errors of the means' and scales' difference
    exact = np.mean((np.sort(x[:, 0]) - np.sort(y[:, 0])) ** 2)
    np.testing.assert_allclose(got, exact, rtol=0.02)


def test_mass_that_is_dear_to_move_stays(points):
    """At a high price for what is left the plan is the balanced one; at a low one, none moves."""
    x, y = points
    far = y + 100.0
    free = compiled(entropic.sinkhorn, x, far, 1.0, marginal=0.1)
    # 0.1 KL(0 || a) on either side, and epsilon KL(0 || a b): of measures, each KL is the mass.
    np.testing.assert_allclose(free.cost, 1.2, rtol=1e-3)
    balanced = compiled(entropic.sinkhorn, x, y, 0.5, tolerance=1e-9)
    dear = compiled(entropic.sinkhorn, x, y, 0.5, marginal=1e5, tolerance=1e-9)
    np.testing.assert_allclose(dear.cost, balanced.cost, rtol=1e-3)


def test_the_entropic_map_moves_a_cloud_onto_its_shifted_self():
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = x + np.array([[3.0, -1.0]])

    @jax.jit
    def maps(x, y):
        plan = entropic.sinkhorn(x, y, 0.05, tolerance=1e-6)
        return [entropic.entropic_map(at, y, plan, 0.05) for at in (x, np.zeros((1, 2)))]

    moved, new = maps(x, y)
    assert np.abs(moved - y).mean() < 0.15
    assert np.linalg.norm(np.asarray(new) - [[3.0, -1.0]]) < 0.5


def test_unbalanced_plans_have_the_least_cost(points):
    """Masses 1.4 and 0.6: the objective, written out, at the plan and at plans beside it."""
    x, y = points
    a, b = np.full(7, 0.2), np.full(5, 0.12)
    costs, price, epsilon = ((x[:, None] - y) ** 2).sum(-1), 2.0, 0.5

    def kl(p, q):
        return np.sum(p * np.log(p / q) - p + q)

    def objective(pi):
        marginals = kl(pi.sum(1), a) + kl(pi.sum(0), b)
        return np.sum(pi * costs) + epsilon * kl(pi, np.outer(a, b)) + price * marginals

    options = {"marginal": price, "tolerance": 1e-11, "weights_x": a}
    plan = compiled(entropic.sinkhorn, x, y, epsilon, weights_y=b, **options)
    f, g = np.asarray(plan.f), np.asarray(plan.g)
    pi = np.outer(a, b) * np.exp((f[:, None] + g - costs) / epsilon)
    np.testing.assert_allclose(plan.cost, objective(pi), rtol=1e-8)
    for seed in range(5):
        beside = pi * np.exp(0.05 * np.random.default_rng(seed).normal(size=pi.shape))
        assert objective(beside) > objective(pi)
    divergence = functools.partial(entropic.sinkhorn_divergence, x, x, epsilon, **options)
    of = jax.jit(lambda b: divergence(weights_y=b))
    np.testing.assert_allclose(of(a), 0.0, atol=1e-9)
    assert of(2.0 * a) > 0.01


def test_for_large_epsilon_it_is_half_the_energy_distance_of_its_cost(points):
    """Feydy et al. (2019), section 1: with the cost |x - y|; by all pairs, those of a point too."""
    x, y = points
    both = [x, y]

    def mean(a, b):
        return np.linalg.norm(a[:, None] - b, axis=-1).mean()

    want = mean(*both) - 0.5 * mean(x, x) - 0.5 * mean(y, y)
    cost = functools.partial(lambda a, b: -moments.negative_distance(a, b))
    got = compiled(entropic.sinkhorn_divergence, x, y, 1e4, cost=cost, tolerance=1e-12)
    np.testing.assert_allclose(got, want, rtol=1e-3)


def test_a_point_of_no_weight_is_no_point(points):
    x, y = points
    weights = np.array([1.0, 1, 1, 1, 1, 1, 0])
    got = compiled(entropic.sinkhorn, x, y, 0.5, weights_x=weights, tolerance=1e-9)
    want = compiled(entropic.sinkhorn, x[:6], y, 0.5, tolerance=1e-9)
    np.testing.assert_allclose(got.cost, want.cost)


def test_blocks_find_the_plan_of_the_whole(points):
    """Balanced and not, of blocks that do not divide the clouds; and the gradient."""
    x, y = points
    a = np.random.default_rng(0).uniform(0.5, 1.5, 7)
    options = {"epsilon": 0.5, "weights_x": a, "marginal": 2.0, "tolerance": 1e-9}
    whole = compiled(entropic.sinkhorn, x, y, **options)
    found = compiled(entropic.sinkhorn, x, y, block=3, **options)
    for name in ("cost", "f", "g"):
        np.testing.assert_allclose(getattr(found, name), getattr(whole, name), rtol=1e-9)
    slopes = [
        jax.jit(jax.grad(lambda x, b=block: entropic.sinkhorn(x, y, 0.5, block=b).cost))(x)
        for block in (None, 4)
    ]
    np.testing.assert_allclose(*slopes, rtol=1e-8)


def test_the_plan_is_that_of_ott(points):
    """Balanced; unbalanced, ott-jax takes the entropy of the plan alone, without the weights."""
    pytest.importorskip("ott", reason="needs ott-jax, an oracle of the extra test")
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn

    x, y = map(jnp.asarray, points)
    a = jnp.asarray(np.random.default_rng(0).dirichlet(np.ones(7)))
    problem = linear_problem.LinearProblem(pointcloud.PointCloud(x, y, epsilon=0.5), a)
    with jax.numpy_rank_promotion("allow"):
        want = jax.jit(sinkhorn.Sinkhorn(threshold=1e-10))(problem)
        want_cost, want_plan = jax.jit(lambda want: (want.reg_ot_cost, want.matrix))(want)
    found = compiled(entropic.sinkhorn, x, y, 0.5, weights_x=a, tolerance=1e-10)
    np.testing.assert_allclose(found.cost, want_cost, rtol=1e-7)
    costs = ((points[0][:, None] - points[1]) ** 2).sum(-1)
    f, g = np.asarray(found.f), np.asarray(found.g)
    pi = np.asarray(a)[:, None] * np.exp((f[:, None] + g - costs) / 0.5) / 5
    np.testing.assert_allclose(pi, want_plan, atol=1e-9)


def test_what_has_no_plan_is_refused(points):
    x, y = points
    with pytest.raises(ValueError, match="a positive epsilon; got 0"):
        entropic.sinkhorn(x, y, 0.0)
    with pytest.raises(ValueError, match="a positive marginal, or None; got -1"):
        entropic.sinkhorn(x, y, 1.0, marginal=-1.0)
    with pytest.raises(ValueError, match="samples of one dimension"):
        entropic.sinkhorn(x[:, :1], y, 1.0)
    with pytest.raises(ValueError, match="at least 1 example on both sides; got 0 and 5"):
        entropic.sinkhorn(x[:0], y, 1.0)


def test_masses_at_one_place_differ_by_their_own_divergence():
    """OT of m and n there is a minimum over one number, the mass that is moved."""
    price, epsilon, m, n = 2.0, 0.5, 1.5, 0.4

    def kl(a, b):
        return a * np.log(a / b) - a + b

    def moved(m, n):
        def cost(a):
            return price * (kl(a, m) + kl(a, n)) + epsilon * kl(a, m * n)

        return optimize.minimize_scalar(cost, bounds=(1e-6, 9.0), options={"xatol": 1e-10}).fun

    want = moved(m, n) - 0.5 * (moved(m, m) + moved(n, n)) + 0.5 * epsilon * (m - n) ** 2
    one = np.zeros((1, 2))
    weights = {"weights_x": np.full(1, m), "weights_y": np.full(1, n)}
    got = entropic.sinkhorn_divergence(
        one, one, epsilon, marginal=price, tolerance=1e-10, **weights
    )
    np.testing.assert_allclose(got, want, rtol=1e-6)
