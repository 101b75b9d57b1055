"""Small models of each part of the protocol that gm has no model of its own for yet."""

import dataclasses

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.bijections import Affine
from gm.core import Event
from gm.models.flows import Flow, Standard
from gm.networks import MLP

BITS, F32 = Event((3,), 2), jnp.float32


def standard(size):
    return dist.Normal(jnp.zeros(size, F32), jnp.ones(size, F32))


def gaussian(raw):
    loc, raw_scale = jnp.split(raw, 2)
    return dist.Normal(loc, jax.nn.softplus(raw_scale) + 0.1)


@dataclasses.dataclass(frozen=True)
class TwoLayers:
    """z = (z_1, z_2) from the top: p(z_1) p(z_2 | z_1) p(x | z), q(z_1 | x) q(z_2 | z_1, x)."""

    top: int = 1
    low: int = 1
    event: Event = BITS

    def networks(self):
        d, top, low = self.event.size, self.top, self.low
        sizes = {"next": (top, 2 * low), "up": (d, 2 * top), "down": (d + top, 2 * low)}
        sizes["out"] = (top + low, d)
        return {name: (size, MLP((4,), (out,))) for name, (size, out) in sizes.items()}

    def init(self, key):
        keys = jax.random.split(key, 4)
        networks = self.networks().items()
        return {
            n: net.init(k, jnp.zeros(d, F32))
            for k, (n, (d, net)) in zip(keys, networks, strict=True)
        }

    def apply(self, params, name, *x):
        return self.networks()[name][1].apply(params[name], jnp.concatenate(x))

    def prior(self, params):
        low = jax.tree_util.Partial(lambda p, z_1: gaussian(self.apply(p, "next", z_1)), params)
        return dist.Joint((standard(self.top), low))

    def encode(self, params, x):
        x = x.astype(F32)
        low = jax.tree_util.Partial(lambda p, z_1: gaussian(self.apply(p, "down", x, z_1)), params)
        return dist.Joint((gaussian(self.apply(params, "up", x)), low))

    def decode(self, params, z):
        return dist.Bernoulli(self.apply(params, "out", *z))

    def sample(self, params, key):
        key_z, key_x = jax.random.split(key)
        return self.decode(params, self.prior(params).sample(key_z)).sample(key_x)


@dataclasses.dataclass(frozen=True)
class Discrete(TwoLayers):
    """z of two elements with three values each, as one vector of integers; p(z) is learned."""

    def init(self, key):
        keys = jax.random.split(key)
        return {
            "prior": jnp.zeros((2, 3), F32),
            "up": MLP((4,), (2, 3)).init(keys[0], jnp.zeros(self.event.size, F32)),
            "out": MLP((4,), self.event.shape).init(keys[1], jnp.zeros(6, F32)),
        }

    def prior(self, params):
        return dist.Categorical(params["prior"])

    def encode(self, params, x):
        return dist.Categorical(MLP((4,), (2, 3)).apply(params["up"], x.astype(F32)))

    def decode(self, params, z):
        one_hot = jax.nn.one_hot(z, 3, dtype=F32).reshape(-1)
        return dist.Bernoulli(MLP((4,), self.event.shape).apply(params["out"], one_hot))


@dataclasses.dataclass(frozen=True)
class Mixed(Discrete):
    """z = (one of three clusters, a place in it), as a pair of a whole number and a real vector."""

    def init(self, key):
        keys = jax.random.split(key, 3)
        return {
            "prior": jnp.zeros(3, F32),
            "place": jnp.zeros((3, 2), F32),
            "up": MLP((4,), (3,)).init(keys[0], jnp.zeros(self.event.size, F32)),
            "down": MLP((4,), (2,)).init(keys[1], jnp.zeros(self.event.size + 3, F32)),
            "out": MLP((4,), self.event.shape).init(keys[2], jnp.zeros(1, F32)),
        }

    def prior(self, params):
        place = jax.tree_util.Partial(lambda table, k: gaussian(table[k]), params["place"])
        return dist.Joint((dist.Categorical(params["prior"]), place))

    def encode(self, params, x):
        x = x.astype(F32)

        def place(p, k):
            return gaussian(
                MLP((4,), (2,)).apply(p, jnp.concatenate([x, jax.nn.one_hot(k, 3, dtype=F32)]))
            )

        cluster = dist.Categorical(MLP((4,), (3,)).apply(params["up"], x))
        return dist.Joint((cluster, jax.tree_util.Partial(place, params["down"])))

    def decode(self, params, z):
        return dist.Bernoulli(MLP((4,), self.event.shape).apply(params["out"], z[1]))


@dataclasses.dataclass(frozen=True)
class Dequantized:
    """A flow of x + u with u uniform, centred: log P(x) >= E_u log p(x + u - K / 2)."""

    event: Event = Event((2,), 3)

    @property
    def flow(self):
        event = Event(self.event.shape)
        return Flow(event, Standard(event, dist.Logistic), Affine(event, "triangular"))

    def init(self, key):
        return self.flow.init(key)

    def lower_bound(self, params, key, x):
        u = jax.random.uniform(key, self.event.shape, F32)
        return self.flow.log_prob(params, x.astype(F32) + u - self.event.num_values / 2)

    def sample(self, params, key):
        y = self.flow.sample(params, key) + self.event.num_values / 2
        return jnp.clip(jnp.floor(y), 0, self.event.num_values - 1).astype(jnp.int32)
