"""Both faces of a causal network at parameters that are nowhere zero, in one compiled program."""

import functools

import jax
import numpy as np


def random_params(model, seed=0):
    """Parameters of the model's shapes: kernels from N(0, 1 / inputs), the rest from N(0, 1/4)."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        is_kernel = leaf.ndim > 1 and leaf.shape[-2] > 2
        scale = leaf.shape[-2] ** -0.5 if is_kernel else 0.5
        return (scale * rng.normal(size=leaf.shape)).astype(np.float32)

    return jax.tree.map(draw, jax.eval_shape(model.init, jax.random.key(0)))


@functools.partial(jax.jit, static_argnums=0)
def faces(model, params, x, f, context=None):
    """log p(x | y), and raw outputs [elements, P] from one pass and from incremental steps.

    Args:
      model: a model with a causal network.
      params: of the model.
      x: one example.
      f: its features, [*network.shape, C].
      context: y.
    """
    network = model.network
    y = None if context is None else model.context.vector(context)

    def step(carry, f_i):
        cache, raw = carry
        return network.apply(params, cache, f_i, method="step"), raw

    start = network.apply(params, y, method="start")
    _, stepped = jax.lax.scan(step, start, f.reshape(-1, f.shape[-1]))
    passed = network.apply(params, f, y).reshape(stepped.shape)
    return model.log_prob(params, x, context), passed, stepped


def influence(model, params, seed=1):
    """[i, j]: whether raw output i of the network moves with element j of a real x, anywhere.

    By gradients at random x, which are exactly zero where there is no path.
    """
    shape = model.event.shape
    x = np.random.default_rng(seed).normal(size=(4, *shape)).astype(np.float32)
    jacobian = np.asarray(_jacobians(model, params, x))
    return np.any(jacobian.reshape(4, x[0].size, -1, x[0].size) != 0, (0, 2))


@functools.partial(jax.jit, static_argnums=0)
def _jacobians(model, params, x):
    def raw(x):
        return model.network.apply(params, x[..., None]).reshape(x.size, -1)

    return jax.vmap(jax.jacfwd(raw))(x)
