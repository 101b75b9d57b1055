"""What experiments can be asked: each option with its meaning, its unit and its default.

An experiment file takes the class that fits its principle and adds what its model needs. Without
JAX, so that `--help` is quick.
"""

import dataclasses
import pathlib
from typing import Literal

ACCELERATOR = {"dtype": "bfloat16", "steps_per_dispatch": 50}  # of presets for a GPU or a TPU


@dataclasses.dataclass(frozen=True)
class Data:
    """On what, and where to."""

    dataset: str = "digits"
    """Any name that gm.data.load takes: digits, claw, mnist_dynamic, mine.npz, mine.csv, ..."""
    binary: bool = False
    """The two values of a file, of whatever type, are black and white."""
    label: str | None = None
    """The column of a .csv file that holds labels, by its name or number."""
    standardize: bool = False
    """Real values are brought to mean 0 and variance 1; scores count what that changes."""
    seed: int = 0
    """Of initial parameters, of the order of the data, and of samples."""
    folder: pathlib.Path | None = None
    """For checkpoints, metrics, samples and result.json; by default nothing is kept."""


@dataclasses.dataclass(frozen=True)
class Updates(Data):
    """How parameters are updated."""

    batch_size: int = 32
    """Examples of an update."""
    learning_rate: float = 4e-3
    """Of the optimizer, at its highest: about how far a parameter goes in one update."""


@dataclasses.dataclass(frozen=True)
class Folds(Updates):
    """How to cross-validate on small data."""

    num_folds: int = 10
    """Of the ten tenths, how many are test sets in turn."""
    num_rounds: int = 25
    """Of 200 updates each; of the parameters after each round the best of validation are kept."""
    weight_decay: float = 0.1
    """Of AdamW: what a weight loses at an update, as a multiple of the learning rate."""


@dataclasses.dataclass(frozen=True)
class Training(Updates):
    """How to train anything in steps."""

    num_steps: int = 500
    """Updates of the parameters."""
    ema_decay: float = 0.999
    """Of the averaged parameters, which are the ones scored: what an update leaves of them."""
    num_seeds: int = 1
    """Models trained as one program, each from a seed of its own; more than 1 report means over \
seeds with their standard errors, of the last step."""
    steps_per_dispatch: int = 1
    """Updates in one call of the device; with more than 1 the data stays there."""

    @property
    def members(self) -> int | None:
        """The length of the leading axis that the parameters of several seeds have."""
        return self.num_seeds if self.num_seeds > 1 else None


@dataclasses.dataclass(frozen=True)
class Chosen(Training):
    """How to train what has a validation score."""

    weight_decay: float = 1.0
    """Of AdamW: what a weight loses at an update, as a multiple of the learning rate."""
    keep_best: bool = True
    """Report the parameters that scored validation best, of those after each tenth of the steps; \
else those of the last step."""


@dataclasses.dataclass(frozen=True)
class Fast(Chosen):
    """How to train what can be trained in another precision."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the products in training; scores and samples are in float32."""

    clip_norm: float = 1e6
    """The longest gradient that is followed, in nats per unit of the parameters; longer ones are \
shortened."""


@dataclasses.dataclass(frozen=True)
class MaximumLikelihood(Fast):
    """How to train by maximum likelihood."""

    l1: float = 0.0
    """Nats per unit of a weight's size (biases are free): a Laplace prior, for sparse weights."""
    eval_batch_size: int = 256
    """Examples scored at once."""


@dataclasses.dataclass(frozen=True)
class Latent(Chosen):
    """How to train a latent-variable model."""

    num_samples: int = 1
    """Samples of z per example in training; more than one trains the importance-weighted bound."""
    eval_samples: int = 1000
    """Samples of z per example in the estimate of log p(x)."""


@dataclasses.dataclass(frozen=True)
class Game(Training):
    """How to train a generator and a critic."""

    num_steps: int = 8000
    batch_size: int = 256
    learning_rate: float = 1e-3
    wasserstein: bool = False
    """The Wasserstein game with gradient penalty in place of the non-saturating one with R1."""
    penalty: float = 0.1
    """Weight of the gradient penalty, or of R1, in the critic's loss."""
    critic_updates: int = 1
    """Of the critic, for one of the generator."""
    hidden: tuple[int, ...] = (128, 128, 128)
    """Units in each hidden layer of either network."""
    latent_dim: int = 16
    """Normal numbers that the generator makes a sample of."""


@dataclasses.dataclass(frozen=True)
class ClassConditional(MaximumLikelihood):
    """How to train by maximum likelihood, and have samples classified."""

    eval_samples: int = 500
    """Samples that a classifier of real data is shown, of each label in turn."""
