"""Transforms of stored examples: thresholds, binarization, dequantization, mu-law.

A transform is a frozen dataclass: `transform(event, key, x)` maps one example x of `event`, as a
pure function of the key; `transform.event(event)` is the space that it maps to. Unless stated
otherwise a transform acts elementwise, so x may have any shape.
"""

from __future__ import annotations

import dataclasses
import math
import numbers
import warnings
from typing import ClassVar, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Event, Key


class Transform(Protocol):
    """A map from one event to another.

    Attributes:
      suffix: the suffix that it adds to the name of a data set.
    """

    suffix: ClassVar[str]

    @property
    def describe(self) -> str:
        """A phrase for result files."""

    def event(self, event: Event) -> Event:
        """The space of the transformed examples; ValueError if the transform does not fit."""

    def __call__(self, event: Event, key: Key, x: Array) -> Array:
        """The transformed example."""


@runtime_checkable
class Lossless(Protocol):
    """A transform for which a density of its output gives a density of its input.

    log p(x) = log p(z) + log_volume(event) for z = transform(x), so that scores are comparable with
    those of models of x itself. Other transforms lose information, and the score is that of z.

    Attributes:
      bound: whether the right-hand side is only a lower bound of the left one, in expectation over
        the transform's noise.
    """

    bound: ClassVar[bool]

    def log_volume(self, event: Event) -> float:
        """Nats to add to log p(z) to get log p(x); event is that of x."""

    def undo(self, event: Event, z: np.ndarray) -> np.ndarray:
        """The inverse of the transform, x of z: [..., *event]; event is that of x."""


def _require(transform: Transform, event: Event, discrete: bool) -> None:
    if event.discrete is not discrete:
        want = "integers in [0, K)" if discrete else "real values"
        got = f"integers in [0, {event.num_values})" if event.discrete else "real values"
        raise ValueError(f"{type(transform).__name__} needs {want}; the examples are {got}.")


def _intensity(event: Event, x: Array) -> Array:
    """x / (K - 1), in [0, 1]."""
    return x.astype(jnp.float32) / (event.num_values - 1)


@dataclasses.dataclass(frozen=True)
class Threshold:
    """Fixed binarization: 1 where x / (K - 1) > level, else 0."""

    level: float = 0.5
    suffix: ClassVar[str] = "_threshold"

    @property
    def describe(self) -> str:
        """`binarized at 0.5`"""
        return f"binarized at {self.level:g}"

    def event(self, event: Event) -> Event:
        """Two values per element."""
        _require(self, event, discrete=True)
        return Event(event.shape, 2)

    def __call__(self, event: Event, key: Key, x: Array) -> Array:
        """int32 in {0, 1}; the key is not used."""
        del key
        return (_intensity(event, x) > self.level).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class DynamicBinarization:
    """x' ~ Bernoulli(x / (K - 1)), sampled at every use of an example in training.

    Salakhutdinov & Murray (2008), "On the quantitative analysis of deep belief networks",
    sampled once, which gave the files of `binarized_mnist`. Sampling at every use augments the
    data, so results on fixed and dynamic binarization are not comparable.
    """

    suffix: ClassVar[str] = "_dynamic"

    @property
    def describe(self) -> str:
        """`dynamic binarization`"""
        return "dynamic binarization"

    def event(self, event: Event) -> Event:
        """Two values per element."""
        _require(self, event, discrete=True)
        return Event(event.shape, 2)

    def __call__(self, event: Event, key: Key, x: Array) -> Array:
        """int32 in {0, 1}"""
        return jax.random.bernoulli(key, _intensity(event, x)).astype(jnp.int32)


