r"""log p(x) of a latent-variable model by importance sampling from its posterior.

    log p(x) >= E log (1/K) \sum_k w_k,   w_k = p(x, z_k) / q(z_k | x),   z_k ~ q(z | x)

Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519: the bound increases to log p(x) with K, and
is exact for every K if q is the posterior. With K = 1 it is the ELBO.

How to read it: the expectation of the estimate is below log p(x), and an estimate is above it only
by chance. It underestimates models whose posterior q misses parts of the true one, for any
practical K (Wu et al. 2017, arXiv:1611.04273, compare it with annealed importance sampling). An
effective sample size of a few out of thousands of samples shows that the bound is still loose.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gm import core
from gm import distributions as dist
from gm.core import Array, Key, Params


class Estimate(NamedTuple):
    """An importance-sampling estimate of log p(x).

    Attributes:
      log_prob: log (1/K) Σ_k w_k, nats.
      effective_sample_size: (Σ w)² / Σ w², from 1 (one weight dominates) to K (all are equal).
    """

    log_prob: Array
    effective_sample_size: Array


def estimate(
    model: Any, params: Params, key: Key, x: Array, *, num_samples: int, chunk: int = 50
) -> Estimate:
    """Estimates log p(x) of one example, with the effective sample size.

    It computes `chunk` samples at a time, so memory does not grow with `num_samples`. Sample k has
    its own key, so the result depends on `chunk` only by rounding.

    Args:
      model: a `core.Latent`.
      params: its parameters.
      key: one key.
      x: one example.
      num_samples: K.
      chunk: samples decoded at once.

    Raises:
      TypeError: the model lacks prior, encode or decode.
      ValueError: num_samples or chunk is below 1.
    """
    core.require(model, core.Latent, "importance sampling")
    if num_samples < 1 or chunk < 1:
        raise ValueError(
            f"importance sampling needs num_samples and chunk of at least 1; got {num_samples} "
            f"and {chunk}."
        )
    chunk = min(chunk, num_samples)
    prior, posterior = model.prior(params), model.encode(params, x)

    def log_weight(index: Array) -> Array:
        z, log_q = dist.sample_and_log_prob(posterior, jax.random.fold_in(key, index))
        log_joint = prior.log_prob(z) + model.decode(params, z).log_prob(x)
        # Surplus samples in the last chunk get weight zero.
        return jnp.where(index < num_samples, log_joint - log_q, -jnp.inf)

    def add_chunk(sums: tuple[Array, Array], first: Array) -> tuple[tuple[Array, Array], None]:
        log_weights = jax.vmap(log_weight)(first + jnp.arange(chunk))  # [chunk]
        log_sum, log_sum_squares = sums
        return (
            jnp.logaddexp(log_sum, jax.nn.logsumexp(log_weights)),
            jnp.logaddexp(log_sum_squares, jax.nn.logsumexp(2 * log_weights)),
        ), None

    dtype = jax.eval_shape(log_weight, jnp.arange(1)[0]).dtype
    nothing = jnp.array(-jnp.inf, dtype)
    starts = jnp.arange(0, num_samples, chunk)
    (log_sum, log_sum_squares), _ = jax.lax.scan(add_chunk, (nothing, nothing), starts)
    return Estimate(log_sum - jnp.log(num_samples), jnp.exp(2 * log_sum - log_sum_squares))


def log_prob(
    model: Any, params: Params, key: Key, x: Array, *, num_samples: int, chunk: int = 50
) -> Array:
    r"""log (1/K) \sum_k p(x, z_k) / q(z_k | x) for one example, nats; see `estimate`."""
    return estimate(model, params, key, x, num_samples=num_samples, chunk=chunk).log_prob
