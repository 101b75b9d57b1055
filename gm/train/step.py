"""One training step: jitted, donated, data-parallel, and never past a number that is not finite.

The pattern is `jax.jit` with shardings: parameters on every device, the batch split over the mesh
axis "data", one program. A loss sees the whole batch, so 1 device and 8 compute the same function.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from gm.core import Array, Batch, Key, Loss, Metrics, Params, PyTree
from gm.train import sharding
from gm.train.players import Game, Player, game_of
from gm.train.state import State


@dataclasses.dataclass(frozen=True)
class Step:
    """step(state, batch) -> (state, metrics); the state given is consumed.

    Attributes:
      advance: the jitted function of a state and a batch that lie on the mesh.
      mesh: the devices, with an axis "data".
      num_parts: parts a batch is cut in (the most updates per step of any player).
    """

    advance: Callable[[State, Batch], tuple[State, Metrics]]
    mesh: Mesh
    num_parts: int

    def __call__(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One step of every player.

        Returns:
          The next state, and scalars: "loss", "grad_norm" and the loss's own metrics (means over a
          player's updates, "<player>/" before their names in a game), and "finite".

        Raises:
          ValueError: the batch cannot be cut evenly over devices and updates.
        """
        return self.advance(self.place(state), self.put(batch))

    def put(self, batch: Batch) -> Batch:
        """The batch, checked and split over the devices."""
        return sharding.put_batch(batch, self.mesh, self.num_parts)

    def place(self, state: State) -> State:
        """The state on the devices of the mesh."""
        return sharding.put_state(state, self.mesh)


def make_step(
    loss: Loss | Mapping[str, Player],
    optimizer: optax.GradientTransformation | None = None,
    *,
    mesh: Mesh | None = None,
) -> Step:
    """A step that descends one loss, or plays one round of a game.

    Step n draws from fold_in(key, n), split over the updates in their order. Where a player makes
    R > 1 updates per step, every batch is cut in R strided parts (part j holds examples
    j, R + j, 2 R + j, ...), and each player's j-th update sees part j.

    Nothing is applied unless the loss, the gradients and the new parameters are finite: the state
    then stays as it was, in this and in every later step, and metrics["finite"] says so.

    Args:
      loss: loss(params, key, batch) -> (scalar, metrics), or a dict of players.
      optimizer: with one loss, an optax optimizer; players bring their own.
      mesh: devices with an axis "data"; by default all of them.

    Raises:
      TypeError: one loss without an optimizer, or players with one.
    """
    if isinstance(loss, Mapping) != (optimizer is None):
        raise TypeError("make_step needs (loss, optimizer), or a dict of players and no optimizer.")
    game = game_of(loss) if optimizer is None else game_of(optimizer, loss)
    mesh = sharding.data_mesh() if mesh is None else mesh
    everywhere, split = sharding.replicated(mesh), sharding.split(mesh)

    def advance(state: State, batch: Batch) -> tuple[State, Metrics]:
        return _advance(game, state, batch)

    jitted = jax.jit(
        advance,
        donate_argnums=0,
        in_shardings=(everywhere, split),
        out_shardings=(everywhere, everywhere),
    )
    return Step(jitted, mesh, game.num_parts)


def _advance(game: Game, state: State, batch: Batch) -> tuple[State, Metrics]:
    """Moves every player in turn, then keeps the outcome if all of it is finite."""
    game.check(state.params)
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), game.num_updates)
    parts = jax.tree.map(lambda x: _cut(x, game.num_parts), batch)
    params, opt_state = state.params, dict(state.opt_state)
    finite, all_metrics = state.finite, {}
    for name, player in game.players.items():
        keys_own, keys = keys[: player.updates], keys[player.updates :]

        def update(carry: tuple, inputs: tuple, name: str = name) -> tuple:
            return _update(game, name, carry, *inputs)

        carry = params, opt_state[name], finite
        parts_own = jax.tree.map(lambda x, n=player.updates: x[:n], parts)
        once = player.updates == 1  # then there is no loop to compile
        carry, metrics = jax.lax.scan(update, carry, (keys_own, parts_own), unroll=once)
        params, opt_state[name], finite = carry
        means = {game.label(name, label): jnp.mean(x, 0) for label, x in metrics.items()}
        all_metrics |= means
    moved = State(state.step + 1, params, opt_state, state.key, state.finite)
    # Selecting whole states, not updates: when the last player fails, the first has not moved.
    state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state)
    return state.replace(finite=finite), all_metrics | {"finite": finite}


def _cut(x: Array, num_parts: int) -> Array:
    """[B, ...] -> [R, B / R, ...]; strided, so that each device cuts what it holds."""
    x = x.reshape(x.shape[0] // num_parts, num_parts, *x.shape[1:])
    return jnp.moveaxis(x, 1, 0)


def _update(
    game: Game, name: str, carry: tuple[Params, PyTree, Array], key: Key, batch: Batch
) -> tuple[tuple[Params, PyTree, Array], Metrics]:
    """One update of one player."""
    player = game.players[name]
    params, opt_state, finite = carry
    own = game.own(name, params)

    def objective(own: Params) -> tuple[Array, Metrics]:
        return _checked(player.loss(game.merge(params, own), key, batch))

    (loss, metrics), grads = jax.value_and_grad(objective, has_aux=True)(own)
    optimizer = optax.with_extra_args_support(player.optimizer)
    with jax.numpy_dtype_promotion("standard"):  # optimizers mix dtypes as they please
        updates, new_opt_state = optimizer.update(grads, opt_state, own, value=loss)
        new = optax.apply_updates(own, updates)
        grad_norm = optax.tree.norm(grads)
    finite &= _all_finite((loss, grad_norm, new))
    carry = game.merge(params, _like(new, own)), _like(new_opt_state, opt_state), finite
    return carry, {**metrics, "loss": loss, "grad_norm": grad_norm}


def _checked(result: tuple[Array, Metrics]) -> tuple[Array, Metrics]:
    """Says plainly what a loss must return."""
    if not isinstance(result, tuple) or len(result) != 2:
        raise TypeError(f"a loss returns (scalar, metrics); got {type(result).__name__}.")
    loss, metrics = result
    if jnp.shape(loss) != ():
        raise ValueError(
            f"a loss returns one scalar for the whole batch; got shape {jnp.shape(loss)}. "
            "Average over examples once, at the end."
        )
    for name, x in metrics.items():
        if jnp.shape(x) != ():
            raise ValueError(f"metrics are scalars; {name!r} has shape {jnp.shape(x)}.")
    return loss, {name: jnp.asarray(x, jnp.float32) for name, x in metrics.items()}


def _all_finite(tree: PyTree) -> Array:
    """Whether every element of every array is finite."""
    return jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree)]).all()


def _like(new: PyTree, old: PyTree) -> PyTree:
    """new in the dtypes of old, weak types gone: a second step must not compile again."""

    return jax.tree.map(lambda x, y: jax.lax.convert_element_type(x, y.dtype), new, old)
