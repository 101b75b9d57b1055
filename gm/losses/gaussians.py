r"""Divergences and distances between multivariate Normals, in closed form.

Each takes mean [D] and covariance [D, D] of p = N(m, S) and of q = N(n, T):

    KL(p || q)     (tr(T^-1 S) + |m - n|^2_{T^-1} - D + log |T| / |S|) / 2
    Rényi_a        a |m - n|^2_{M^-1} / 2 + log(|S|^(1-a) |T|^a / |M|) / (2 (a - 1))
    Wasserstein_2  |m - n|^2 + tr(S + T - 2 (S^1/2 T S^1/2)^1/2)   (its square)
    entropy        log |2 pi e S| / 2;  cross-entropy  entropy + KL

with M = a T + (1 - a) S: Gil, Alajaji & Linder (2013), "Rényi divergence measures for commonly used
univariate continuous distributions"; Dowson & Landau (1982), "The Fréchet distance between
multivariate normal distributions". Hellinger's and alpha's divergences and chi-square are functions
of Rényi's: `squared_hellinger`, `alpha`, `pearson`. On the line the total variation distance and
the energy distance have closed forms too; Jensen-Shannon's has none (`quadrature`).
"""

from __future__ import annotations

import math

import chex
import jax
import jax.numpy as jnp

from gm.core import Array


def kl(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array) -> Array:
    """KL(p || q), nats.

    Args:
      mean_p, mean_q: [D].
      cov_p, cov_q: [D, D], positive definite.
    """
    _check(mean_p, cov_p, mean_q, cov_q)
    chol_p, chol_q = jnp.linalg.cholesky(cov_p), jnp.linalg.cholesky(cov_q)
    ratio = jax.scipy.linalg.solve_triangular(chol_q, chol_p, lower=True)
    shift = jax.scipy.linalg.solve_triangular(chol_q, mean_p - mean_q, lower=True)
    log_dets = _half_log_det(chol_q) - _half_log_det(chol_p)
    return 0.5 * (jnp.sum(ratio**2) + jnp.sum(shift**2) - len(mean_p)) + log_dets


def entropy(cov: Array) -> Array:
    """-E log p, nats, of any mean; cov: [D, D], positive definite."""
    chex.assert_shape(cov, (len(cov), len(cov)))
    return 0.5 * len(cov) * math.log(2.0 * math.pi * math.e) + _half_log_det(
        jnp.linalg.cholesky(cov)
    )


def cross_entropy(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array) -> Array:
    """-E_p log q, nats: what samples of p cost under q."""
    return entropy(cov_p) + kl(mean_p, cov_p, mean_q, cov_q)


def renyi(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array, order: float) -> Array:
    """Rényi's divergence of order a > 0, nats; infinite where a T + (1 - a) S is not definite.

    Args:
      mean_p, mean_q: [D].
      cov_p, cov_q: [D, D], positive definite.
      order: a; 1 is KL.

    Raises:
      ValueError: a is not above 0.
    """
    if not order > 0.0:
        raise ValueError(f"renyi needs an order above 0; got {order}.")
    if order == 1.0:
        return kl(mean_p, cov_p, mean_q, cov_q)
    _check(mean_p, cov_p, mean_q, cov_q)
    mixed = order * cov_q + (1.0 - order) * cov_p
    chol = jnp.linalg.cholesky(mixed)  # nan where it is not definite
    definite = jnp.all(jnp.isfinite(chol))
    chol = jnp.where(definite, chol, jnp.eye(len(mixed), dtype=mixed.dtype))
    shift = jax.scipy.linalg.solve_triangular(chol, mean_p - mean_q, lower=True)
    half_p, half_q = (_half_log_det(jnp.linalg.cholesky(cov)) for cov in (cov_p, cov_q))
    log_dets = (1.0 - order) * half_p + order * half_q - _half_log_det(chol)
    value = 0.5 * order * jnp.sum(shift**2) + log_dets / (order - 1.0)
    return jnp.where(definite, value, jnp.inf)


def alpha(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array, a: float) -> Array:
    """The alpha divergence (E_q (p / q)^a - 1) / (a (a - 1)), as `divergences.alpha(a)`; a > 0."""
    if a == 1.0:
        return kl(mean_p, cov_p, mean_q, cov_q)
    power = (a - 1.0) * renyi(mean_p, cov_p, mean_q, cov_q, a)
    return jnp.expm1(power) / (a * (a - 1.0))


