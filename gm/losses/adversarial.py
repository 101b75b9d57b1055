r"""Adversarial learning: a critic c tells real from fake x, and a generator makes the fake ones.

An `Objective` is what the two minimise, as functions of the critic's scores [B] alone; r = c(x) of
real x, f = c(x~) of fake ones, and E over the batch:

    MINIMAX         critic  E softplus(-r) + E softplus(f)     generator  -E softplus(f)
    NON_SATURATING  critic  E softplus(-r) + E softplus(f)     generator  E softplus(-f)
    WASSERSTEIN     critic  E f - E r, c being 1-Lipschitz     generator  -E f
    LEAST_SQUARES   critic  (E (r - 1)^2 + E f^2) / 2          generator  E (f - 1)^2 / 2
    HINGE           critic  E relu(1 - r) + E relu(1 + f)      generator  -E f

Goodfellow et al. (2014), arXiv:1406.2661, sections 3 and 4, for the first two; Arjovsky, Chintala &
Bottou (2017), arXiv:1701.07875; Mao et al. (2017), arXiv:1611.04076, with labels 0 and 1; Lim & Ye
(2017), arXiv:1705.02894. With the best critic its loss is 2 log 2 - 2 JS(p, q), twice, minus the
Wasserstein-1 distance, 1/4 - \sum (p - q)^2 / (p + q) / 8, and 2 - 2 TV(p, q).

A penalty on the gradient norm of c goes with any objective: towards one between real and fake
(Gulrajani et al., 2017, arXiv:1704.00028), or towards zero at either (Mescheder, Geiger & Nowozin,
2018, arXiv:1801.04406). `game` combines the parts into the losses of two `gm.train.Player`s.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

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

Scores = Callable[[PyTree], Array]  # x, leaves [B, ...] -> [B]
Penalty = Callable[[Scores, Key, PyTree, PyTree], Array]  # of a critic, key, real, fake
Sides = Callable[[Any, Params, Key, Any], tuple[PyTree, PyTree]]  # of one example


@dataclasses.dataclass(frozen=True)
class Objective:
    """What both players minimise, given the critic's scores of real and of fake x.

    Attributes:
      critic: (real [B], fake [B]) -> scalar.
      generator: the same, for the player that makes the fakes. If it also moves the real side (as
        the encoder of a bidirectional game), `lambda real, fake: critic(fake, real)` swaps labels.
      metrics: the same -> metrics of the critic besides its mean scores.
    """

    critic: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]
    metrics: Callable[[Array, Array], Metrics] = lambda real, fake: {}


def _logistic(real: Array, fake: Array) -> Array:
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def _accuracy(real: Array, fake: Array) -> Metrics:
    """The share of scores with the right sign; 0.5 is chance."""
    return {"accuracy": 0.5 * (jnp.mean(real > 0.0) + jnp.mean(fake < 0.0))}


def _distance(real: Array, fake: Array) -> Metrics:
    """An estimate of the Wasserstein-1 distance, as far as the critic is 1-Lipschitz."""
    return {"distance": jnp.mean(real) - jnp.mean(fake)}


MINIMAX = Objective(_logistic, lambda real, fake: -jnp.mean(jax.nn.softplus(fake)), _accuracy)
NON_SATURATING = Objective(
    _logistic, lambda real, fake: jnp.mean(jax.nn.softplus(-fake)), _accuracy
)
WASSERSTEIN = Objective(
    lambda real, fake: jnp.mean(fake) - jnp.mean(real),
    lambda real, fake: -jnp.mean(fake),
    _distance,
)
LEAST_SQUARES = Objective(
    lambda real, fake: 0.5 * (jnp.mean((real - 1.0) ** 2) + jnp.mean(fake**2)),
    lambda real, fake: 0.5 * jnp.mean((fake - 1.0) ** 2),
)
HINGE = Objective(
    lambda real, fake: jnp.mean(jax.nn.relu(1.0 - real)) + jnp.mean(jax.nn.relu(1.0 + fake)),
    lambda real, fake: -jnp.mean(fake),
    _accuracy,
)


def gradient_norm_penalty(critic: Scores, x: PyTree, target: float) -> Array:
    r"""(1/B) \sum_b (|\nabla_x c(x_b)| - target)^2, the norm over all leaves of an example.

    Args:
      critic: a batch, leaves [B, ...], to scores [B], each of its example alone.
      x: real values, leaves [B, ...].
      target: of the gradient norm.

    Returns:
      Scalar.

    Raises:
      TypeError: the critic does not map the batch to [B], or x has leaves of integers.
    """
    _check_critic(critic, x)
    slopes = jax.tree.leaves(jax.grad(lambda x: jnp.sum(critic(x)))(x))
    slope = jnp.concatenate([leaf.reshape(len(leaf), -1) for leaf in slopes], axis=1)
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
      TypeError: as `gradient_norm_penalty`.
    """
    u = jax.random.uniform(key, (_size(real),), jnp.float32)

    def between(real: Array, fake: Array) -> Array:
        one = u.reshape(-1, *(1,) * (real.ndim - 1)).astype(real.dtype)
        return one * real + (1.0 - one) * fake

    _check_critic(critic, real)  # before integers are mixed
    return gradient_norm_penalty(critic, jax.tree.map(between, real, fake), 1.0)


