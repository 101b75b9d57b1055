r"""Optimal transport: what it costs to move one distribution onto another.

    W_p(P, Q)^p = inf_pi E_pi |x - y|^p,   pi with marginals P and Q

In one dimension the best plan sorts (`wasserstein_1d`), which `sliced` and `max_sliced` use along
directions: Rabin et al. (2011); Bonneel et al. (2015); Deshpande et al. (2019), arXiv:1904.05877.
In many dimensions entropy makes the plan smooth and cheap to find (`sinkhorn`): Cuturi (2013),
arXiv:1306.0895. Its bias towards shrunken samples is taken off by the divergence

    S(P, Q) = OT(P, Q) - OT(P, P) / 2 - OT(Q, Q) / 2

(`sinkhorn_divergence`): Genevay, Peyré & Cuturi (2018), arXiv:1706.00292; Feydy et al. (2019),
arXiv:1810.08278. Gradients are those of the envelope theorem: the potentials are held fixed.

Between minibatches all of these are biased upwards as distances of P and Q: E W(P_n, Q_n) > 0 at
P = Q, falling as n^(-1/D) (Fournier & Guillin 2015, arXiv:1312.2128); `sinkhorn_divergence` of
equal sizes much less so, and `moments.energy_distance` not at all. Distances are in the units of x,
to the power p.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gm.core import Array, Key

Cost = Callable[[Array, Array], Array]  # [N, D], [M, D] -> [N, M]


def wasserstein_1d(
    x: Array,
    y: Array,
    p: float = 1.0,
    *,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
) -> Array:
    r"""W_p^p of two samples of the line, exactly: \int_0^1 |F^-1(u) - G^-1(u)|^p du.

    O(N log N). Of equal sizes without weights the mean of |x_(i) - y_(i)|^p. Differentiable in x
    and y almost everywhere.

    Args:
      x: [N], y: [M].
      p: at least 1; below, sorting is not the best plan.
      weights_x: [N], at least 0, of any sum; by default all equal.
      weights_y: [M], likewise.

    Raises:
      ValueError: p below 1, or no points.
    """
    chex.assert_rank([x, y], 1)
    if not p >= 1.0:
        raise ValueError(f"wasserstein_1d needs p of at least 1; got {p}.")
    if not len(x) or not len(y):
        raise ValueError(f"wasserstein_1d needs points on both sides; got {len(x)} and {len(y)}.")
    if len(x) == len(y) and weights_x is None and weights_y is None:
        return jnp.mean(jnp.abs(jnp.sort(x) - jnp.sort(y)) ** p)
    x, levels_x = _quantiles(x, weights_x)
    y, levels_y = _quantiles(y, weights_y)
    levels = jnp.sort(jnp.concatenate([levels_x, levels_y]))
    widths = jnp.diff(levels, prepend=0.0)
    # Between two neighbouring levels both inverse CDFs are constant.
    middle = levels - 0.5 * widths
    at_x = x[jnp.minimum(jnp.searchsorted(levels_x, middle), len(x) - 1)]
    at_y = y[jnp.minimum(jnp.searchsorted(levels_y, middle), len(y) - 1)]
    return jnp.sum(widths * jnp.abs(at_x - at_y) ** p)


def wasserstein_of_cdfs(cdf_p: Array, cdf_q: Array, x: Array) -> Array:
    r"""W_1 = \int |F(x) - G(x)| dx of two CDFs on a grid, by the trapezoidal rule.

    Args:
      cdf_p, cdf_q: [N], at x.
      x: [N], rising, wide enough that both go from 0 to 1.
    """
    chex.assert_equal_shape([cdf_p, cdf_q, x])
    return jnp.trapezoid(jnp.abs(cdf_p - cdf_q), x)


def _quantiles(x: Array, weights: Array | None) -> tuple[Array, Array]:
    """The points in order, and the CDF at each, which ends at 1."""
    weights = jnp.ones_like(x) if weights is None else weights
    order = jnp.argsort(x)
    levels = jnp.cumsum(weights[order])
    return x[order], levels / levels[-1]


def directions(key: Key, num: int, dim: int) -> Array:
    """[num, dim] unit vectors, uniform on the sphere."""
    v = jax.random.normal(key, (num, dim))
    return v / jnp.linalg.norm(v, axis=1, keepdims=True)


def sliced(key: Key, x: Array, y: Array, p: float = 2.0, *, num_directions: int = 128) -> Array:
    """Sliced W_p^p: the mean over random directions of `wasserstein_1d` of the projections.

    Unbiased over directions; its spread over them falls as 1 / sqrt(num_directions). Of equal sizes
    O(L N log N) for L directions.

    Args:
      key: of the directions.
      x: [N, D], y: [M, D].
      p: at least 1.
      num_directions: L.
    """
    chex.assert_rank([x, y], 2)
    along = directions(key, num_directions, x.shape[1])
    of = jax.vmap(functools.partial(wasserstein_1d, p=p))
    return jnp.mean(of(_product(along, x.T), _product(along, y.T)))


def max_sliced(
    key: Key, x: Array, y: Array, p: float = 2.0, *, num_steps: int = 50, rate: float = 0.1
) -> Array:
    """Max-sliced W_p^p: the largest over directions, by ascent from the best of 32 random ones.

    A lower bound where the ascent ends before the maximum.

    Args:
      key: of the first directions.
      x: [N, D], y: [M, D].
      p: at least 1.
      num_steps: of normalised gradient ascent on the sphere, each shorter than the last.
      rate: length of the first step, in radians.
    """
    chex.assert_rank([x, y], 2)

    def along(v: Array) -> Array:
        v = v / jnp.linalg.norm(v)
        return wasserstein_1d(_product(x, v), _product(y, v), p)

    first = directions(key, 32, x.shape[1])
    best = first[jnp.argmax(jax.vmap(along)(first))]

    def step(i: Array, v: Array) -> Array:
        slope = jax.grad(along)(v)
        length = rate * (1.0 - i.astype(v.dtype) / num_steps)
        v = v + length * slope / jnp.maximum(jnp.linalg.norm(slope), 1e-12)
        return v / jnp.linalg.norm(v)

    last = jax.lax.fori_loop(0, num_steps, step, jax.lax.stop_gradient(best))
    return along(jax.lax.stop_gradient(last))


def squared_distances(x: Array, y: Array) -> Array:
    """|x_i - y_j|^2: [N, D], [M, D] -> [N, M]; W_2 has this cost."""
    origin = jnp.mean(y, 0, keepdims=True)
    x, y = x - origin, y - origin  # keeps the rounding of the product small
    square = jnp.sum(x * x, 1)[:, None] + jnp.sum(y * y, 1)[None] - 2.0 * _product(x, y.T)
    return jnp.maximum(square, 0.0)


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")


class Plan(NamedTuple):
    """What `sinkhorn` finds.

    Attributes:
      cost: <pi, C> + epsilon KL(pi || a b), in units of the cost; its gradient is that of the
        envelope theorem.
      f: [N], g: [M], the dual potentials: pi_ij = a_i b_j exp((f_i + g_j - C_ij) / epsilon).
      error: the largest sum of |marginal - weights| that is left.
      num_steps: iterations made.
    """

    cost: Array
    f: Array
    g: Array
    error: Array
    num_steps: Array


def sinkhorn(
    x: Array,
    y: Array,
    epsilon: float,
    *,
    cost: Cost = squared_distances,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
    marginal: float | None = None,
    tolerance: float = 1e-3,
    max_steps: int = 2000,
) -> Plan:
    """Entropic transport in the log domain: Sinkhorn's iterations to a tolerance.

    min_pi <pi, C> + epsilon KL(pi || a b), where the marginals of pi are a and b; unbalanced, they
    may differ at a price of `marginal` KL each: Chizat et al. (2018), arXiv:1607.05816. Memory is
    N M numbers; `ott.solvers` (extra `ot`) solves problems whose cost matrix does not fit.

    Args:
      x: [N, D], y: [M, D].
      epsilon: in units of the cost; a twentieth of the mean cost is customary. Less takes longer.
      cost: (x, y) -> [N, M].
      weights_x: a, [N], positive; normalised here. By default all equal.
      weights_y: b, [M], likewise.
      marginal: price of mass that is not moved; None for none.
      tolerance: of the marginals, at which it ends.
      max_steps: iterations at most.

    Raises:
      ValueError: epsilon is not positive.
    """
    chex.assert_rank([x, y], 2)
    if not epsilon > 0.0:
        raise ValueError(f"sinkhorn needs a positive epsilon; got {epsilon}.")
    log_a, log_b = _log_weights(len(x), weights_x), _log_weights(len(y), weights_y)
    costs = cost(x, y)
    fixed = jax.lax.stop_gradient(costs)
    damping = 1.0 if marginal is None else marginal / (marginal + epsilon)

    def half(potential: Array, log_weights: Array, costs: Array) -> Array:
        terms = log_weights[None] + (potential[None] - costs) / epsilon
        return -damping * epsilon * jax.nn.logsumexp(terms, axis=1)

    def step(state: tuple) -> tuple:
        f, g, _, i = state
        new_f = half(g, log_b, fixed)
        new_g = half(new_f, log_a, fixed.T)
        # After g, columns are right; rows are off by the change that f would make.
        off = jnp.sum(jnp.exp(log_a) * jnp.abs(jnp.expm1((f - new_f) / (damping * epsilon))))
        return new_f, new_g, off, i + 1

    def goes_on(state: tuple) -> Array:
        return (state[2] > tolerance) & (state[3] < max_steps)

    zero = (jnp.zeros_like(log_a), jnp.zeros_like(log_b), jnp.array(jnp.inf, costs.dtype), 0)
    f, g, error, steps = jax.lax.while_loop(goes_on, step, zero)
    f, g = jax.lax.stop_gradient((f, g))
    value = _dual(f, g, log_a, log_b, costs, epsilon, marginal)
    return Plan(value, f, g, error, steps)


def _dual(
    f: Array,
    g: Array,
    log_a: Array,
    log_b: Array,
    costs: Array,
    epsilon: float,
    marginal: float | None,
) -> Array:
    """The dual objective, whose slope in the costs and weights is the plan's."""
    a, b = jnp.exp(log_a), jnp.exp(log_b)
    exponent = log_a[:, None] + log_b[None] + (f[:, None] + g[None] - costs) / epsilon
    mass = jnp.sum(jnp.exp(exponent))
    if marginal is None:
        linear = jnp.sum(a * f) + jnp.sum(b * g)
    else:
        price = functools.partial(_moved, marginal)
        linear = jnp.sum(a * price(f)) + jnp.sum(b * price(g))
    return linear - epsilon * (mass - 1.0)


