"""Exponential moving averages of parameters, kept in the optimizer's state.

    average <- d_t average + (1 - d_t) params,    d_t = min(decay, (1 + t) / (10 + t))

Polyak & Juditsky (1992), "Acceleration of stochastic approximation by averaging". optax can average
updates (`optax.ema`) and two trees (`optax.incremental_update`), but has no transformation that
averages the parameters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from gm.core import Array, Params, PyTree


class AverageState(NamedTuple):
    """The optimizer state of `with_ema`.

    Attributes:
      count: t, the number of updates so far, int32.
      average: the averaged parameters.
      inner: the state of the wrapped optimizer.
    """

    count: Array
    average: Params
    inner: PyTree


def with_ema(
    optimizer: optax.GradientTransformation, decay: float = 0.999, *, warm_up: bool = True
) -> optax.GradientTransformationExtraArgs:
    """Wraps an optimizer so that it also averages the parameters that it updates.

    The average starts at the initial parameters. With `warm_up` the decay of update t = 0, 1, ...
    is min(decay, (1 + t) / (10 + t)), so that the weight of the initial parameters vanishes
    quickly; without it that weight is decay^t. Apply it last: the average is that of the parameters
    after the updates of the wrapped optimizer.

    Args:
      optimizer: any optax optimizer.
      decay: in [0, 1); about 1 / (1 - decay) updates are averaged.
      warm_up: whether the decay grows from 0.1 to `decay`.

    Returns:
      An optax transformation; `State.averaged` finds the average in its state.

    Raises:
      ValueError: decay is not in [0, 1), or `update` is called without parameters.
    """
    if not 0.0 <= decay < 1.0:
        raise ValueError(f"with_ema needs a decay in [0, 1); got {decay}.")
    optimizer = optax.with_extra_args_support(optimizer)

    def init(params: Params) -> AverageState:
        average = jax.tree.map(jnp.copy, params)  # separate buffers, since both are donated
        return AverageState(jnp.zeros((), jnp.int32), average, optimizer.init(params))

    def update(
        grads: PyTree, state: AverageState, params: Params | None = None, **extra: Any
    ) -> tuple[PyTree, AverageState]:
        if params is None:
            raise ValueError("with_ema needs the parameters: call update(grads, state, params).")
        updates, inner = optimizer.update(grads, state.inner, params, **extra)
        t = state.count.astype(jnp.float32)
        rate = jnp.minimum(decay, (1.0 + t) / (10.0 + t)) if warm_up else decay
        moved = optax.apply_updates(params, updates)
        average = optax.incremental_update(moved, state.average, 1.0 - rate)
        average = optax.tree.cast_like(average, state.average)
        return updates, AverageState(optax.safe_increment(state.count), average, inner)

    return optax.GradientTransformationExtraArgs(init, update)


def averaged(params: Params, opt_state: PyTree) -> Params:
    """params, in which those that opt_state has averages of are replaced by the averages."""
    nodes = jax.tree.leaves(opt_state, is_leaf=lambda node: isinstance(node, AverageState))
    for node in nodes:
        if isinstance(node, AverageState):
            whole = jax.tree.structure(node.average) == jax.tree.structure(params)
            params = node.average if whole else {**params, **node.average}
    return params
