"""Latent-variable models, generators and critics."""

from typing import Any

from gm import distributions as dist
from gm.core import Event
from gm.models.implicit import Critic, Generator
from gm.models.latent import VAE
from gm.networks import MLP
from tests.law_zoo.sentences import BITS, BOUNDS, LIKELIHOOD, LINE, PLANE, PROCESS


def vae(kind=VAE, event=BITS, head=None, latent_dim=1, **options):
    head = dist.BernoulliHead() if head is None else head
    encoder = MLP((4,), (2 * latent_dim,), input_ndim=2)
    decoder = MLP((4,), (*event.shape, head.num_params))
    return kind(event, head, encoder, decoder, latent_dim, **options)


class Elsewhere(dist.Normal):
    """Samples from another place than its density says."""

    def sample(self, key):
        return super().sample(key) + 1.0


class Thin(dist.Normal):
    """Claims a density that integrates to less than one, so that its bound is none."""

    def log_prob(self, x):
        return super().log_prob(x) - 3.0


class ThinBits(dist.Bernoulli):
    def log_prob(self, x):
        return super().log_prob(x) - 0.01


class SamplesAnotherPosterior(VAE):
    def encode(self, params, x):
        q = super().encode(params, x)
        return Elsewhere(q.loc, q.scale)


class ThinPosterior(VAE):
    def encode(self, params, x):
        q = super().encode(params, x)
        return Thin(q.loc, q.scale)


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


RIGHT: dict[str, Any] = {
    "VAE": vae(),
    "VAE, two latents": vae(event=Event((2,), 3), head=dist.CategoricalHead(3), latent_dim=2),
    "VAE, real": vae(event=LINE, head=dist.NormalHead()),
    "VAE, narrow posterior": vae(start_scale=1e-3),
    "Generator": Generator(PLANE, MLP((4,), (2,)), latent_dim=2),
    "Critic of few units": Critic(PLANE, MLP((2,), ())),
}

WRONG: dict[str, tuple[Any, str]] = {
    "a posterior that samples elsewhere": (vae(SamplesAnotherPosterior), BOUNDS),
    "a posterior that sums to less than one": (vae(ThinPosterior), BOUNDS),
    "a likelihood that sums to less than one": (vae(ThinLikelihood), LIKELIHOOD),
    "a VAE samples modes": (vae(SamplesTheMode), PROCESS),
    "a VAE samples z and x with one key": (vae(SamplesWithOneKey), PROCESS),
    "a generator samples another prior": (
        SamplesAnotherPrior(PLANE, MLP((4,), (2,)), latent_dim=2),
        PROCESS,
    ),
}