def squared_hellinger(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array) -> Array:
    """int (sqrt p - sqrt q)^2 / 2 = 1 - int sqrt(p q), between 0 and 1."""
    return -jnp.expm1(-0.5 * renyi(mean_p, cov_p, mean_q, cov_q, 0.5))


def pearson(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array) -> Array:
    """Chi-square E_q (p / q - 1)^2; infinite where 2 T - S is not positive definite."""
    return jnp.expm1(renyi(mean_p, cov_p, mean_q, cov_q, 2.0))


def squared_wasserstein_2(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array) -> Array:
    """The squared Wasserstein-2 (Fréchet) distance, in squared units of x.

    Args:
      mean_p, mean_q: [D].
      cov_p, cov_q: [D, D], positive semidefinite; gradients need definite ones.
    """
    _check(mean_p, cov_p, mean_q, cov_q)
    root = _square_root(cov_p)
    middle = jnp.linalg.eigvalsh(root @ cov_q @ root)
    overlap = jnp.sum(jnp.sqrt(jnp.maximum(middle, 0.0)))
    return jnp.sum((mean_p - mean_q) ** 2) + jnp.trace(cov_p) + jnp.trace(cov_q) - 2.0 * overlap


def total_variation_1d(mean_p: Array, scale_p: Array, mean_q: Array, scale_q: Array) -> Array:
    r"""\int |p - q| / 2 dx on the line: between the two x where p = q, all mass that differs.

    Args:
      mean_p, scale_p, mean_q, scale_q: scalars; scales are standard deviations.
    """
    middle, unit = 0.5 * (mean_p + mean_q), jnp.minimum(scale_p, scale_q)
    m, n = (mean_p - middle) / unit, (mean_q - middle) / unit
    s, t = scale_p / unit, scale_q / unit
    # log q - log p = (a x^2 - 2 b x + c) / 2
    a, b = 1.0 / s**2 - 1.0 / t**2, m / s**2 - n / t**2
    c = (m / s) ** 2 - (n / t) ** 2 + 2.0 * jnp.log(s / t)
    root = jnp.sqrt(jnp.maximum(b * b - a * c, 0.0))
    # Two solutions, c / away and away / a, of which equal scales have the first alone.
    away = b + jnp.where(b < 0.0, -root, root)
    near = jnp.where(away == 0.0, 0.0, c / jnp.where(away == 0.0, 1.0, away))
    far = away / jnp.where(a == 0.0, 1.0, a)
    cdf = jax.scipy.stats.norm.cdf

    def mass(x: Array) -> Array:
        return cdf(x, m, s) - cdf(x, n, t)

    return jnp.abs(mass(near) - jnp.where(a == 0.0, 0.0, mass(far)))


def energy_distance_1d(mean_p: Array, scale_p: Array, mean_q: Array, scale_q: Array) -> Array:
    """2 E|x - y| - E|x - x'| - E|y - y'| on the line, in units of x: of folded Normals.

    Args:
      mean_p, scale_p, mean_q, scale_q: scalars; scales are standard deviations.
    """
    between = mean_distance_1d(mean_p - mean_q, jnp.sqrt(scale_p**2 + scale_q**2))
    own = (scale_p + scale_q) * (2.0 / math.sqrt(math.pi))
    return 2.0 * between - own


def mean_distance_1d(mean: Array, scale: Array) -> Array:
    """E|d| of d ~ N(mean, scale^2)."""
    z = mean / scale
    density = jnp.exp(-0.5 * z**2) * math.sqrt(2.0 / math.pi)
    return scale * density + mean * jax.scipy.special.erf(z * math.sqrt(0.5))


def _square_root(cov: Array) -> Array:
    values, vectors = jnp.linalg.eigh(cov)
    return (vectors * jnp.sqrt(jnp.maximum(values, 0.0))[None]) @ vectors.T


def _half_log_det(chol: Array) -> Array:
    return jnp.sum(jnp.log(jnp.diagonal(chol)))


def _check(mean_p: Array, cov_p: Array, mean_q: Array, cov_q: Array) -> None:
    chex.assert_rank([mean_p, mean_q], 1)
    chex.assert_equal_shape([mean_p, mean_q])
    chex.assert_shape([cov_p, cov_q], (len(mean_p), len(mean_p)))
