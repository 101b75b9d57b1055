"""Standard noise as a model without parameters, the usual base of a flow."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Distribution, Event, Key, Params


@dataclasses.dataclass(frozen=True)
class Standard:
    """Independent elements of location 0 and scale 1.

    Attributes:
      event: the space of z, real.
      family: (location, scale) -> distribution: `dist.Normal`, `dist.Logistic`, `dist.Laplace`;
        `dist.Uniform` fills the unit cube.
    """

    event: Event
    family: Callable[[Array, Array], Distribution] = dist.Normal

    def init(self, key: Key) -> Params:
        """Nothing: {}."""
        del key
        return {}

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(z) in nats."""
        return self._distribution().log_prob(x)

    def sample(self, params: Params, key: Key) -> Array:
        """z: [*event]"""
        return self._distribution().sample(key)

    def _distribution(self) -> Distribution:
        zeros = jnp.zeros(self.event.shape, self.event.dtype)
        return self.family(zeros, jnp.ones_like(zeros))