def r1_penalty(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> Array:
    r"""(1/2B) \sum_b |\nabla c(x_b)|^2 at real x; arguments as `gradient_penalty`.

    Mescheder, Geiger & Nowozin (2018), arXiv:1801.04406, equation 9, to be multiplied by gamma.
    """
    return 0.5 * gradient_norm_penalty(critic, real, 0.0)


def r2_penalty(critic: Scores, key: Key, real: PyTree, fake: PyTree) -> Array:
    r"""(1/2B) \sum_b |\nabla c(x~_b)|^2 at fake x, equation 10; otherwise as `r1_penalty`."""
    return 0.5 * gradient_norm_penalty(critic, fake, 0.0)


def critic_loss(
    objective: Objective,
    critic: Scores,
    key: Key,
    real: PyTree,
    fake: PyTree,
    *,
    penalty: Penalty | None = None,
    weight: float = 1.0,
) -> tuple[Array, Metrics]:
    """The critic's loss: objective.critic(c(x), c(x~)) + weight * penalty(c, key, x, x~).

    Args:
      objective: of the game.
      critic: a batch, leaves [B, ...], to scores [B].
      key: for the penalty.
      real, fake: leaves [B, ...].
      penalty: `gradient_penalty`, `r1_penalty`, ... or one of your own; None for none.
      weight: of the penalty.

    Returns:
      Scalar, and {"score_data", "score_fake"}, what the objective reports, and the penalty before
      its weight.
    """
    r, f = _scores(critic, real), _scores(critic, fake)
    metrics = {"score_data": jnp.mean(r), "score_fake": jnp.mean(f), **objective.metrics(r, f)}
    loss = objective.critic(r, f)
    if penalty is None:
        return loss, metrics
    slope = penalty(critic, key, real, fake)
    return loss + weight * slope, {**metrics, "penalty": slope}


def generator_loss(
    objective: Objective, critic: Scores, real: PyTree, fake: PyTree
) -> tuple[Array, Metrics]:
    """The generator's loss objective.generator(c(x), c(x~)); arguments as `critic_loss`."""
    return objective.generator(_scores(critic, real), _scores(critic, fake)), {}


def generated(generator: Implicit, params: Params, key: Key, x: PyTree) -> tuple[PyTree, PyTree]:
    """The sides of a plain game, for one example: x of the data and g(z) with z ~ p(z)."""
    return x, generator.generate(params, generator.prior(params).sample(key))


def game(
    objective: Objective,
    generator: Any,
    critic: Critic,
    *,
    penalty: Penalty | None = None,
    weight: float = 1.0,
    sides: Sides = generated,
    names: tuple[str, str] = ("critic", "generator"),
) -> dict[str, Loss]:
    """The losses of both players, critic first, for `gm.train.Player`s.

    Args:
      objective: of both players.
      generator: a model with `prior`, `generate`; with other sides, whatever these need, and the
        `event` of the batch's x.
      critic: a model with `score`, whose event is that of both sides, pytrees included.
      penalty, weight: as in `critic_loss`.
      sides: (generator, its params, key, x) -> (real, fake) of one example: (x, e(x)) and (g(z), z)
        for a bidirectional game; a sample of the prior and e(x) for an adversarial autoencoder.
      names: of the players, and of their entries in params.

    Returns:
      {critic: loss, generator: loss}, each (params, key, batch) -> (scalar, metrics) with a batch
      {"x": [B, *event]}, of every leaf of x, and "context" for conditional players, who all see
      the same one.

    Raises:
      TypeError: a model lacks a capability, or objective and penalty are none. A loss raises it for
        what is no batch, or where one player takes a context and the other none.
      ValueError: by a loss, where x is not in the event's space, a side is not in the critic's, or
        B is not a multiple of its pack.
    """
    if not isinstance(objective, Objective):
        raise TypeError(f"a game needs an Objective, such as HINGE; got {objective!r:.80}.")
    require(critic, Critic, "a game")
    if sides is generated:
        require(generator, Implicit, "a game")

    def begin(params: Params, key: Key, batch: Batch) -> tuple[Scores, PyTree, PyTree]:
        x, y = batches.examples(generator.event, batch, "a game", critic, generator)
        own, its = (params[name] for name in names)

        def of_example(key: Key, x: Array, y: PyTree) -> tuple[PyTree, PyTree]:
            return sides(given(generator, y), its, key, x)

        both = jax.vmap(of_example)(jax.random.split(key, _size(x)), x, y)
        real, fake = (_in_packs(critic, side, y) for side in both)
        score = jax.vmap(lambda x, y: given(critic, y).score(own, x))
        return lambda x: score(x, y), real, fake

    def of_critic(params: Params, key: Key, batch: Batch) -> tuple[Array, Metrics]:
        key_fake, key_penalty = jax.random.split(key)
        score, real, fake = begin(params, key_fake, batch)
        return critic_loss(
            objective, score, key_penalty, real, fake, penalty=penalty, weight=weight
        )

    def of_generator(params: Params, key: Key, batch: Batch) -> tuple[Array, Metrics]:
        return generator_loss(objective, *begin(params, key, batch))

    return dict(zip(names, (of_critic, of_generator), strict=True))


def non_saturating(generator: Implicit, critic: Critic, *, r1: float = 0.0) -> dict[str, Loss]:
    """The non-saturating `game`, with R1 of weight gamma = r1."""
    penalty = r1_penalty if r1 else None
    return game(NON_SATURATING, generator, critic, penalty=penalty, weight=r1)


def wasserstein(generator: Implicit, critic: Critic, *, penalty: float = 10.0) -> dict[str, Loss]:
    """The Wasserstein `game` with `gradient_penalty` of this weight."""
    return game(WASSERSTEIN, generator, critic, penalty=gradient_penalty, weight=penalty)


def _size(x: PyTree) -> int:
    """B"""
    return jnp.shape(jax.tree.leaves(x)[0])[0]


def _scores(critic: Scores, x: PyTree) -> Array:
    """c(x), [B]; ValueError for another shape, which an objective would broadcast."""
    scores = critic(x)
    if jnp.shape(scores) != (_size(x),):
        raise ValueError(
            f"a critic needs one score for each of {_size(x)} x; got {jnp.shape(scores)}."
        )
    return scores


def _in_packs(critic: Critic, side: PyTree, y: PyTree) -> PyTree:
    """One side of the game, [B, ...], as the critic is given it: [B / m, m, ...] in packs of m."""
    events, tree = jax.tree.flatten(critic.event)
    shapes = [leaf.shape[1:] for leaf in jax.tree.leaves(side)]
    if jax.tree.structure(side) != tree or shapes != [event.shape for event in events]:
        raise ValueError(
            f"a game needs real and fake x in the space of its critic, {critic.event}; got shapes "
            f"{jax.tree.unflatten(jax.tree.structure(side), shapes)}. A generator and a critic of "
            "one event have them, or sides=... that fit the critic."
        )
    pack = getattr(critic, "pack", 1)
    if pack == 1:
        return side
    if _size(side) % pack:
        raise ValueError(f"a game needs a batch that packs of {pack} divide; got {_size(side)}.")
    if y is not None:
        raise ValueError(f"a game needs a critic of pack 1 for a context; got {pack}.")
    return jax.tree.map(lambda leaf: leaf.reshape(-1, pack, *leaf.shape[1:]), side)


def _check_critic(critic: Scores, x: PyTree) -> None:
    """TypeError unless x is real and the critic maps its B examples to [B]."""
    dtypes = [jnp.result_type(leaf) for leaf in jax.tree.leaves(x)]
    if not all(jnp.issubdtype(dtype, jnp.floating) for dtype in dtypes):
        raise TypeError(
            f"a gradient penalty needs real x; got {', '.join(map(str, dtypes))}. What is discrete "
            "belongs into the context, or into x as a one-hot vector."
        )
    want = f"a gradient penalty needs a critic of a batch, with scores [B]; B is {_size(x)}"
    advice = "Where it takes one example, give jax.vmap(critic)."
    try:
        out = jax.eval_shape(critic, x)
    except (TypeError, ValueError, IndexError) as error:
        raise TypeError(f"{want}; this one failed: {error} {advice}") from error
    if getattr(out, "shape", None) != (_size(x),):
        raise TypeError(f"{want}; this one gives {getattr(out, 'shape', type(out))}. {advice}")
