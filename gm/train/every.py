"""Intervals of logging, checkpoints, evaluations and pictures."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Every:
    """The numbers of steps between logs, checkpoints, evaluations and pictures; None for never."""

    log: int
    checkpoint: int
    evaluate: int | None
    plot: int | None
    dispatch: int

    def __post_init__(self) -> None:
        for name, every in dataclasses.asdict(self).items():
            if every is not None and every < 1:
                label = "steps_per_dispatch" if name == "dispatch" else f"{name}_every"
                raise ValueError(f"{label} must be at least 1; got {every}.")

    def next(self, done: int, num_steps: int) -> int:
        """The first step after `done` at which something is due or the dispatch is full."""
        every = [self.log, self.checkpoint, self.evaluate, self.plot]
        due = [(done // n + 1) * n for n in every if n is not None]
        return min(*due, done + self.dispatch, num_steps)
