r"""Penalties on the slope of a critic c, which go with any objective of a game.

    gradient_penalty   E (|grad c| - 1)^2 between real and fake           WGAN-GP
    lipschitz_penalty  E relu(|grad c| - 1)^2 there: steeper alone        WGAN-LP
    dragan_penalty     E (|grad c| - 1)^2 around the real                 DRAGAN
    r1_penalty         E |grad c|^2 / 2 at the real                       R1
    r2_penalty         E |grad c|^2 / 2 at the fake                       R2
    sobolev_penalty    (E |grad c|^2 - 1)^2 at both                       Sobolev GAN
    total((p, w), ...) \sum_i w_i p_i, as R1 and R2 in R3GAN

Gulrajani et al. (2017), arXiv:1704.00028; Petzka, Fischer & Lukovnikov (2018), arXiv:1709.08894;
Kodali et al. (2017), arXiv:1705.07215; Mescheder, Geiger & Nowozin (2018), arXiv:1801.04406; Mroueh
et al. (2018), arXiv:1711.04894; Huang et al. (2024), arXiv:2501.05441.

A penalty is a function (critic, key, real, fake) -> scalar, of a critic from a batch, leaves
[B, ...], to scores [B]. Every example has a slope, and where there is one an interpolation, of its
own.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm import numerics
from gm.core import Array, Key, PyTree
from gm.losses import batches

Scores = Callable[[PyTree], Array]  # x, leaves [B, ...] -> [B]
Penalty = Callable[[Scores, Key, PyTree, PyTree], Array]  # of a critic, key, real, fake


def slopes(critic: Scores, x: PyTree) -> Array:
    r"""\nabla_x c(x_b) of every example, all its leaves in one vector: [B, D].

    Args:
      critic: a batch, leaves [B, ...], to scores [B], each of its example alone.
      x: real values, leaves [B, ...].

    Raises:
      TypeError: the critic does not map the batch to [B], or x has leaves of integers.
    """
    _check_critic(critic, x)
    leaves = jax.tree.leaves(jax.grad(lambda x: jnp.sum(critic(x)))(x))
    return jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in leaves], axis=1)


def gradient_norm_penalty(critic: Scores, x: PyTree, target: float) -> Array:
    r"""(1/B) \sum_b (|\nabla_x c(x_b)| - target)^2, the norm over all leaves of an example.

    Args:
      critic, x: as `slopes`, and so are the errors.
      target: of the gradient norm.

    Returns:
      Scalar.
    """
    slope = slopes(critic, x)
    if target == 0.0:
        return jnp.mean(jnp.sum(slope * slope, axis=1))
    return jnp.mean((jax.vmap(numerics.safe_norm)(slope) - target) ** 2)


def gradient_penalty(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> Array:
    r"""WGAN-GP penalty (1/B) \sum_b (|\nabla c(x^_b)| - 1)^2, x^_b = u_b x_b + (1 - u_b) x~_b.

    Gulrajani et al. (2017), arXiv:1704.00028, algorithm 1. Every example has an interpolation
    u_b ~ U(0, 1) of its own, one number for all its dimensions, and a gradient norm of its own.

    Args:
      critic: a batch, leaves [B, ...], to scores [B]; `jax.vmap(c)` of one example's.
      key: for the interpolation.
      real, fake: leaves [B, ...] of the same shapes.

    Returns:
      Scalar, to be multiplied by a weight (10 in the paper).

    Raises:
      TypeError: as `slopes`.
    """
    return gradient_norm_penalty(critic, _between(critic, key, real, fake), 1.0)


def lipschitz_penalty(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> Array:
    r"""WGAN-LP penalty (1/B) \sum_b relu(|\nabla c(x^_b)| - 1)^2, points as `gradient_penalty`'s.

    Petzka, Fischer & Lukovnikov (2018), arXiv:1709.08894: a 1-Lipschitz critic may be flatter.
    """
    norms = jax.vmap(numerics.safe_norm)(slopes(critic, _between(critic, key, real, fake)))
    return jnp.mean(jax.nn.relu(norms - 1.0) ** 2)


def dragan_penalty(scale: float) -> Penalty:
    r"""DRAGAN penalty E (|\nabla c(x + d)| - 1)^2 around real x, d ~ N(0, scale^2 I).

    Kodali, Abernethy, Hays & Kira (2017), "On convergence and stability of GANs",
    arXiv:1705.07215, section 2.3.

    Args:
      scale: standard deviation of d, in the units of x; about the data's.

    Raises:
      ValueError: a scale that is not positive. The penalty itself: as `slopes`.
    """
    if not scale > 0.0:
        raise ValueError(f"dragan_penalty needs a positive scale; got {scale}.")

    def penalty(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> Array:
        _check_critic(critic, real)
        leaves, tree = jax.tree.flatten(real)
        keys = jax.random.split(key, len(leaves))
        near = [
            x + scale * jax.random.normal(key, x.shape, x.dtype)
            for key, x in zip(keys, leaves, strict=True)
        ]
        return gradient_norm_penalty(critic, tree.unflatten(near), 1.0)

    return penalty


def r1_penalty(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> Array:
    r"""(1/2B) \sum_b |\nabla c(x_b)|^2 at real x; arguments as `gradient_penalty`.

    Mescheder, Geiger & Nowozin (2018), arXiv:1801.04406, equation 9, to be multiplied by gamma.
    """
    return 0.5 * gradient_norm_penalty(critic, real, 0.0)


def r2_penalty(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> Array:
    r"""(1/2B) \sum_b |\nabla c(x~_b)|^2 at fake x, equation 10; otherwise as `r1_penalty`."""
    return 0.5 * gradient_norm_penalty(critic, fake, 0.0)


def sobolev_penalty(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> Array:
    r"""(E_m |\nabla c|^2 - 1)^2, m half real and half fake x; arguments as `gradient_penalty`.

    The constraint of the Sobolev distance (Mroueh, Li, Sercu, Raj & Cheng, 2018, arXiv:1711.04894)
    as a penalty, for the Wasserstein objective: only the mean slope is bounded.
    """
    square = 0.5 * (
        gradient_norm_penalty(critic, real, 0.0) + gradient_norm_penalty(critic, fake, 0.0)
    )
    return (square - 1.0) ** 2


def total(*weighted: tuple[Penalty, float]) -> Penalty:
    """The weighted sum of penalties: `total((r1_penalty, 1.0), (r2_penalty, 1.0))` is R3GAN's.

    Each has a key of its own. Raises ValueError where there is none.
    """
    if not weighted:
        raise ValueError("total needs at least one (penalty, weight).")

    def penalty(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> Array:
        keys = jax.random.split(key, len(weighted))
        values = [
            weight * one(critic, key, real, fake)
            for key, (one, weight) in zip(keys, weighted, strict=True)
        ]
        return sum(values[1:], values[0])

    return penalty


def _between(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> PyTree:
    """u_b x_b + (1 - u_b) x~_b, one u_b for each example."""
    _check_critic(critic, real)  # before integers are mixed
    u = jax.random.uniform(key, (batches.size(real),), jnp.float32)

    def between(real: Array, fake: Array) -> Array:
        one = u.reshape(-1, *(1,) * (real.ndim - 1)).astype(real.dtype)
        return one * real + (1.0 - one) * fake

    return jax.tree.map(between, real, fake)


def _check_critic(critic: Scores, x: PyTree) -> None:
    """TypeError unless x is real and the critic maps its B examples to [B]."""
    dtypes = [jnp.result_type(leaf) for leaf in jax.tree.leaves(x)]
    if not all(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes):
        raise TypeError(
            f"a gradient penalty needs real x; got {', '.join(map(str, dtypes))}. What is discrete "
            "belongs into the context, or into x as a one-hot vector."
        )
    want = f"a gradient penalty needs a critic of a batch, with scores [B]; B is {batches.size(x)}"
    advice = "Where it takes one example, give jax.vmap(critic)."
    try:
        out = jax.eval_shape(critic, x)
    except (TypeError, ValueError, IndexError) as error:
        raise TypeError(f"{want}; this one failed: {error} {advice}") from error
    if getattr(out, "shape", None) != (batches.size(x),):
        raise TypeError(f"{want}; this one gives {getattr(out, 'shape', type(out))}. {advice}")
