"""Feeds from batches to steps: one at a time, several per dispatch, or gathered on the device.

All three make the same steps with the same batches. Stacking saves the dispatch of a step. A data
set on the device also saves the transfer of examples, since only their indices are transferred.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

from gm.core import Array, Batch, Metrics, PyTree
from gm.train import sharding
from gm.train.state import State
from gm.train.step import Program, Step


@runtime_checkable
class Batches(Protocol):
    """Batches that are a function of the step, so that a resumed run sees the same ones."""

    def starting_at(self, step: int) -> Iterator[Batch]:
        """The batches of steps step, step + 1, ..."""


@runtime_checkable
class Resident(Protocol):
    """Batches of a data set that is kept on the device.

    Attributes:
      on_device: whether to make the batches on the device.
      columns: all examples as stored, {"x": [N, ...], ...}; or several data sets by name.
    """

    on_device: bool
    columns: Mapping[str, PyTree]

    def indices(self, step: int) -> PyTree:
        """The indices of this host's examples at a step: [B], or several arrays by name."""

    def gather(self, columns: Mapping[str, PyTree], indices: PyTree, step: Array) -> Batch:
        """The batch of a step, computed on the device."""


def check(batches: Any) -> None:
    """Raises TypeError unless batches are of a type that `run` accepts."""
    if isinstance(batches, Batches):
        return
    if hasattr(batches, "batches"):
        how = "call its batches(batch_size)"
    elif isinstance(batches, Mapping) or hasattr(batches, "shape"):
        how = "gm.data.from_arrays(train, validation, test).train.batches(batch_size) makes them"
    elif not isinstance(batches, Iterable):
        how = "give an iterable of them, or an object with starting_at(step)"
    else:
        return
    raise TypeError(
        f'run needs batches, each a dict of arrays such as {{"x": [B, ...]}}; got one '
        f"{type(batches).__name__}: {how}."
    )


class OneByOne:
    """Feeds one batch per dispatch.

    Args:
      batches: as in `run`.
      start: the first step.
      num_steps: the last step.
      step: the step that consumes them.

    Attributes:
      size: examples per batch on all hosts; 0 before the first batch.
    """

    def __init__(
        self, batches: Batches | Iterable[Batch], start: int, num_steps: int, step: Step
    ) -> None:
        if isinstance(batches, Batches):
            self._stream = iter(batches.starting_at(start))
        else:
            self._stream = itertools.islice(iter(batches), start, None)
        self._num_steps, self._step, self._shapes = num_steps, step, None
        self.size = 0

    def advance(
        self, program: Program, state: State, done: int, count: int
    ) -> tuple[State, Metrics]:
        """The state and metrics after steps done, ..., done + count - 1; here count is 1."""
        del count
        batch = self._next(done)
        return program.once(state, sharding.put_batch(batch, self._step.mesh))

    def _next(self, done: int) -> Batch:
        """The batch of a step; raises if its shapes differ from those before."""
        batch = next(self._stream, None)
        if batch is None:
            raise ValueError(
                f"batches ended after {done} steps; num_steps is {self._num_steps}. Repeat them, "
                "or use fewer steps."
            )
        if not isinstance(batch, Mapping):
            raise TypeError(
                f'a batch is a dict of arrays, such as {{"x": x, "label": y}}; that of step {done} '
                f"is a {type(batch).__name__}."
            )
        shapes = jax.tree.map(np.shape, dict(batch))
        if self._shapes is None:
            sizes = sharding.batch_sizes(batch)
            sharding.check_sizes(sizes, self._step.mesh, self._step.num_parts)
            self._shapes, self.size = shapes, sum(sizes) * jax.process_count()
        if shapes != self._shapes:
            raise ValueError(
                f"the batch of step {done} has shapes {shapes}; those before had {self._shapes}. "
                "Drop an incomplete last batch, or pad it."
            )
        return batch


class Stacks(OneByOne):
    """Feeds several stacked batches per dispatch, at most `most`."""

    def __init__(
        self,
        batches: Batches | Iterable[Batch],
        start: int,
        num_steps: int,
        step: Step,
        most: int,
    ) -> None:
        super().__init__(batches, start, num_steps, step)
        self._most = most

    def advance(
        self, program: Program, state: State, done: int, count: int
    ) -> tuple[State, Metrics]:
        """Stacks `count` batches, padded to the shape of `most` with copies of the last one."""
        held = [self._next(done + i) for i in range(count)]
        held += held[-1:] * (self._most - count)
        feeds = _stacked(held)
        feeds = sharding.put_batch(feeds, self._step.mesh, axis=1)
        return program.several(state, {}, feeds, done, count, fetch=None)


class Gathered:
    """Makes batches on the device from a copy of the data set.

    Args:
      batches: batches of a data set that fits on the device.
      step: the step that consumes them.
      most: the largest number of steps per dispatch.
    """

    def __init__(self, batches: Resident, step: Step, most: int) -> None:
        sizes = [len(x) for x in jax.tree.leaves(batches.indices(0))]
        sharding.check_sizes(sizes, step.mesh, step.num_parts)
        columns = dict(batches.columns)
        everywhere = sharding.replicated_sharding(step.mesh)
        self._columns = sharding.put(columns, jax.tree.map(lambda _: everywhere, columns))
        self._batches, self._mesh, self._most = batches, step.mesh, most
        self.size = sum(sizes) * jax.process_count()

    def advance(
        self, program: Program, state: State, done: int, count: int
    ) -> tuple[State, Metrics]:
        """Transfers the indices of the examples of `count` steps."""
        held = [self._batches.indices(done + i) for i in range(count)]
        numbers = _stacked(held + held[-1:] * (self._most - count), np.int32)
        feeds = sharding.put_batch({"numbers": numbers}, self._mesh, axis=1)["numbers"]
        fetch = self._batches.gather
        return program.several(state, self._columns, feeds, done, count, fetch=fetch)


def _stacked(held: list[PyTree], dtype: Any = None) -> PyTree:
    """Stacks trees of arrays along a new leading axis."""
    return jax.tree.map(lambda *xs: np.stack([np.asarray(x, dtype) for x in xs]), *held)


Feed = OneByOne | Gathered


def feed_of(batches: Any, start: int, num_steps: int, step: Step, most: int) -> Feed:
    """The feed for these batches and this number of steps per dispatch."""
    if isinstance(batches, Resident) and batches.on_device:
        return Gathered(batches, step, most)
    if most > 1:
        return Stacks(batches, start, num_steps, step, most)
    return OneByOne(batches, start, num_steps, step)
