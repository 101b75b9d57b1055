"""Sharding: the batch split over the mesh axis "data", the state replicated or fully sharded.

    replicated  a copy of the state on every device (data parallelism)
    fsdp        parameters, optimizer state and averages split over the same axis, for models larger
                than one device: the step gathers parameters for use and scatters gradients.
                Rajbhandari et al. (2020), "ZeRO", arXiv:1910.02054, stage 3.

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
    """Splits the longest axis that the devices divide evenly; small arrays are replicated.

    Args:
      name: the name of the array; not used.
      shape: the shape of the array; of equally long axes the first is split.
      num_devices: the number of devices along "data".
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
    """The sharding of every array in a tree (of arrays or shapes), by the rule."""

    def of(path: Any, x: Any) -> NamedSharding:
        name = (prefix + jax.tree_util.keystr(path)).lstrip(".")
        return NamedSharding(mesh, rule(name, x.shape, mesh.shape[AXIS]))

    return jax.tree_util.tree_map_with_path(of, tree)


def is_key(x: Any) -> bool:
    """Whether x is an array of typed random keys, which NumPy and files do not support."""
    return jnp.issubdtype(getattr(x, "dtype", None), jax.dtypes.prng_key)


def batch_sizes(batch: Batch) -> list[int]:
    """B, the leading size that all arrays of a batch share; for nested batches, that of each.

    A mapping that only contains mappings, none of them named "x", is several batches:
    {"labelled": {"x": [A, ...], "label": [A]}, "unlabelled": {"x": [B, ...]}}.

    Raises:
      ValueError: there is no array, an array has no leading axis, or leading sizes in one batch
        differ.
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
      sizes: the number of this host's examples in each of the nested batches.
      mesh: a mesh with an axis "data".
      num_parts: the number of parts that the step cuts the batch into, one per update of a player.
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
      batch: arrays whose given axis is that of examples; on several hosts, this host's part.
      mesh: a mesh with an axis "data".
      axis: the axis of examples.
    """
    where = split(mesh, axis)
    if jax.process_count() == 1:
        return jax.device_put(dict(batch), where)
    return jax.tree.map(
        lambda x: jax.make_array_from_process_local_data(where, np.asarray(x)), dict(batch)
    )


def put(tree: PyTree, where: PyTree) -> PyTree:
    """Moves the arrays of a tree to their shardings; those already there are unchanged."""

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
    """A copy of global arrays on this host's first device.

    The results of training over many devices or hosts then work like any other array, with plain
    `jit`, NumPy and plots. All hosts must call this together if arrays are split over hosts.
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
    """Whether a flag is set on any host; all hosts get the same answer, asynchronously."""
    if jax.process_count() == 1:
        return flag
    flags = np.full(mesh.local_mesh.size, flag)
    return _any(put_batch({"flag": flags}, mesh)["flag"])


@jax.jit
def _any(flags: Array) -> Array:
    return jnp.any(flags)


def on_first_host(work: Callable[[], int]) -> int:
    """Runs work() on host 0 only, and returns its result on every host.

    Raises:
      RuntimeError: on the other hosts, if work() has raised an error on host 0.
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
        raise RuntimeError("host 0 could not continue; its output says why.")
    return int(result)
