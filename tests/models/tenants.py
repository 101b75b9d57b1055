"""Small models of each part of the protocol that gm has no model of its own for yet."""

import dataclasses

import jax
import jax.numpy as jnp

from gm import core
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
class Clusters:
    """p(x) = Σ_k π_k Π_i Bernoulli(x_i; μ_ki), fitted by EM from random responsibilities."""

    num_clusters: int = 2
    event: Event = BITS

    def init(self, key):
        key_weight, key_mean = jax.random.split(key)
        shape = self.num_clusters, self.event.size
        weight = jax.random.normal(key_weight, shape[:1], F32)
        return {"weight": weight, "mean": jax.random.normal(key_mean, shape, F32)}

    def components(self, params, x):
        each = jax.vmap(lambda mean: dist.Bernoulli(mean).log_prob(x))(params["mean"])
        return jax.nn.log_softmax(params["weight"]) + each

    def log_prob(self, params, x):
        return jax.nn.logsumexp(self.components(params, x))

    def sample(self, params, key):
        key_weight, key_mean = jax.random.split(key)
        k = jax.random.categorical(key_weight, params["weight"])
        return dist.Bernoulli(params["mean"][k]).sample(key_mean)

    def fit(self, x, key=None, *, weights=None, num_steps=30):
        w = jnp.asarray(core.example_weights(weights, len(x), "Clusters.fit"), F32)
        first = jax.random.uniform(key, (len(x), self.num_clusters), F32)
        bits = jnp.asarray(x, F32)

        def step(share, _):
            count = w @ share + 1e-3  # [K]
            mean = (share.T @ (w[:, None] * bits) + 5e-4) / count[:, None]
            params = {"weight": jnp.log(count), "mean": jnp.log(mean) - jnp.log1p(-mean)}
            each = jax.vmap(self.components, (None, 0))(params, x)
            return jax.nn.softmax(each), params

        share = first / jnp.sum(first, 1, keepdims=True)
        _, params = jax.lax.scan(step, share, None, num_steps)
        return jax.tree.map(lambda leaf: leaf[-1], params)


@dataclasses.dataclass(frozen=True)
class GaussianMixture:
    """p(x) = Σ_k π_k N(x; m_k, diag s_k^2), fitted by EM, step by step."""

    num_clusters: int = 2
    event: Event = Event((2,))

    def init(self, key):
        shape = self.num_clusters, self.event.size
        weight = jnp.zeros(shape[:1], F32)
        mean = jax.random.normal(key, shape, F32)
        return {"log_weight": weight, "mean": mean, "log_scale": jnp.zeros(shape, F32)}

    def components(self, params, x):
        def one(mean, log_scale):
            return dist.Normal(mean, jnp.exp(log_scale)).log_prob(x)

        each = jax.vmap(one)(params["mean"], params["log_scale"])
        return jax.nn.log_softmax(params["log_weight"]) + each

    def log_prob(self, params, x):
        return jax.nn.logsumexp(self.components(params, x))

    def sample(self, params, key):
        key_weight, key_x = jax.random.split(key)
        k = jax.random.categorical(key_weight, params["log_weight"])
        return dist.Normal(params["mean"][k], jnp.exp(params["log_scale"][k])).sample(key_x)

    def fit_step(self, params, key, x, *, weights=None):
        del key
        w = jnp.ones(len(x), F32) if weights is None else jnp.asarray(weights, F32)
        each = jax.vmap(self.components, (None, 0))(params, x)  # [N, K]
        share = w[:, None] * jax.nn.softmax(each)
        count = jnp.sum(share, 0)
        mean = share.T @ x / count[:, None]
        variance = jnp.einsum("nk,nkd->kd", share, (x[:, None] - mean[None]) ** 2) / count[:, None]
        found = {"log_weight": jnp.log(count / jnp.sum(w)), "mean": mean}
        found["log_scale"] = 0.5 * jnp.log(variance + 1e-6)
        return found, {"log_prob": w @ jax.nn.logsumexp(each, axis=1) / jnp.sum(w)}

    def fit(self, x, key=None, *, weights=None, num_steps=30):
        w = jnp.asarray(core.example_weights(weights, len(x), "GaussianMixture.fit"), F32)

        def step(params, _):
            return self.fit_step(params, key, jnp.asarray(x, F32), weights=w)[0], None

        return jax.lax.scan(step, self.init(key), None, num_steps)[0]


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
