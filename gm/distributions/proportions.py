r"""Posterior of the proportions of known parts, by variational Bayes.

    theta ~ Dir(a),    P(w | theta) = \sum_k theta_k p(w | k)

For words w_1 ... w_N with counts n_w, q(theta) = Dir(g) and q(z = k | w) r_wk maximise

    E_q log p(w, z, theta) - E_q log q:
    r_wk ~ p(w | k) exp(psi(g_k)),    g_k = a_k + \sum_w n_w r_wk

in turn: Blei, Ng & Jordan (2003), "Latent Dirichlet allocation", section 5.2.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy import special

from gm.core import Array
from gm.distributions.simplex import Dirichlet


def proportions_posterior(
    parts: Array, counts: Array, concentration: Array, num_steps: int = 50
) -> Dirichlet:
    """q(theta), after some steps of coordinate ascent from g_k = a_k + N / K.

    Args:
      parts: [L, K], p(w | k) of the words that occur, or a multiple of it in each row.
      counts: [L], occurrences; of 0 a word counts for nothing, and without any q is the prior.
      concentration: [K], a.
      num_steps: of coordinate ascent, none of which lowers the bound.

    Returns:
      Dir(g).
    """
    start = concentration + jnp.sum(counts) / concentration.shape[0]

    def step(_: int, g: Array) -> Array:
        return concentration + counts @ responsibilities(parts, g)

    return Dirichlet(jax.lax.fori_loop(0, num_steps, step, start))


def responsibilities(parts: Array, g: Array) -> Array:
    """q(z = k | w) ~ p(w | k) exp(psi(g_k)): [L, K]; 0 where p(w | k) is 0 for all k."""
    weights = parts * jnp.exp(special.digamma(g) - special.digamma(jnp.sum(g)))[None]
    total = jnp.sum(weights, axis=1, keepdims=True)
    return weights / jnp.where(total > 0.0, total, 1.0)
