"""Sharding: the batch split over the mesh axis "data", the state replicated or fully sharded.

    replicated  a copy of everything on every device (data parallelism)
    fsdp        parameters, optimizer state and averages split over the same axis, for models larger
                than one device: the step gathers parameters where it uses them and scatters
                gradients. Rajbhandari et al. (2020), "ZeRO", arXiv:1910.02054, stage 3.

A rule is a function (name, shape, number of devices) -> PartitionSpec of one array of the state,
where the name is its path, such as `params['decoder']['kernel']`. Several hosts share one mesh;
each brings its own part of each batch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gm.core import Array, Batch, PyTree

AXIS = "data"
Rule = Callable[[str, tuple[int, ...], int], PartitionSpec]


def replicated(name: str, shape: tuple[int, ...], num_devices: int) -> PartitionSpec:
    """A copy on every device."""
    del name, shape, num_devices
    return PartitionSpec()


def fsdp(
    name: str, shape: tuple[int, ...], num_devices: int, *, min_size: int = 4096
) -> PartitionSpec:
    """The longest axis that the devices divide evenly is split; small arrays are replicated.

    Args:
      name: of the array; not used.
      shape: of the array; of two equally long axes the first is split.
      num_devices: along "data".
      min_size: smaller arrays are replicated, because splitting them saves less than it costs.
    """
    del name
    even = [axis for axis, size in enumerate(shape) if size % num_devices == 0]
    if num_devices == 1 or not even or np.prod(shape) < min_size:
        return PartitionSpec()
    longest = max(even, key=lambda axis: (shape[axis], -axis))
    return PartitionSpec(*(AXIS if axis == longest else None for axis in range(longest + 1)))


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with the one axis "data" over the given devices, by default those of all hosts."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated_sharding(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The given axis, by default the leading one, split over "data"."""
    return NamedSharding(mesh, PartitionSpec(*(None,) * axis, AXIS))


def layout(tree: PyTree, mesh: Mesh, rule: Rule, prefix: str = "") -> PyTree:
    """The sharding of every array of a tree (arrays or shapes), by the rule."""

    def of(path: Any, x: Any) -> NamedSharding:
        name = (prefix + jax.tree_util.keystr(path)).lstrip(".")
        return NamedSharding(mesh, rule(name, x.shape, mesh.shape[AXIS]))

    return jax.tree_util.tree_map_with_path(of, tree)


def is_key(x: Any) -> bool:
    """Whether x is an array of typed random keys, which neither NumPy nor files know."""
    return jnp.issubdtype(getattr(x, "dtype", None), jax.dtypes.prng_key)


def batch_sizes(batch: Batch) -> list[int]:
    """B, the leading size that all arrays of a batch share; of nested batches, that of each.

    A mapping of mappings alone, none of them called "x", holds several batches:
    {"labelled": {"x": [A, ...], "label": [A]}, "unlabelled": {"x": [B, ...]}}.

    Raises:
      ValueError: no array, an array without a leading axis, or different leading sizes in one.
    """
    parts = list(batch.values()) if isinstance(batch, Mapping) and "x" not in batch else []
    if parts and all(isinstance(part, Mapping) for part in parts):
        return [size for part in parts for size in batch_sizes(part)]
    sizes = {np.shape(x)[:1] for x in jax.tree.leaves(batch)}
    if len(sizes) != 1 or () in sizes:
        raise ValueError(
            "arrays of a batch need one leading size B in common; got "
            f"{jax.tree.map(np.shape, batch)}. Batches of several sizes are nested: "
            '{"a": {"x": [A, ...]}, "b": {"x": [B, ...]}}.'
        )
    return [sizes.pop()[0]]


def check_sizes(sizes: Sequence[int], mesh: Mesh, num_parts: int = 1) -> None:
    """Raises ValueError unless this host's part of a batch can be cut evenly.

    Args:
      sizes: examples that this host brings, of each batch that is nested in one.
      mesh: has an axis "data".
      num_parts: parts that the step cuts the batch in, one per update of a player.
    """
    devices = mesh.local_mesh.size
    unit = devices * num_parts
    for size in sizes:
        if size > 0 and size % unit == 0:
            continue
        below, above = size // unit * unit, -(-max(size, 1) // unit) * unit
        works = f"{below} or {above}" if below else f"{above}"
        here = " on each host" if jax.process_count() > 1 else ""
        raise ValueError(
            f"a batch of {size}{here} cannot be cut evenly for {devices} device(s) with "
            f"{num_parts} part(s) (updates per step) each: it needs a multiple of {unit}; {works} "
            "would work."
        )


def put_batch(batch: Batch, mesh: Mesh, *, axis: int = 0) -> Batch:
    """The batch on the devices of the mesh, each holding B / devices consecutive examples.

    Args:
      batch: arrays whose given axis holds examples; on several hosts, this host's part of them.
      mesh: has an axis "data".
      axis: where the examples are.
    """
    where = split(mesh, axis)
    if jax.process_count() == 1:
        return jax.device_put(dict(batch), where)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(where, np.asarray(x)), dict(batch)
    )


def put(tree: PyTree, where: PyTree) -> PyTree:
    """Arrays of a tree on their shardings; those that lie there already are not touched."""

    def move(x: Array, sharding: NamedSharding) -> Array:
        if getattr(x, "sharding", None) == sharding:
            return x
        if sharding.is_fully_addressable:
            return jax.device_put(x, sharding)
        if is_key(x):
            data = move(jax.random.key_data(x), NamedSharding(sharding.mesh, PartitionSpec()))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(x))
        if getattr(x, "is_fully_addressable", True):  # the same on every host
            values = np.asarray(x)
            return jax.make_array_from_callback(values.shape, sharding, values.__getitem__)
        return jax.jit(lambda x: x, out_shardings=sharding)(x)

    return jax.tree.map(move, tree, where)


def local(tree: PyTree) -> PyTree:
    """A copy of global arrays on this host's first device, wherever they lie.

    What a training over many devices or hosts leaves then works like any other array: with plain
    `jit`, NumPy and pictures. All hosts must call this together where arrays are split over them.
    """

    def one(x: Array) -> Array:
        if isinstance(x.sharding, NamedSharding) and not x.is_fully_replicated:
            x = jax.jit(lambda x: x, out_shardings=replicated_sharding(x.sharding.mesh))(x)
        if is_key(x):
            return jax.random.wrap_key_data(
                one(jax.random.key_data(x)), impl=jax.random.key_impl(x)
            )
        return jnp.copy(x.addressable_data(0))

    return jax.tree.map(one, tree)


def any_host(flag: bool, mesh: Mesh) -> Array | bool:
    """Whether a flag is up on any host; every host learns the same, a step's time later."""
    if jax.process_count() == 1:
        return flag
    flags = np.full(mesh.local_mesh.size, flag)
    return _any(put_batch({"flag": flags}, mesh)["flag"])


@jax.jit
def _any(flags: Array) -> Array:
    return jnp.any(flags)


def on_first_host(work: Callable[[], int]) -> int:
    """work() done by host 0 alone: its number on every host, and its failure too.

    Raises:
      RuntimeError: on the other hosts, where host 0 has failed (with an error of its own).
    """
    if jax.process_count() == 1:
        return work()
    result, error = -1, None
    if jax.process_index() == 0:
        try:
            result = work()
        except Exception as caught:
            error = caught
    failed, result = multihost_utils.broadcast_one_to_all(
        np.array([error is not None, result], np.int32)
    )
    if error is not None:
        raise error
    if failed:
        raise RuntimeError("host 0 could not go on; its output says why.")
    return int(result)