@dataclasses.dataclass(frozen=True)
class UniformDequantization:
    r"""z = (x + u) / K in [0, 1) with u ~ U[0, 1)^D.

    A density p(z) then bounds the probability of the integers x:

        log P(x) = log \int p((x + u) / K) du - D log K >= E_u log p(z) - D log K

    Uria, Murray & Larochelle (2013), arXiv:1306.0186; Theis, van den Oord & Bethge (2016),
    arXiv:1511.01844, section 3.1.
    """

    suffix: ClassVar[str] = "_dequantized"
    bound: ClassVar[bool] = True

    @property
    def describe(self) -> str:
        """`uniform dequantization to [0, 1)`"""
        return "uniform dequantization to [0, 1)"

    def event(self, event: Event) -> Event:
        """Real values."""
        _require(self, event, discrete=True)
        return Event(event.shape)

    def log_volume(self, event: Event) -> float:
        """-D log K, nats to add to E log p(z) to get the bound on log P(x); event is that of x."""
        return -event.size * math.log(event.num_values)

    def __call__(self, event: Event, key: Key, x: Array) -> Array:
        """float32 in [0, 1)"""
        u = jax.random.uniform(key, x.shape, jnp.float32)
        # x + u may round up to K.
        largest = 1.0 - float(np.finfo(np.float32).epsneg)
        return jnp.minimum((x.astype(jnp.float32) + u) / event.num_values, largest)

    def undo(self, event: Event, z: np.ndarray) -> np.ndarray:
        """floor(K z), int32; values outside [0, 1) become the nearest level."""
        levels = np.floor(np.asarray(z, np.float64) * event.num_values)
        return np.clip(levels, 0, event.num_values - 1).astype(np.int32)


@dataclasses.dataclass(frozen=True)
class Standardize:
    """z = (x - mean) / scale for every element; `Standardize.fit(train.x)` gives unit variance.

    log p(x) = log p(z) - sum log scale.

    Attributes:
      mean: one number per element, in raster order.
      scale: one positive number per element, in raster order.
    """

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    suffix: ClassVar[str] = "_standardized"
    bound: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.scale) or not all(s > 0 for s in self.scale):
            raise ValueError(
                "Standardize needs as many positive scales as means; got "
                f"{len(self.mean)} means and scales {self.scale}."
            )

    @classmethod
    def fit(cls, x: np.ndarray) -> Standardize:
        """Fits the mean and standard deviation of x: [N, ...].

        Constant elements get scale 1, which adds no volume; a warning names them.
        """
        flat = np.asarray(x, np.float64).reshape(len(x), -1)
        # Relative to the first example: a plain sum of, say, times in seconds loses precision.
        first, flat = flat[0], flat - flat[0]
        varies = np.any(flat != 0, axis=0)
        mean = first + flat.mean(axis=0)
        scale = np.where(varies, flat.std(axis=0), 1.0)
        if not varies.all():
            still = np.flatnonzero(~varies)
            named = ", ".join(map(str, still[:8])) + ", ..." * (len(still) > 8)
            warnings.warn(
                f"Standardize.fit found {len(still)} of {varies.size} elements that never vary "
                f"({named}); their scale stays 1.",
                stacklevel=2,
            )
        return cls(tuple(mean.tolist()), tuple(scale.tolist()))

    @property
    def describe(self) -> str:
        """`standardized`"""
        return "standardized"

    def event(self, event: Event) -> Event:
        """The same space."""
        _require(self, event, discrete=False)
        if event.size != len(self.mean):
            raise ValueError(
                f"Standardize holds {len(self.mean)} means; examples have {event.size} elements."
            )
        return event

    def log_volume(self, event: Event) -> float:
        """-sum log scale, nats to add to log p(z) to get log p(x)."""
        del event
        return sum(-math.log(s) for s in self.scale)

    def __call__(self, event: Event, key: Key, x: Array) -> Array:
        """float32"""
        del key
        mean, scale = (
            jnp.array(v, jnp.float32).reshape(event.shape) for v in (self.mean, self.scale)
        )
        return (x.astype(jnp.float32) - mean) / scale

    def undo(self, event: Event, z: np.ndarray) -> np.ndarray:
        """mean + scale z, in float64."""
        mean, scale = (np.reshape(v, event.shape) for v in (self.mean, self.scale))
        return mean + scale * np.asarray(z, np.float64)


