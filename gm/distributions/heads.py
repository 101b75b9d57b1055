"""Heads: from a network's raw outputs [..., P] to the distribution of every element [...].

A head is the likelihood of a model: the same MADE with another head models other data. It also
says how values enter a network (`features`). Raw outputs are any real numbers, computed in float32
from here on, and mean the same in every head:

- a log odds, a log weight or a log rate enters as it is;
- a location is shifted by the head's own offsets: 0 for a single component, else evenly spread
  over (-1, 1), because equal components would get equal gradients and stay equal for ever;
- a scale is `min_scale + start softplus(raw + log(e - 1))`: `start` above the floor at raw = 0,
  linear in raw above, and a density bounded by the floor. `start` is 1 for real values, for data of
  mean about 0 and standard deviation about 1, and 1/M for M discretised components.
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

MAX_COUNT = 2**31 - 1  # counts have no bound but that of int32
LOG_EXPM1_ONE = math.log(math.e - 1.0)


@dataclasses.dataclass(frozen=True)
class BernoulliHead:
    """One logit per element; values 0 and 1 enter as they are."""

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
    """K logits per element; values enter one-hot."""

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
    """M discretised logistics per element, for K ordered values; values enter scaled to [-1, 1]."""

    num_values: int
    num_components: int = 10
    min_scale: float = 1e-3  # PixelCNN++ stops at exp(-7)
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
    """What heads of real values share: values enter as they are."""

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
    """What mixtures of real values share: all but the component."""

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
    """M Normals per element (mixture density networks, RNADE)."""

    component = Normal


class MixtureOfLaplacesHead(_MixtureOfRealsHead):
    """M Laplaces per element (RNADE-MoL)."""

    component = Laplace


class MixtureOfLogisticsHead(_MixtureOfRealsHead):
    """M Logistics per element."""

    component = Logistic


class _CountHead:
    """What heads of counts share: counts enter as log(1 + x)."""

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
    """The usual head for the values of an event; a convenience, any other may be built by name.

    Bernoulli for 2 values; for more, a mixture of discretised logistics where they are levels in
    order, as pixels are, else Categorical, as for characters; a mixture of Normals for real values.
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
    """raw: [..., 3 M] -> logits, spread locations and positive scales, each [..., M]."""
    logits, loc, scale = jnp.split(_floats(head, raw), 3, -1)
    num = head.num_components
    offsets = (2.0 * jax.lax.broadcasted_iota(jnp.float32, loc.shape, loc.ndim - 1) + 1.0) / num
    return logits, loc + offsets - 1.0, _positive(scale, head.min_scale, start)


def _positive(raw: Array, floor: float, start: float = 1.0) -> Array:
    """floor + start softplus(raw + log(e - 1)): floor + start at raw = 0."""
    return floor + start * jax.nn.softplus(raw + LOG_EXPM1_ONE)
