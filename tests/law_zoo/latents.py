"""Latent-variable models, generators and critics."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Event
from gm.models.classical import FactorAnalysis
from gm.models.implicit import Critic, Generator
from gm.models.latent import VAE
from gm.networks import MLP
from tests.law_zoo.sentences import BITS, BOUNDS, LIKELIHOOD, LINE, PLANE, PROCESS
from tests.models.tenants import Discrete, Mixed, TwoLayers


def vae(kind=VAE, event=BITS, head=None, latent_dim=1, **options):
    head = dist.BernoulliHead() if head is None else head
    encoder = MLP((4,), (2 * latent_dim,), input_ndim=2)
    decoder = MLP((4,), (*event.shape, head.num_params))
    return kind(event, head, encoder, decoder, latent_dim, **options)


class Elsewhere(dist.Normal):
    """Samples from another place than its density says."""

    def sample(self, key):
        return super().sample(key) + 1.0


class NearItsMode(dist.Normal):
    """Samples are nearer to the mode than its density says, so that bounds are too low."""

    def sample(self, key):
        return self.loc + 0.1 * (super().sample(key) - self.loc)


class Thin(dist.Normal):
    """Claims a density that integrates to less than one, so that its bound is none."""

    def log_prob(self, x):
        return super().log_prob(x) - 3.0


class ThinBits(dist.Bernoulli):
    def log_prob(self, x):
        return super().log_prob(x) - 0.01


class SamplesAnotherPosterior(VAE):
    other, narrower = Elsewhere, 1.0

    def encode(self, params, x):
        q = super().encode(params, x)
        return self.other(q.loc, self.narrower * q.scale)


class SamplesNearItsMode(SamplesAnotherPosterior):
    other, narrower = NearItsMode, 0.3


class ThinPosterior(SamplesAnotherPosterior):
    other = Thin


class ThinPrior(VAE):
    def prior(self, params, context=None):
        p = super().prior(params)
        return Thin(p.loc, p.scale)


class ThinLikelihood(VAE):
    def decode(self, params, z):
        return ThinBits(super().decode(params, z).logits)


class SamplesTheMode(VAE):
    def sample(self, params, key):
        return self.decode(params, self.prior(params).sample(key)).mode()


class SamplesWithOneKey(VAE):
    def sample(self, params, key):
        return self.decode(params, self.prior(params).sample(key)).sample(key)


class SamplesAnotherPrior(Generator):
    def sample(self, params, key):
        return self.generate(params, 1.2 * self.prior(params).sample(key))


class ThinLow(TwoLayers):
    """A posterior whose lower layer sums to less than one."""

    other = Thin

    def encode(self, params, x):
        top, low = super().encode(params, x).parts

        def changed(z_1):
            q = low(z_1)
            return self.other(q.loc, q.scale)

        return dist.Joint((top, changed))


class SamplesElsewhereLow(ThinLow):
    other = Elsewhere


class AlwaysTheMode(Discrete):
    """A posterior that samples its mode, and scores as if it sampled."""

    def encode(self, params, x):
        return Modal(super().encode(params, x).logits)


class Modal(dist.Categorical):
    def sample(self, key):
        return self.mode()


class OneOfTwoEquals(Discrete):
    """q has its entropy: the value that is left out is as likely as the one in its place."""

    def encode(self, params, x):
        logits = super().encode(params, x).logits
        return NeverZero(logits[..., jnp.array([0, 0, 2])])


class NeverZero(dist.Categorical):
    def sample(self, key):
        z = super().sample(key)
        return jnp.where(z == 0, 1, z)


class ThinCluster(dist.Categorical):
    def log_prob(self, x):
        return super().log_prob(x) - 0.05


class ThinClusters(Mixed):
    def prior(self, params):
        cluster, place = super().prior(params).parts
        return dist.Joint((ThinCluster(cluster.logits), place))


@dataclasses.dataclass(frozen=True)
class ScoresAnotherLoading:
    """A density, and latents of another one: each right by itself."""

    of: FactorAnalysis = FactorAnalysis(PLANE, 1)

    @property
    def event(self):
        return self.of.event

    def init(self, key):
        return self.of.init(key) | {"loading": jnp.ones((self.event.size, 1), jnp.float32)}

    def log_prob(self, params, x):
        return self.of.log_prob(params | {"loading": 1.3 * params["loading"]}, x)

    def prior(self, params):
        return self.of.prior(params)

    def encode(self, params, x):
        return self.of.encode(params, x)

    def decode(self, params, z):
        return self.of.decode(params, z)


RIGHT: dict[str, Any] = {
    "VAE": vae(),
    "factor analysis": FactorAnalysis(PLANE, 1),
    "VAE, two latents": vae(event=Event((2,), 3), head=dist.CategoricalHead(3), latent_dim=2),
    "VAE, real": vae(event=LINE, head=dist.NormalHead()),
    "VAE, narrow posterior": vae(start_scale=1e-3),
    "VAE, three latents": vae(latent_dim=3),
    "VAE of two layers": TwoLayers(),
    "VAE of two layers, five dimensions": TwoLayers(3, 2),
    "VAE of discrete latents": Discrete(),
    "VAE of a cluster and a place in it": Mixed(),
    "Generator": Generator(PLANE, MLP((4,), (2,)), latent_dim=2),
    "Critic of few units": Critic(PLANE, MLP((2,), ())),
}

WRONG: dict[str, tuple[Any, str]] = {
    "a posterior that samples elsewhere": (vae(SamplesAnotherPosterior), BOUNDS),
    "a posterior that samples near its mode": (vae(SamplesNearItsMode), BOUNDS),
    "a posterior that sums to less than one": (vae(ThinPosterior), BOUNDS),
    "a likelihood that sums to less than one": (vae(ThinLikelihood), LIKELIHOOD),
    "a layer that sums to less than one": (ThinLow(), BOUNDS),
    "a layer that sums to less than one, five dimensions": (ThinLow(3, 2), BOUNDS),
    "a layer that samples elsewhere": (SamplesElsewhereLow(), BOUNDS),
    "a layer that samples elsewhere, five dimensions": (SamplesElsewhereLow(3, 2), BOUNDS),
    "a prior that sums to less than one": (vae(ThinPrior), BOUNDS),
    "a posterior that samples one of two equals": (OneOfTwoEquals(), BOUNDS),
    "a discrete posterior that samples its mode": (AlwaysTheMode(), BOUNDS),
    "a prior of clusters that sums to less than one": (ThinClusters(), BOUNDS),
    "log p is not the integral over its latents": (ScoresAnotherLoading(), BOUNDS),
    "a VAE samples modes": (vae(SamplesTheMode), PROCESS),
    "a VAE samples z and x with one key": (vae(SamplesWithOneKey), PROCESS),
    "a generator samples another prior": (
        SamplesAnotherPrior(PLANE, MLP((4,), (2,)), latent_dim=2),
        PROCESS,
    ),
}
