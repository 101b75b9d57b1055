"""Data sets: three splits and the space of their examples."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np

from gm.core import Array, Batch, Distribution, Event, Key
from gm.data.batches import Batches, read_ahead, step_key
from gm.data.stored import CHUNK, InMemory, Source
from gm.data.transforms import Lossless, Standardize, Transform


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    `batches` is for training: it is endless and shuffled, and samples random transforms at every
    step. `in_order`, `x` and `arrays` are for evaluation: they sample random transforms once, with
    a fixed key per split and example, so that every model is scored on the same numbers.

    Attributes:
      source: the examples as stored.
      stored: the space of the stored examples.
      transforms: the transforms of the examples, in order.
      seed: the seed of the random transforms in evaluation.
      standardized: how the examples were standardized before they were stored; None if they were
        not.
      context: the name of the entry that is the context of conditional models p(x | context), if it
        is not stored as "context"; batches have it under that name too. In a labelled data set the
        labels are the context.
    """

    source: Source
    stored: Event
    transforms: tuple[Transform, ...] = ()
    seed: int = 0
    standardized: Standardize | None = None
    context: str = "label"

    def __len__(self) -> int:
        return len(self.source)

    @property
    def event(self) -> Event:
        """The space of one example, after the transforms."""
        return functools.reduce(lambda event, t: t.event(event), self.transforms, self.stored)

    @property
    def log_volume(self) -> float:
        """Nats to add to log p of a transformed example to get log p in the space `scored_event`.

        0 without transforms, and with transforms that lose information (binarization, mu-law
        levels): the score is then that of the transformed examples.
        """
        return self._score[0]

    @property
    def bound(self) -> bool:
        """Whether log p + log_volume is only a lower bound, since a transform adds noise."""
        return self._score[1]

    @property
    def scored_event(self) -> Event:
        """The space of which log p + log_volume is a score; bits/dim divide by its size.

        It is that of the stored examples, or the output space of the last lossy transform.
        """
        return self._score[2]

    @property
    def _score(self) -> tuple[float, bool, Event]:
        space, bound, scored = self.stored, False, self.stored
        volume = 0.0 if self.standardized is None else self.standardized.log_volume(space)
        for transform in self.transforms:
            if isinstance(transform, Lossless):
                volume, bound = volume + transform.log_volume(space), bound or transform.bound
            else:
                volume, bound, scored = 0.0, False, transform.event(space)
            space = transform.event(space)
        return volume, bound, scored

    @property
    def consecutive(self) -> bool:
        """Whether adjacent examples are windows of one text, so that their scores correlate."""
        return bool(getattr(self.source, "consecutive", False))

    @property
    def streamed(self) -> bool:
        """Whether examples are read at every access instead of being kept in memory."""
        return not isinstance(self.source, InMemory)

    def batches(
        self,
        batch_size: int,
        seed: int = 0,
        *,
        shard_index: int | None = None,
        shard_count: int | None = None,
        on_device: bool = False,
    ) -> Batches:
        """Endless shuffled batches, as a pure function of (seed, step).

        Each of several hosts reads its contiguous part of every batch; call
        `jax.distributed.initialize()` first.

        Args:
          batch_size: B, examples per step over all hosts.
          seed: the seed of the order and of random transforms.
          shard_index: the index of this host; by default `jax.process_index()`.
          shard_count: the number of hosts; by default `jax.process_count()`.
          on_device: whether `gm.train` copies the split to every device once and makes the batches
            there, inside its jitted step. The batches are the same in both cases.

        Raises:
          ValueError: the sizes do not fit, or on_device is True for a streamed or too large split.
        """
        index = jax.process_index() if shard_index is None else shard_index
        count = jax.process_count() if shard_count is None else shard_count
        return Batches(self, batch_size, seed, index, count, on_device)

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """Every example once, in the order of the split; the last batch may be shorter."""
        if batch_size < 1:
            raise ValueError(f"in_order needs batch_size of at least 1; got {batch_size}.")
        num_batches = math.ceil(len(self) / batch_size)

        def numbers(i: int) -> np.ndarray:
            return np.arange(i * batch_size, min((i + 1) * batch_size, len(self)))

        def read(i: int) -> Batch:
            return self.source.take(numbers(i))

        ready = read_ahead(read, 0, num_batches) if self.streamed else map(read, range(num_batches))
        key = step_key(self.seed, 0)
        return (self.finish(batch, key, numbers(i)) for i, batch in enumerate(ready))

    @functools.cached_property
    def x(self) -> np.ndarray:
        """All examples in order: [N, ...], int32 in [0, K) or float32. Reads a streamed split."""
        if not self.transforms and not self.streamed:
            return np.asarray(self.source.whole()["x"], self.event.dtype)
        parts = [np.asarray(batch["x"]) for batch in self.in_order(CHUNK)]
        return (
            np.concatenate(parts) if parts else np.empty((0, *self.event.shape), self.event.dtype)
        )

    @functools.cached_property
    def y(self) -> np.ndarray | None:
        """All labels in order: [N] int32, or None."""
        source = self.source.in_memory() if self.streamed else self.source
        label = source.whole().get("label")
        return None if label is None else np.asarray(label, np.int32)

    def arrays(self) -> dict[str, np.ndarray]:
        """{"x": [N, ...]}, and the other entries of batches: "label", "context"."""
        source = self.source.in_memory() if self.streamed else self.source
        others = {name: column for name, column in source.whole().items() if name != "x"}
        return self._named({"x": self.x, **others})

    def map(self, transform: Transform) -> Split:
        """This split with one more transform.

        Raises:
          ValueError: the transform does not fit the event.
        """
        transform.event(self.event)
        return dataclasses.replace(self, transforms=(*self.transforms, transform))

    def to_original(self, z: np.ndarray) -> np.ndarray:
        """Values of transformed examples, such as samples of a model, in the units of the data.

        Standardization and dequantization are undone, from the last transform to the first or to
        one that loses information; the result is in the space `scored_event`.

        Args:
          z: [N, *event].

        Returns:
          [N, *scored_event], float64 for standardized data.
        """
        z, spaces = np.asarray(z), [self.stored]
        for transform in self.transforms:
            spaces.append(transform.event(spaces[-1]))
        for transform, space in zip(reversed(self.transforms), spaces[-2::-1], strict=True):
            if not isinstance(transform, Lossless):
                return z
            z = transform.undo(space, z)
        return z if self.standardized is None else self.standardized.undo(self.stored, z)

    def finish(self, batch: Batch, key: Key | None, numbers: np.ndarray) -> Batch:
        """Turns stored examples into the batch that a model sees; example i uses fold_in(key, i).

        Without transforms NumPy arrays stay NumPy arrays; works inside jit too.
        """
        out = dict(batch)
        if self.transforms:
            out["x"] = _transform(self.transforms, self.stored, key, numbers, batch["x"])
        else:
            # Small integers are stored as bytes; models get int32, whose sums do not overflow.
            out["x"] = batch["x"].astype(self.event.dtype, copy=False)
        return self._named(out)

    def _named(self, batch: Batch) -> dict[str, Array | np.ndarray]:
        """The batch with int32 labels, and the context under that name."""
        out = dict(batch)
        if "label" in out:
            out["label"] = out["label"].astype(np.int32, copy=False)
        if self.context in out and "context" not in out:
            out["context"] = out[self.context]
        return out


