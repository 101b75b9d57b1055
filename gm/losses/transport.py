r"""Optimal transport: what it costs to move one distribution onto another.

    W_p(P, Q)^p = inf_pi E_pi |x - y|^p,   pi with marginals P and Q

In one dimension the best plan sorts (`wasserstein_1d`), which `sliced` and `max_sliced` use along
directions: Rabin et al. (2011); Bonneel et al. (2015); Deshpande et al. (2019), arXiv:1904.05877.
In many dimensions entropy makes the plan smooth and cheap to find: `gm.losses.entropic`.

Between minibatches all of these are biased upwards as distances of P and Q: E W(P_n, Q_n) > 0 at
P = Q, falling as n^(-1/D) (Fournier & Guillin 2015, arXiv:1312.2128), sliced ones as on the line;
`moments.energy_distance` is not biased at all (`benchmarks/minibatch_bias.py`). Distances are in
the units of x, to the power p.
"""

from __future__ import annotations

import functools
import types

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gm import numerics
from gm.core import Array, Key
from gm.losses import batches


def wasserstein_1d(
    x: Array,
    y: Array,
    p: float = 1.0,
    *,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
) -> Array:
    r"""W_p^p of two samples of the line, exactly: \int_0^1 |F^-1(u) - G^-1(u)|^p du.

    O(N log N). Of equal sizes without weights the mean of |x_(i) - y_(i)|^p; else levels u are sums
    of weights, in float64 outside jit on a CPU, else to float32 rounding. Differentiable in x and
    y almost everywhere.

    Args:
      x: [N], y: [M].
      p: at least 1; below, sorting is not the best plan.
      weights_x: [N], at least 0, of any sum; by default all equal.
      weights_y: [M], likewise.

    Raises:
      ValueError: p below 1, no points, or weights that are none.
    """
    chex.assert_rank([x, y], 1)
    _check("wasserstein_1d", x, y, p, weights_x, weights_y)
    if len(x) == len(y) and weights_x is None and weights_y is None:
        return _sorted_cost(x, y, p)
    arrays = [x, y, weights_x, weights_y]
    if numerics.on_host(*arrays):
        wide = [a if a is None else np.asarray(a, np.float64) for a in arrays]
        return jnp.asarray(_merged(np, *wide, p), jnp.result_type(x, y, jnp.float32))
    return _merged(jnp, *(a if a is None else jnp.asarray(a) for a in arrays), p)


def _merged(
    xp: types.ModuleType,
    x: Array,
    y: Array,
    weights_x: Array | None,
    weights_y: Array | None,
    p: float,
) -> Array:
    """The integral over all levels of both, by numpy or jax.numpy."""
    x, levels_x = _quantiles(xp, x, weights_x)
    y, levels_y = _quantiles(xp, y, weights_y)
    levels = xp.sort(xp.concatenate([levels_x, levels_y]))
    widths = xp.diff(levels, prepend=xp.zeros(1, levels.dtype))
    # Between two neighbouring levels both inverse CDFs are constant.
    middle = levels - 0.5 * widths
    at_x = x[xp.minimum(xp.searchsorted(levels_x, middle), len(x) - 1)]
    at_y = y[xp.minimum(xp.searchsorted(levels_y, middle), len(y) - 1)]
    return xp.sum(widths * xp.abs(at_x - at_y) ** p)


def wasserstein_of_cdfs(cdf_p: Array, cdf_q: Array, x: Array, p: float = 1.0) -> Array:
    r"""W_p^p of two CDFs on a grid, exactly for CDFs that are linear between its points.

    \int_0^1 |F^-1(u) - G^-1(u)|^p du over the levels u of both, between which both inverses are
    linear; for p = 1 that is \int |F(x) - G(x)| dx.

    Args:
      cdf_p, cdf_q: [N], at x, not falling.
      x: [N], rising, wide enough that both go from 0 to 1.
      p: at least 1.

    Raises:
      ValueError: p below 1; or CDFs that do not go from 0 to 1, of known values.
    """
    chex.assert_rank([cdf_p, cdf_q, x], 1)
    chex.assert_equal_shape([cdf_p, cdf_q, x])
    _check("wasserstein_of_cdfs", x, x, p)
    for name, cdf in (("cdf_p", cdf_p), ("cdf_q", cdf_q)):
        if not isinstance(cdf, jax.core.Tracer) and not (cdf[0] <= 1e-3 and cdf[-1] >= 0.999):
            raise ValueError(
                f"wasserstein_of_cdfs needs CDFs from 0 to 1; {name} goes from {cdf[0]:.4g} to "
                f"{cdf[-1]:.4g}. Give a wider grid."
            )
    levels = jnp.sort(jnp.concatenate([cdf_p, cdf_q]))
    low, widths = levels[:-1], jnp.diff(levels)

    def apart(part: float) -> Array:  # inside an interval, where no inverse jumps
        at = low + part * widths
        return jnp.interp(at, cdf_p, x) - jnp.interp(at, cdf_q, x)

    first, last = apart(0.25), apart(0.75)
    begin, end = 1.5 * first - 0.5 * last, 1.5 * last - 0.5 * first
    return jnp.sum(widths * _mean_power(begin, end, p))


