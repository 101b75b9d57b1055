r"""Fits that iterate, such as expectation maximization, in steps that training can drive.

A model's `fit_step` is a map F of its parameters: EM's two steps, Lloyd's of k-means. A fit is a
point that the map leaves where it is. Half the squared distance to the next point,

    L(θ) = |F(θ) - θ|^2 / 2,    with the gradient θ - F(θ) where F(θ) is held constant,

has θ <- F(θ) for its descent with `optax.sgd(1.0)`, to float32 rounding, and a damped iteration,
θ <- (1 - ρ) θ + ρ F(θ), with a rate ρ below one: stochastic approximation of the fixed point where
batches are part of the data and ρ falls (Robbins & Monro, 1951; for EM, Cappé & Moulines, 2009,
arXiv:0712.4273, in expectation parameters). So `gm.train.run` shows the progress of a fit, writes
its checkpoints and resumes it, over devices too; the loss says how far it is from its end.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Batch, IterativelyFittable, Key, Metrics, Params, require
from gm.losses import batches


def half_squared_distance(params: Params, target: Params) -> Array:
    """|params - target|^2 / 2 over all leaves, with the target held constant.

    Args:
      params: real arrays.
      target: of the same structure and shapes.

    Returns:
      Scalar.
    """

    def of_leaf(x: Array, y: Array) -> Array:
        return 0.5 * jnp.sum((x - jax.lax.stop_gradient(y)) ** 2)

    return sum(jax.tree.leaves(jax.tree.map(of_leaf, params, target)), jnp.zeros((), jnp.float32))


def fixed_point_loss(
    model: IterativelyFittable, params: Params, key: Key, batch: Batch
) -> tuple[Array, Metrics]:
    """Half the squared distance from the parameters to where one step of the model's fit leads.

        step = train.make_step(functools.partial(fixed_point_loss, model), optax.sgd(1.0))

    Args:
      model: a model with `fit_step`.
      params: of the model, real.
      key: for a fit whose steps are random.
      batch: {"x": [B, *event]}: all examples for the plain fit.

    Returns:
      Scalar, in squared units of the parameters, and the metrics of `fit_step`.

    Raises:
      TypeError: the model has no `fit_step`, or the batch is not a mapping.
      ValueError: x is not in the model's event space.
    """
    require(model, IterativelyFittable, "fixed_point_loss")
    x, _ = batches.examples(model.event, batch, "fixed_point_loss")
    target, metrics = model.fit_step(jax.lax.stop_gradient(params), key, x)
    return half_squared_distance(params, target), metrics
