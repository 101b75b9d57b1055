r"""Entropic optimal transport: a smooth plan in many dimensions, and what it costs.

    OT(P, Q) = min_pi <pi, C> + epsilon KL(pi || P x Q),   pi with marginals P and Q

by Sinkhorn's iterations (`sinkhorn`): Cuturi (2013), arXiv:1306.0895. Its bias towards shrunken
samples is taken off by the divergence

    S(P, Q) = OT(P, Q) - OT(P, P) / 2 - OT(Q, Q) / 2

(`sinkhorn_divergence`): Genevay, Peyré & Cuturi (2018), arXiv:1706.00292; Feydy et al. (2019),
arXiv:1810.08278. Unbalanced, mass may be made or destroyed at a price: Chizat et al. (2018),
arXiv:1607.05816; Séjourné et al. (2019), arXiv:1910.12958. Gradients are those of the envelope
theorem: the potentials are held fixed.

Between minibatches of P = Q the divergence is above zero in expectation, less than the entropic
cost itself and falling faster; in five dimensions still half of what a shift by one standard
deviation makes for batches of 32, a tenth for 512 (`benchmarks/minibatch_bias.py`).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gm.core import Array
from gm.losses import batches
from gm.losses.transport import squared_distances

Cost = Callable[[Array, Array], Array]  # [N, D], [M, D] -> [N, M]
_Rows = Callable[[int, Callable[[Array], Array]], Array]


class Plan(NamedTuple):
    """What `sinkhorn` finds.

    Attributes:
      cost: <pi, C> + epsilon KL(pi || a b), in units of the cost, and the price of the marginals
        where it is unbalanced; its gradient is that of the envelope theorem.
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
    block: int | None = None,
) -> Plan:
    """Entropic transport in the log domain: Sinkhorn's iterations to a tolerance.

    min_pi <pi, C> + epsilon KL(pi || a b), where the marginals of pi are a and b; unbalanced, they
    may differ at a price of `marginal` KL each: Chizat et al. (2018), arXiv:1607.05816. Memory is
    N M numbers, or (N + M) `block` where costs are computed again in every iteration.

    Args:
      x: [N, D], y: [M, D].
      epsilon: in units of the cost; a twentieth of the mean cost is customary. Less takes longer.
      cost: (x, y) -> [N, M].
      weights_x: a, [N], at least 0; normalised here, but for a `marginal`, where they keep their
        sum. By default all 1 / N.
      weights_y: b, [M], likewise.
      marginal: price of a KL of the marginals, in units of the cost; None where they are kept.
      tolerance: of the marginals, at which it ends.
      max_steps: iterations at most.
      block: rows of the cost matrix held at once, for clouds whose matrix does not fit; None for
        all.

    Raises:
      ValueError: epsilon or marginal is not positive, points of two dimensions or none, or weights
        that are none.
    """
    _check("sinkhorn", x, y, epsilon, marginal, weights_x, weights_y)
    dtype = jnp.result_type(x, y)
    log_a = _log_weights(len(x), weights_x, dtype, marginal is None)
    log_b = _log_weights(len(y), weights_y, dtype, marginal is None)
    damping = 1.0 if marginal is None else marginal / (marginal + epsilon)

    def log_sums(rows: _Rows, axis: int, potential: Array, log_weights: Array) -> Array:
        def of_row(costs: Array) -> Array:
            return jax.nn.logsumexp(log_weights + (potential - costs) / epsilon)

        return rows(axis, of_row)

    fixed = _rows(lambda *xy: jax.lax.stop_gradient(cost(*xy)), x, y, block)

    def step(state: tuple) -> tuple:
        f, g, _, i = state
        new_f = -damping * epsilon * log_sums(fixed, 0, g, log_b)
        new_g = -damping * epsilon * log_sums(fixed, 1, new_f, log_a)
        # After g, columns are right; rows are off by the change that f would make.
        off = jnp.sum(jnp.exp(log_a) * jnp.abs(jnp.expm1((f - new_f) / (damping * epsilon))))
        return new_f, new_g, off, i + 1

    def goes_on(state: tuple) -> Array:
        return (state[2] > tolerance) & (state[3] < max_steps)

    zero = (jnp.zeros_like(log_a), jnp.zeros_like(log_b), jnp.array(jnp.inf, dtype), 0)
    f, g, error, steps = jax.lax.stop_gradient(jax.lax.while_loop(goes_on, step, zero))
    masses = log_a + f / epsilon + log_sums(_rows(cost, x, y, block), 0, g, log_b)
    value = _dual(f, g, jnp.exp(log_a), jnp.exp(log_b), jnp.sum(jnp.exp(masses)), epsilon, marginal)
    return Plan(value, f, g, error, steps)


