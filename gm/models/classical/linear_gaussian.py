r"""What factor analysis computes: the posterior of z, the closed form, and EM with missing entries.

With h = (z, 1), the maximization of the complete-data likelihood is one regression for every
element d, over the rows n where it is observed, and the noise is what the regression leaves:

    [W_d, m_d] = (\sum_n E[x_nd h_nᵀ]) (\sum_n E[h_n h_nᵀ])⁻¹
    Ψ_d = mean_n E[(x_nd - W_d z_n - m_d)²]
"""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Metrics, Params
from gm.models.classical import em

_LOG_2PI = float(np.log(2.0 * np.pi))


def posterior(loading: Array, weights: Array, shift: Array) -> tuple[Array, Array]:
    """E[z | x] and the lower root S of the covariance, S Sᵀ = (I + Wᵀ diag(weights) W)⁻¹.

    Args:
      loading: [D, K], W.
      weights: [D], 1 / Ψ, zero where x is missing.
      shift: [D], x - m.

    Returns:
      [K] and [K, K].
    """
    weighted = weights[:, None] * loading
    eye = jnp.eye(loading.shape[1], dtype=loading.dtype)
    precision = eye + jnp.matmul(loading.T, weighted, precision="highest")
    # M = U Uᵀ with U upper triangular, so that U⁻ᵀ is lower triangular, and S.
    upper = jnp.linalg.cholesky(precision[::-1, ::-1])[::-1, ::-1]
    root = jax.scipy.linalg.solve_triangular(upper.T, eye, lower=True)
    product = functools.partial(jnp.matmul, precision="highest")
    return product(root, product(root.T, product(weighted.T, shift))), root


def principal(
    rows: np.ndarray, w: np.ndarray, num: int, min_scale: float
) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean, loading and noise scale of probabilistic PCA, in closed form: [D], [D, num], scalar."""
    share = w / np.sum(w)
    mean = share @ rows
    centred = (rows - mean) * np.sqrt(share)[:, None]
    values, vectors = np.linalg.eigh(centred.T @ centred)
    rest = max(float(np.mean(np.maximum(values[:-num], 0.0))), min_scale**2)
    scales = np.sqrt(np.maximum(values[-num:] - rest, 0.0))
    return mean, (vectors[:, -num:] * scales)[:, ::-1], float(np.sqrt(rest))


def fit(
    rows: np.ndarray,
    weights: np.ndarray | None,
    num: int,
    isotropic: bool,
    *,
    num_steps: int,
    tolerance: float,
    min_scale: float,
) -> Params:
    """As `FactorAnalysis.fit`, for rows [N, D] in float64."""
    w = core.example_weights(weights, len(rows), "FactorAnalysis.fit")
    rows, w = rows[w > 0.0], w[w > 0.0]
    seen = ~np.isnan(rows)
    mean, std = _moments(rows, seen, w, isotropic)
    unit = np.full_like(std, np.sqrt(np.mean(std**2))) if isotropic else std
    unit = np.maximum(unit, min_scale)  # of all-constant examples under isotropic noise
    scaled = np.where(seen, (np.where(seen, rows, 0.0) - mean) / unit, 0.0)
    least = min_scale / unit
    found = principal(scaled, w, num, float(np.min(least)))
    noise = np.asarray(found[2]) if isotropic else np.full(len(std), found[2])
    params = {"mean": found[0], "loading": found[1], "log_scale": np.log(noise)}
    if not (isotropic and np.all(seen)):
        scaled[~seen] = np.nan
        data = _compressed(scaled, w) if np.all(seen) else (scaled, w)
        arrays = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), (params, *data, least))
        ended = _maximize(*arrays, num_steps, tolerance)
        params = jax.tree.map(lambda a: np.asarray(a, np.float64), ended)
    params = {
        "mean": mean + unit * params["mean"],
        "loading": unit[:, None] * params["loading"],
        "log_scale": params["log_scale"] + np.log(unit[0] if isotropic else unit),
    }
    return jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), params)


def _moments(
    rows: np.ndarray, seen: np.ndarray, w: np.ndarray, isotropic: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of what is observed of every element: [D] each.

    Raises:
      ValueError: there is too little for a fit.
    """
    if len(rows) < 2:
        raise ValueError(
            f"FactorAnalysis.fit needs at least 2 rows of positive weight; got {len(rows)}."
        )
    for axis, what in enumerate(("elements", "rows")):
        (empty,) = np.nonzero(~np.any(seen, axis=axis))
        if len(empty):
            raise ValueError(
                f"FactorAnalysis.fit needs something observed in each of the {what}; {len(empty)} "
                f"of {seen.shape[1 - axis]} have none, the first at {empty[0]}. Leave them out."
            )
    mass = w[:, None] * seen
    mean = np.sum(np.where(seen, rows, 0.0) * mass, axis=0) / np.sum(mass, axis=0)
    centred = np.where(seen, rows - mean, 0.0)
    std = np.sqrt(np.sum(centred**2 * mass, axis=0) / np.sum(mass, axis=0))
    (flat,) = np.nonzero(std <= 1e-12 * np.max(np.abs(np.where(seen, rows, 0.0)), axis=0))
    if len(flat) and not isotropic:
        raise ValueError(
            f"FactorAnalysis.fit needs elements that vary; got data where {len(flat)} of "
            f"{len(std)} are constant, the first at raster index {flat[0]}. Add noise, leave them "
            "out, or take isotropic noise (probabilistic_pca)."
        )
    return mean, std


