"""What holds for a flow: it inverts itself, and its log-determinants are true."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from gm.core import Array, Key, Params
from gm.laws import spaces
from gm.laws.law import compiled, demand


def flow_inverts_itself(model: Any, params: Params, key: Key) -> None:
    """to_data(to_noise(x)) = x, and the log-determinants cancel."""

    def gaps(x: Array) -> tuple[Array, Array]:
        z, log_det = model.to_noise(params, x)
        back, log_det_back = model.to_data(params, z)
        return jnp.max(jnp.abs(back - x)), jnp.abs(log_det + log_det_back)

    for gap in compiled(jax.vmap(gaps))(spaces.points(model, key, 16)):
        demand(float(jnp.max(gap)) < 1e-3, f"it is off by {float(jnp.max(gap)):.2e}")


def log_det_is_the_jacobian(model: Any, params: Params, key: Key) -> None:
    """log_det of to_noise is slogdet of its autodiff Jacobian."""

    def gap(x: Array) -> Array:
        jacobian = jax.jacrev(lambda x: model.to_noise(params, x)[0].reshape(-1))(x)
        want = jnp.linalg.slogdet(jacobian.reshape(model.event.size, model.event.size))[1]
        return jnp.abs(model.to_noise(params, x)[1] - want)

    gaps = compiled(jax.vmap(gap))(spaces.points(model, key, 8))
    demand(float(jnp.max(gaps)) < 1e-3, f"it is off by {float(jnp.max(gaps)):.2e}")
