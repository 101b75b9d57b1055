"""What bijections are conditioned on: a vector, in which a flow has joined all that it is given."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp

from gm.core import Array, PyTree


def inputs(bijection: Any, context: PyTree) -> tuple[Array, ...]:
    """What a network takes after x: (y,), or () for a bijection that takes no context.

    Args:
      bijection: has a field `context_dim`, E, 0 where it takes none.
      context: a vector [E], which `models.flows.Flow` makes of labels, vectors and pytrees; what a
        bijection that takes none is given is for others of its chain.

    Raises:
      ValueError: there is no such vector where one is needed.
    """
    size = bijection.context_dim
    if size == 0:
        return ()
    shapes = "none" if context is None else f"one of shape {jnp.shape(context)}"
    if context is None or jnp.shape(context) != (size,):
        raise ValueError(
            f"{type(bijection).__name__} needs a context vector of shape ({size},); got {shapes}. "
            "Flow(..., context=Event((), K)) makes one-hot vectors [K] of labels."
        )
    return (jnp.asarray(context, jnp.float32),)


def example(bijection: Any) -> tuple[Array, ...]:
    """Some context, to initialise networks with: as `inputs`."""
    size = bijection.context_dim
    return (jnp.zeros(size, jnp.float32),) if size else ()
