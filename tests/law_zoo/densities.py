"""Densities of real values, and what is hardly a model."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Event
from tests.law_zoo.sentences import FOLLOW, GRADIENTS, LINE, PLANE, SUM, VALUE


@dataclasses.dataclass(frozen=True)
class Mixture1D:
    """A mixture on the line, of components of any place and width."""

    loc: tuple[float, ...] = (-2.0, 0.5)
    scale: tuple[float, ...] = (0.3, 1.0)
    event: Event = LINE

    def init(self, key):
        return {"logits": jnp.zeros(len(self.loc)), "move": jnp.zeros(len(self.loc))}

    def distribution(self, params):
        scale = jnp.array(self.scale)
        loc = jnp.array(self.loc) + scale * params["move"]
        return dist.Mixture(params["logits"][None], dist.Normal(loc[None], scale[None]))

    def log_prob(self, params, x):
        return self.distribution(params).log_prob(x)

    def sample(self, params, key):
        return self.distribution(params).sample(key)


@dataclasses.dataclass(frozen=True)
class Student:
    """Student's t of few degrees of freedom, on the line; one is Cauchy's."""

    freedom: float = 1.0
    event: Event = LINE

    def init(self, key):
        return {"log_scale": jnp.zeros(1)}

    def log_prob(self, params, x):
        scale = jnp.exp(params["log_scale"])
        return jnp.sum(jax.scipy.stats.t.logpdf(x / scale, self.freedom) - params["log_scale"])

    def sample(self, params, key):
        return jnp.exp(params["log_scale"]) * jax.random.t(key, self.freedom, (1,))


@dataclasses.dataclass(frozen=True)
class Ridge:
    """x_0 ~ N(0, 1), x_1 near a wave of x_0: a thin winding line."""

    width: float = 0.003
    event: Event = PLANE

    def init(self, key):
        return {"loc": jnp.zeros(2)}

    def log_prob(self, params, x):
        loc, scale = jnp.stack([jnp.zeros(()), jnp.sin(3.0 * x[0])]), jnp.array([1.0, self.width])
        return dist.Normal(params["loc"] + loc, scale).log_prob(x)

    def sample(self, params, key):
        z = jax.random.normal(key, (2,))
        first = params["loc"][0] + z[0]
        return jnp.stack([first, params["loc"][1] + jnp.sin(3.0 * first) + self.width * z[1]])


@dataclasses.dataclass(frozen=True)
class NotANumber(Mixture1D):
    def log_prob(self, params, x):
        zero = jnp.sum(params["logits"] * 0.0)
        return super().log_prob(params, x) + jnp.sqrt(zero)


@dataclasses.dataclass(frozen=True)
class HoldsAList(Mixture1D):
    names: Any = dataclasses.field(default_factory=list)


@dataclasses.dataclass(unsafe_hash=True)
class CanBeSet:
    """Fields that can be set, although it hashes by them."""

    event: Event = LINE

    def init(self, key):
        return {"log_scale": jnp.zeros(1)}

    def sample(self, params, key):
        return jax.random.normal(key, (1,))


class Plain:
    event = LINE

    def init(self, key):
        return {}

    def sample(self, params, key):
        return jax.random.normal(key, (1,))


class TooMuch(Mixture1D):
    def log_prob(self, params, x):
        return super().log_prob(params, x) + 0.01


class OneKeyForBoth(Mixture1D):
    def sample(self, params, key):
        loc = jnp.array(self.loc) + jnp.array(self.scale) * params["move"]
        m = jax.random.uniform(key, (1,)) < jax.nn.sigmoid(
            params["logits"][1] - params["logits"][0]
        )
        m = m.astype(jnp.int32)
        u = jax.random.uniform(key, (1,), minval=1e-6)
        return loc[m] + jnp.array(self.scale)[m] * jax.scipy.special.ndtri(u)


class Wider(Student):
    def sample(self, params, key):
        return 1.5 * super().sample(params, key)


RIGHT: dict[str, Any] = {
    "mixture": Mixture1D(),
    "mixture, a spike": Mixture1D((0.0, 3.0), (1.0, 1e-3)),
    "mixture, far apart": Mixture1D((-5e3, 1e3), (1.0, 30.0)),
    "Student, 3 degrees": Student(3.0),
    "Cauchy": Student(1.0),
    "Student, a tenth of a degree": Student(0.1),
    "a ridge": Ridge(),
}

WRONG: dict[str, tuple[Any, str]] = {
    "a plain class": (Plain(), VALUE),
    "fields that can be set": (CanBeSet(), VALUE),
    "a list among its fields": (HoldsAList(), VALUE),
    "log p + 0.01": (TooMuch(), SUM),
    "samples half as wide again": (Wider(), FOLLOW),
    "one key for component and value": (OneKeyForBoth(), FOLLOW),
    "a gradient that is no number": (NotANumber(), GRADIENTS),
}
