"""Latent-variable models: p(x) = integral p(z) p(x | z) dz, with an approximate posterior q(z | x).

A latent model offers `prior`, `encode` and `decode`, each a distribution. Bounds on log p(x) are
functions of log weights log p(x, z) - log q(z | x) and live in `gm.losses.variational`; estimates
of it by importance sampling live in `gm.metrics`.

    VAE(..., posterior=posteriors.inverse_autoregressive(K, E))    # a richer q(z | x)
    WithPrior(vae, density), VampPrior(vae, 500)                   # a richer p(z)
    LadderVAE(event, head, rungs)                                  # a hierarchy of latents
    VQVAE(event, head, encoder, decoder, Codebook(K, E), shape)    # discrete codes
    sigmoid_belief_network(event, (200, 100))                      # layers of bits

`RBM` has hidden bits too, and a density up to a constant: `losses.contrastive_divergence`.
`LatentDirichletAllocation` is fitted by `topic_fits`, to documents.
"""

from gm.models.latent import posteriors, topic_fits
from gm.models.latent.helmholtz import (
    Factorized,
    HelmholtzMachine,
    sigmoid_belief_network,
)
from gm.models.latent.ladder import LadderVAE, Rung
from gm.models.latent.lda import LatentDirichletAllocation
from gm.models.latent.priors import VampPrior, WithPrior
from gm.models.latent.quantizers import Codebook, FiniteScalar
from gm.models.latent.rbm import RBM
from gm.models.latent.vae import VAE
from gm.models.latent.vqvae import VQVAE

__all__ = [
    "RBM",
    "VAE",
    "VQVAE",
    "Codebook",
    "Factorized",
    "FiniteScalar",
    "HelmholtzMachine",
    "LadderVAE",
    "LatentDirichletAllocation",
    "Rung",
    "VampPrior",
    "WithPrior",
    "posteriors",
    "sigmoid_belief_network",
    "topic_fits",
]
