r"""Other ways to play a game, as functions from the losses of its players to losses.

With v(params) the vector field of the game, minus the gradient of each player's own loss in its own
entries, simultaneous gradient descent follows v, and may circle an equilibrium or leave it: its
Jacobian there has imaginary eigenvalues (Mescheder, Nowozin & Geiger, 2017, arXiv:1705.10461).

    extra_gradient   each loss where a step along v would lead          converges on bilinear games
    consensus        + weight |v|^2 / 2: an equilibrium is attractive
    unrolled         the generator's loss after k steps of the critic, with gradients through them

The losses are (params, key, batch) -> (scalar, metrics), as of `adversarial.game`, each over the
entry of params of its own name; what comes back is the same, for `gm.train.Player`s. (A plain
optimistic step needs no loss of its own: optax.optimistic_gradient_descent.)
"""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from gm.core import Array, Batch, Key, Loss, Metrics, Params


def vector_field(losses: Mapping[str, Loss], params: Params, key: Key, batch: Batch) -> Params:
    """v: minus the gradient of each player's loss in its own entry of params.

    Its Jacobian in params at an equilibrium says whether gradient descent converges there: it does,
    with small steps, where every eigenvalue has a negative real part.

    Args:
      losses: by player, each over params[name].
      params: a dict with an entry for each player.
      key: one key; every player gets its own.
      batch: as the losses take it.

    Returns:
      A dict like params, of the entries of the players.
    """
    _check(losses, params)
    keys = jax.random.split(key, len(losses))

    def slope(name: str, key: Key) -> Params:
        def of_own(own: Params) -> Array:
            return losses[name]({**params, name: own}, key, batch)[0]

        return jax.tree.map(jnp.negative, jax.grad(of_own)(params[name]))

    return {name: slope(name, key) for name, key in zip(losses, keys, strict=True)}


def extra_gradient(losses: Mapping[str, Loss], rate: float) -> dict[str, Loss]:
    """Each player's loss where a step of gradient descent of all players would lead.

    Korpelevich (1976); Gidel et al. (2019), arXiv:1802.10551. With optax.sgd(rate) and players that
    move at once it is the extra-gradient method; `gm.train` moves them in turn, with any optimizer.
    The step is a constant for the gradients of these losses.

    Args:
      losses: by player.
      rate: of the step ahead.
    """

    def ahead(name: str) -> Loss:
        def loss(params: Params, key: Key, batch: Batch) -> tuple[Array, Metrics]:
            key_ahead, key_own = jax.random.split(key)
            step = jax.lax.stop_gradient(vector_field(losses, params, key_ahead, batch))
            there = jax.tree.map(lambda p, v: p + rate * v, {n: params[n] for n in losses}, step)
            return losses[name]({**params, **there}, key_own, batch)

        return loss

    return {name: ahead(name) for name in losses}


def consensus(losses: Mapping[str, Loss], weight: float) -> dict[str, Loss]:
    """Each player's loss plus weight |v|^2 / 2, v the field of all players.

    Mescheder, Nowozin & Geiger (2017), "The numerics of GANs", arXiv:1705.10461, equation 9. The
    gradients are of second order: a step costs about three times as much.

    Args:
      losses: by player.
      weight: gamma.

    Returns:
      Losses that report {"field"}, |v|^2, too.
    """

    def with_field(name: str) -> Loss:
        def loss(params: Params, key: Key, batch: Batch) -> tuple[Array, Metrics]:
            key_field, key_own = jax.random.split(key)
            value, metrics = losses[name](params, key_own, batch)
            field = jax.tree.leaves(vector_field(losses, params, key_field, batch))
            square = sum(jnp.sum(leaf * leaf) for leaf in field)
            return value + 0.5 * weight * square, {**metrics, "field": square}

        return loss

    return {name: with_field(name) for name in losses}


def unrolled(
    losses: Mapping[str, Loss],
    steps: int,
    rate: float,
    *,
    critic: str = "critic",
    generator: str = "generator",
) -> dict[str, Loss]:
    """The generator's loss after some steps of the critic, which it sees coming.

    Metz, Poole, Pfau & Sohl-Dickstein (2017), "Unrolled generative adversarial networks",
    arXiv:1611.02163: gradients pass through the steps, plain gradient descent of the critic's loss
    on the same batch. The critic itself moves as it would.

    Args:
      losses: by player.
      steps: k, of the critic; 0 is the game as it is.
      rate: of these steps.
      critic, generator: names of the players.

    Raises:
      ValueError: a negative number of steps, or no player of a name.
    """
    _check({critic: None, generator: None}, losses)
    if steps < 0:
        raise ValueError(f"unrolled needs steps of at least 0; got {steps}.")

    def loss(params: Params, key: Key, batch: Batch) -> tuple[Array, Metrics]:
        key_own, key_steps = jax.random.split(key)

        def move(own: Params, key: Key) -> tuple[Params, None]:
            def of_own(own: Params) -> Array:
                return losses[critic]({**params, critic: own}, key, batch)[0]

            return jax.tree.map(lambda p, g: p - rate * g, own, jax.grad(of_own)(own)), None

        moved, _ = jax.lax.scan(move, params[critic], jax.random.split(key_steps, steps))
        return losses[generator]({**params, critic: moved}, key_own, batch)

    return {**losses, generator: loss}


def _check(names: Mapping[str, object], params: Mapping[str, object]) -> None:
    """ValueError unless every player has an entry."""
    missing = [name for name in names if name not in params]
    if missing:
        raise ValueError(
            f"a game of {', '.join(map(repr, names))} needs an entry for each; "
            f"{', '.join(map(repr, missing))} is missing among {', '.join(map(repr, params))}."
        )
