r"""Hamiltonian Monte Carlo: a Markov kernel that leaves a density on R^D invariant.

    r ~ N(0, I);  (z', r') = leapfrog(z, r);  accepted with min(1, exp(H(z, r) - H(z', r')))
    H(z, r) = -log p(z) + |r|² / 2

Duane et al. (1987), "Hybrid Monte Carlo"; Neal (2011), arXiv:1206.1901. z is any pytree of real
arrays. The step size is an argument: a chain whose step size depends on its own past leaves the
density no longer invariant, so adapt it in a run of its own (`gm.sampling.annealing.tune`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gm.core import Array, Key, PyTree


class Move(NamedTuple):
    """One transition of a chain.

    Attributes:
      z: the next state.
      acceptance: the probability with which the proposal was accepted.
    """

    z: PyTree
    acceptance: Array


def hmc(
    key: Key,
    z: PyTree,
    log_density: Callable[[PyTree], Array],
    step_size: Array,
    num_leapfrog: int = 10,
) -> Move:
    """One transition, of `num_leapfrog` + 1 gradients.

    Args:
      key: one key.
      z: the state, real arrays.
      log_density: z -> log p(z) up to a constant, nats. Where it is not finite nothing is accepted.
      step_size: of the leapfrog integrator, a scalar.
      num_leapfrog: steps of it.

    Raises:
      TypeError: z has leaves that are not real.
      ValueError: num_leapfrog is below 1.
    """
    require_real(z, "hmc")
    if num_leapfrog < 1:
        raise ValueError(f"hmc needs num_leapfrog of at least 1; got {num_leapfrog}.")
    start, unravel = ravel_pytree(z)
    value_and_grad = jax.value_and_grad(lambda flat: log_density(unravel(flat)))
    key_momentum, key_accept = jax.random.split(key)
    momentum = jax.random.normal(key_momentum, start.shape, start.dtype)
    value, slope = value_and_grad(start)

    def leapfrog(_: Array, carry: tuple[Array, ...]) -> tuple[Array, ...]:
        flat, r, _, slope = carry
        r = r + 0.5 * step_size * slope
        flat = flat + step_size * r
        value, slope = value_and_grad(flat)
        return flat, r + 0.5 * step_size * slope, value, slope

    flat, r, new, _ = jax.lax.fori_loop(0, num_leapfrog, leapfrog, (start, momentum, value, slope))
    log_ratio = new - value + 0.5 * (jnp.sum(momentum**2) - jnp.sum(r**2))
    log_ratio = jnp.where(jnp.isfinite(log_ratio), log_ratio, -jnp.inf)
    accept = jnp.log(jax.random.uniform(key_accept, (), start.dtype)) < log_ratio
    chosen = jnp.where(accept, flat, start)
    return Move(unravel(chosen), jnp.exp(jnp.minimum(log_ratio, 0.0)))


def require_real(z: PyTree, name: str) -> None:
    """TypeError unless every leaf of z is real."""
    kinds = {str(jnp.result_type(leaf)) for leaf in jax.tree.leaves(z)}
    if not all(jnp.issubdtype(kind, jnp.floating) for kind in kinds):
        raise TypeError(
            f"{name} needs real z, since it follows gradients; got {', '.join(sorted(kinds))}. "
            "Give a kernel of your own for discrete z, such as Gibbs sampling."
        )
