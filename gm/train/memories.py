"""Memory of losses: state carried from step to step without gradients, in rows or replicated.

rows         [B, ...], one for each example of the batch: split over devices and cut into parts
             like the batch (hidden states, persistent chains of each example)
replicated   the same for all examples (codebooks, power-iteration vectors, baselines, replay
             buffers, target networks): not split with the batch, and sharded by the state's rule
"""

from __future__ import annotations

import inspect

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from gm.core import Array, Batch, Loss, PyTree
from gm.train import sharding


def flags(memory: PyTree, replicated: PyTree) -> tuple[bool, ...]:
    """Whether each array of a memory is replicated, in the order of its leaves.

    Args:
      memory: any pytree.
      replicated: a bool, or a tree of bools for parts of the memory.

    Raises:
      ValueError: replicated has a part that is not in the memory, or a leaf that is not a bool.
    """
    try:
        found = jax.tree.leaves(jax.tree.broadcast(replicated, memory))
    except ValueError as error:
        raise ValueError(
            "init needs replicated to be True, False, or one of them for each part of the memory, "
            f"such as {{'hidden': False, 'buffer': True}}; {error}"
        ) from None
    if not all(isinstance(x, bool | np.bool_) for x in found):
        raise ValueError(f"init needs replicated to be made of True and False; got {replicated!r}.")
    return tuple(map(bool, found))


def by_name(memory: PyTree, replicated: tuple[bool, ...]) -> dict[str, bool]:
    """Whether each array of a memory is replicated, by its path."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(memory)]
    return dict(zip(paths, replicated, strict=True))


def partition(memory: PyTree, replicated: tuple[bool, ...]) -> tuple[PyTree, PyTree]:
    """(rows, shared): two trees like the memory, each with None for the arrays of the other."""
    leaves, structure = jax.tree.flatten(memory)
    pairs = list(zip(leaves, replicated, strict=True))
    rows = structure.unflatten([None if shared else x for x, shared in pairs])
    return rows, structure.unflatten([x if shared else None for x, shared in pairs])


def combine(rows: PyTree, shared: PyTree) -> PyTree:
    """The memory combined from its two parts."""
    return jax.tree.map(
        lambda x, y: y if x is None else x, rows, shared, is_leaf=lambda x: x is None
    )


def check(
    memory: PyTree, replicated: tuple[bool, ...], mesh: Mesh, num_parts: int, axis: int
) -> None:
    """Raises ValueError unless the rows of a memory can be split over devices and updates.

    Args:
      memory: the memory of a state.
      replicated: the `flags` of the same state.
      mesh: a mesh with an axis "data".
      num_parts: the number of parts that a batch is cut into.
      axis: the axis of the rows: 1 in ensembles, else 0.
    """
    num_arrays = len(jax.tree.leaves(memory))
    if num_arrays != len(replicated):
        raise ValueError(
            f"the state has {len(replicated)} flags for whether arrays of its memory are "
            f"replicated, but {num_arrays} arrays. Pass the memory to init, which makes the flags."
        )
    shapes = [x.shape for x in jax.tree.leaves(partition(memory, replicated)[0])]
    sizes = {shape[axis : axis + 1] for shape in shapes}
    unit = mesh.size * num_parts
    if () in sizes or any(n % unit for (n,) in sizes):
        raise ValueError(
            "arrays of a memory with one row per example need the leading size B, a multiple of "
            f"the {mesh.size} device(s) x {num_parts} part(s) of a batch; got shapes {shapes}. "
            "Use init(..., replicated=) for what is the same for all examples."
        )


def check_rows(rows: PyTree, batch: Batch) -> None:
    """Raises ValueError unless there is one row for each example of the batch."""
    shapes = [jnp.shape(x) for x in jax.tree.leaves(rows)]
    sizes = sharding.batch_sizes(batch)
    if any(shape[0] not in sizes for shape in shapes):
        raise ValueError(
            "arrays of a memory need one row for each of the "
            f"{' or '.join(map(str, sizes))} examples of the batch; got shapes {shapes}. "
            "Use init(..., replicated=) for what is the same for all examples."
        )


def check_takes(loss: Loss) -> None:
    """Raises TypeError unless a loss has a parameter for the memory."""
    try:
        inspect.signature(loss).bind({}, None, {}, None)
    except TypeError:
        raise TypeError(
            "the state has a memory, which every loss is given: loss(params, key, batch, memory) "
            "-> (scalar, (metrics, memory)); one that hands it on as it is needs three lines "
            "around it."
        ) from None


def check_kept(before: PyTree, after: PyTree) -> None:
    """Raises ValueError unless a loss keeps the shapes and dtypes of its memory."""
    shapes = [jax.tree.map(jnp.shape, tree) for tree in (before, after)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"a loss keeps the shapes of its memory, {shapes[0]}; it returned {shapes[1]}."
        )
    for old, new in zip(*map(jax.tree.leaves, (before, after)), strict=True):
        if _real(new) and not _real(old):
            raise ValueError(
                f"a loss keeps the dtypes of its memory; it returned {jnp.result_type(new)} for "
                f"{jnp.result_type(old)}, which would be cut off."
            )


def _real(x: Array) -> bool:
    return not sharding.is_key(x) and jnp.issubdtype(jnp.result_type(x), jnp.inexact)
