"""Both faces of a causal network, compiled, at parameters that are nowhere zero; who sees whom."""

import functools

import jax
import numpy as np


def random_params(model, seed=0):
    """Parameters of the model's shapes: kernels from N(0, 1 / inputs), the rest from N(0, 1/4)."""
    rng = np.random.default_rng(seed)

    def sample(leaf):
        is_kernel = leaf.ndim > 1 and leaf.shape[-2] > 2
        scale = leaf.shape[-2] ** -0.5 if is_kernel else 0.5
        return (scale * rng.normal(size=leaf.shape)).astype(np.float32)

    return jax.tree.map(sample, jax.eval_shape(model.init, jax.random.key(0)))


@functools.partial(jax.jit, static_argnums=0)
def passed(model, params, x, f, context=None):
    """log p(x | y), and the raw outputs of one forward pass over all elements.

    Args:
      model: a model with a causal network.
      params: of the model.
      x: one example.
      f: its features, [*network.shape, C].
      context: y.
    """
    raw = model.sized_network.apply(params, f, _vector(model, context))
    return model.log_prob(params, x, context), raw


@functools.partial(jax.jit, static_argnums=0)
def stepped(model, params, f, context=None):
    """The raw outputs of incremental steps, in the shape of those of one forward pass."""
    apply = functools.partial(model.sized_network.apply, params)

    def step(carry, f_i):
        cache, raw = carry
        return apply(cache, f_i, method="step"), raw

    start = apply(_vector(model, context), method="start")
    _, raw = jax.lax.scan(step, start, f.reshape(-1, f.shape[-1]))
    return raw.reshape(*f.shape[:-1], -1)


def _vector(model, context):
    return None if context is None else model.context.vector(context)


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
        return model.sized_network.apply(params, x[..., None]).reshape(x.size, -1)

    return jax.vmap(jax.jacfwd(raw))(x)
