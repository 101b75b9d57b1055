"""`make_step`: a training step that is jitted, donated, data-parallel, and checked to be finite.

The pattern is `jax.jit` with shardings: one program, with the batch split over the mesh axis "data"
and the state sharded by a rule. A loss sees the whole batch, so 1 device, 8 devices and several
hosts compute the same function.

Small models are limited by the dispatch of steps, not by their arithmetic. `Program.several` makes
many steps in one dispatch, with batches that are stacked or gathered on the device; each step is
the same computation for any grouping.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh

from gm.core import Array, Batch, Key, Loss, Metrics, Params, PyTree
from gm.train import memories, sharding
from gm.train.players import Game, Player, check_loss, game_of
from gm.train.state import State

Fetch = Callable[[Mapping[str, PyTree], PyTree, Array], Batch]


@dataclasses.dataclass(frozen=True)
class Program:
    """The compiled functions of a step for states of one structure.

    Attributes:
      layout: the sharding of every array of the state.
      once: (state, batch) -> (state, metrics).
      several: (state, columns, feeds, first, count, fetch) -> (state, metrics): `count` steps, the
        i-th on feeds[i], or on fetch(columns, feeds[i], first + i), and the metrics of the last. It
        ends after a step that is not finite.
    """

    layout: State
    once: Callable[[State, Batch], tuple[State, Metrics]]
    several: Callable[..., tuple[State, Metrics]]


@dataclasses.dataclass(frozen=True)
class Step:
    """step(state, batch) -> (state, metrics), which consumes the old state.

    Attributes:
      program: program(state) returns the compiled functions for states of this structure.
      mesh: the devices, with an axis "data".
      rule: the rule that shards the state over them.
      game: the players, with their losses and optimizers.
    """

    program: Callable[[State], Program]
    mesh: Mesh
    rule: sharding.Rule
    game: Game

    @property
    def num_parts(self) -> int:
        """The number of parts of a batch (the most updates per step of any player)."""
        return self.game.num_parts

    def __call__(self, state: State, batch: Batch) -> tuple[State, Metrics]:
        """One step of every player.

        Returns:
          The next state, and scalars: "loss", "grad_norm" and the loss's own metrics (means over a
          player's updates, "<player>/" before their names in a game), and "finite"; [N] of each for
          an ensemble of N.

        Raises:
          ValueError: the batch cannot be cut evenly over devices and updates.
        """
        return self.program(state).once(self.place(state), self.put(batch))

    def put(self, batch: Batch) -> Batch:
        """The batch, checked and split over the devices."""
        sharding.check_sizes(sharding.batch_sizes(batch), self.mesh, self.num_parts)
        return sharding.put_batch(batch, self.mesh)

    def place(self, state: State) -> State:
        """Moves the state to the devices of the mesh; its old buffers may be reused."""
        return sharding.put(state, self.program(state).layout)


def make_step(
    loss: Loss | Mapping[str, Player],
    optimizer: optax.GradientTransformation | None = None,
    *,
    mesh: Mesh | None = None,
    rule: sharding.Rule = sharding.replicated,
    num_members: int | None = None,
) -> Step:
    """A step of gradient descent on one loss, or one round of a game.

    Step n uses fold_in(key, n), split over the updates in their order. Where a player makes
    R > 1 updates per step, every batch is cut in R strided parts (part j holds examples
    j, R + j, 2 R + j, ...), and each player's j-th update sees part j.

    Nothing is applied unless the loss, the gradients and the new parameters are finite: otherwise
    the state stays unchanged, in this and in every later step, and metrics["finite"] is False.

    An ensemble trains N small models as one program. Its state has a leading axis [N] everywhere:
    `jax.vmap(lambda key: train.init(model.init(key), optimizer, key))(keys)`. Every member sees the
    same batches and has its own key; hyperparameters differ where the optimizer keeps them
    in its state (`optax.inject_hyperparams`). A member that is not finite stays at its last good
    step while the others continue.

    Losses may carry memory: loss(params, key, batch, memory) -> (scalar, (metrics, memory)), where
    the state was made with `init(..., memory=)`, any pytree; no gradient flows to the step before.
    The players of a game share one memory, in the order of their updates. Parts with one row per
    example, [B, ...], are split as the batch is; `init(replicated=)` names the parts that are the
    same for all examples.

    Args:
      loss: loss(params, key, batch) -> (scalar, metrics), or a dict of players.
      optimizer: with one loss, an optax optimizer; players bring their own.
      mesh: devices with an axis "data"; by default all of them, on all hosts.
      rule: `replicated` keeps a copy of the state on every device, `fsdp` shards it; or any
        function (name, shape, number of devices) -> PartitionSpec.
      num_members: N of an ensemble; None for one model.

    Raises:
      TypeError: one loss without an optimizer, or players with one.
    """
    if isinstance(loss, Mapping) != (optimizer is None):
        raise TypeError("make_step needs (loss, optimizer), or a dict of players and no optimizer.")
    if num_members is not None and num_members < 1:
        raise ValueError(f"an ensemble needs at least 1 member; got num_members={num_members}.")
    game = game_of(loss) if optimizer is None else game_of(optimizer, loss)
    for player in game.players.values():
        check_loss(player.loss)
    mesh = sharding.data_mesh() if mesh is None else mesh
    advance = functools.partial(_advance, game, _Layout(mesh, rule))
    if num_members is not None:
        advance = jax.vmap(advance, in_axes=(0, None), axis_size=num_members)

    @functools.lru_cache(maxsize=16)
    def compiled(structure: Any, kinds: tuple) -> Program:
        shapes = [jax.ShapeDtypeStruct(*kind) for kind in kinds]
        state = jax.tree.unflatten(structure, shapes)
        _check_members(state, num_members)
        _check_optimizers(state, game, num_members)
        axis = 0 if num_members is None else 1
        memories.check(state.memory, state.replicated, mesh, game.num_parts, axis)
        rows, shared = memories.partition(state.memory, state.replicated)
        layout = sharding.layout(state.replace(memory=shared), mesh, rule)
        rows = jax.tree.map(lambda _: sharding.split(mesh, axis), rows)
        layout = layout.replace(memory=memories.combine(rows, layout.memory))
        return _compile(advance, layout, mesh)

    def program(state: State) -> Program:
        leaves, structure = jax.tree.flatten(state)
        return compiled(structure, tuple((x.shape, x.dtype) for x in leaves))

    return Step(program, mesh, rule, game)


def _check_members(state: State, num_members: int | None) -> None:
    """Raises unless the state has this number of members."""
    want = () if num_members is None else (num_members,)
    if state.step.shape != want:
        have = state.step.shape[0] if state.step.shape else None
        raise ValueError(
            f"the step was made with num_members={num_members}; the state is of {have}. Give "
            "make_step(num_members=N) and jax.vmap(init)(keys) with N keys, or neither."
        )


def _check_optimizers(state: State, game: Game, num_members: int | None) -> None:
    """Raises unless the state was made by these optimizers."""

    def begin(params: Params) -> dict[str, PyTree]:
        return {k: p.optimizer.init(game.own(k, params)) for k, p in game.players.items()}

    game.check(state.params)
    want = jax.eval_shape(begin if num_members is None else jax.vmap(begin), state.params)
    shapes = [
        {jax.tree_util.keystr(path): x.shape for path, x in jax.tree.leaves_with_path(tree)}
        for tree in (state.opt_state, want)
    ]
    if jax.tree.structure(state.opt_state) != jax.tree.structure(want) or shapes[0] != shapes[1]:
        other = sorted(dict.items(shapes[0]) ^ dict.items(shapes[1]))[:3]
        raise ValueError(
            "the state was made with another optimizer than the step: make both with the same "
            f"one, make_step(loss, optimizer) and init(params, optimizer, key). Not in both: "
            f"{', '.join(f'{k} {list(x)}' for k, x in other) or 'the kinds of states'}."
        )


def _compile(advance: Callable, layout: State, mesh: Mesh) -> Program:
    """Jits both functions of a step."""
    everywhere, split = sharding.replicated_sharding(mesh), sharding.split(mesh)

    def several(
        state: State,
        columns: PyTree,
        feeds: PyTree,
        first: Array,
        count: Array,
        fetch: Fetch | None,
    ) -> tuple[State, Metrics]:
        def one(i: Array, state: State) -> tuple[State, Metrics]:
            feed = jax.tree.map(lambda x: x[i], feeds)
            batch = feed if fetch is None else fetch(columns, feed, first + i)
            return advance(state, jax.lax.with_sharding_constraint(batch, split))

        def body(carry: tuple) -> tuple:
            i, state, _ = carry
            return i + 1, *one(i, state)

        def going(carry: tuple) -> Array:
            i, state, _ = carry
            return (i < count) & jnp.any(state.finite)

        _, metrics = jax.eval_shape(one, jnp.zeros((), jnp.int32), state)
        metrics = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), metrics)
        start = jnp.zeros((), jnp.int32), state, metrics
        return jax.lax.while_loop(going, body, start)[1:]

    shardings = {"donate_argnums": 0, "out_shardings": (layout, everywhere)}
    once = jax.jit(advance, in_shardings=(layout, split), **shardings)
    return Program(layout, once, jax.jit(several, static_argnames="fetch", **shardings))


@dataclasses.dataclass(frozen=True)
class _Layout:
    """The sharding of parameters between steps, and in use."""

    mesh: Mesh
    rule: sharding.Rule

    def gather(self, params: Params) -> Params:
        """Replicates parameters on every device, for use."""
        return self._constrain(params, sharding.replicated_sharding(self.mesh))

    def scatter(self, grads: Params) -> Params:
        """Shards gradients like their parameters."""
        return self._constrain(grads, sharding.layout(grads, self.mesh, self.rule, "params"))

    def _constrain(self, tree: PyTree, where: PyTree) -> PyTree:
        if self.mesh.size == 1 or self.rule is sharding.replicated:
            return tree  # nothing to reshard
        return jax.lax.with_sharding_constraint(tree, where)


def _advance(game: Game, layout: _Layout, state: State, batch: Batch) -> tuple[State, Metrics]:
    """Updates every player in turn, and keeps the result if all of it is finite."""
    game.check(state.params)
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), game.num_updates)
    rows, shared = memories.partition(state.memory, state.replicated)
    memories.check_rows(rows, batch)
    parts, rows = jax.tree.map(lambda x: _cut(x, game.num_parts), (batch, rows))
    params, opt_state, finite, all_metrics = state.params, dict(state.opt_state), state.finite, {}
    for name, player in game.players.items():
        keys_own, keys = keys[: player.updates], keys[player.updates :]

        def update(carry: tuple, inputs: tuple, name: str = name) -> tuple:
            key, batch, rows = inputs
            *moved, shared = carry
            memory = memories.combine(rows, layout.gather(shared))
            (*moved, memory), metrics = _update(game, layout, name, (*moved, memory), key, batch)
            rows, shared = memories.partition(memory, state.replicated)
            return (*moved, shared), (metrics, rows)

        carry = params, opt_state[name], finite, shared
        inputs = keys_own, *jax.tree.map(lambda x, n=player.updates: x[:n], (parts, rows))
        if player.updates == 1:
            # No loop for one update: XLA has slow gradients of convolutions inside loops on a CPU.
            carry, outputs = update(carry, jax.tree.map(lambda x: x[0], inputs))
            means, moved = outputs[0], jax.tree.map(lambda x: x[None], outputs[1])
        else:
            carry, (metrics, moved) = jax.lax.scan(update, carry, inputs)
            means = {label: jnp.mean(x, 0) for label, x in metrics.items()}
        params, opt_state[name], finite, shared = carry
        rows = jax.tree.map(lambda new, old: jnp.concatenate([new, old[len(new) :]]), moved, rows)
        all_metrics |= {game.label(name, label): x for label, x in means.items()}
    memory = memories.combine(jax.tree.map(_joined, rows), shared)
    moved = state.replace(step=state.step + 1, params=params, opt_state=opt_state, memory=memory)
    # Selects states, not updates: if the last player fails, the first is not updated either.
    state = jax.tree.map(lambda new, old: jnp.where(finite, new, old), moved, state)
    return state.replace(finite=finite), all_metrics | {"finite": finite}


def _cut(x: Array, num_parts: int) -> Array:
    """[B, ...] -> [R, B / R, ...]; strided, so that each device cuts its own examples."""
    x = x.reshape(x.shape[0] // num_parts, num_parts, *x.shape[1:])
    return jnp.moveaxis(x, 1, 0)


def _joined(x: Array) -> Array:
    """[R, B / R, ...] -> [B, ...], the inverse of `_cut`."""
    return jnp.moveaxis(x, 0, 1).reshape(x.shape[0] * x.shape[1], *x.shape[2:])


def _update(
    game: Game,
    layout: _Layout,
    name: str,
    carry: tuple[Params, PyTree, Array, PyTree],
    key: Key,
    batch: Batch,
) -> tuple[tuple[Params, PyTree, Array, PyTree], Metrics]:
    """One update of one player."""
    player = game.players[name]
    params, opt_state, finite, memory = carry
    own = game.own(name, params)

    def objective(own: Params) -> tuple[Array, tuple[Metrics, PyTree]]:
        everything = layout.gather(game.merge(params, own))
        if memory is None:
            loss, metrics = _checked(player.loss(everything, key, batch))
            return loss, (metrics, None)
        memories.check_takes(player.loss)
        return _remembered(player.loss(everything, key, batch, memory), memory)

    (loss, (metrics, new_memory)), grads = jax.value_and_grad(objective, has_aux=True)(own)
    grads = layout.scatter(grads)
    optimizer = optax.with_extra_args_support(player.optimizer)
    with jax.numpy_dtype_promotion("standard"):  # optimizers may mix dtypes
        updates, new_opt_state = optimizer.update(grads, opt_state, own, value=loss)
        new = optax.apply_updates(own, updates)
        grad_norm = optax.tree.norm(grads)
    finite &= _all_finite((loss, grad_norm, new, new_memory))
    new_opt_state, new_memory = _like(new_opt_state, opt_state), _like(new_memory, memory)
    carry = game.merge(params, _like(new, own)), new_opt_state, finite, new_memory
    return carry, {**metrics, "loss": loss, "grad_norm": grad_norm}


def _checked(result: tuple[Array, Metrics]) -> tuple[Array, Metrics]:
    """Checks the return value of a loss."""
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


def _remembered(
    result: tuple[Array, tuple[Metrics, PyTree]], memory: PyTree
) -> tuple[Array, tuple[Metrics, PyTree]]:
    """Checks the return value of a loss with memory."""
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], tuple)):
        raise TypeError("a loss with a memory returns (scalar, (metrics, memory)).")
    loss, (metrics, new) = result
    memories.check_kept(memory, new)
    loss, metrics = _checked((loss, metrics))
    return loss, (metrics, new)


def _all_finite(tree: PyTree) -> Array:
    """Whether every element of every array is finite."""
    leaves = [x for x in jax.tree.leaves(tree) if not sharding.is_key(x)]
    return jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves]).all()


def _like(new: PyTree, old: PyTree) -> PyTree:
    """new with the dtypes of old and without weak types, so that no step compiles again."""

    def like(x: Array, y: Array) -> Array:
        return x if sharding.is_key(x) else jax.lax.convert_element_type(x, y.dtype)

    return jax.tree.map(like, new, old)
