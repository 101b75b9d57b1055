"""`State`: everything that training carries from one step to the next."""

from __future__ import annotations

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import optax

from gm.core import Array, Key, Params, PyTree, pytree, static
from gm.train import averaging, memories, sharding
from gm.train.players import Player, game_of


@pytree
class State:
    """All state of a run at one step: runs with equal states continue identically.

    Attributes:
      step: n, the number of updates so far, an int32 scalar.
      params: any pytree; for a game, a dict with disjoint entries for the players.
      opt_state: the optimizer state of each player, by name ("all" for one loss).
      key: the base key; all randomness of step n comes from fold_in(key, n). It never changes.
      finite: False after a step that was not finite; the state then no longer changes.
      memory: state that losses carry from one step to the next without gradients, any pytree of
        arrays (`memories`); None for losses without memory.
      replicated: for each array of the memory, whether it is the same for all examples instead of
        one row [B, ...] per example.
    """

    step: Array
    params: Params
    opt_state: dict[str, PyTree]
    key: Key
    finite: Array
    memory: PyTree = None
    replicated: tuple[bool, ...] = static(default=())

    @property
    def averaged(self) -> Params:
        """params, replaced by exponential moving averages if an optimizer has them (`with_ema`)."""
        return averaging.averaged(self.params, self.opt_state)


def fresh(x: Array) -> Array:
    """A strongly typed copy in a new buffer."""
    if sharding.is_key(x):
        return jnp.copy(x)
    return jnp.array(x, dtype=jnp.result_type(x), copy=True)


def init(
    params: Params,
    optimizer: optax.GradientTransformation | Mapping[str, Player],
    key: Key,
    memory: PyTree = None,
    replicated: PyTree = False,
) -> State:
    """The state at step 0.

    Everything is copied: a step donates (deletes) the buffers of its state, and the caller's params
    and key remain valid.

    Args:
      params: the parameters of a model; for a game, one dict of the players' parameters.
      optimizer: an optax optimizer, or a dict of players over disjoint entries of params.
      key: one typed key (`jax.random.key`), the root of all randomness in training.
      memory: the initial memory of losses that have one (`make_step`), any pytree of arrays.
      replicated: whether the memory is the same for all examples: True, False, or one of them for
        each part, {"hidden": False, "buffer": True}. Other arrays have one row per example,
        [B, ...].

    Raises:
      TypeError: key is not a typed key.
      ValueError: players' entries are missing, overlap or leave some of params unclaimed; or
        `replicated` does not match the memory.
    """
    if not sharding.is_key(key) or key.shape:
        raise TypeError(f"init needs one typed key from jax.random.key(seed); got {key!r}.")
    game = game_of(optimizer)
    game.check(params)
    params = jax.tree.map(fresh, params)
    opt_state = {
        name: jax.tree.map(fresh, player.optimizer.init(game.own(name, params)))
        for name, player in game.players.items()
    }
    memory = jax.tree.map(fresh, memory)
    step, finite = jnp.zeros((), jnp.int32), jnp.array(True)
    shared = memories.flags(memory, replicated)
    return State(step, params, opt_state, fresh(key), finite, memory, shared)
