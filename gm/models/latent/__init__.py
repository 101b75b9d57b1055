"""Latent-variable models: p(x) = integral p(z) p(x | z) dz, with an approximate posterior q(z | x).

A latent model offers `prior`, `encode` and `decode`, each a distribution. Bounds on log p(x) are
functions of log weights log p(x, z) - log q(z | x) and live in `gm.losses.variational`; estimates
of it by importance sampling live in `gm.metrics`.

`LatentDirichletAllocation` is fitted by `topic_fits`, to documents.
"""

from gm.models.latent import topic_fits
from gm.models.latent.lda import LatentDirichletAllocation
from gm.models.latent.vae import VAE

__all__ = ["VAE", "LatentDirichletAllocation", "topic_fits"]
