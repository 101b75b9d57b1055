"""What holds for an autoregressive model: causality, and one distribution behind two faces."""

from __future__ import annotations

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.core import Array, Distribution, Key, Params, PyTree
from gm.laws import spaces
from gm.laws.law import compiled, demand


def no_element_sees_itself_or_a_later_one(model: Any, params: Params, key: Key) -> None:
    """x_i moves no conditional at or before i.

    Real elements by the Jacobian. Discrete ones by setting each to every other value, which sees
    all that a gradient would and more.
    """
    event, order = model.event, jnp.array(model.order)

    def leaves(x: Array) -> Array:
        return _rows(model, model.conditionals(params, x))

    x = spaces.points(model, key, 4)
    if event.discrete:
        shifts = jnp.arange(1, event.num_values)

        def moved(x: Array, i: Array, shift: Array) -> Array:
            y = x.reshape(-1).at[i].add(shift) % event.num_values
            return jnp.max(jnp.abs(leaves(y.reshape(event.shape)) - leaves(x)), axis=1)

        by_shift = jax.vmap(moved, (None, None, 0))
        by_element = jax.vmap(lambda x, i: jnp.max(by_shift(x, i, shifts), axis=0), (None, 0))
        by_point = compiled(lambda x: jax.lax.map(lambda x: by_element(x, order), x))
        moves = jnp.max(by_point(x), axis=0)  # [by, of]
    else:
        jacobian = compiled(jax.vmap(jax.jacrev(leaves)))(x).reshape(
            len(x), event.size, -1, event.size
        )
        moves = jnp.max(jnp.abs(jacobian), axis=(0, 2)).T[order]
    moves = np.asarray(moves)[:, np.asarray(order)]
    for by, of in itertools.product(range(event.size), repeat=2):
        if of <= by:
            # Two shapes of one product may round differently; a leak is larger by far.
            demand(
                moves[by, of] <= 1e-5 * (1.0 + np.max(moves)),
                f"element {by} of the order moves conditional {of} by {moves[by, of]:.2e}",
            )


def walk_and_pass_agree(model: Any, params: Params, key: Key) -> None:
    """predict after observing x_<i is the i-th conditional of one parallel pass."""
    order = jnp.array(model.order)

    def both(x: Array) -> tuple[Array, Array]:
        def step(carry: PyTree, x_i: Array) -> tuple[PyTree, Array]:
            return model.observe(params, carry, x_i), _flat(model.predict(params, carry))

        _, walked = jax.lax.scan(step, model.start(params), x.reshape(-1)[order])
        return walked, _rows(model, model.conditionals(params, x))[order]

    walked, passed = compiled(jax.vmap(both))(spaces.points(model, key, 4))
    gap = float(jnp.max(jnp.abs(walked - passed) / (1.0 + jnp.abs(passed))))
    demand(gap < 1e-4, f"they differ by {gap:.2e}, relative")  # float32 sums in another order


def log_prob_is_the_sum_of_conditionals(model: Any, params: Params, key: Key) -> None:
    """log p(x) = sum_i log p(x_i | x_<i)."""
    x = spaces.points(model, key, 8)

    def both(x: Array) -> tuple[Array, Array]:
        parts = dist.element_log_probs(model.conditionals(params, x), x)
        return jnp.sum(parts), model.log_prob(params, x)

    parts, whole = compiled(jax.vmap(both))(x)
    gap = float(jnp.max(jnp.abs(parts - whole) / (1.0 + jnp.abs(whole))))
    demand(gap < 1e-5, f"they differ by {gap:.2e}, relative")


def _flat(d: Distribution) -> Array:
    """The parameters of one element's distribution, as a vector."""
    return jnp.concatenate([jnp.ravel(leaf) for leaf in jax.tree.leaves(d)])


def _rows(model: Any, d: Distribution) -> Array:
    """The parameters of every element's distribution, [D, ...], in raster order."""
    return jax.vmap(lambda i: _flat(dist.element(d, model.event.shape, i)))(
        jnp.arange(model.event.size)
    )
