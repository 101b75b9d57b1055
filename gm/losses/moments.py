r"""Moment matching: distances between distributions by the means of many functions at once.

    MMD^2(P, Q) = E k(x, x') + E k(y, y') - 2 E k(x, y)

is the largest difference of means over the unit ball of a kernel's space: Gretton et al. (2012),
JMLR 13:723-773. With k = -|x - y| it is the energy distance: Székely & Rizzo (2013), Sejdinovic et
al. (2013), arXiv:1207.6076. The kernel Stein discrepancy needs samples of one side and the score of
the other: Liu, Lee & Jordan (2016), arXiv:1602.03253; Chwialkowski et al. (2016), arXiv:1602.02964.

All are U-statistics: unbiased, so that around zero they are negative as often as positive, and
differentiable in the samples, so that they train generators (Li, Swersky & Zemel 2015,
arXiv:1502.02761; Dziugaite et al. 2015, arXiv:1505.03906). `gm.metrics.mmd` evaluates, with errors
and in pieces; `gm.metrics.permutation` gives p-values.

A kernel is a function (x: [A, D], y: [B, D]) -> [A, B]; those here are pytrees, so that what they
hold may be learned.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gm.core import Array, pytree
from gm.losses import batches
from gm.losses.transport import squared_distances

Kernel = Callable[[Array, Array], Array]


@pytree
class RBF:
    r"""k(x, y) = (1/R) sum_r exp(-|x - y|^2 / 2 s_r^2): an equal mixture of Gaussian kernels.

    Attributes:
      bandwidths: s, [R], in the units of x.
    """

    bandwidths: Array

    def __call__(self, x: Array, y: Array) -> Array:
        """[A, D], [B, D] -> [A, B]"""
        square = squared_distances(x, y)
        kernels = [jnp.exp(-square / (2 * s**2)) for s in self.bandwidths]
        return functools.reduce(jnp.add, kernels) / len(kernels)


@pytree
class RationalQuadratic:
    """k(x, y) = (1/R) sum_r (1 + |x - y|^2 / 2 a_r s^2)^(-a_r): heavy tails, no scale is lost.

    Bińkowski et al. (2018), "Demystifying MMD GANs", arXiv:1801.01401, section 2.1.

    Attributes:
      powers: a, [R], positive; 0.2, 0.5, 1, 2, 5 in the paper.
      scale: s, in the units of x.
    """

    powers: Array
    scale: Array

    def __call__(self, x: Array, y: Array) -> Array:
        """[A, D], [B, D] -> [A, B]"""
        square = squared_distances(x, y) / (2.0 * self.scale**2)
        kernels = [jnp.exp(-a * jnp.log1p(square / a)) for a in self.powers]
        return functools.reduce(jnp.add, kernels) / len(kernels)


def linear(x: Array, y: Array) -> Array:
    """k(x, y) = x . y, whose MMD is the distance of the means alone: [A, D], [B, D] -> [A, B]."""
    return jnp.matmul(x, y.T, precision="highest")


def negative_distance(x: Array, y: Array) -> Array:
    """-|x - y|, whose MMD^2 is the energy distance: [A, D], [B, D] -> [A, B]."""
    square = jnp.sum((x[:, None] - y[None]) ** 2, -1)
    apart = square > 0.0  # the slope of a root at 0 is not finite
    return -jnp.where(apart, jnp.sqrt(jnp.where(apart, square, 1.0)), 0.0)


def of_features(features: Callable[[Array], Array], kernel: Kernel) -> Kernel:
    """k(phi(x), phi(y)): a learned kernel, [A, ...] -> [A, F] by `features`.

    Li et al. (2017), "MMD GAN", arXiv:1705.08584; Liu et al. (2020), arXiv:2002.09116.
    """
    return lambda x, y: kernel(features(x), features(y))


def squared_mmd(
    kernel: Kernel,
    x: Array,
    y: Array,
    *,
    weights_x: Array | None = None,
    weights_y: Array | None = None,
) -> Array:
    """The unbiased estimate of MMD^2, from all pairs: Gretton et al. (2012), equation 3.

    With weights a pair counts as their product, and the pairs of a point with itself not at all:
    unbiased where the weights do not depend on the values.

    Args:
      kernel: of samples.
      x: [M, ...], y: [N, ...], at least two of each.
      weights_x: [M], at least 0, of any sum; by default all equal.
      weights_y: [N], likewise.

    Raises:
      ValueError: fewer than two points, points of two shapes, or weights that are none.
    """
    batches.two_samples("squared_mmd", x, y, least=2)
    crossed = kernel(x, y)
    a, b = _shares(len(x), weights_x, crossed.dtype), _shares(len(y), weights_y, crossed.dtype)
    between = jnp.dot(a, _product(crossed, b))
    return _within(kernel(x, x), a) + _within(kernel(y, y), b) - 2.0 * between


def energy_distance(x: Array, y: Array, **weights: Array | None) -> Array:
    """2 E|x - y| - E|x - x'| - E|y - y'|, unbiased, in the units of x; zero only at P = Q.

    `gm.metrics.mmd.squared_mmd` with this kernel states its standard error.

    Args:
      x: [M, D], y: [N, D], at least two of each.
      **weights: weights_x and weights_y of `squared_mmd`.
    """
    return squared_mmd(negative_distance, x, y, **weights)


def signal_to_noise(kernel: Kernel, x: Array, y: Array, *, floor: float = 1e-6) -> Array:
    r"""MMD^2 over its standard deviation where P and Q differ: what a learned kernel maximises.

    The power of the test grows with it: Sutherland et al. (2017), arXiv:1611.04488; Liu et al.
    (2020), arXiv:2002.09116, equations 3 and 5. Fit on one part of the data, test on the other.

    Args:
      kernel: whose parameters, as those of `of_features`, are to be learned.
      x, y: [N, ...], N >= 2 of each.
      floor: added to the variance.
    """
    batches.two_samples("signal_to_noise", x, y, least=2)
    chex.assert_equal_shape([x, y])
    crossed = kernel(x, y)
    h = kernel(x, x) + kernel(y, y) - crossed - crossed.T
    value = (jnp.sum(h) - jnp.trace(h)) / (len(x) * (len(x) - 1))
    variance = 4.0 * jnp.var(jnp.mean(h, axis=1))
    return value / jnp.sqrt(variance + floor)


def linear_time_mmd(kernel: Kernel, x: Array, y: Array) -> tuple[Array, Array]:
    """MMD^2 from N / 2 disjoint pairs, with its standard error: time and memory O(N).

    Gretton et al. (2012), section 6: the mean of h = k(x, x') + k(y, y') - k(x, y') - k(x', y) is
    Normal for many pairs, at P = Q too, so that value / error is a test; its variance is larger
    than that of `squared_mmd` by a factor of about N.

    Args:
      kernel: of samples.
      x, y: [N, ...], N >= 4; an odd last one is left out.

    Returns:
      The mean, and std / sqrt(N / 2).
    """
    batches.two_samples("linear_time_mmd", x, y, least=4)
    chex.assert_equal_shape([x, y])
    half = len(x) // 2
    parts = [a[i : 2 * half : 2] for a in (x, y) for i in (0, 1)]

    def pair(x1: Array, x2: Array, y1: Array, y2: Array) -> Array:
        def of(a: Array, b: Array) -> Array:
            return kernel(a[None], b[None])[0, 0]

        return of(x1, x2) + of(y1, y2) - of(x1, y2) - of(x2, y1)

    values = jax.vmap(pair)(*parts)
    return jnp.mean(values), jnp.std(values, ddof=1) / math.sqrt(half)


def kernel_stein_discrepancy(
    kernel: Callable[[Array, Array], Array], x: Array, scores: Array
) -> Array:
    r"""Unbiased estimate of the squared kernel Stein discrepancy between samples and a density p.

    E u(x, x'),  u = s . s' k + s . grad_x' k + s' . grad_x k + tr grad_x grad_x' k,  s = grad log p

    Zero where the samples are of p, for p up to a constant: the score is all that is asked of it.

    Args:
      kernel: of two points, (x: [D], x': [D]) -> scalar, smooth: `inverse_multiquadric`.
      x: [N, D], N >= 2, samples.
      scores: [N, D], grad log p at each.
    """
    chex.assert_rank([x, scores], 2)
    batches.two_samples("kernel_stein_discrepancy", x, scores, least=2)

    def u(a: Array, b: Array, score_a: Array, score_b: Array) -> Array:
        slope_a, slope_b = jax.grad(kernel, (0, 1))(a, b)
        mixed = jnp.trace(jax.jacfwd(jax.grad(kernel, 0), 1)(a, b))
        inner = jnp.dot(score_a, score_b) * kernel(a, b)
        return inner + jnp.dot(score_a, slope_b) + jnp.dot(score_b, slope_a) + mixed

    rows = jax.vmap(jax.vmap(u, (None, 0, None, 0)), (0, None, 0, None))
    kernels = rows(x, x, scores, scores)
    return _within(kernels, _shares(len(x), None, kernels.dtype))


def inverse_multiquadric(a: Array, b: Array, scale: float = 1.0, power: float = 0.5) -> Array:
    """(1 + |a - b|^2 / s^2)^(-power), 0 < power < 1, which sees samples that wander off.

    Gorham & Mackey (2017), arXiv:1703.01717: with a Gaussian kernel in three and more dimensions
    the discrepancy may fall to zero for samples that do not converge. a, b: [D].
    """
    return (1.0 + jnp.sum((a - b) ** 2) / scale**2) ** -power


def _within(kernels: Array, shares: Array) -> Array:
    """The mean over pairs of different points, each with its share: [N, N], [N] -> scalar."""
    every = jnp.dot(shares, _product(kernels, shares)) - jnp.sum(shares**2 * jnp.diagonal(kernels))
    return every / (1.0 - jnp.sum(shares**2))


def _shares(size: int, weights: Array | None, dtype: jnp.dtype) -> Array:
    """Weights that sum to one."""
    if weights is None:
        return jnp.full(size, 1.0 / size, dtype)
    batches.weights("squared_mmd", weights, size)
    shares = jnp.asarray(weights, dtype)
    return shares / jnp.sum(shares)


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, precision="highest")
