"""Stand-in models whose likelihood and posterior are known."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from gm import core


@core.pytree
class Normal:
    mean: jax.Array
    scale: jax.Array

    def log_prob(self, x):
        return jax.scipy.stats.norm.logpdf(x, self.mean, self.scale).sum()

    def sample(self, key):
        return self.mean + self.scale * jax.random.normal(key, jnp.shape(self.mean))


@dataclasses.dataclass(frozen=True)
class LinearGaussian:
    """z ~ N(0, 1), x | z ~ N(z, 1): p(x) = N(0, 2), and the posterior is N(x / 2, 1 / 2).

    q has `params` times the posterior's standard deviation.
    """

    event = core.Event(())

    def prior(self, params):
        return Normal(jnp.zeros(()), jnp.ones(()))

    def encode(self, params, x):
        return Normal(x / 2, params * jnp.sqrt(0.5))

    def decode(self, params, z):
        return Normal(z, jnp.ones(()))


@dataclasses.dataclass(frozen=True)
class Independent:
    """Three elements in {0, ..., K - 1}, element i with log probabilities params[i]."""

    event = core.Event((3,), 3)

    def log_prob(self, params, x):
        return jnp.take_along_axis(params, x[:, None], axis=1).sum()


@dataclasses.dataclass(frozen=True)
class Sampler:
    """A model that can only be sampled from."""

    event = core.Event((3,))

    def sample(self, params, key):
        return jax.random.normal(key, (3,))


@pytest.fixture
def linear_gaussian():
    return LinearGaussian()


@pytest.fixture
def independent():
    return Independent()


@pytest.fixture
def sampler():
    return Sampler()
