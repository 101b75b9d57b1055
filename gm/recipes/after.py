"""Options of the commands on a run's folder after training, which `runs` executes; without JAX."""

import dataclasses
import pathlib
from typing import Annotated, Literal

import tyro


@dataclasses.dataclass(frozen=True)
class Run:
    """Options of all commands after training."""

    folder: Annotated[pathlib.Path, tyro.conf.Positional]
    """The folder of the run: its --folder."""
    member: int = 0
    """The index of the model, if several seeds were trained."""
    seed: int = 0
    """Seed of the samples."""


@dataclasses.dataclass(frozen=True)
class Sample(Run):
    """Samples the trained model; writes x to an .npz file, and a picture or a text of it."""

    num: int = 64
    """Number of samples."""
    label: int | None = None
    """Label of all samples of a class-conditional model; by default each label in turn."""
    temperature: float = 1.0
    """Temperature of an autoregressive model's conditionals; 0 takes the most probable value."""
    top_k: int | None = None
    """Number of most probable values of each element to sample from; by default all."""
    nucleus: float | None = None
    """Total probability of the values of each element to sample from (top-p); by default 1."""
    out: pathlib.Path | None = None
    """Output file; by default sampled.npz in the run's folder."""


@dataclasses.dataclass(frozen=True)
class Evaluate(Run):
    """Scores the trained model on its own data or on other data."""

    dataset: str | None = None
    """Any name or file that gm.data.load takes; by default the data set of the run."""
    binary: bool = False
    """The file has two values, of any type, and is binary data."""
    column: str | None = None
    """The column of a .csv file that contains the labels, by its name or number."""
    split: Literal["reported", "train", "validation", "test"] = "reported"
    """The split; by default the one that the run reported on, or test for other data."""


@dataclasses.dataclass(frozen=True)
class Complete(Run):
    """Completes a prompt, or the first elements of examples, with an autoregressive model."""

    prompt: str | None = None
    """The beginning of a text."""
    known: float = 0.5
    """Without a prompt: the fraction of each test example that is given, from its beginning."""
    num: int = 16
    """Number of completions of the prompt, or of examples."""
    out: pathlib.Path | None = None
    """Output file; by default completed.npz in the run's folder."""


@dataclasses.dataclass(frozen=True)
class Export(Run):
    """Writes the trained parameters to a file: .safetensors, or .npz with named arrays."""

    out: Annotated[pathlib.Path, tyro.conf.Positional] = pathlib.Path("params.safetensors")
    """Output file, which ends in .safetensors or .npz."""
