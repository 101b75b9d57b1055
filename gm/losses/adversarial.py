r"""Adversarial learning: a generator g and a critic c play a game over {"generator", "critic"}.

Non-saturating (Goodfellow et al., 2014, arXiv:1406.2661, section 3), c a logit:

    critic     minimise  E_data[softplus(-c(x))] + E_z[softplus(c(g(z)))]
    generator  minimise  E_z[softplus(-c(g(z)))]

Wasserstein (Arjovsky, Chintala & Bottou, 2017, arXiv:1701.07875), c a 1-Lipschitz function:

    critic     minimise  E_z[c(g(z))] - E_data[c(x)] + penalty
    generator  minimise  -E_z[c(g(z))]

Gradient penalties hold the slope of c: towards one between data and draws (Gulrajani et al., 2017,
arXiv:1704.00028), or towards zero at the data or at the draws (Mescheder, Geiger & Nowozin, 2018,
arXiv:1801.04406).
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gm import numerics
from gm.core import (
    Array,
    Batch,
    Critic,
    Implicit,
    Key,
    Loss,
    Metrics,
    Params,
    PyTree,
    given,
    require,
)
from gm.losses import batches


def non_saturating_critic_loss(score_data: Array, score_fake: Array) -> Array:
    """E[softplus(-c(x))] + E[softplus(c(g(z)))] for scores [B] and [B']: 2 log 2 at c = 0."""
    chex.assert_rank([score_data, score_fake], 1)
    return jnp.mean(jax.nn.softplus(-score_data)) + jnp.mean(jax.nn.softplus(score_fake))


def non_saturating_generator_loss(score_fake: Array) -> Array:
    """E[softplus(-c(g(z)))] for scores [B]: log 2 at c = 0."""
    chex.assert_rank(score_fake, 1)
    return jnp.mean(jax.nn.softplus(-score_fake))


def wasserstein_critic_loss(score_data: Array, score_fake: Array) -> Array:
    """E[c(g(z))] - E[c(x)] for scores [B] and [B']; minus the distance it witnesses."""
    chex.assert_rank([score_data, score_fake], 1)
    return jnp.mean(score_fake) - jnp.mean(score_data)


def wasserstein_generator_loss(score_fake: Array) -> Array:
    """-E[c(g(z))] for scores [B]."""
    chex.assert_rank(score_fake, 1)
    return -jnp.mean(score_fake)


def slope_penalty(
    critic: Callable[..., Array], x: Array, target: float, context: PyTree = None
) -> Array:
    r"""(1/B) \sum_b (|\nabla_x c(x_b)| - target)^2, the norm taken for each example.

    Args:
      critic: one example [...] to a scalar; with a context, an example and its y.
      x: [B, ...].
      target: the slope wanted; 0 is the penalty of Mescheder et al. (2018), R1 at data and R2 at
        draws, without their factor 1/2.
      context: y of each example, leaves [B, ...]; the slope is along x alone.

    Returns:
      Scalar.

    Raises:
      TypeError: the critic does not map one example to a scalar.
    """
    score = (lambda x, y: critic(x)) if context is None else critic
    _check_critic(score, x, context)

    def of_example(x: Array, y: PyTree) -> Array:
        slope = jax.grad(score)(x, y)
        if target == 0.0:
            return jnp.sum(slope * slope)
        return (numerics.safe_norm(slope) - target) ** 2

    return jnp.mean(jax.vmap(of_example)(x, context))


def gradient_penalty(
    critic: Callable[..., Array],
    key: Key,
    x_data: Array,
    x_fake: Array,
    context: PyTree = None,
) -> Array:
    r"""WGAN-GP penalty (1/B) \sum_b (|\nabla c(x^_b)| - 1)^2, x^_b = u_b x_b + (1 - u_b) x~_b.

    Gulrajani et al. (2017), arXiv:1704.00028, algorithm 1. Every example has an interpolation
    u_b ~ U(0, 1) of its own, one number for all its dimensions, and a gradient norm of its own.

    Args:
      critic: one example [...] to a scalar; with a context, an example and its y.
      key: for the interpolation.
      x_data: [B, ...].
      x_fake: [B, ...], of the same y.
      context: y of each example, leaves [B, ...].

    Returns:
      Scalar, to be multiplied by a weight (10 in the paper).

    Raises:
      TypeError: the critic does not map one example to a scalar.
    """
    chex.assert_equal_shape([x_data, x_fake])
    u = jax.random.uniform(key, (x_data.shape[0],) + (1,) * (x_data.ndim - 1), x_data.dtype)
    return slope_penalty(critic, u * x_data + (1.0 - u) * x_fake, 1.0, context)


def non_saturating_critic(
    generator: Implicit, critic: Critic, params: Params, key: Key, batch: Batch, *, r1: float = 0.0
) -> tuple[Array, Metrics]:
    """The critic's loss in the non-saturating game.

    Args:
      generator: a model with `prior`, `generate`.
      critic: a model with `score`.
      params: {"generator", "critic"}.
      key: for the draws.
      batch: {"x": [B, *event]}, real, and "context" for conditional players.
      r1: weight of (r1 / 2) E_data |grad c(x)|^2 (Mescheder et al., 2018, arXiv:1801.04406).

    Returns:
      Scalar, and {"score_data", "score_fake", "accuracy"}; accuracy 0.5 is a critic that cannot
      tell.

    Raises:
      TypeError: a model lacks a capability.
      ValueError: x is not in the critic's event space, or B is not a multiple of its pack.
    """
    x, fake, y, score = _setup(generator, critic, params, key, batch, "non_saturating_critic")
    score_data, score_fake = jax.vmap(score)(x, y), jax.vmap(score)(fake, y)
    loss = non_saturating_critic_loss(score_data, score_fake)
    if r1:
        loss = loss + 0.5 * r1 * slope_penalty(score, x, 0.0, y)
    correct = jnp.mean(score_data > 0.0) + jnp.mean(score_fake < 0.0)
    metrics = {
        "score_data": jnp.mean(score_data),
        "score_fake": jnp.mean(score_fake),
        "accuracy": 0.5 * correct,
    }
    return loss, metrics


def non_saturating_generator(
    generator: Implicit, critic: Critic, params: Params, key: Key, batch: Batch
) -> tuple[Array, Metrics]:
    """The generator's loss in the non-saturating game; arguments as `non_saturating_critic`."""
    _, fake, y, score = _setup(generator, critic, params, key, batch, "non_saturating_generator")
    return non_saturating_generator_loss(jax.vmap(score)(fake, y)), {}


def wasserstein_critic(
    generator: Implicit,
    critic: Critic,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    penalty: float = 10.0,
) -> tuple[Array, Metrics]:
    """The critic's loss in the Wasserstein game with gradient penalty.

    Args:
      generator: a model with `prior`, `generate`.
      critic: a model with `score`.
      params: {"generator", "critic"}.
      key: for the draws and the interpolation.
      batch: {"x": [B, *event]}, real, and "context" for conditional players.
      penalty: weight of `gradient_penalty`.

    Returns:
      Scalar, and {"distance", "penalty"}; distance is E_data[c] - E_z[c], an estimate of the
      Wasserstein-1 distance as far as c is 1-Lipschitz.

    Raises:
      TypeError: a model lacks a capability.
      ValueError: x is not in the critic's event space, or B is not a multiple of its pack.
    """
    key_fake, key_penalty = jax.random.split(key)
    x, fake, y, score = _setup(generator, critic, params, key_fake, batch, "wasserstein_critic")
    loss = wasserstein_critic_loss(jax.vmap(score)(x, y), jax.vmap(score)(fake, y))
    slope = gradient_penalty(score, key_penalty, x, fake, y)
    return loss + penalty * slope, {"distance": -loss, "penalty": slope}


def wasserstein_generator(
    generator: Implicit, critic: Critic, params: Params, key: Key, batch: Batch
) -> tuple[Array, Metrics]:
    """The generator's loss in the Wasserstein game; arguments as `wasserstein_critic`."""
    _, fake, y, score = _setup(generator, critic, params, key, batch, "wasserstein_generator")
    return wasserstein_generator_loss(jax.vmap(score)(fake, y)), {}


def non_saturating(generator: Implicit, critic: Critic, *, r1: float = 0.0) -> dict[str, Loss]:
    """The non-saturating game, {"critic": loss, "generator": loss}, for `gm.train.Player`s."""
    return {
        "critic": functools.partial(non_saturating_critic, generator, critic, r1=r1),
        "generator": functools.partial(non_saturating_generator, generator, critic),
    }


def wasserstein(generator: Implicit, critic: Critic, *, penalty: float = 10.0) -> dict[str, Loss]:
    """The Wasserstein game, {"critic": loss, "generator": loss}, for `gm.train.Player`s."""
    return {
        "critic": functools.partial(wasserstein_critic, generator, critic, penalty=penalty),
        "generator": functools.partial(wasserstein_generator, generator, critic),
    }


def _setup(
    generator: Implicit, critic: Critic, params: Params, key: Key, batch: Batch, name: str
) -> tuple[Array, Array, PyTree, Callable[..., Array]]:
    """Data and draws in the critic's packs, their context or None, and its score of one pack."""
    require(generator, Implicit, name)
    require(critic, Critic, name)
    if generator.event != critic.event:
        raise ValueError(
            f"{name} needs a generator and a critic of one event; got {generator.event} and "
            f"{critic.event}."
        )
    x, y = batches.examples(critic.event, batch, name, critic)

    def draw(key: Key, y: PyTree) -> Array:
        one = given(generator, y)
        return one.generate(params["generator"], one.prior(params["generator"]).sample(key))

    def score(x: Array, y: PyTree = None) -> Array:
        return given(critic, y).score(params["critic"], x)

    fake = jax.vmap(draw)(jax.random.split(key, x.shape[0]), y)
    pack = getattr(critic, "pack", 1)
    if x.shape[0] % pack:
        raise ValueError(f"{name} needs a batch that packs of {pack} divide; got {x.shape[0]}.")
    if pack > 1 and y is not None:
        raise ValueError(f"{name} needs a critic of pack 1 for a context; got {pack}.")
    if pack > 1:
        x, fake = (a.reshape(-1, pack, *critic.event.shape) for a in (x, fake))
    return x, fake, y, score


def _check_critic(critic: Callable[..., Array], x: Array, context: PyTree) -> None:
    """TypeError unless the critic maps one example of x: [B, ...] to a scalar."""
    one = jax.ShapeDtypeStruct(x.shape[1:], x.dtype)
    y = jax.tree.map(lambda leaf: leaf[0], context)
    want = f"a gradient penalty needs a critic of one example, {one.shape} -> scalar"
    advice = "Where it takes and gives a batch, give lambda x: critic(x[None])[0]."
    try:
        out = jax.eval_shape(critic, one, y)
    except (TypeError, ValueError, IndexError) as error:
        raise TypeError(f"{want}; this one failed: {error} {advice}") from error
    if getattr(out, "shape", None) != ():
        raise TypeError(f"{want}; this one gives {getattr(out, 'shape', type(out))}. {advice}")
