"""What holds for a latent-variable model: p(x | z) is a density, and bounds are bounds."""

from __future__ import annotations

from typing import Any

import jax
import numpy as np

from gm.core import Key, Params
from gm.laws import spaces
from gm.laws.law import NUM_SIGMAS, demand
from gm.losses import variational


def likelihood_given_z_sums_to_one(model: Any, params: Params, key: Key) -> None:
    """The sum of p(x | z) over all x is one at every z."""
    x, weight = spaces.space(model.event)
    for key_z in jax.random.split(key, 3):
        z = model.prior(params).sample(key_z)
        log_prob = jax.jit(jax.vmap(lambda x, z: model.decode(params, z).log_prob(x), (0, None)))
        total = float(np.sum(np.exp(np.asarray(log_prob(x, z), np.float64)) * weight))
        demand(abs(total - 1.0) < 2e-3, f"it sums to {total:.6f}")


def bounds_are_ordered(model: Any, params: Params, key: Key) -> None:
    """E[elbo] <= E[iwae_8] <= log p(x), and E[p(x, z) / q(z | x)] = p(x), against quadrature."""
    for key_x in jax.random.split(key, 2):
        x = spaces.points(model, key_x, 1)[0]
        keys = jax.random.split(key_x, 512)
        log_w = jax.jit(
            jax.vmap(lambda k, x: variational.log_weights(model, params, k, x, 8), (0, None))
        )
        log_w = np.asarray(log_w(keys, x), np.float64)
        bound = np.log(np.mean(np.exp(log_w - np.max(log_w)), axis=1)) + np.max(log_w)
        elbo = np.mean(log_w, axis=1)
        demand(bool(np.all(elbo <= bound + 1e-4)), "the elbo exceeds iwae on the same samples")
        log_p = spaces.log_marginal(model, params, x)
        slack = NUM_SIGMAS * np.std(bound) / np.sqrt(len(bound)) + 1e-3
        demand(np.mean(bound) <= log_p + slack, f"iwae {np.mean(bound):.4f} > log p {log_p:.4f}")
        ratio = np.exp(log_w - log_p).mean(axis=1)
        error = NUM_SIGMAS * np.std(ratio) / np.sqrt(len(ratio)) + 1e-3
        demand(
            abs(np.mean(ratio) - 1.0) <= error,
            f"E[w] / p(x) is {np.mean(ratio):.4f} ± {error / NUM_SIGMAS:.4f}, not 1",
        )
