"""Windows of a text for truncated BPTT: each batch row reads consecutive windows of the text.

They are for losses that carry the hidden state of each batch row from one window to the next
(`gm.losses.likelihood.truncated_bptt_nll`).
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
def shifts(seed: int, turn: int, num_rows: int, window: int) -> np.ndarray:
    """The offset in [0, T) of the first window of each batch row in an epoch: [B] int64.

    The offset changes every epoch, so that no character is always the first of a window. It uses
    raw Philox numbers like `batches.permutation`, with a key that differs from the shuffling's.
    """
    key = np.array([seed, turn + 2**63], np.uint64)
    raw = np.random.Philox(key=key).random_raw(num_rows)
    return (raw % np.uint64(window)).astype(np.int64)


@dataclasses.dataclass(frozen=True)
class TruncatedBPTTWindows(Batches):
    """Endless batches of consecutive windows; `batches(step)` is a pure function of (seed, step).

    A batch is {"x": [B, T], "first": [B]}. The B rows start at evenly spaced positions of the text,
    and the window of a row at step n + 1 starts where that of step n ended; at the end of the text
    the row continues at the beginning. "first" is True where the hidden state must be reset: at
    step 0 and at the beginning of the text. One epoch leaves out fewer characters than two windows
    contain.

    Attributes:
      split: a split of every window of one text, such as the training split of `from_texts`.
      batch_size, seed, shard_index, shard_count, on_device: as in `Batches`; a batch row always
        belongs to the same host.
    """

    def __post_init__(self) -> None:
        super().__post_init__()
        if getattr(self.split.source, "stride", None) != 1:
            raise ValueError(
                "truncated_bptt_windows needs a split that holds every window of a text, which the "
                "training split of gm.data.from_texts is."
            )
        if self.windows < 1:
            raise ValueError(
                "truncated_bptt_windows needs a text of at least "
                f"{2 * self.window - 1} characters, for windows of {self.window}; got "
                f"{len(self.split) + self.window - 1}."
            )

    @property
    def window(self) -> int:
        """T, characters per window."""
        return self.split.event.shape[0]

    @property
    def windows(self) -> int:
        """The number of windows in one epoch, for any offset in [0, T)."""
        return len(self.split) // self.window

    def indices(self, step: int) -> np.ndarray:
        """Indices into the split, that is the first characters, of this host's windows."""
        if step < 0:
            raise ValueError(f"truncated_bptt_windows needs a step of at least 0; got {step}.")
        rows = self._places
        turns, numbers = np.divmod(self._offsets(rows) + step, self.windows)
        starts = {
            turn: shifts(self.seed, int(turn), self.batch_size, self.window)
            for turn in np.unique(turns)
        }
        shift = np.array([starts[turn][row] for turn, row in zip(turns, rows, strict=True)])
        return numbers * self.window + shift

    def _offsets(self, rows: np.ndarray) -> np.ndarray:
        """The window of the text that each batch row starts with."""
        return rows * self.windows // self.batch_size

    def _finish(self, batch: Batch, step: int | Array, places: np.ndarray) -> Batch:
        batch = super()._finish(batch, step, places)
        step = step if isinstance(step, int) else step.astype(np.int32)  # for strict promotion
        first = (self._offsets(places).astype(np.int32) + step) % self.windows == 0
        return {**batch, "first": first | (step == 0)}


def truncated_bptt_windows(
    split: Split,
    batch_size: int,
    seed: int = 0,
    *,
    shard_index: int | None = None,
    shard_count: int | None = None,
    on_device: bool = False,
) -> TruncatedBPTTWindows:
    """Endless batches of consecutive windows of a text, as a pure function of (seed, step).

    Args:
      split: the training split of a text data set.
      batch_size: B, batch rows over all hosts.
      seed: the seed of the offsets of the windows.
      shard_index, shard_count, on_device: as in `Split.batches`.

    Raises:
      ValueError: the split does not contain every window of a text, or the sizes do not fit.
    """
    index = jax.process_index() if shard_index is None else shard_index
    count = jax.process_count() if shard_count is None else shard_count
    return TruncatedBPTTWindows(split, batch_size, seed, index, count, on_device)
