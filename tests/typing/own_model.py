"""A model of one's own, as a type checker sees it: frozen, and passed to losses and steps."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import optax

from gm import core, data, laws, metrics, networks, train
from gm import distributions as dist
from gm.core import Array, Event, Key, Network, Params
from gm.losses import likelihood, variational


@dataclasses.dataclass(frozen=True)
class OwnVAE:
    """p(x, z) = N(z; 0, I) Bernoulli(x; decoder(z))."""

    event: Event
    encoder: Network
    decoder: Network
    latent_dim: int

    def init(self, key: Key) -> Params:
        """Parameters of both networks."""
        key_encoder, key_decoder = jax.random.split(key)
        return {
            "encoder": self.encoder.init(key_encoder, jnp.zeros(self.event.shape)),
            "decoder": self.decoder.init(key_decoder, jnp.zeros(self.latent_dim)),
        }

    def prior(self, params: Params) -> dist.Normal:
        """p(z)"""
        return dist.Normal(jnp.zeros(self.latent_dim), jnp.ones(self.latent_dim))

    def encode(self, params: Params, x: Array) -> dist.Normal:
        """q(z | x)"""
        raw = self.encoder.apply(params["encoder"], x.astype(jnp.float32))
        loc, log_scale = jnp.split(raw, 2)
        return dist.Normal(loc, jnp.exp(log_scale))

    def decode(self, params: Params, z: Array) -> dist.Bernoulli:
        """p(x | z)"""
        return dist.Bernoulli(self.decoder.apply(params["decoder"], z))

    def sample(self, params: Params, key: Key) -> Array:
        """One x ~ p(x)."""
        key_z, key_x = jax.random.split(key)
        return self.decode(params, self.prior(params).sample(key_z)).sample(key_x)


@dataclasses.dataclass(frozen=True)
class OwnDensity:
    """Independent coins, with a head and a distribution of one's own kind."""

    event: Event
    head: core.Head

    def init(self, key: Key) -> Params:
        """Raw outputs of the head."""
        return jnp.zeros((*self.event.shape, self.head.num_params))

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x)"""
        return self.head(params).log_prob(x)


def main() -> None:
    """Trains both for a step each, and scores them."""
    split = data.load("digits")
    encoder = networks.MLP((64,), (16,), input_ndim=2)
    vae = OwnVAE(split.event, encoder, networks.MLP((64,), split.event.shape), 8)
    density = OwnDensity(split.event, dist.BernoulliHead())
    latent: core.Latent = vae
    exact: core.Density = density
    samplable: core.Samplable = vae
    for loss in (
        functools.partial(variational.negative_elbo, vae, num_samples=2),
        functools.partial(variational.negative_iwae, vae),
    ):
        optimizer = optax.adam(1e-3)
        step = train.make_step(loss, optimizer)
        state = train.init(vae.init(jax.random.key(0)), optimizer, jax.random.key(1))
        state = train.run(step, state, split.train.batches(64), num_steps=1)
        print(metrics.evaluate(latent, state.params, split.test.x))
    step = train.make_step(
        functools.partial(likelihood.negative_log_likelihood, density), optax.sgd(0.1)
    )
    laws.check(exact, jax.random.key(0))
    core.require(samplable, core.Samplable, "main")


if __name__ == "__main__":
    main()
