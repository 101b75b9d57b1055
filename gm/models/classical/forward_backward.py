r"""Forward and backward messages of a hidden Markov chain, one scan or an associative one.

Baum, Petrie, Soules & Weiss (1970); in parallel: Särkkä & García-Fernández (2021), "Temporal
parallelization of Bayesian smoothers", arXiv:1905.13002. With the log transition matrix A and the
log likelihoods b_t of the observations,

    p(z_t | x_≤t) ∝ p(z_t | x_<t) exp b_t
    p(z_t+1 | x_≤t) = \sum_i p(z_t = i | x_≤t) exp A_i,z_t+1
    p(x_>t | z_t) = \sum_j exp(A_z_t,j + b_t+1,j) p(x_>t+1 | z_t+1 = j)

All is in logarithms and normalised at each step, so that neither length nor zeros (-inf) matter. A
scan costs T K² and has T steps; the associative one costs 2 T K³ and has 2 log T, for an
accelerator that has nothing else to do.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array
from gm.numerics import log_sum_exp


def normalized(log_weights: Array) -> Array:
    """Logarithms of what sums to one along the last axis; uniform where all are -inf."""
    highest = jax.lax.stop_gradient(jnp.max(log_weights, axis=-1, keepdims=True))
    possible = highest > -jnp.inf
    # The highest first, whose difference from the others has no rounding of its own.
    below = log_weights - jnp.where(possible, highest, 0.0)
    total = log_sum_exp(below)[..., None]
    uniform = -jnp.log(jnp.asarray(log_weights.shape[-1], log_weights.dtype))
    return jnp.where(possible, below - jnp.where(possible, total, 0.0), uniform)


def predicted(
    log_start: Array, log_transition: Array, log_likelihood: Array, parallel: bool = False
) -> Array:
    """log p(z_t | x_<t) of every t: [T, K].

    Then log p(x_t | x_<t) = log_sum_exp(predicted + log_likelihood), and p(z_t | x_≤t) is
    `normalized` of the same sum.

    Args:
      log_start: [K], log p(z_1).
      log_transition: [K, K], log p(z_t+1 | z_t), rows of z_t.
      log_likelihood: [T, K], log p(x_t | z_t).
      parallel: by an associative scan.
    """
    if parallel:
        first = jnp.broadcast_to(log_start + log_likelihood[0], log_transition.shape)
        rest = log_transition[None] + log_likelihood[1:, None, :]
        products = jax.lax.associative_scan(_product, jnp.concatenate([first[None], rest]))
        filtered = normalized(products[:-1, 0])
        rest = log_sum_exp(filtered[:, :, None] + log_transition[None], axis=1)
        return jnp.concatenate([log_start[None], rest])

    def step(log_p: Array, log_likelihood: Array) -> tuple[Array, Array]:
        filtered = normalized(log_p + log_likelihood)
        return log_sum_exp(filtered[:, None] + log_transition, axis=0), log_p

    return jax.lax.scan(step, log_start, log_likelihood)[1]


def backward(log_transition: Array, log_likelihood: Array, parallel: bool = False) -> Array:
    """log p(x_>t | z_t), up to a constant for each t: [T, K].

    Args:
      log_transition, log_likelihood, parallel: as in `predicted`.
    """
    last = jnp.zeros_like(log_likelihood[:1])
    if parallel:
        steps = log_transition[None] + log_likelihood[1:, None, :]
        products = jax.lax.associative_scan(
            lambda later, sooner: _product(sooner, later), steps, reverse=True
        )
        return jnp.concatenate([normalized(log_sum_exp(products)), normalized(last)])

    def step(log_p: Array, log_likelihood: Array) -> tuple[Array, Array]:
        log_p = normalized(log_sum_exp(log_transition + (log_p + log_likelihood)[None]))
        return log_p, log_p

    last = normalized(last)
    _, rest = jax.lax.scan(step, last[0], log_likelihood[1:], reverse=True)
    return jnp.concatenate([rest, last])


def posterior_transitions(log_transition: Array, log_likelihood: Array, after: Array) -> Array:
    """log p(z_t+1 | z_t, x), normalised: [T - 1, K, K]; uniform from states that x excludes.

    Args:
      log_transition, log_likelihood: as in `predicted`.
      after: [T, K], of `backward`.
    """
    return normalized(log_transition[None] + (log_likelihood + after)[1:, None, :])


def _product(a: Array, b: Array) -> Array:
    """The logarithm of a product of matrices [..., K, K], less its maximum."""
    # The rows of a run along the new axis, so that the sum is over a trailing axis.
    product = log_sum_exp(a[..., :, None, :] + jnp.swapaxes(b, -1, -2)[..., None, :, :])
    highest = jax.lax.stop_gradient(jnp.max(product, axis=(-2, -1), keepdims=True))
    return product - jnp.where(highest > -jnp.inf, highest, 0.0)
