"""Options of experiments: each with its meaning, its unit and its default.

An experiment file extends the class for its principle with the options of its model. JAX is not
imported, so that `--help` is fast.
"""

import dataclasses
import pathlib
from typing import Literal

ACCELERATOR = {"dtype": "bfloat16", "steps_per_dispatch": 50}  # for presets on a GPU or a TPU


@dataclasses.dataclass(frozen=True)
class Data:
    """Options of the data and the output."""

    dataset: str = "digits"
    """Any name that gm.data.load takes: digits, claw, mnist_dynamic, mine.npz, mine.csv, ..."""
    binary: bool = False
    """The file has two values, of any type, and is binary data."""
    label: str | None = None
    """The column of a .csv file that contains the labels, by its name or number."""
    standardize: bool = False
    """Standardize real values to mean 0 and variance 1; scores are those of the original values."""
    seed: int = 0
    """Seed of the initial parameters, of the order of the data, and of samples."""
    folder: pathlib.Path | None = None
    """Folder for checkpoints, metrics, samples and result.json; by default nothing is saved."""


@dataclasses.dataclass(frozen=True)
class Updates(Data):
    """Options of the updates of parameters."""

    batch_size: int = 32
    """Examples per update."""
    learning_rate: float = 4e-3
    """Peak learning rate of the optimizer, about the size of a parameter's change per update."""


@dataclasses.dataclass(frozen=True)
class Folds(Updates):
    """Options of cross-validation on small data."""

    num_folds: int = 10
    """How many of the ten tenths of the data are test sets in turn; the folder keeps the model of \
the first."""
    num_rounds: int = 25
    """Rounds of 200 updates; the parameters after the round with the best validation are kept."""
    noise: float = 0.0
    """Standard deviation of normal noise on training examples, fresh at each update, where the \
data's is 1: smoother densities."""
    weight_decay: float = 0.1
    """Weight decay of AdamW, as a multiple of the learning rate."""


@dataclasses.dataclass(frozen=True)
class Training(Updates):
    """Options of training in steps."""

    num_steps: int = 500
    """Number of updates."""
    ema_decay: float = 0.999
    """Decay per update of the exponential moving average of the parameters, which is scored."""
    num_seeds: int = 1
    """Number of models, with different seeds, trained as one program; more than 1 reports the \
mean over seeds with its standard error, after the last step."""
    steps_per_dispatch: int = 1
    """Updates per call of the device; with more than 1 the data is kept on the device."""

    @property
    def members(self) -> int | None:
        """The size of the leading axis of the parameters of several seeds; None for one seed."""
        return self.num_seeds if self.num_seeds > 1 else None


@dataclasses.dataclass(frozen=True)
class Chosen(Training):
    """Options of training with a validation score."""

    weight_decay: float = 1.0
    """Weight decay of AdamW, as a multiple of the learning rate."""
    keep_best: bool = True
    """Report the parameters with the best validation score, measured after each tenth of the \
steps; else the last ones."""


@dataclasses.dataclass(frozen=True)
class Fast(Chosen):
    """Options of training that allows other precisions."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """Precision of matrix products in training; scores and samples use float32."""

    clip_norm: float = 1e6
    """Norm to which larger gradients are clipped, in nats per unit of the parameters."""


@dataclasses.dataclass(frozen=True)
class MaximumLikelihood(Fast):
    """Options of maximum likelihood."""

    l1: float = 0.0
    """L1 penalty on weights but not biases, in nats per unit: a Laplace prior for sparsity."""
    eval_batch_size: int = 256
    """Examples scored at once."""


@dataclasses.dataclass(frozen=True)
class Flow(MaximumLikelihood):
    """Options of flows of affine or spline layers."""

    dataset: str = "two_moons"
    num_layers: int = 8
    """Layers of the flow."""
    num_bins: int = 16
    """Bins of the rational-quadratic splines; 0 for affine layers."""
    num_components: int = 0
    """Logistics of layers of mixture CDFs, which take the place of splines where there are any."""
    bound: float = 3.0
    """The splines act on [-bound, bound], where the data has standard deviation 1."""
    hidden: tuple[int, ...] = (64, 64)
    """Units in each hidden layer of each network."""
    logit_margin: float | None = None
    """For data in [0, 1], a flow of the logits of margin + (1 - 2 margin) x."""
    batch_size: int = 256
    num_steps: int = 6_000
    learning_rate: float = 2e-3
    weight_decay: float = 1e-3
    clip_norm: float = 5.0


@dataclasses.dataclass(frozen=True)
class Latent(Chosen):
    """Options of latent-variable models."""

    num_samples: int = 1
    """Samples of z per example in training; more than one trains the importance-weighted bound."""
    eval_samples: int = 1000
    """Samples of z per example in the estimate of log p(x)."""


@dataclasses.dataclass(frozen=True)
class Generator(Training):
    """Options of generators that are compared with the data by their samples."""

    num_steps: int = 8000
    batch_size: int = 256
    learning_rate: float = 1e-3
    hidden: tuple[int, ...] = (128, 128, 128)
    """Units in each hidden layer of each network."""
    latent_dim: int = 16
    """Dimension of the generator's normal noise."""


@dataclasses.dataclass(frozen=True)
class Game(Generator):
    """Options of adversarial training of a generator and a critic."""

    wasserstein: bool = False
    """Use the Wasserstein loss with gradient penalty instead of the non-saturating one with R1."""
    penalty: float = 0.1
    """Weight of the gradient penalty, or of R1, in the critic's loss."""
    critic_updates: int = 1
    """Updates of the critic per update of the generator."""


@dataclasses.dataclass(frozen=True)
class ClassConditional(MaximumLikelihood):
    """Options of maximum likelihood with classified samples."""

    eval_samples: int = 500
    """Samples to classify, with each label in turn."""
