"""Zipped batches: batches of several data sets and sizes as one, a function of (seed, step)."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar

from gm.core import Array, Batch, PyTree
from gm.data.batches import Batches


@dataclasses.dataclass(frozen=True)
class Zipped:
    """Endless batches {name: batch}, with the batch of each part at the same step.

    Attributes:
      endless: as in `Batches`.
      parts: the batches by name; these may be zipped, too.
    """

    endless: ClassVar[bool] = True

    parts: Mapping[str, Batches | Zipped]

    def __post_init__(self) -> None:
        seeds = [(name, seed) for name, part in self.parts.items() for seed in _seeds(part)]
        if not seeds:
            raise ValueError("zipped needs batches by name, zipped(a=..., b=...); got none.")
        owners: dict[int, str] = {}
        for name, seed in seeds:
            if (other := owners.setdefault(seed, name)) != name:
                raise ValueError(
                    f"zipped needs a different seed for each part; {other!r} and {name!r} both "
                    f"have seed={seed}, which would pair examples that should be unpaired: use "
                    "batches(..., seed=seed + 1)."
                )
        if len({part.on_device for part in self.parts.values()}) > 1:
            raise ValueError("zipped needs on_device=True for all of its parts, or for none.")

    def __hash__(self) -> int:
        return hash(tuple(self.parts.items()))

    def __call__(self, step: int) -> Batch:
        """This host's part of the batches of a step."""
        return {name: part(step) for name, part in self.parts.items()}

    def __iter__(self) -> Iterator[Batch]:
        """The batches of steps 0, 1, 2, ..., without end."""
        return self.starting_at(0)

    def starting_at(self, step: int) -> Iterator[Batch]:
        """The batches of steps step, step + 1, ..., without end."""
        streams = {name: part.starting_at(step) for name, part in self.parts.items()}
        return (
            dict(zip(streams, batches, strict=True))
            for batches in zip(*streams.values(), strict=True)
        )

    def indices(self, step: int) -> dict[str, PyTree]:
        """Indices into each split of this host's examples at a step: [B] for each part."""
        return {name: part.indices(step) for name, part in self.parts.items()}

    @property
    def on_device(self) -> bool:
        """Whether training makes the batches with `gather`."""
        return all(part.on_device for part in self.parts.values())

    @property
    def columns(self) -> dict[str, PyTree]:
        """The whole splits as stored, for `gather`."""
        return {name: part.columns for name, part in self.parts.items()}

    def gather(
        self, columns: Mapping[str, PyTree], indices: Mapping[str, PyTree], step: int | Array
    ) -> Batch:
        """The batches of a step over all hosts; see `Batches.gather`."""
        return {
            name: part.gather(columns[name], indices[name], step)
            for name, part in self.parts.items()
        }


def _seeds(batches: Batches | Zipped) -> list[int]:
    """The seeds of the batches, including those of zipped parts."""
    if isinstance(batches, Zipped):
        return [seed for part in batches.parts.values() for seed in _seeds(part)]
    if not isinstance(batches, Batches):
        raise TypeError(
            "zipped needs batches of gm.data, split.batches(batch_size, seed=...); got one "
            f"{type(batches).__name__}."
        )
    return [batches.seed]


def zipped(**parts: Batches | Zipped) -> Zipped:
    """Zips batches of several sets and sizes to {name: batch}, a pure function of (seed, step).

        zipped(labelled=few.batches(16, seed=0), unlabelled=many.batches(112, seed=1))

    A batch is {"labelled": {"x": [16, ...], "label": [16]}, "unlabelled": {"x": [112, ...]}}; each
    part has its own epochs.

    Args:
      **parts: the batches by name, with different seeds, since the same seed would pair them.

    Raises:
      TypeError: a part is not a batches object of `gm.data`.
      ValueError: there are no parts, two have the same seed, or only some are made on the device.
    """
    return Zipped(parts)
