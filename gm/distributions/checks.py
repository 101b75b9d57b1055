"""Checks of a value before it is scored: shape and dtype of one event."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array


def reals(owner: object, x: Array, *like: Array) -> Array:
    """x as floats; ValueError unless x and all parameters in `like` have the same shape."""
    x = jnp.asarray(x)
    one_event(owner, x, *like)
    return x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(jnp.float32)


def integers(owner: object, x: Array, *like: Array) -> Array:
    """x as int32; TypeError for floats, ValueError for a wrong shape or values beyond int32.

    Args:
      owner: the distribution or head that checks x; the message starts with its class.
      x: integers or booleans of any width.
      *like: parameters, one value per element of the event; none to allow any shape.

    Returns:
      int32 of the same shape.
    """
    known = None if isinstance(x, jax.Array) else np.asarray(x)
    x = jnp.asarray(x)
    if not (jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == jnp.bool_):
        raise TypeError(
            f"{type(owner).__name__} needs integers; got {x.dtype}. Cast whole numbers "
            "(x.astype(jnp.int32)), binarize grey levels (gm.data.Threshold, "
            "gm.data.DynamicBinarization), or dequantize (gm.data.UniformDequantization) and use "
            "a continuous distribution."
        )
    one_event(owner, x, *like)
    if known is not None and known.size and not -(2**31) <= known.min() <= known.max() < 2**31:
        raise ValueError(
            f"{type(owner).__name__} needs integers that int32 holds; got values from "
            f"{known.min()} to {known.max()}."
        )
    return x.astype(jnp.int32)


def one_event(owner: object, x: Array, *like: Array) -> None:
    """ValueError unless x has the shape of each parameter in `like`."""
    shapes = [jnp.shape(parameter) for parameter in like]
    if any(shape != x.shape for shape in shapes):
        raise ValueError(
            f"{type(owner).__name__} needs x in the shape of its parameters, one event: "
            f"{', '.join(map(str, shapes))}; got {x.shape}. Use jax.vmap for a batch."
        )


def as_wide(values: Array, *like: Array) -> Array:
    """Numbers or noise in float64 if a parameter in `like` is float64, else in float32.

    This avoids dtype promotion, and keeps counts exact if parameters are in half precision.
    """
    wide = any(jnp.result_type(parameter) == jnp.float64 for parameter in like)
    return values.astype(jnp.float64 if wide else jnp.float32)
