"""Expectation maximization: the loop around the steps of a model."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm.core import Array, Metrics, Params


def iterate(
    step: Callable[[Params], tuple[Params, Metrics]],
    params: Params,
    num_steps: Array | int,
    tolerance: Array | float,
) -> tuple[Params, Array]:
    """Takes steps until one gains less than the tolerance; works inside jit.

    Args:
      step: the next parameters, and metrics of the old ones, "log_prob" among them.
      params: to start from.
      num_steps: at most; at least one is taken.
      tolerance: of log_prob, nats.

    Returns:
      The last parameters, and the last "log_prob" that a step reported.
    """

    def again(state: tuple) -> tuple:
        params, _, last, i = state
        new, metrics = step(params)
        return new, last, metrics["log_prob"], i + 1

    def goes_on(state: tuple) -> Array:
        _, before, last, i = state
        return (i < 1) | ((i < num_steps) & ~(last - before < tolerance))

    low = jnp.array(-jnp.inf, jnp.float32)
    params, _, last, _ = jax.lax.while_loop(goes_on, again, (params, low, low, 0))
    return params, last