@dataclasses.dataclass(frozen=True)
class MuLaw:
    r"""Mu-law companding of real values in [-1, 1) to K integers, finer near zero; mu = K - 1.

        f(x) = sign(x) log(1 + mu |x|) / log(1 + mu),    v = floor((f(x) + 1) / 2 mu + 1/2)

    ITU-T Recommendation G.711 (1988) for speech; van den Oord et al. (2016), arXiv:1609.03499,
    section 2.2. Values outside [-1, 1] are clipped. `mu_law_decode` is the inverse.

    Attributes:
      num_values: K.
    """

    num_values: int = 256
    suffix: ClassVar[str] = "_mulaw"

    def __post_init__(self) -> None:
        _check_levels(self.num_values)

    @property
    def describe(self) -> str:
        """`256 mu-law levels`"""
        return f"{self.num_values} mu-law levels"

    def event(self, event: Event) -> Event:
        """K values per element."""
        _require(self, event, discrete=False)
        return Event(event.shape, self.num_values)

    def __call__(self, event: Event, key: Key, x: Array) -> Array:
        """int32 in {0, ..., K - 1}; the key is not used.

        Inside jit nan becomes -1, which has probability zero under every likelihood.

        Raises:
          ValueError: x is concrete and contains nan.
        """
        del event, key
        mu = self.num_values - 1
        if not isinstance(x, jax.core.Tracer) and np.isnan(x).any():
            raise ValueError("MuLaw needs real values; x holds nan.")
        x = jnp.clip(x.astype(jnp.float32), -1.0, 1.0)
        y = jnp.sign(x) * jnp.log1p(mu * jnp.abs(x)) / math.log1p(mu)
        level = jnp.floor((y + 1.0) / 2.0 * mu + 0.5)
        return jnp.where(jnp.isnan(level), -1.0, level).astype(jnp.int32)


def _check_levels(num_values: int) -> None:
    if not isinstance(num_values, numbers.Integral) or num_values < 2:
        raise ValueError(f"mu-law companding needs num_values of at least 2; got {num_values!r}.")


def mu_law_decode(x: Array, num_values: int = 256) -> Array:
    """The real values in [-1, 1] that `MuLaw(num_values)` maps to the middle of each level.

    To first order the round-trip error is at most (1 + mu |x|) log(1 + mu) / mu^2.

    Args:
      x: integers in [0, K), of any shape.
      num_values: K.

    Returns:
      float32, of the same shape.

    Raises:
      ValueError: x is not an array of integers, or is concrete and has values outside [0, K).
    """
    _check_levels(num_values)
    Event(jnp.shape(x), num_values).check(jnp.asarray(x), "mu_law_decode's x")
    mu = num_values - 1
    y = 2.0 * jnp.asarray(x).astype(jnp.float32) / mu - 1.0
    return jnp.sign(y) * jnp.expm1(jnp.abs(y) * math.log1p(mu)) / mu


@dataclasses.dataclass(frozen=True)
class Decimate:
    r"""Decimation: every F-th sample of a signal after a low-pass filter, at 1 / F of the rate.

        y_t = \sum_k h_k x_{F t + k},    h_k ∝ sinc(0.9 k / F) w_k,  |k| <= 16 F,  \sum_k h_k = 1

    with w a Hamming window: the gain is one half at 0.9 of the new Nyquist frequency. It acts on a
    whole signal, not elementwise, and pads the ends with zeros.

    Oppenheim & Schafer (2010), "Discrete-time signal processing", sections 4.6 and 7.5.

    Attributes:
      factor: F.
    """

    factor: int = 2
    suffix: ClassVar[str] = "_decimated"

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"Decimate needs a factor of at least 1; got {self.factor}.")

    @property
    def describe(self) -> str:
        """`decimated by 2`"""
        return f"decimated by {self.factor}"

    def event(self, event: Event) -> Event:
        """ceil(T / F) samples."""
        _require(self, event, discrete=False)
        if len(event.shape) != 1:
            raise ValueError(f"Decimate needs examples of shape [T]; got {event.shape}.")
        return Event((-(-event.shape[0] // self.factor),))

    def __call__(self, event: Event, key: Key, x: Array) -> Array:
        """float32, [T] -> [ceil(T / F)]; the key is not used."""
        del key
        reach = 16 * self.factor
        taps = np.sinc(0.9 / self.factor * np.arange(-reach, reach + 1)) * np.hamming(2 * reach + 1)
        kernel = jnp.array(taps / taps.sum(), jnp.float32)
        y = jax.lax.conv_general_dilated(
            x.astype(jnp.float32)[None, None],
            kernel[None, None],
            window_strides=(self.factor,),
            padding=[(reach, reach)],
        )
        return y[0, 0, : self.event(event).size]
