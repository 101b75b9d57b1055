"""What holds for a latent-variable model: p(x | z) is a density, and bounds are bounds."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from gm.core import Key, Params
from gm.laws import spaces
from gm.laws.law import NUM_SIGMAS, compiled, demand
from gm.losses import variational


def likelihood_given_z_sums_to_one(model: Any, params: Params, key: Key) -> None:
    """The sum of p(x | z) over all x is one at every z."""
    x, weight = spaces.space(model.event)
    for key_z in jax.random.split(key, 3):
        z = model.prior(params).sample(key_z)
        log_prob = compiled(jax.vmap(lambda x, z: model.decode(params, z).log_prob(x), (0, None)))
        total = float(np.sum(np.exp(np.asarray(log_prob(x, z), np.float64)) * weight))
        demand(abs(total - 1.0) < 2e-3, f"it sums to {total:.6f}")


def bounds_are_ordered(model: Any, params: Params, key: Key) -> None:
    """elbo <= iwae_8 <= log p(x) in expectation, and sampled elbos have the mean that q implies.

    log p(x) and the exact elbo come from quadrature. The weights themselves are not averaged: their
    variance is infinite where q is much narrower than the posterior. Their logarithms behave.
    """
    for key_x in jax.random.split(key, 2):
        x = spaces.points(model, key_x, 1)[0]
        keys = jax.random.split(key_x, 2048)
        sample = jax.vmap(lambda k, x: variational.log_weights(model, params, k, x, 8), (0, None))
        log_w = np.asarray(compiled(sample)(keys, x), np.float64)
        top = np.max(log_w, axis=1)
        iwae = np.log(np.mean(np.exp(log_w - top[:, None]), axis=1)) + top
        elbo = np.mean(log_w, axis=1)
        demand(bool(np.all(elbo <= iwae + 1e-4)), "the elbo exceeds iwae on the same samples")
        log_p, exact = spaces.exact_bounds(model, params, x)
        demand(exact <= log_p + 1e-3, f"the exact elbo {exact:.4f} exceeds log p(x) {log_p:.4f}")
        error = np.std(elbo) / np.sqrt(len(elbo))
        demand(
            abs(np.mean(elbo) - exact) <= NUM_SIGMAS * error + 2e-3,
            f"sampled elbos average {np.mean(elbo):.4f} ± {error:.4f}; q implies {exact:.4f}",
        )
        slack = NUM_SIGMAS * np.std(iwae) / np.sqrt(len(iwae)) + 2e-3
        demand(np.mean(iwae) <= log_p + slack, f"iwae {np.mean(iwae):.4f} > log p {log_p:.4f}")
