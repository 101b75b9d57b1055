"""Batches as a pure function of (seed, step), so that a resumed run sees the batches it would have.

The stream of examples concatenates one fresh permutation of the N examples per epoch. Batch `step`
contains items step * B, ..., step * B + B - 1 of the stream; a batch may span two epochs, so no
example is dropped and every epoch contains every example once.

A batch is made on the host by `batches(step)`, or on the device inside jit from a copy of the whole
split; both give the same numbers, bit for bit:

    columns = jax.device_put(dict(batches.columns))                        # once
    batch = jax.jit(batches.gather)(columns, batches.indices(step), step)  # == batches(step)
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Batch, Key

if TYPE_CHECKING:
    from gm.data.dataset import Split

READ_THREADS = 8  # batches of a streamed split that are read concurrently
READ_AHEAD = 16  # batches of a streamed split that are kept ready
DEVICE_MEMORY = 8 * 2**30  # the largest split that may be copied to every device, in bytes


@functools.lru_cache(maxsize=8)
def permutation(seed: int, epoch: int, num_x: int) -> np.ndarray:
    """The order of the examples in one epoch: [N] int64, a permutation of 0, ..., N - 1.

    Sorts N raw numbers of Philox with the key (seed, epoch). NumPy guarantees that these raw
    numbers are the same in every release.
    """
    bits = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(num_x)
    order = np.argsort(bits, kind="stable")
    order.flags.writeable = False
    return order


def step_key(seed: int, step: int | Array) -> Key:
    """The key of a batch's random transforms.

    Folds in a constant first, so that a model with the same seed gets different random numbers.
    """
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 0x64617461), step)


def read_ahead(read: Callable[[int], Batch], first: int, stop: int) -> Iterator[Batch]:
    """read(first), ..., read(stop - 1) in order, prefetched by threads of grain."""
    import grain

    options = grain.ReadOptions(num_threads=READ_THREADS, prefetch_buffer_size=READ_AHEAD)
    return iter(grain.MapDataset.range(first, stop).map(read).to_iter_dataset(options))


@dataclasses.dataclass(frozen=True)
class Batches:
    """Endless training batches of a split; `batches(step)` is a pure function of (seed, step).

    A batch is {"x": [B, ...]}. It also has "label": [B] int32 if the split has labels, and
    "context", the input of conditional models, if there is one; labels are a context. x is int32 in
    [0, K) or float32: a NumPy array, or a JAX array if the split has transforms. Random transforms
    are sampled again at every step.

    Two objects are equal, with the same hash, if they have the same fields and the same split
    object; jit then compiles once for both.

    Attributes:
      endless: always True; code that needs each example once must refuse these batches.
      split: the source of the examples.
      batch_size: B, examples per batch over all hosts.
      seed: the seed of the order and of random transforms, at least 0.
      shard_index: which contiguous part of each batch this host reads.
      shard_count: the number of hosts that share each batch.
      on_device: whether training makes the batches with `gather`; the split must then be in memory
        and fit on the device. Calling and iterating give host batches in either case.
    """

    endless: ClassVar[bool] = True

    split: Split
    batch_size: int
    seed: int = 0
    shard_index: int = 0
    shard_count: int = 1
    on_device: bool = False

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.seed < 0:
            raise ValueError(
                "batches need batch_size of at least 1 and seed of at least 0; got "
                f"batch_size={self.batch_size}, seed={self.seed}."
            )
        if len(self.split) == 0:
            raise ValueError("batches need a split with examples; this one has none.")
        if not 0 <= self.shard_index < self.shard_count or self.batch_size % self.shard_count:
            raise ValueError(
                "batches need shard_index in [0, shard_count) and a batch_size divisible by "
                f"shard_count; got shard_index={self.shard_index}, "
                f"shard_count={self.shard_count}, batch_size={self.batch_size}."
            )
        if self.on_device and self.device_bytes > DEVICE_MEMORY:
            raise ValueError(
                f"batches made on the device need a split of at most {DEVICE_MEMORY / 2**30:.1f} "
                f"GiB, which every device holds; this one has {self.device_bytes / 2**30:.1f} GiB. "
                "With on_device=False the host makes the same batches."
            )

    def __call__(self, step: int) -> Batch:
        """This host's part of the batch of a step."""
        return self._finish(self._read(step), step, self._places)

    def __iter__(self) -> Iterator[Batch]:
        """The batches of steps 0, 1, 2, ..., without end."""
        return self.starting_at(0)

    def starting_at(self, step: int) -> Iterator[Batch]:
        """The batches of steps step, step + 1, ..., without end.

        Threads prefetch the batches of a streamed split; the batches are the same as without.
        """
        if self.split.streamed:
            ready = read_ahead(self._read, step, sys.maxsize)
        else:
            ready = map(self._read, itertools.count(step))
        return (self._finish(batch, i, self._places) for i, batch in enumerate(ready, step))

    def indices(self, step: int) -> np.ndarray:
        """Indices into the split of this host's examples at a step: [B / shard_count]."""
        if step < 0:
            raise ValueError(f"batches need a step of at least 0; got {step}.")
        num_x = len(self.split)
        epochs, places = np.divmod(step * self.batch_size + self._places, num_x)
        parts = [
            permutation(self.seed, epoch, num_x)[places[epochs == epoch]]
            for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)
        ]
        return np.concatenate(parts)

    @property
    def columns(self) -> Mapping[str, np.ndarray]:
        """The whole split as stored, for `gather`: bytes stay bytes, and a text is one array.

        Raises:
          ValueError: the split is streamed.
        """
        if self.split.streamed:
            raise ValueError(
                "batches made on the device need a split in memory; this one is streamed. Load it "
                "with in_memory=True; with on_device=False the host makes the same batches."
            )
        return self.split.source.columns

    @property
    def device_bytes(self) -> int:
        """The size of the columns on a device, in bytes."""
        return sum(column.nbytes for column in self.columns.values())

    def gather(
        self, columns: Mapping[str, Array], indices: Array | np.ndarray, step: int | Array
    ) -> Batch:
        """The batch of a step over all hosts, gathered from `columns` on the device; works in jit.

        Equals `batches(step)` bit for bit, or the concatenated parts of all hosts.

        Args:
          columns: a copy of `self.columns`.
          indices: [B], the concatenated `indices(step)` of all hosts.
          step: scalar, at least 0.

        Raises:
          ValueError: the number of indices is not B.
        """
        if indices.shape != (self.batch_size,):
            raise ValueError(
                f"gather needs the indices of the whole batch, ({self.batch_size},): those of all "
                f"{self.shard_count} hosts, one after the other; got {indices.shape}."
            )
        stored = self.split.source.gather(columns, indices)
        batch = self._finish(stored, step, np.arange(self.batch_size))
        # No arithmetic on stored floats: XLA may flush subnormal numbers to zero.
        if self.split.transforms and not self.split.event.discrete:
            batch["x"] = _rounded(batch["x"], step)
        # Keeps XLA from sampling the batch again for each use, where the backend supports it.
        return jax.lax.optimization_barrier(batch)

    @property
    def _places(self) -> np.ndarray:
        """This host's positions within a batch."""
        size = self.batch_size // self.shard_count
        return np.arange(self.shard_index * size, (self.shard_index + 1) * size)

    def _read(self, step: int) -> Batch:
        return self.split.source.take(self.indices(step))

    def _finish(self, batch: Batch, step: int | Array, places: np.ndarray) -> Batch:
        # Making a key costs as much as a small batch, so this is done only for transforms.
        key = step_key(self.seed, step) if self.split.transforms else None
        return self.split.finish(batch, key, places)


def _rounded(x: Array, step: int | Array) -> Array:
    """x unchanged, but rounded before a model uses it.

    Inside a larger jit, XLA may fuse the last product of a transform with the first sum of a model
    into one multiply-add, which rounds only once. Adding a zero that XLA does not know to be
    constant gives the product its own sum: x + -0.0 = x, for both zeros too.
    """
    return x + jnp.where(step < 0, 1.0, -0.0).astype(x.dtype)
