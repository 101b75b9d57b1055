"""Where arrays live: a batch split over the mesh axis "data", everything else on every device."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from gm.core import Batch, PyTree

AXIS = "data"


def data_mesh(devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh with the one axis "data" over the given devices, by default all of them."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), (AXIS,), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """A copy on every device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh) -> NamedSharding:
    """The leading axis split over "data"."""
    return NamedSharding(mesh, PartitionSpec(AXIS))


def batch_size(batch: Batch) -> int:
    """B, the leading size that all arrays of a batch share.

    Raises:
      ValueError: no array, an array without a leading axis, or different leading sizes.
    """
    shapes = {name: np.shape(x) for name, x in batch.items()}
    sizes = {shape[:1] for shape in shapes.values()}
    if len(sizes) != 1 or () in sizes:
        raise ValueError(f"arrays of a batch need one leading size B in common; got {shapes}.")
    return sizes.pop()[0]


def put_batch(batch: Batch, mesh: Mesh, num_parts: int = 1) -> Batch:
    """The batch on the devices of the mesh, each holding B / devices consecutive examples.

    Args:
      batch: arrays [B, ...].
      mesh: has an axis "data".
      num_parts: parts that the step cuts the batch in, one per update of a player.

    Raises:
      ValueError: B is not a multiple of devices x parts.
    """
    size, devices = batch_size(batch), mesh.shape[AXIS]
    unit = devices * num_parts
    if size % unit or size == 0:
        below, above = size // unit * unit, -(-max(size, 1) // unit) * unit
        works = f"{below} or {above}" if below else f"{above}"
        raise ValueError(
            f"a batch of {size} cannot be cut evenly for {devices} device(s) with {num_parts} "
            f"part(s) (updates per step) each: it needs a multiple of {unit}; {works} would work."
        )
    return jax.device_put(dict(batch), split(mesh))


def put_state(state: PyTree, mesh: Mesh) -> PyTree:
    """The state on every device of the mesh; its old buffers may be reused."""
    where = replicated(mesh)
    # One leaf stands for all: a state is made, moved, stepped and restored as a whole.
    return state if state.step.sharding == where else jax.device_put(state, where)
