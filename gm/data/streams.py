"""Text read on: each lane of the batch goes through the text, one window after the other.

For losses with a memory, which start a window where the last one of the same lane has ended
(`gm.losses.likelihood.continued_negative_log_likelihood`).
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import numpy as np

from gm.core import Array, Batch
from gm.data.batches import Batches
from gm.data.dataset import Split


@functools.lru_cache(maxsize=16)
def shifts(seed: int, turn: int, num_lanes: int, window: int) -> np.ndarray:
    """Where in [0, T) the first window of each lane's turn starts: [B] int64.

    Another boundary every turn, so that no character is always the first of a window. Raw draws of
    Philox, as in `batches.permutation`; a word of its own keeps them from the shuffled order's.
    """
    key = np.array([seed, turn + 2**63], np.uint64)
    draws = np.random.Philox(key=key).random_raw(num_lanes)
    return (draws % np.uint64(window)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class Streams(Batches):
    """Endless batches of consecutive windows; `streams(step)` is a pure function of (seed, step).

    A batch is {"x": [B, T], "first": [B]}. Lane b begins at the b-th of B places spread evenly over
    the text, and its window at step n + 1 starts where that of step n ended; at the end of the text
    it turns back to the beginning. "first" is True where a lane starts anew, at step 0 and at the
    beginning of the text. A turn leaves out less than two windows of characters.

    Attributes:
      split: every window of one text, as the training split of `from_texts` is.
      batch_size, seed, shard_index, shard_count, on_device: as in `Batches`; lanes keep their
        places in the batch, and a host its lanes.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if getattr(self.split.source, "stride", None) != 1:
            raise ValueError(
                "streams need a split that holds every window of a text, which the training split "
                "of a text data set is (gm.data.from_texts)."
            )
        if self.windows < 1:
            raise ValueError(
                f"streams need a text of at least {2 * self.window - 1} characters, for windows of "
                f"{self.window}; got {len(self.split) + self.window - 1}."
            )

    @property
    def window(self) -> int:
        """T, characters of a window."""
        return self.split.event.shape[0]

    @property
    def windows(self) -> int:
        """Windows of one turn through the text, wherever in [0, T) it starts."""
        return len(self.split) // self.window

    def indices(self, step: int) -> np.ndarray:
        """The numbers within the split, that is the first characters, of this host's windows."""
        if step < 0:
            raise ValueError(f"streams need a step of at least 0; got {step}.")
        lanes = self._places
        turns, places = np.divmod(self._offsets(lanes) + step, self.windows)
        starts = {
            turn: shifts(self.seed, int(turn), self.batch_size, self.window)
            for turn in np.unique(turns)
        }
        shift = np.array([starts[turn][lane] for turn, lane in zip(turns, lanes, strict=True)])
        return places * self.window + shift

    def _offsets(self, lanes: np.ndarray) -> np.ndarray:
        """The window of the text that each lane begins with."""
        return lanes * self.windows // self.batch_size

    def _finish(self, batch: Batch, step: int | Array, places: np.ndarray) -> Batch:
        batch = super()._finish(batch, step, places)
        step = step if isinstance(step, int) else step.astype(np.int32)  # as strict promotion asks
        first = (self._offsets(places).astype(np.int32) + step) % self.windows == 0
        return {**batch, "first": first | (step == 0)}


def streams(
    split: Split,
    batch_size: int,
    seed: int = 0,
    *,
    shard_index: int | None = None,
    shard_count: int | None = None,
    on_device: bool = False,
) -> Streams:
    """Endless batches of consecutive windows of a text, a pure function of (seed, step).

    Args:
      split: the training split of a text data set.
      batch_size: B, lanes over all hosts.
      seed: of where windows begin.
      shard_index, shard_count, on_device: as in `Split.batches`.

    Raises:
      ValueError: the split is not one of every window of a text, or sizes that do not fit.
    """
    index = jax.process_index() if shard_index is None else shard_index
    count = jax.process_count() if shard_count is None else shard_count
    return Streams(split, batch_size, seed, index, count, on_device)
