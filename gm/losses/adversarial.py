r"""Adversarial learning: a critic c tells real from fake x, and a generator makes the fake ones.

Any objective goes with any penalty on the slope of the critic:

    critic      minimises  objective.critic(c(x), c(x~)) + weight * penalty(c, key, x, x~)
    generator   minimises  objective.generator(c(x), c(x~))

`objectives` has what the two minimise as functions of scores (HINGE, RELATIVISTIC, f_gan(KL), ...),
`penalties` the slopes (WGAN-GP, R1, DRAGAN, ...), and `game` combines them into the losses of two
`gm.train.Player`s. Goodfellow et al. (2014), arXiv:1406.2661; `games` changes how a game is played.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

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
from gm.losses.objectives import NON_SATURATING, WASSERSTEIN, Objective
from gm.losses.penalties import Penalty, Scores, gradient_penalty, r1_penalty

Sides = Callable[[Any, Params, Key, Any], tuple[PyTree, PyTree]]  # of one example


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
      penalty: one of `penalties`, or one of your own; None for none.
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
        raise TypeError(
            f"a game needs an Objective, such as objectives.HINGE; got {objective!r:.80}."
        )
    begin = _scored_sides(generator, critic, sides, names)

    def of_critic(params: Params, key: Key, batch: Batch) -> tuple[Array, Metrics]:
        key_fake, key_penalty = jax.random.split(key)
        score, real, fake = begin(params, key_fake, batch)
        return critic_loss(
            objective, score, key_penalty, real, fake, penalty=penalty, weight=weight
        )

    def of_generator(params: Params, key: Key, batch: Batch) -> tuple[Array, Metrics]:
        return generator_loss(objective, *begin(params, key, batch))

    return dict(zip(names, (of_critic, of_generator), strict=True))


def with_replay(
    objective: Objective,
    generator: Any,
    critic: Critic,
    *,
    penalty: Penalty | None = None,
    weight: float = 1.0,
    sides: Sides = generated,
    names: tuple[str, str] = ("critic", "generator"),
) -> dict[str, Loss]:
    """A `game` whose critic also sees fakes of earlier steps, from a memory of N of them.

    Shrivastava et al. (2017), arXiv:1612.07828, section 2.3, as in CycleGAN: `replayed` says how.

    Args:
      objective, generator, critic, penalty, weight, sides, names: as `game`.

    Returns:
      Losses with a memory: (params, key, batch, memory) -> (scalar, (metrics, memory)). The memory
      is fakes [N, ...] as the critic is given them, N at least B, the same for all examples:
      `train.init(params, players, key, memory=fakes, replicated=True)`.

    Raises:
      ValueError: a player takes a context, which a fake of an earlier step does not fit.
    """
    for model in (generator, critic):
        if getattr(model, "context", None) is not None:
            raise ValueError(
                "with_replay needs players without a context, which fakes of earlier steps would "
                f"not fit; {type(model).__name__} takes {model.context}."
            )
    plain = game(objective, generator, critic, sides=sides, names=names)
    begin = _scored_sides(generator, critic, sides, names)

    def of_critic(
        params: Params, key: Key, batch: Batch, memory: PyTree
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        key_fake, key_replay, key_penalty = jax.random.split(key, 3)
        score, real, fake = begin(params, key_fake, batch)
        fake, memory = replayed(key_replay, memory, jax.lax.stop_gradient(fake))
        options = {"penalty": penalty, "weight": weight}
        loss, metrics = critic_loss(objective, score, key_penalty, real, fake, **options)
        return loss, (metrics, memory)

    def of_generator(
        params: Params, key: Key, batch: Batch, memory: PyTree
    ) -> tuple[Array, tuple[Metrics, PyTree]]:
        loss, metrics = plain[names[1]](params, key, batch)
        return loss, (metrics, memory)

    return dict(zip(names, (of_critic, of_generator), strict=True))


def replayed(key: Key, memory: PyTree, fresh: PyTree) -> tuple[PyTree, PyTree]:
    """Half of the fresh samples exchanged, on average, for others of a memory.

    Each fresh sample meets another place of the memory, at random; with probability 1/2 it is
    stored there, and what was there takes its place.

    Args:
      key: of places and coins.
      memory: leaves [N, ...].
      fresh: leaves [B, ...], B at most N.

    Returns:
      The mixture, [B, ...], and the new memory.

    Raises:
      ValueError: the memory is smaller than a batch.
    """
    size, count = batches.size(memory), batches.size(fresh)
    if count > size:
        raise ValueError(
            f"replayed needs a memory of at least the batch's {count} samples; got {size}."
        )
    key_place, key_coin = jax.random.split(key)
    place = jax.random.permutation(key_place, size)[:count]
    coin = jax.random.bernoulli(key_coin, 0.5, (count,))

    def mixed(old: Array, new: Array) -> Array:
        return jnp.where(coin.reshape(-1, *(1,) * (new.ndim - 1)), old[place], new)

    def stored(old: Array, new: Array) -> Array:
        kept = jnp.where(coin.reshape(-1, *(1,) * (new.ndim - 1)), new, old[place])
        return old.at[place].set(kept)

    return jax.tree.map(mixed, memory, fresh), jax.tree.map(stored, memory, fresh)


def boundary_equilibrium(
    generator: Any,
    critic: Critic,
    *,
    diversity: float = 0.5,
    rate: float = 1e-3,
    sides: Sides = generated,
    names: tuple[str, str] = ("critic", "generator"),
) -> dict[str, Loss]:
    r"""The boundary-equilibrium game, whose critic is minus an autoencoder's error L >= 0.

        critic     L(x) - k L(x~)             k <- clip(k + rate (diversity L(x) - L(x~)), 0, 1)
        generator  L(x~)

    Berthelot, Schumm & Metz (2017), "BEGAN", arXiv:1703.10717, equations 4 to 6.

    Args:
      generator, sides, names: as `game`.
      critic: a model whose score is -L, such as `models.implicit.Reconstruction`.
      diversity: gamma in (0, 1], E L(x~) / E L(x) at equilibrium; lower gives less variety.
      rate: lambda_k.

    Returns:
      Losses with a memory, k, a scalar that starts at 0:
      `train.init(params, players, key, memory=jnp.zeros(()), replicated=True)`. The critic reports
      {"convergence"}, E L(x) + |diversity E L(x) - E L(x~)|, and {"k"}.

    Raises:
      ValueError: diversity is not in (0, 1].
    """
    if not 0.0 < diversity <= 1.0:
        raise ValueError(f"boundary_equilibrium needs diversity in (0, 1]; got {diversity}.")
    begin = _scored_sides(generator, critic, sides, names)

    def of_critic(
        params: Params, key: Key, batch: Batch, k: Array
    ) -> tuple[Array, tuple[Metrics, Array]]:
        score, real, fake = begin(params, key, batch)
        of_real, of_fake = -jnp.mean(_scores(score, real)), -jnp.mean(_scores(score, fake))
        balance = diversity * of_real - of_fake
        metrics = {"convergence": of_real + jnp.abs(balance), "k": k}
        moved = jax.lax.stop_gradient(jnp.clip(k + rate * balance, 0.0, 1.0))
        return of_real - k * of_fake, (metrics, moved)

    def of_generator(
        params: Params, key: Key, batch: Batch, k: Array
    ) -> tuple[Array, tuple[Metrics, Array]]:
        score, _, fake = begin(params, key, batch)
        return -jnp.mean(_scores(score, fake)), ({}, k)

    return dict(zip(names, (of_critic, of_generator), strict=True))


def non_saturating(generator: Implicit, critic: Critic, *, r1: float = 0.0) -> dict[str, Loss]:
    """The non-saturating `game`, with R1 of weight gamma = r1."""
    penalty = r1_penalty if r1 else None
    return game(NON_SATURATING, generator, critic, penalty=penalty, weight=r1)


def wasserstein(generator: Implicit, critic: Critic, *, penalty: float = 10.0) -> dict[str, Loss]:
    """The Wasserstein `game` with `gradient_penalty` of this weight."""
    return game(WASSERSTEIN, generator, critic, penalty=gradient_penalty, weight=penalty)


def _scored_sides(
    generator: Any, critic: Critic, sides: Sides, names: tuple[str, str]
) -> Callable[[Params, Key, Batch], tuple[Scores, PyTree, PyTree]]:
    """A function of (params, key, batch) to (the critic's scores, real, fake)."""
    require(critic, Critic, "a game")
    if sides is generated:
        require(generator, Implicit, "a game")

    def begin(params: Params, key: Key, batch: Batch) -> tuple[Scores, PyTree, PyTree]:
        x, y = batches.examples(generator.event, batch, "a game", critic, generator)
        own, its = (params[name] for name in names)

        def of_example(key: Key, x: Array, y: PyTree) -> tuple[PyTree, PyTree]:
            return sides(given(generator, y), its, key, x)

        both = jax.vmap(of_example)(jax.random.split(key, batches.size(x)), x, y)
        real, fake = (_in_packs(critic, side, y) for side in both)
        score = jax.vmap(lambda x, y: given(critic, y).score(own, x))
        return lambda x: score(x, y), real, fake

    return begin


def _scores(critic: Scores, x: PyTree) -> Array:
    """c(x), [B]; ValueError for another shape, which an objective would broadcast."""
    scores = critic(x)
    if jnp.shape(scores) != (batches.size(x),):
        raise ValueError(
            f"a critic needs one score for each of {batches.size(x)} x; got {jnp.shape(scores)}."
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
    if batches.size(side) % pack:
        raise ValueError(
            f"a game needs a batch that packs of {pack} divide; got {batches.size(side)}."
        )
    if y is not None:
        raise ValueError(f"a game needs a critic of pack 1 for a context; got {pack}.")
    return jax.tree.map(lambda leaf: leaf.reshape(-1, pack, *leaf.shape[1:]), side)
