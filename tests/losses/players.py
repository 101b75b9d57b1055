"""Critics and generators whose scores and slopes are known."""

import dataclasses

import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.core import Event

EVENT = Event((2,))
RNG = np.random.default_rng(0)
DATA = RNG.normal([2.0, -1.0], 0.5, (512, 2)).astype(np.float32)
PARAMS = {"critic": np.float32(0.7), "generator": np.array([-1.0, 0.5], np.float32)}


@dataclasses.dataclass(frozen=True)
class Shifted:
    """x = z + params, z ~ N(0, 1 / 4)."""

    event: Event = EVENT

    def prior(self, params):
        return dist.Normal(jnp.zeros(2), jnp.full(2, 0.5))

    def generate(self, params, z):
        return z + params


@dataclasses.dataclass(frozen=True)
class Quadratic:
    """c(x) = a (|x|^2 / 2 - 1), whose gradient is a x; of a pack, of the difference of its two."""

    event: Event = EVENT
    pack: int = 1

    def score(self, a, x):
        x = x if self.pack == 1 else x[0] - x[1]
        return a * (0.5 * jnp.sum(x * x) - 1.0)


def score(x):
    return PARAMS["critic"] * (0.5 * np.sum(x * x, axis=1) - 1.0)


def softplus(x):
    return np.logaddexp(0.0, x)