@functools.partial(jax.jit, static_argnums=(0, 1))
def _transform(
    transforms: tuple[Transform, ...], event: Event, key: Key, numbers: Array, x: Array
) -> Array:
    """Applies the transforms to x: [B, ...], with a separate key for each example."""

    def one(number: Array, x: Array) -> Array:
        space, example_key = event, jax.random.fold_in(key, number)
        for i, transform in enumerate(transforms):
            x = transform(space, jax.random.fold_in(example_key, i), x)
            space = transform.event(space)
        return x

    return jax.vmap(one)(numbers, x)


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """Training, validation and test examples of one event.

    Attributes:
      name: the name in result files; transforms add to it (`mnist_dynamic`).
      train: the examples to train on.
      validation: the examples for model selection.
      test: the examples to report results on.
      num_labels: labels are in [0, num_labels); None without labels, or if it is not known.
      context: the space of the context of conditional models, their field `context`; by default
        that of the labels, if these are known; None without a context.
      preprocessing: a phrase for result files.
      vocabulary: for text, the symbol of every value; otherwise "".
      density: the density that the examples were sampled from, if it is known.
      made: the splits that were cut from the training examples because no official ones exist.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    num_labels: int | None = None
    context: Event | None = None
    preprocessing: str = "none"
    vocabulary: str = ""
    density: Distribution | None = None
    made: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.context is None and (self.num_labels or 0) > 1:
            object.__setattr__(self, "context", Event((), self.num_labels))

    @property
    def event(self) -> Event:
        """The space of one example."""
        return self.train.event

    def to_original(self, z: np.ndarray) -> np.ndarray:
        """Values [N, *event], such as samples, in the units of the data: `Split.to_original`."""
        return self.train.to_original(z)

    def map(self, transform: Transform) -> Dataset:
        """This data set with one more transform on every split, and without its density."""
        old = self.preprocessing
        return dataclasses.replace(
            self,
            name=self.name + transform.suffix,
            train=self.train.map(transform),
            validation=self.validation.map(transform),
            test=self.test.map(transform),
            preprocessing=transform.describe if old == "none" else f"{old}, {transform.describe}",
            density=None,
        )

    def __str__(self) -> str:
        """`digits: 1,437 + 180 + 180 examples of shape (8, 8), integers in [0, 17)`"""
        sizes = " + ".join(f"{len(s):,}" for s in (self.train, self.validation, self.test))
        values = (
            "real" if self.event.num_values is None else f"integers in [0, {self.event.num_values})"
        )
        made = f"; {' and '.join(self.made)} cut from train" if self.made else ""
        return f"{self.name}: {sizes} examples of shape {self.event.shape}, {values}{made}"


def make(name: str, sources: Sequence[Source], event: Event, **details: Any) -> Dataset:
    """Makes a data set from the sources of its three splits.

    Args:
      name: the name of the data set.
      sources: train, validation and test.
      event: the space of the stored examples.
      **details: the other fields of `Dataset`.
    """
    splits = [Split(source, event, seed=seed) for seed, source in enumerate(sources)]
    return Dataset(name, *splits, **details)


def cut(num_x: int) -> int:
    """The size of a validation or test split that is cut from N training examples.

    It is 10,000 if N is at least 50,000 (as is usual for MNIST), else a tenth of N.
    """
    return 10_000 if num_x >= 50_000 else max(1, num_x // 10)
