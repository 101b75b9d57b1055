"""What holds for a model that scores exactly: it is a density, and its samples follow it."""

from __future__ import annotations

from typing import Any

import numpy as np

from gm.core import Key, Params
from gm.laws import spaces
from gm.laws.law import NUM_SIGMAS, demand


def density_sums_to_one(model: Any, params: Params, key: Key) -> None:
    """Sum over all K^D states, or quadrature in one or two real dimensions."""
    del key
    x, weight = spaces.space(model.event)
    total = float(np.sum(np.exp(spaces.log_probs(model, params, x)) * weight))
    tolerance = 1e-4 if model.event.discrete else 2e-3  # float32 sums; quadrature
    demand(abs(total - 1.0) < tolerance, f"it sums to {total:.6f}")


def samples_follow_the_density(model: Any, params: Params, key: Key) -> None:
    """A chi-squared test of draws against the probabilities of states, or of cells."""
    x, weight = spaces.space(model.event)
    mass = np.exp(spaces.log_probs(model, params, x)) * weight
    draws = spaces.draws(model, params, key).reshape(spaces.NUM_DRAWS, -1)
    if model.event.discrete:
        values = model.event.num_values ** np.arange(model.event.size)[::-1]
        expected, seen = mass, np.bincount(draws @ values, minlength=len(mass))
    else:
        flat = x.reshape(len(x), -1)
        edges = [spaces.quantile_edges(flat[:, d], mass) for d in range(flat.shape[1])]
        expected, _ = np.histogramdd(flat, edges, weights=mass)
        seen, _ = np.histogramdd(draws, edges)
    chi2, freedom = spaces.chi_squared(seen.ravel(), expected.ravel() * spaces.NUM_DRAWS)
    # A chi-squared variable has mean f and variance 2 f.
    excess = (chi2 - freedom) / np.sqrt(2.0 * freedom)
    demand(excess < NUM_SIGMAS, f"chi-squared {chi2:.1f} with {freedom} degrees of freedom")