def _moved(price: float, potential: Array) -> Array:
    """-phi*(-potential) of phi = price KL."""
    return -price * jnp.expm1(-potential / price)


def _log_weights(size: int, weights: Array | None) -> Array:
    if weights is None:
        return jnp.full(size, -jnp.log(size))
    chex.assert_shape(weights, (size,))
    return jnp.log(weights) - jnp.log(jnp.sum(weights))


def sinkhorn_divergence(
    x: Array,
    y: Array,
    epsilon: float,
    *,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
    **options: object,
) -> Array:
    """S(P, Q) = OT(P, Q) - OT(P, P) / 2 - OT(Q, Q) / 2: at least 0, and 0 only at P = Q.

    Between the squared energy distance's kin for large epsilon and W for small.

    Args:
      x: [N, D], y: [M, D].
      epsilon: as in `sinkhorn`.
      weights_x: [N], weights_y: [M], positive.
      **options: of `sinkhorn`.
    """
    of = functools.partial(sinkhorn, epsilon=epsilon, **options)
    both = of(x, y, weights_x=weights_x, weights_y=weights_y).cost
    own_x = of(x, x, weights_x=weights_x, weights_y=weights_x).cost
    own_y = of(y, y, weights_x=weights_y, weights_y=weights_y).cost
    return both - 0.5 * own_x - 0.5 * own_y


def entropic_map(
    z: Array, y: Array, plan: Plan, epsilon: float, *, weights_y: Array | None = None
) -> Array:
    r"""Where a plan moves z: sum_j w_j y_j, w_j \propto b_j exp((g_j - |z - y_j|^2) / epsilon).

    Pooladian & Niles-Weed (2021), arXiv:2109.12004: the barycentre of the plan at x, and defined
    beyond the points that it was found for.

    Args:
      z: [K, D], points to move.
      y: [M, D], what the plan moves onto.
      plan: of `sinkhorn` with squared distances.
      epsilon: that of the plan.
      weights_y: [M], those of the plan.

    Returns:
      [K, D].
    """
    scores = (plan.g[None] - squared_distances(z, y)) / epsilon
    weights = jax.nn.softmax(_log_weights(len(y), weights_y)[None] + scores, axis=1)
    return _product(weights, y)
