"""What can be asked of a run's folder after training; `runs` does it. Without JAX, as `options`."""

import dataclasses
import pathlib
from typing import Annotated, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class Run:
    """A run's folder, after training."""

    folder: Annotated[pathlib.Path, tyro.conf.Positional]
    """That was given as --folder."""
    member: int = 0
    """Which of several seeds."""
    seed: int = 0
    """Of samples."""


@dataclasses.dataclass(frozen=True)
class Sample(Run):
    """Samples the trained model; writes x to an .npz file, with a picture or a text beside it."""

    num: int = 64
    """Samples."""
    label: int | None = None
    """Of all samples of a class-conditional model; by default each label in turn."""
    temperature: float = 1.0
    """Of an autoregressive model's conditionals: sharper below 1, the likeliest value at 0."""
    top_k: int | None = None
    """The likeliest values of an element that are sampled; by default all."""
    nucleus: float | None = None
    """The mass of an element's likeliest values that are sampled; by default all."""
    out: pathlib.Path | None = None
    """By default sampled.npz in the run's folder."""


@dataclasses.dataclass(frozen=True)
class Evaluate(Run):
    """Scores the trained model, on its own data or on others."""

    dataset: str | None = None
    """Any name or file that gm.data.load takes; by default the run's own."""
    binary: bool = False
    """The two values of a file, of whatever type, are black and white."""
    column: str | None = None
    """The column of a .csv file that holds labels, by its name or number."""
    split: Literal["reported", "train", "validation", "test"] = "reported"
    """Which part of the data; by default the one that the run reported on, or test."""


@dataclasses.dataclass(frozen=True)
class Complete(Run):
    """Completes examples of which the first elements are given, with an autoregressive model."""

    prompt: str | None = None
    """What a text begins with."""
    known: float = 0.5
    """Without a prompt: the part of each test example that is given, from its beginning."""
    num: int = 16
    """Completions of the prompt, or examples."""
    out: pathlib.Path | None = None
    """By default completed.npz in the run's folder."""


@dataclasses.dataclass(frozen=True)
class Export(Run):
    """Writes the trained parameters to a file: .safetensors, or .npz with a name for each array."""

    out: Annotated[pathlib.Path, tyro.conf.Positional] = pathlib.Path("params.safetensors")
    """Ends in .safetensors or .npz."""
