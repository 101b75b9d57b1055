"""Batches as a pure function of (seed, step): a resumed run sees what it would have seen.

The stream of examples is one fresh permutation of the N examples per epoch, one after the other.
Batch `step` holds the stream's places step * B, ..., step * B + B - 1; it runs across the end of
an epoch, so nothing is dropped and every epoch holds every example once.

A batch is made on the host, `batches(step)`, or on the device inside jit, from a copy of the whole
split, with the same numbers bit for bit:

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

READ_THREADS = 8  # batches that a streamed split reads at the same time
READ_AHEAD = 16  # batches that it holds ready
DEVICE_MEMORY = 8 * 2**30  # bytes of a split that may be copied to every device


@functools.lru_cache(maxsize=8)
def permutation(seed: int, epoch: int, num_x: int) -> np.ndarray:
    """The order of the examples in one epoch: [N] int64, a permutation of 0, ..., N - 1.

    Sorts N raw numbers of Philox with the key (seed, epoch). The raw numbers are the part of
    NumPy's random numbers that no release may change.
    """
    bits = np.random.Philox(key=np.array([seed, epoch], np.uint64)).random_raw(num_x)
    order = np.argsort(bits, kind="stable")
    order.flags.writeable = False
    return order


def step_key(seed: int, step: int | Array) -> Key:
    """The key of a batch's transforms.

    Folds in a constant first, so that the same seed gives a model other random numbers.
    """
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 0x64617461), step)


def read_ahead(read: Callable[[int], Batch], first: int, stop: int) -> Iterator[Batch]:
    """read(first), ..., read(stop - 1) in order, read by threads of grain before they are due."""
    import grain

    options = grain.ReadOptions(num_threads=READ_THREADS, prefetch_buffer_size=READ_AHEAD)
    return iter(grain.MapDataset.range(first, stop).map(read).to_iter_dataset(options))


@dataclasses.dataclass(frozen=True)
class Batches:
    """Endless training batches of a split; `batches(step)` is a pure function of (seed, step).

    A batch is {"x": [B, ...]} with "label": [B] int32 where the split has labels, and "context",
    what conditional models are given, where there is one: the labels are. x is int32 in [0, K) or
    float32, a NumPy array, or a JAX array where the split has transforms; these sample
    again at every step.

    Batches are equal, and hash alike, when they have the same fields and the very same split: jit
    compiles once for them.

    Attributes:
      endless: true of every one: what needs each example once is to refuse these.
      split: where the examples come from.
      batch_size: B, examples of one batch over all hosts.
      seed: of the order and of random transforms; at least 0.
      shard_index: which contiguous part of each batch this host reads.
      shard_count: how many hosts share each batch.
      on_device: whether training is to make the batches with `gather`; the split must then be in
        memory and fit. Calling and iterating give the host's batches either way.
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

        A streamed split is read ahead by threads; the batches are the same either way.
        """
        if self.split.streamed:
            ready = read_ahead(self._read, step, sys.maxsize)
        else:
            ready = map(self._read, itertools.count(step))
        return (self._finish(batch, i, self._places) for i, batch in enumerate(ready, step))

    def indices(self, step: int) -> np.ndarray:
        """The numbers within the split of this host's examples at a step: [B / shard_count]."""
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
        """The whole split as it is stored, for `gather`: bytes stay bytes, a text is one array.

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
        """What the columns take on a device."""
        return sum(column.nbytes for column in self.columns.values())

    def gather(
        self, columns: Mapping[str, Array], indices: Array | np.ndarray, step: int | Array
    ) -> Batch:
        """The batch of a step over all hosts, from `columns` on the device; works inside jit.

        Bit for bit `batches(step)`, or the parts of all hosts one after the other.

        Args:
          columns: a copy of `self.columns`.
          indices: [B], `indices(step)` of all hosts one after the other.
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
        # Stored floats are never added to: XLA may flush the smallest of them to zero.
        if self.split.transforms and not self.split.event.discrete:
            batch["x"] = _rounded(batch["x"], step)
        # Keeps XLA from sampling the batch again for each use, where the backend supports it.
        return jax.lax.optimization_barrier(batch)

    @property
    def _places(self) -> np.ndarray:
        """This host's places within a batch."""
        size = self.batch_size // self.shard_count
        return np.arange(self.shard_index * size, (self.shard_index + 1) * size)

    def _read(self, step: int) -> Batch:
        return self.split.source.take(self.indices(step))

    def _finish(self, batch: Batch, step: int | Array, places: np.ndarray) -> Batch:
        # A key costs as much to make as a small batch: only where a transform is random.
        key = step_key(self.seed, step) if self.split.transforms else None
        return self.split.finish(batch, key, places)


def _rounded(x: Array, step: int | Array) -> Array:
    """x as it is, rounded before a model uses it.

    Inside a larger jit XLA may fuse the last product of a transform with the first sum of a model
    into one multiply-add, which rounds once. So the product gets a sum of its own, with a zero that
    XLA cannot know to be one: x + -0.0 = x, for both zeros too.
    """
    return x + jnp.where(step < 0, 1.0, -0.0).astype(x.dtype)
