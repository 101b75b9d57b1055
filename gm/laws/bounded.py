"""The law of models with a lower bound of log p(x): the bound is below some density."""

from __future__ import annotations

import jax
import numpy as np

from gm.core import Array, Key, Params
from gm.laws import spaces
from gm.laws.law import NUM_SIGMAS, NotApplicable, demand
from gm.laws.trial import MAX_ROWS, TOLERANCE, Trial

NUM_KEYS = 256


def bounds(trial: Trial, params: Params, key: Key, inputs: dict[str, Array]) -> Array:
    """lower_bound of every x with separate keys, [N, NUM_KEYS]."""
    x = inputs["x"]
    keys = jax.random.split(key, (len(x), NUM_KEYS))
    of_one = jax.vmap(trial.model.lower_bound, (None, 0, None))
    return jax.vmap(of_one, (None, 0, 0))(params, keys, x)


def bound_sums_to_at_most_one(trial: Trial, seen: np.ndarray) -> str:
    r"""Σ_x exp E[bound(x)] <= Σ_x p(x) = 1, over all x.

    For a mean with standard error s, E exp(mean) = exp(E mean + s^2 / 2), which is corrected.
    """
    if spaces.num_states(trial.event) > MAX_ROWS:
        raise NotApplicable("x is real or has too many values to sum over; take a smaller model")
    seen = seen.astype(np.float64)
    demand(not np.any(np.isnan(seen)) and not np.any(seen == np.inf), "a bound is nan or inf")
    error = np.nan_to_num(np.std(seen, axis=1)) / np.sqrt(NUM_KEYS)
    mass = np.exp(np.mean(seen, axis=1) - 0.5 * error**2)
    total, spread = np.sum(mass), np.sqrt(np.sum((mass * error) ** 2))
    demand(total <= 1.0 + NUM_SIGMAS * spread + TOLERANCE, f"it sums to {total:.4f} ± {spread:.4f}")
    return f"{total:.3f} of the mass is within the bound"
