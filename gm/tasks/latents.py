r"""Pictures of a latent space: reconstructions, traversals of one latent, interpolations.

    reconstructions    E[x | z] for z ~ q(z | x)
    traversal          E[x | z] with one element of z set to each of several values
    interpolation      E[x | z] along a line, or an arc, from z_0 to z_1

Functions of a latent-variable model's `encode` and `decode`; `gm.plot.image_grid` shows them.
An arc (Shoemake, 1985, "Animating rotation with quaternion curves"; White, 2016, arXiv:1609.04468)
keeps to the shell of radius sqrt(K) where a standard normal z of many elements lies.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gm import core
from gm.core import Array, Key, Params, PyTree


def mean_of(model: Any, params: Params, z: PyTree) -> Array:
    """E[x | z], or the mode of p(x | z) where the distribution has no `mean`: [*event]."""
    p = model.decode(params, z)
    return p.mean() if hasattr(p, "mean") else p.mode()


def reconstructions(model: Any, params: Params, key: Key, x: Array) -> Array:
    """E[x | z] with z ~ q(z | x), for examples x: [N, *event]."""
    core.require(model, core.Latent, "reconstructions")

    def one(key: Key, x: Array) -> Array:
        return mean_of(model, params, model.encode(params, x).sample(key))

    return jax.vmap(one)(jax.random.split(key, len(x)), x)


def traversal(model: Any, params: Params, z: PyTree, index: int, values: Array) -> Array:
    """E[x | z] with the element of z set to each of the values: [V, *event].

    Args:
      model: a `core.Latent` with real z.
      params: its parameters.
      z: one z.
      index: of the element, counted over all leaves of z in raster order.
      values: [V].

    Raises:
      TypeError: the model lacks prior, encode or decode.
      ValueError: z has no such element.
    """
    core.require(model, core.Latent, "traversal")
    flat, unravel = ravel_pytree(z)
    if not 0 <= index < flat.size:
        raise ValueError(f"traversal needs an index from 0 to {flat.size - 1}; got {index}.")
    moved = jax.vmap(lambda value: flat.at[index].set(value))(jnp.asarray(values, flat.dtype))
    return jax.vmap(lambda flat: mean_of(model, params, unravel(flat)))(moved)


def interpolation(
    model: Any,
    params: Params,
    z_0: PyTree,
    z_1: PyTree,
    num: int = 8,
    *,
    spherical: bool = True,
) -> Array:
    """E[x | z] at `num` equal steps from z_0 to z_1, both included: [num, *event].

    Args:
      model: a `core.Latent` with real z.
      params: its parameters.
      z_0, z_1: two latents.
      num: at least 2.
      spherical: along an arc, with norms between the two; a line where they are (almost) parallel.

    Raises:
      TypeError: the model lacks prior, encode or decode.
      ValueError: num is below 2.
    """
    core.require(model, core.Latent, "interpolation")
    if num < 2:
        raise ValueError(f"interpolation needs num of at least 2; got {num}.")
    (first, unravel), (last, _) = ravel_pytree(z_0), ravel_pytree(z_1)
    share = jnp.linspace(0.0, 1.0, num, dtype=first.dtype)[:, None]
    path = (
        _arc(first, last, share) if spherical else (1.0 - share) * first[None] + share * last[None]
    )
    return jax.vmap(lambda flat: mean_of(model, params, unravel(flat)))(path)


def _arc(first: Array, last: Array, share: Array) -> Array:
    """sin((1 - s) a) / sin(a) z_0 + sin(s a) / sin(a) z_1, a the angle between them."""
    norms = jnp.linalg.norm(first) * jnp.linalg.norm(last)
    cosine = jnp.clip(jnp.sum(first * last) / jnp.maximum(norms, 1e-12), -1.0, 1.0)
    angle = jnp.arccos(cosine)
    straight = jnp.sin(angle) < 1e-3
    safe = jnp.where(straight, 1.0, angle)
    weights = (jnp.sin((1.0 - share) * safe) / jnp.sin(safe), jnp.sin(share * safe) / jnp.sin(safe))
    weights = [
        jnp.where(straight, line, w) for line, w in zip((1.0 - share, share), weights, strict=True)
    ]
    return weights[0] * first[None] + weights[1] * last[None]