def _compressed(rows: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most 2 D rows with the mean and the covariance of many, all that the likelihood knows."""
    size = rows.shape[1]
    if len(rows) <= 2 * size:
        return rows, w
    share = w / np.sum(w)
    mean = share @ rows
    centred = (rows - mean) * np.sqrt(share)[:, None]
    values, vectors = np.linalg.eigh(centred.T @ centred)
    spread = (vectors * np.sqrt(size * np.maximum(values, 0.0))).T
    return np.concatenate([mean + spread, mean - spread]), np.full(2 * size, 0.5 / size)


def step(params: Params, rows: Array, w: Array, min_scale: float | Array) -> tuple[Params, Metrics]:
    """One step of expectation maximization, parameter-expanded.

    Args:
      params: {"mean": [D], "loading": [D, K], "log_scale": [D] or []}.
      rows: [N, D], nan where missing.
      w: [N], weights.
      min_scale: the least scale of the noise: [D] or scalar.

    Returns:
      The next parameters, and {"log_prob": of these ones, the weighted mean over rows}.
    """
    loading, num = params["loading"], params["loading"].shape[1]
    missing = jnp.isnan(rows)
    shift = jnp.where(missing, 0.0, rows - params["mean"][None])
    log_scale = params["log_scale"] + jnp.zeros_like(params["mean"])
    weights = jnp.where(missing, 0.0, jnp.exp(-2.0 * log_scale)[None])
    z, root = jax.vmap(posterior, (None, 0, 0))(loading, weights, shift)
    log_prob = _log_probs(loading, log_scale, weights, shift, z, root)

    product = functools.partial(jnp.einsum, precision="highest")
    cov = product("nij,nkj->nik", root, root)
    second = cov + z[:, :, None] * z[:, None, :]
    counts = jnp.where(missing, 0.0, w[:, None])
    h = jnp.concatenate([z, jnp.ones_like(z[:, :1])], axis=1)
    h_h = (h[:, :, None] * h[:, None, :]).at[:, :num, :num].add(cov)
    gram = product("nd,nij->dij", counts, h_h)
    beta = jnp.linalg.solve(gram, product("nd,ni->di", counts * shift, h)[:, :, None])[:, :, 0]
    loading, moved = beta[:, :num], beta[:, num]
    left = jnp.where(missing, 0.0, shift - product("nk,dk->nd", z, loading) - moved[None])
    square = left**2 + product("nij,di,dj->nd", cov, loading, loading)
    square, count = jnp.sum(counts * square, 0), jnp.sum(counts, 0)
    if params["log_scale"].ndim == 0:
        square, count = jnp.sum(square), jnp.sum(count)
        min_scale = jnp.max(jnp.asarray(min_scale))
    variance = jnp.maximum(square / count, min_scale**2)

    # z ~ N(a, R) fits better than N(0, I); the same density has z ~ N(0, I), m + W a, W R^(1/2).
    share = w / jnp.sum(w)
    a = product("n,nk->k", share, z)
    spread = product("n,nij->ij", share, second) - a[:, None] * a[None, :]
    new = {
        "mean": params["mean"] + moved + product("dk,k->d", loading, a),
        "loading": product("dk,kl->dl", loading, jnp.linalg.cholesky(spread)),
        "log_scale": 0.5 * jnp.log(variance),
    }
    return new, {"log_prob": jnp.dot(share, log_prob)}


def _log_probs(
    loading: Array, log_scale: Array, weights: Array, shift: Array, z: Array, root: Array
) -> Array:
    """log p of what is observed of every row, [N]: p(x, z) / p(z | x) at the posterior's mean."""
    seen = weights > 0.0
    left = shift - jnp.matmul(z, loading.T, precision="highest")
    square = jnp.sum(weights * left**2, 1) + jnp.sum(z**2, 1)
    log_det = jnp.sum(jnp.where(seen, 2.0 * log_scale[None], 0.0), 1)
    log_det = log_det - 2.0 * jnp.sum(jnp.log(jnp.diagonal(root, axis1=1, axis2=2)), 1)
    return -0.5 * (square + log_det + _LOG_2PI * jnp.sum(seen, 1, dtype=square.dtype))


@jax.jit
def _maximize(
    params: Params, rows: Array, w: Array, min_scale: Array, num_steps: int, tolerance: float
) -> Params:
    """Where expectation maximization ends."""
    return em.iterate(lambda p: step(p, rows, w, min_scale), params, num_steps, tolerance)[0]
