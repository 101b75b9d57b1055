r"""Dequantization: integers as the cells that a density of real numbers is integrated over.

Ho, Chen, Srinivas, Duan & Abbeel (2019), "Flow++", arXiv:1902.00275, section 3.1; Hoogeboom,
Cohen & Tomczak (2020), "Learning discrete distributions by dequantization", arXiv:2001.11235. For
x in [0, K)^D and a density p(z) on the unit cube,

    P(x) = \int_{cell of x} p(z) dz >= exp E_q log (p(z) / q(z | x)),
    z = (x + u) / K,    u ~ q(u | x) on [0, 1)^D,    q(z | x) = K^D q(u | x)

so x is what is observed of a latent z: P(x | z) is 1 in the cell of x and 0 elsewhere. The bounds
of `gm.losses.variational` hold as they are: `negative_elbo` with uniform q is uniform
dequantization, with a flow variational dequantization, and `negative_iwae` the importance-weighted
one. `metrics.evaluate(model, params, split, key=key, num_samples=S)` scores by S samples: a bound.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Event, Key, Params, pytree, static
from gm.distributions.pathwise import Scored


@dataclasses.dataclass(frozen=True)
class Dequantized:
    """P(x) of integers as the integral of a density over the cell of x, bounded by samples in it.

    Attributes:
      event: the space of x, integers in [0, K).
      density: of z in [0, 1)^D, a model of a real event of the same shape, as `of_logits` makes.
      noise: q(u | x) on [0, 1)^D, another flow of that shape with `context` an event of real
        numbers, D of them, where it is given 2 x / (K - 1) - 1; None for uniform noise. With
        logistic noise of its own (`family=dist.Logistic`) a flow of logits starts as the uniform
        one, and keeps tails for which the weights of several samples have a variance.

    Raises:
      ValueError: the events do not fit.
      TypeError: the density does not score and sample, or the noise is no flow.
    """

    event: Event
    density: Any
    noise: Any = None

    def __post_init__(self) -> None:
        core.require(self.density, core.Density, "Dequantized")
        core.require(self.density, core.Samplable, "Dequantized")
        real = self.density.event
        if not self.event.discrete or real.discrete or real.shape != self.event.shape:
            raise ValueError(
                "Dequantized needs integers, and a density of real numbers in their shape; got "
                f"{self.event} and {real}."
            )
        if self.noise is None:
            return
        core.require(self.noise, core.Flow, "Dequantized")
        given = self.noise.context
        if self.noise.event != real or given is None or given.vector_size != self.event.size:
            raise ValueError(
                f"Dequantized needs noise of {real} given a context of {self.event.size} real "
                f"numbers; got {self.noise.event} given {given}."
            )

    def init(self, key: Key, x: np.ndarray | None = None) -> Params:
        """{"density"}, and {"noise"} where there is a flow.

        Args:
          key: one key.
          x: [N, *event], examples that the density starts from, with uniform noise.
        """
        key_density, key_noise, key_u = jax.random.split(key, 3)
        if x is None:
            params = {"density": self.density.init(key_density)}
        else:
            self.event.check(x)
            u = np.asarray(jax.random.uniform(key_u, np.shape(x), jnp.float32))
            params = {"density": self.density.init(key_density, (x + u) / self.event.num_values)}
        if self.noise is not None:
            params["noise"] = self.noise.init(key_noise)
        return params

    def prior(self, params: Params) -> _Prior:
        """p(z)"""
        return _Prior(self.density, params["density"])

    def encode(self, params: Params, x: Array) -> _Cell:
        """q(z | x), inside the cell of x."""
        self.event.check(x)
        return _Cell(self, None if self.noise is None else params["noise"], x)

    def decode(self, params: Params, z: Array) -> _Level:
        """P(x | z): all of it at the level that z lies in."""
        return _Level(self.event, z)

    def sample(self, params: Params, key: Key) -> Array:
        """The level of z ~ p(z)."""
        return self.decode(params, self.density.sample(params["density"], key)).sample(key)

    def given(self, x: Array) -> Array:
        """What the noise is given: 2 x / (K - 1) - 1 as a vector [D]."""
        scaled = 2.0 * x.astype(jnp.float32) / max(self.event.num_values - 1, 1) - 1.0
        return scaled.reshape(self.noise.context.shape)


@pytree
class _Prior(Scored):
    """The density of z, with its parameters."""

    model: Any = static()
    params: Params

    def log_prob(self, z: Array) -> Array:
        """log p(z), nats."""
        return self.model.log_prob(self.params, z)

    def sample(self, key: Key) -> Array:
        """z ~ p(z)"""
        return self.model.sample(self.params, key)


@pytree
class _Cell:
    """z = (x + u) / K with u ~ q(u | x), below the upper end of the cell as float32 has it."""

    model: Dequantized = static()
    params: Params | None
    x: Array

    reparameterized = True

    def sample(self, key: Key) -> Array:
        """z"""
        return self.sample_and_log_prob(key)[0]

    def sample_and_log_prob(self, key: Key) -> tuple[Array, Array]:
        """z and log q(z | x), nats."""
        model, low, high = self.model, *_cell(self.model.event, self.x)
        volume = model.event.size * math.log(model.event.num_values)
        if model.noise is None:
            u, log_q = jax.random.uniform(key, self.x.shape, jnp.float32), jnp.zeros(())
        else:
            given = model.given(self.x)
            u, log_q = model.noise.sample_and_log_prob(self.params, key, given)
        z = (self.x.astype(jnp.float32) + u) / model.event.num_values
        return jnp.clip(z, low, jnp.nextafter(high, low)), log_q + volume

    def log_prob(self, z: Array) -> Array:
        """log q(z | x), nats; -inf outside the cell."""
        model, (low, high) = self.model, _cell(self.model.event, self.x)
        inside = jnp.all((low <= z) & (z < high))
        log_q = model.event.size * math.log(model.event.num_values)
        if model.noise is not None:
            u = z * model.event.num_values - self.x.astype(jnp.float32)
            u = jnp.clip(u, 2.0**-24, 1.0 - 2.0**-24)
            log_q += model.noise.log_prob(self.params, u, model.given(self.x))
        return jnp.where(inside, log_q, -jnp.inf)


@pytree
class _Level:
    """The level of z, with probability 1."""

    event: Event = static()
    z: Array

    def log_prob(self, x: Array) -> Array:
        """0 where z lies in the cell of x, else -inf."""
        low, high = _cell(self.event, x)
        return jnp.where(jnp.all((low <= self.z) & (self.z < high)), 0.0, -jnp.inf)

    def sample(self, key: Key) -> Array:
        """The level whose cell z lies in; the nearest one for z outside [0, 1)."""
        del key
        level = jnp.floor(self.z * self.event.num_values)
        low, high = _cell(self.event, level)  # K z may be rounded up, and down, to the next one
        level = level + (self.z >= high) - (self.z < low)
        return jnp.clip(level, 0, self.event.num_values - 1).astype(jnp.int32)


def _cell(event: Event, x: Array) -> tuple[Array, Array]:
    """The ends x / K and (x + 1) / K, in float32."""
    low = x.astype(jnp.float32)
    return low / event.num_values, (low + 1.0) / event.num_values