def _mean_power(a: Array, b: Array, p: float) -> Array:
    """The mean of |.|^p along the way from a to b."""
    rise = b - a
    flat = jnp.abs(rise) <= 1e-4 * (jnp.abs(a) + jnp.abs(b))
    area = (b * jnp.abs(b) ** p - a * jnp.abs(a) ** p) / (p + 1.0)
    middle = jnp.abs(0.5 * (a + b)) ** p
    return jnp.where(flat, middle, area / jnp.where(flat, 1.0, rise))


def _sorted_cost(x: Array, y: Array, p: float) -> Array:
    """The mean of |x_(i) - y_(i)|^p, [..., N] each."""
    apart = jnp.ravel(jnp.abs(numerics.sort(x) - numerics.sort(y)) ** p)
    # Sums of sums: a single one of 10^7 float32 numbers loses four digits.
    block = 4096
    whole = apart.size - apart.size % block
    total = jnp.sum(jnp.sum(apart[:whole].reshape(-1, block), axis=1)) + jnp.sum(apart[whole:])
    return total / apart.size


def _check(
    name: str,
    x: Array,
    y: Array,
    p: float = 1.0,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
) -> None:
    """ValueError unless both are samples of one space, weights are some, and p is at least 1."""
    if not p >= 1.0:
        raise ValueError(f"{name} needs p of at least 1; got {p}.")
    batches.two_samples(name, x, y)
    batches.weights(name, weights_x, len(x))
    batches.weights(name, weights_y, len(y))


def _quantiles(xp: types.ModuleType, x: Array, weights: Array | None) -> tuple[Array, Array]:
    """The points in order, and the CDF at each, which ends at 1."""
    weights = xp.ones_like(x) if weights is None else xp.asarray(weights, x.dtype)
    order = xp.argsort(x)
    levels = xp.cumsum(weights[order])
    return x[order], levels / levels[-1]


def directions(key: Key, num: int, dim: int) -> Array:
    """[num, dim] unit vectors, uniform on the sphere."""
    v = jax.random.normal(key, (num, dim))
    return v / jnp.linalg.norm(v, axis=1, keepdims=True)


def sliced(
    key: Key,
    x: Array,
    y: Array,
    p: float = 2.0,
    *,
    num_directions: int = 128,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
) -> Array:
    """Sliced W_p^p: the mean over random directions of `wasserstein_1d` of the projections.

    Unbiased over directions; its spread over them falls as 1 / sqrt(num_directions). Of equal sizes
    O(L N log N) for L directions. Outside jit on a CPU the sorting is numpy's, far quicker.

    Args:
      key: of the directions.
      x: [N, D], y: [M, D].
      p: at least 1.
      num_directions: L.
      weights_x: [N], weights_y: [M], as in `wasserstein_1d`.
    """
    chex.assert_rank([x, y], 2)
    _check("sliced", x, y, p, weights_x, weights_y)
    along = directions(key, num_directions, x.shape[1])
    at_x, at_y = _product(along, x.T), _product(along, y.T)
    if len(x) == len(y) and weights_x is None and weights_y is None:
        return _sorted_cost(at_x, at_y, p)
    of = functools.partial(wasserstein_1d, p=p, weights_x=weights_x, weights_y=weights_y)
    return jnp.mean(jax.vmap(of)(at_x, at_y))


def max_sliced(
    key: Key,
    x: Array,
    y: Array,
    p: float = 2.0,
    *,
    num_steps: int = 50,
    rate: float = 0.1,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
) -> Array:
    """Max-sliced W_p^p: the largest over directions, by ascent from the best of 32 random ones.

    A lower bound where the ascent ends before the maximum.

    Args:
      key: of the first directions.
      x: [N, D], y: [M, D].
      p: at least 1.
      num_steps: of normalised gradient ascent on the sphere, each shorter than the last.
      rate: length of the first step, in radians.
      weights_x: [N], weights_y: [M], as in `wasserstein_1d`.
    """
    chex.assert_rank([x, y], 2)
    _check("max_sliced", x, y, p, weights_x, weights_y)
    weights = {"weights_x": weights_x, "weights_y": weights_y}

    def along(v: Array) -> Array:
        v = v / jnp.linalg.norm(v)
        return wasserstein_1d(_product(x, v), _product(y, v), p, **weights)

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
