r"""Orthogonal maps by Householder reflections, and Sylvester flows over them.

Tomczak & Welling (2016), "Improving variational auto-encoders using Householder flow",
arXiv:1611.09630; van den Berg, Hasenclever, Tomczak & Welling (2018), "Sylvester normalizing flows
for variational inference", arXiv:1803.05649.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gm.bijections import roots
from gm.core import Array, Event, Key, Params, PyTree

LEAST = 1e-3  # by how much the diagonal of 1 + R̃ R stays above zero


@dataclasses.dataclass(frozen=True)
class Householder:
    """y = Q x with Q = H_1 ... H_N, H_n = 1 - 2 v_n v_nᵀ / |v_n|², orthogonal; log_det = 0.

    N = D reflections make any orthogonal matrix of determinant (-1)^N.

    Attributes:
      event: the space of x and y, real.
      num_reflections: N.

    Raises:
      ValueError: the event is discrete, or there is no reflection.
    """

    event: Event
    num_reflections: int = 8

    def __post_init__(self) -> None:
        _check(self.event, "Householder", self.num_reflections)

    def init(self, key: Key) -> Params:
        """{"v": [N, D]}, random directions."""
        shape = (self.num_reflections, self.event.size)
        return {"v": jax.random.normal(key, shape, jnp.float32)}

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """Q x"""
        del context
        y = reflect(params["v"][::-1], x.reshape(-1))
        return y.reshape(x.shape), jnp.zeros((), x.dtype)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """Qᵀ y"""
        del context
        return reflect(params["v"], y.reshape(-1)).reshape(y.shape), jnp.zeros((), y.dtype)


@dataclasses.dataclass(frozen=True)
class Sylvester:
    r"""y = x + Q R tanh(R̃ Qᵀ x + b), with orthogonal columns Q: [D, M], R and R̃ upper triangular.

    log_det = Σ_m log(1 + tanh'(.)_m R_mm R̃_mm). Diagonals are tanh of parameters, times a little
    less than 1, so that every term is positive. M = 1 is a planar flow. The inverse has no closed
    form, yet is triangular: the last of v = Qᵀ x first, each by bisection (`roots.triangular`), to
    float32 rounding, at the cost of 32 M evaluations of the two products.

    Attributes:
      event: the space of x and y, real; D elements.
      num_units: M, at most D.
      num_reflections: that Q is made of.

    Raises:
      ValueError: the event is discrete, or M is not between 1 and D.
    """

    event: Event
    num_units: int
    num_reflections: int = 8

    def __post_init__(self) -> None:
        _check(self.event, "Sylvester", self.num_reflections)
        if not 1 <= self.num_units <= self.event.size:
            raise ValueError(
                f"Sylvester needs num_units from 1 to the {self.event.size} elements of the event; "
                f"got {self.num_units}."
            )

    def init(self, key: Key) -> Params:
        """{"v", "diagonals": [2, M], "upper": [2, M (M - 1) / 2], "b": [M]}, near the identity."""
        key_v, key_r = jax.random.split(key)
        m = self.num_units
        shape = (self.num_reflections, self.event.size)
        return {
            "v": jax.random.normal(key_v, shape, jnp.float32),
            "diagonals": 0.1 * jax.random.normal(key_r, (2, m), jnp.float32),
            "upper": jnp.zeros((2, m * (m - 1) // 2), jnp.float32),
            "b": jnp.zeros(m, jnp.float32),
        }

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x + Q R tanh(R̃ Qᵀ x + b)"""
        del context
        v = reflect(params["v"], x.reshape(-1))[: self.num_units]
        return self._moved(params, x, v, 1.0)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """y - Q R tanh(R̃ v + b)"""
        del context
        target = reflect(params["v"], y.reshape(-1))[: self.num_units]
        # The last unit depends on itself alone: in reverse it comes first.
        v = roots.triangular(self._reversed, params, target[::-1])[::-1]
        return self._moved(params, y, v, -1.0)

    def _moved(self, params: Params, x: Array, v: Array, sign: float) -> tuple[Array, Array]:
        """x + sign Q R tanh(R̃ v + b), and sign times the log_det of the forward map at v."""
        outer, inner = self._triangles(params)
        h = jnp.tanh(inner @ v + params["b"])
        change = jnp.zeros(self.event.size, x.dtype).at[: self.num_units].set(outer @ h)
        log_det = jnp.sum(jnp.log1p((1.0 - h**2) * jnp.diag(outer) * jnp.diag(inner)))
        moved = reflect(params["v"][::-1], change).reshape(x.shape)
        return x + sign * moved, sign * log_det

    def _reversed(self, params: Params, v: Array) -> Array:
        """Qᵀ y of Qᵀ x, both in reverse."""
        outer, inner = self._triangles(params)
        v = v[::-1]
        return (v + outer @ jnp.tanh(inner @ v + params["b"]))[::-1]

    def _triangles(self, params: Params) -> tuple[Array, Array]:
        """R and R̃: [M, M]"""
        rows, columns = np.triu_indices(self.num_units, 1)
        diagonals = (1.0 - LEAST) * jnp.tanh(params["diagonals"])
        first, second = (
            jnp.diag(d).at[rows, columns].set(u)
            for d, u in zip(diagonals, params["upper"], strict=True)
        )
        return first, second


def reflect(v: Array, x: Array) -> Array:
    """x: [D] reflected at the planes normal to v_1, then v_2, ...: [N, D]."""

    def one(x: Array, v: Array) -> tuple[Array, None]:
        return x - 2.0 * (v @ x) / jnp.maximum(v @ v, 1e-30) * v, None

    return jax.lax.scan(one, x, v)[0]


def _check(event: Event, name: str, num_reflections: int) -> None:
    if event.discrete:
        raise ValueError(f"{name} needs a real event; got {event}.")
    if num_reflections < 1:
        raise ValueError(f"{name} needs a reflection at least; got {num_reflections}.")
