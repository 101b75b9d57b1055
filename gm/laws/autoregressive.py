"""Laws of autoregressive models: causality, and agreement of incremental and forward passes."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.core import Array, Distribution, Key, Params, PyTree
from gm.laws.law import demand
from gm.laws.statistics import relative
from gm.laws.trial import Trial


def forward_passes(
    trial: Trial, params: Params, key: Key, inputs: dict[str, Array]
) -> tuple[Array, Array]:
    """The parameters of all conditionals at every x, [N, D, R], and log p(x_i | x_<i), [N, D]."""
    model = trial.model
    del key

    def one(x: Array) -> tuple[Array, Array]:
        conditionals = model.conditionals(params, x)
        i = jnp.arange(trial.event.size)
        rows = jax.vmap(lambda i: _flat(dist.element(conditionals, trial.event.shape, i)))(i)
        return rows, dist.element_log_probs(conditionals, x).reshape(-1)

    return jax.vmap(one)(inputs["x"])


def steps(trial: Trial, params: Params, key: Key, inputs: dict[str, Array]) -> Array:
    """The same parameters computed one element at a time, [4, D, R] in the model's order."""
    model = trial.model
    del key
    order = np.array(model.order)

    def step(carry: PyTree, x_i: Array) -> tuple[PyTree, Array]:
        return model.observe(params, carry, x_i), _flat(model.predict(params, carry))

    def one(x: Array) -> Array:
        return jax.lax.scan(step, model.start(params), x.reshape(-1)[order])[1]

    return jax.vmap(one)(inputs["base"])


def no_element_sees_itself_or_a_later_one(trial: Trial, seen: tuple[np.ndarray, ...]) -> None:
    """x_i has no effect on conditionals at or before i; each x_i is set to all other values."""
    order = np.array(trial.model.order)
    rows = trial.at_probes(seen[0])  # [1 + S, by, num, of, R]
    moves = np.max(relative(rows[1:], rows[:1]), axis=(0, 2, 4))[np.ix_(order, order)]
    by, of = np.tril_indices(len(order))
    worst = np.argmax(moves[by, of])
    by, of = by[worst], of[worst]
    # The same product in two shapes may round differently; a leak is much larger.
    demand(
        moves[by, of] <= 1e-5,
        f"element {by} of the order changes conditional {of} by {moves[by, of]:.2e}, relative",
    )


def incremental_sampling_agrees_with_the_forward_pass(
    trial: Trial, seen: tuple[np.ndarray, ...], incremental: np.ndarray
) -> None:
    """predict after observing x_<i equals the i-th conditional of one forward pass."""
    parallel = trial.at_probes(seen[0])[0, 0][:, np.array(trial.model.order)]
    gap = np.max(relative(incremental, parallel))
    demand(gap < 1e-4, f"they differ by {gap:.2e}, relative")  # float32 sums in another order


def log_prob_is_the_sum_of_conditionals(
    trial: Trial, seen: tuple[np.ndarray, ...], out: tuple[np.ndarray, Any]
) -> None:
    """log p(x) = sum_i log p(x_i | x_<i)."""
    gap = np.max(relative(np.sum(seen[1], axis=1, dtype=np.float64), out[0]))
    demand(gap < 1e-5, f"they differ by {gap:.2e}, relative")


def _flat(d: Distribution) -> Array:
    """The parameters of one element's distribution, as a vector."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(d)])
