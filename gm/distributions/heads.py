"""Heads: map the raw outputs [..., P] of a network to the distribution of every element [...].

A head is the likelihood of a model: the same MADE with another head models other data. It also
defines how values enter a network (`features`). Raw outputs may be any real numbers; they are cast
to float32 and have the same meaning in every head:

- log odds, log weights and log rates are used unchanged;
- a location is shifted by a constant: 0 for a single component, else evenly spaced over (-1, 1),
  because equal components would get equal gradients and stay equal;
- a scale is `min_scale + start softplus(raw + log(e - 1))`: `min_scale + start` at raw = 0, and
  linear in raw for large raw; `min_scale` bounds the density. `start` is 1 for real values, which
  suits data with mean near 0 and standard deviation near 1, and 1/M for M discretised components.
"""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import jax
import jax.numpy as jnp

from gm.core import Array, Event, Head
from gm.distributions import checks
from gm.distributions.continuous import Laplace, Logistic, Normal
from gm.distributions.counts import NegativeBinomial, Poisson
from gm.distributions.discrete import Bernoulli, Categorical
from gm.distributions.discretized import DiscretizedLogistic
from gm.distributions.mixtures import Mixture

MAX_COUNT = 2**31 - 1  # counts are only bounded by int32
LOG_EXPM1_ONE = math.log(math.e - 1.0)


@dataclasses.dataclass(frozen=True)
class BernoulliHead:
    """One logit per element; the values 0 and 1 enter the network unchanged."""

    num_values = 2
    num_params = 1
    num_features = 1

    def __call__(self, raw: Array) -> Bernoulli:
        """raw: [..., 1] -> Bernoulli over [...]."""
        return Bernoulli(*_split(self, raw))

    def features(self, x: Array) -> Array:
        """[...] -> [..., 1], in {0, 1}."""
        return checks.integers(self, x)[..., None].astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class CategoricalHead:
    """K logits per element; values enter the network as one-hot vectors."""

    num_values: int

    @property
    def num_params(self) -> int:
        """K"""
        return self.num_values

    @property
    def num_features(self) -> int:
        """K"""
        return self.num_values

    def __call__(self, raw: Array) -> Categorical:
        """raw: [..., K] -> Categorical over [...]."""
        return Categorical(_floats(self, raw))

    def features(self, x: Array) -> Array:
        """[...] -> [..., K], one-hot."""
        return jax.nn.one_hot(checks.integers(self, x), self.num_values, dtype=jnp.float32)


@dataclasses.dataclass(frozen=True)
class DiscretizedLogisticMixtureHead:
    """M discretised logistics per element, for K ordered values; inputs are scaled to [-1, 1]."""

    num_values: int
    num_components: int = 10
    min_scale: float = 1e-3  # PixelCNN++ uses exp(-7)
    num_features = 1

    @property
    def num_params(self) -> int:
        """3 M: log weights, locations, scales."""
        return 3 * self.num_components

    def __call__(self, raw: Array) -> Mixture:
        """raw: [..., 3 M] -> Mixture of DiscretizedLogistic over [...]."""
        logits, loc, scale = _split_mixture(self, raw, 1.0 / self.num_components)
        return Mixture(logits, DiscretizedLogistic(loc, scale, self.num_values))

    def features(self, x: Array) -> Array:
        """[...] -> [..., 1], 2x / (K - 1) - 1."""
        x = checks.integers(self, x)[..., None].astype(jnp.float32)
        return 2.0 * x / (self.num_values - 1) - 1.0


class _RealHead:
    """The common part of heads for real values, which enter the network unchanged."""

    num_values = None
    num_features = 1

    def features(self, x: Array) -> Array:
        """[...] -> [..., 1], x."""
        return jnp.asarray(x, jnp.float32)[..., None]


@dataclasses.dataclass(frozen=True)
class NormalHead(_RealHead):
    """Location and scale of one Normal per element."""

    min_scale: float = 1e-3
    num_params = 2

    def __call__(self, raw: Array) -> Normal:
        """raw: [..., 2] -> Normal over [...]."""
        loc, scale = _split(self, raw)
        return Normal(loc, _positive(scale, self.min_scale))


@dataclasses.dataclass(frozen=True)
class LaplaceHead(_RealHead):
    """Location and scale of one Laplace per element."""

    min_scale: float = 1e-3
    num_params = 2

    def __call__(self, raw: Array) -> Laplace:
        """raw: [..., 2] -> Laplace over [...]."""
        loc, scale = _split(self, raw)
        return Laplace(loc, _positive(scale, self.min_scale))


