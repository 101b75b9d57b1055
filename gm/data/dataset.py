"""Data sets: three splits, and the space of their examples."""

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
from gm.data.transforms import Lossless, Transform


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """One part of a data set.

    `batches` is for training: endless, shuffled, and random transforms are sampled at every step.
    `in_order`, `x` and `arrays` are for evaluation: random transforms are sampled once, with a
    fixed key per split and example, so that every model is scored on the same numbers.

    Attributes:
      source: the examples as stored.
      stored: the space of the stored examples.
      transforms: what is done to them, in this order.
      seed: of the random transforms in evaluation.
      stored_log_volume: nats to add to the log density of the stored examples for that of what
        they were made from, where they were standardized before they were stored.
      context: the entry that conditional models are given, p(x | context), where there is one that
        is not stored under the name "context": batches have it by that name too. Labels are the
        context of a labelled set.
    """

    source: Source
    stored: Event
    transforms: tuple[Transform, ...] = ()
    seed: int = 0
    stored_log_volume: float = 0.0
    context: str = "label"

    def __len__(self) -> int:
        return len(self.source)

    @property
    def event(self) -> Event:
        """The space of one example, after the transforms."""
        return functools.reduce(lambda event, t: t.event(event), self.transforms, self.stored)

    @property
    def log_volume(self) -> float:
        """Nats to add to log p of a transformed example for log p of the one `scored_event` names.

        0 where nothing is done to the examples, or what is done loses part of them (binarization,
        mu-law levels): the score is then that of the transformed examples.
        """
        return self._score[0]

    @property
    def bound(self) -> bool:
        """Whether log p + log_volume only bounds it, from below: a transform adds noise."""
        return self._score[1]

    @property
    def scored_event(self) -> Event:
        """The space that log p + log_volume is a score of, and whose size bits/dim divide by.

        That of the stored examples, or what the last transform that loses something maps to.
        """
        return self._score[2]

    @property
    def _score(self) -> tuple[float, bool, Event]:
        volume, bound, scored = self.stored_log_volume, False, self.stored
        space = self.stored
        for transform in self.transforms:
            if isinstance(transform, Lossless):
                volume, bound = volume + transform.log_volume(space), bound or transform.bound
            else:
                volume, bound, scored = 0.0, False, transform.event(space)
            space = transform.event(space)
        return volume, bound, scored

    @property
    def consecutive(self) -> bool:
        """Whether neighbours are windows of one text, so that their scores are correlated."""
        return bool(getattr(self.source, "consecutive", False))

    @property
    def streamed(self) -> bool:
        """Whether examples are read at every access rather than held in memory."""
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
        """Endless shuffled batches, a pure function of (seed, step).

        On several hosts each reads its contiguous part of every batch, by default the part of its
        number: call `jax.distributed.initialize()` before this.

        Args:
          batch_size: B, examples per step over all hosts.
          seed: of the order and of random transforms.
          shard_index: which host this is; by default `jax.process_index()`.
          shard_count: how many there are; by default `jax.process_count()`.
          on_device: ask `gm.train` to copy the split to every device once and to make the batches
            there, inside its jitted step. The batches are the same either way.

        Raises:
          ValueError: sizes that do not fit, or on_device of a split that is streamed or too large.
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
        """All examples in order: [N, ...], int32 in [0, K) or float32. Streamed splits are read."""
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

    def finish(self, batch: Batch, key: Key | None, numbers: np.ndarray) -> Batch:
        """Stored examples to the batch that a model sees; example i uses fold_in(key, i).

        NumPy arrays stay NumPy arrays where there are no transforms; works inside jit too.
        """
        out = dict(batch)
        if self.transforms:
            out["x"] = _transform(self.transforms, self.stored, key, numbers, batch["x"])
        else:
            # Small integers are kept as bytes, but no model sees them: their sums wrap round.
            out["x"] = batch["x"].astype(self.event.dtype, copy=False)
        return self._named(out)

    def _named(self, batch: Batch) -> dict[str, Array | np.ndarray]:
        """With labels of 32 bits, and the context by that name."""
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
    """Applies the transforms to every example of x: [B, ...] with a key of its own."""

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
      name: for result files; transforms add to it (`mnist_dynamic`).
      train: examples to learn from.
      validation: examples to choose with.
      test: examples to report on.
      num_labels: labels lie in [0, num_labels); None without labels, or where it is not known.
      context: the space of what conditional models are given, their field `context`: by default
        that of labels, where these are known; None where there is nothing to give.
      preprocessing: one phrase for result files.
      vocabulary: of text, the symbol of every value; "" otherwise.
      density: that the examples were sampled from, where it is known.
      made: the splits that were cut from the training examples, for want of official ones.
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

    def map(self, transform: Transform) -> Dataset:
        """This data set with one more transform on every split; no longer with its density."""
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
    """A data set from the sources of its three splits.

    Args:
      name: of the data set.
      sources: train, validation and test.
      event: of the stored examples.
      **details: the other fields of `Dataset`.
    """
    splits = [Split(source, event, seed=seed) for seed, source in enumerate(sources)]
    return Dataset(name, *splits, **details)


def cut(num_x: int) -> int:
    """How many of N examples go into a split that has to be cut from the training examples.

    10,000 of 50,000 or more (as is the custom for MNIST), a tenth of fewer.
    """
    return 10_000 if num_x >= 50_000 else max(1, num_x // 10)