def _rows(cost: Cost, x: Array, y: Array, block: int | None) -> _Rows:
    """(axis, f) -> f of the costs of every x (axis 0) or of every y (axis 1)."""
    if block is None:
        costs = cost(x, y)
        return lambda axis, of_row: jax.vmap(of_row)(costs if axis == 0 else costs.T)

    def rows(axis: int, of_row: Callable[[Array], Array]) -> Array:
        def one(point: Array) -> Array:
            costs = cost(point[None], y)[0] if axis == 0 else cost(x, point[None])[:, 0]
            return of_row(costs)

        return jax.lax.map(jax.checkpoint(one), (x, y)[axis], batch_size=block)

    return rows


def _dual(
    f: Array,
    g: Array,
    a: Array,
    b: Array,
    mass: Array,
    epsilon: float,
    marginal: float | None,
) -> Array:
    """The dual objective, whose slope in the costs and weights is the plan's; `mass` is its sum."""
    if marginal is None:
        linear = jnp.sum(a * f) + jnp.sum(b * g)
    else:
        price = functools.partial(_moved, marginal)
        linear = jnp.sum(a * price(f)) + jnp.sum(b * price(g))
    return linear - epsilon * (mass - jnp.sum(a) * jnp.sum(b))


def _moved(price: float, potential: Array) -> Array:
    """-phi*(-potential) of phi = price KL."""
    return -price * jnp.expm1(-potential / price)


def _log_weights(
    size: int, weights: Array | None, dtype: jnp.dtype, normalised: bool = True
) -> Array:
    if weights is None:
        return jnp.full(size, -math.log(size), dtype)
    log_weights = jnp.log(jnp.asarray(weights, dtype))
    return log_weights - jnp.log(jnp.sum(jnp.asarray(weights, dtype))) * normalised


def _check(
    name: str,
    x: Array,
    y: Array,
    epsilon: float,
    marginal: float | None,
    weights_x: Array | None,
    weights_y: Array | None,
) -> None:
    chex.assert_rank([x, y], 2)
    batches.two_samples(name, x, y)
    batches.weights(name, weights_x, len(x))
    batches.weights(name, weights_y, len(y))
    if not epsilon > 0.0:
        raise ValueError(f"{name} needs a positive epsilon; got {epsilon}.")
    if marginal is not None and not marginal > 0.0:
        raise ValueError(f"{name} needs a positive marginal, or None; got {marginal}.")


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

    Near half the energy distance of that cost for large epsilon and near W for small. Unbalanced,
    with masses m of each, epsilon (m(P) - m(Q))^2 / 2 is added: Séjourné et al. (2019),
    arXiv:1910.12958, equation 14.

    Args:
      x: [N, D], y: [M, D].
      epsilon: as in `sinkhorn`.
      weights_x: [N], weights_y: [M], as in `sinkhorn`.
      **options: of `sinkhorn`.
    """
    of = functools.partial(sinkhorn, epsilon=epsilon, **options)
    both = of(x, y, weights_x=weights_x, weights_y=weights_y).cost
    own_x = of(x, x, weights_x=weights_x, weights_y=weights_x).cost
    own_y = of(y, y, weights_x=weights_y, weights_y=weights_y).cost
    value = both - 0.5 * own_x - 0.5 * own_y
    if options.get("marginal") is None:
        return value
    masses = [1.0 if w is None else jnp.sum(jnp.asarray(w)) for w in (weights_x, weights_y)]
    return value + 0.5 * epsilon * (masses[0] - masses[1]) ** 2


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
    batches.two_samples("entropic_map", z, y)
    scores = (plan.g[None] - squared_distances(z, y)) / epsilon
    log_b = _log_weights(len(y), weights_y, scores.dtype)
    weights = jax.nn.softmax(log_b[None] + scores, axis=1)
    return jnp.matmul(weights, y, precision="highest")
