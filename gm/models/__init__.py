"""Models p(x): frozen dataclasses whose methods are pure functions of one example.

A model holds configuration, never arrays: parameters come in as the first argument, `jax.vmap`
makes batches. Its methods are its capabilities (`gm.core`): a model with `log_prob` is a density,
one with `prior`, `encode`, `decode` a latent-variable model. Models know nothing of losses; the two
meet in an experiment. `gm.laws` holds every model to what its capabilities promise.

  classical        tables, mixtures, kernel densities: fitted without gradients
  autoregressive   p(x) = prod_i p(x_i | x_<i)
  latent           p(x) = integral p(z) p(x | z) dz
  flows            x = T(z), z ~ p(z), T invertible
  implicit         x = g(z), z ~ p(z)
"""

from gm.models import autoregressive, classical, flows, implicit, latent

__all__ = ["autoregressive", "classical", "flows", "implicit", "latent"]