@dataclasses.dataclass(frozen=True)
class LogisticHead(_RealHead):
    """Location and scale of one Logistic per element."""

    min_scale: float = 1e-3
    num_params = 2

    def __call__(self, raw: Array) -> Logistic:
        """raw: [..., 2] -> Logistic over [...]."""
        loc, scale = _split(self, raw)
        return Logistic(loc, _positive(scale, self.min_scale))


@dataclasses.dataclass(frozen=True)
class _MixtureOfRealsHead(_RealHead):
    """The common part of mixtures for real values: all but the component."""

    num_components: int = 10
    min_scale: float = 1e-3
    component: ClassVar[type[Normal | Laplace | Logistic]]

    @property
    def num_params(self) -> int:
        """3 M: log weights, locations, scales."""
        return 3 * self.num_components

    def __call__(self, raw: Array) -> Mixture:
        """raw: [..., 3 M] -> Mixture of the component over [...]."""
        logits, loc, scale = _split_mixture(self, raw, 1.0)
        return Mixture(logits, self.component(loc, scale))


class MixtureOfNormalsHead(_MixtureOfRealsHead):
    """M Normals per element: Bishop (1994), mixture density networks; Uria et al. (2013), RNADE,
    arXiv:1306.0186."""

    component = Normal


class MixtureOfLaplacesHead(_MixtureOfRealsHead):
    """M Laplaces per element: RNADE-MoL, Uria et al. (2013), arXiv:1306.0186."""

    component = Laplace


class MixtureOfLogisticsHead(_MixtureOfRealsHead):
    """M Logistics per element."""

    component = Logistic


class _CountHead:
    """The common part of heads for counts, which enter the network as log(1 + x)."""

    num_values = MAX_COUNT
    num_features = 1

    def features(self, x: Array) -> Array:
        """[...] -> [..., 1], log(1 + x)."""
        return jnp.log1p(checks.integers(self, x)[..., None].astype(jnp.float32))


@dataclasses.dataclass(frozen=True)
class PoissonHead(_CountHead):
    """One log rate per element."""

    num_params = 1

    def __call__(self, raw: Array) -> Poisson:
        """raw: [..., 1] -> Poisson over [...]."""
        return Poisson(*_split(self, raw))


@dataclasses.dataclass(frozen=True)
class NegativeBinomialHead(_CountHead):
    """Log mean and log concentration of one negative binomial per element."""

    num_params = 2

    def __call__(self, raw: Array) -> NegativeBinomial:
        """raw: [..., 2] -> NegativeBinomial over [...]."""
        return NegativeBinomial(*_split(self, raw))


def head_for(event: Event, *, ordered: bool = True, num_components: int = 10) -> Head:
    """The usual head for the values of an event, for convenience; others are built by name.

    It is Bernoulli for 2 values; for more, a mixture of discretised logistics if they are ordered,
    such as pixels, else Categorical, such as for characters; a mixture of Normals for real values.

    Args:
      event: the space of one example.
      ordered: whether the order of K > 2 values is meaningful.
      num_components: M of mixtures.
    """
    if event.num_values is None:
        return MixtureOfNormalsHead(num_components)
    if event.num_values == 2:
        return BernoulliHead()
    if ordered:
        return DiscretizedLogisticMixtureHead(event.num_values, num_components)
    return CategoricalHead(event.num_values)


def _floats(head: Head, raw: Array) -> Array:
    """raw: [..., P] in float32; ValueError for any other P."""
    if raw.shape[-1] != head.num_params:
        raise ValueError(
            f"{type(head).__name__} needs raw outputs of shape [..., {head.num_params}]; "
            f"got {raw.shape}."
        )
    return raw.astype(jnp.float32)


def _split(head: Head, raw: Array) -> list[Array]:
    """raw: [..., P] -> P arrays [...]."""
    raw = _floats(head, raw)
    return [raw[..., i] for i in range(head.num_params)]


def _split_mixture(head: Head, raw: Array, start: float) -> tuple[Array, Array, Array]:
    """raw: [..., 3 M] -> logits, evenly spaced locations and positive scales, each [..., M]."""
    logits, loc, scale = jnp.split(_floats(head, raw), 3, -1)
    num = head.num_components
    offsets = (2.0 * jax.lax.broadcasted_iota(jnp.float32, loc.shape, loc.ndim - 1) + 1.0) / num
    return logits, loc + offsets - 1.0, _positive(scale, head.min_scale, start)


def _positive(raw: Array, floor: float, start: float = 1.0) -> Array:
    """floor + start softplus(raw + log(e - 1)): floor + start at raw = 0."""
    return floor + start * jax.nn.softplus(raw + LOG_EXPM1_ONE)
