"""Affine bijections, fitted to data in closed form."""

from __future__ import annotations

import dataclasses
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Event, Key, Params, PyTree

SCALES = ("diagonal", "triangular", "full")


@dataclasses.dataclass(frozen=True)
class Affine:
    """T(x) = m + S x over the D elements of x in raster order.

    Of standard normal noise it makes N(m, S Sᵀ), which `fit` takes from data in closed form.
    Forward and inverse cost D for a diagonal S and D² for a triangular one; a full S costs D³
    wherever its determinant or its inverse is taken.

    Attributes:
      event: the space of x and T(x), real.
      scale: what S is: "diagonal" and positive, lower "triangular" with a positive diagonal, or
        "full", any invertible matrix.

    Raises:
      ValueError: the event is discrete, or scale is none of these.
    """

    event: Event
    scale: Literal["diagonal", "triangular", "full"] = "diagonal"

    def __post_init__(self) -> None:
        if self.event.discrete:
            raise ValueError(f"Affine needs a real event; got {self.event}.")
        if self.scale not in SCALES:
            raise ValueError(f"Affine needs a scale out of {', '.join(SCALES)}; got {self.scale}.")

    def init(self, key: Key) -> Params:
        """The identity: {"shift": [*event], "log_scale": [D], "lower": [D (D - 1) / 2]}.

        A diagonal S has no "lower"; a full one has "matrix", [D, D], in place of both.
        """
        del key
        size = self.event.size
        root = np.ones(size) if self.scale == "diagonal" else np.eye(size)
        return self._pack(np.zeros(self.event.shape), root)

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """m + S x, and log |det S|."""
        del context
        if self.scale == "diagonal":
            y = x.reshape(-1) * jnp.exp(params["log_scale"])
        else:
            y = self._matrix(params) @ x.reshape(-1)
        return y.reshape(x.shape) + params["shift"], self._log_det(params)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """S^{-1} (y - m), and -log |det S|."""
        del context
        x = (y - params["shift"]).reshape(-1)
        if self.scale == "diagonal":
            x = x * jnp.exp(-params["log_scale"])
        elif self.scale == "triangular":
            x = jax.scipy.linalg.solve_triangular(self._matrix(params), x, lower=True)
        else:
            x = jnp.linalg.solve(params["matrix"], x)
        return x.reshape(y.shape), -self._log_det(params)

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        r"""Parameters of maximum likelihood, for data that is T of standard normal noise.

            m = Σ_n w_n x_n / Σ_n w_n,    S Sᵀ = Σ_n w_n (x_n - m)(x_n - m)ᵀ / Σ_n w_n

        S is the Cholesky factor where it is triangular, the symmetric root where it is full (of all
        S with this product it moves noise the least), the root of the diagonal else. In float64.

        Args:
          x: [N, *event].
          key: not used; nothing is random.
          weights: [N], w, at least 0; by default 1.

        Raises:
          ValueError: x or the weights are not that, or rows of positive weight are too few, or too
            much alike, for a density: 2 of them do where S is diagonal and no element is constant,
            else D + 1 in no common plane.
        """
        del key
        self.event.check(x)
        rows = np.asarray(x, np.float64).reshape(-1, self.event.size)
        w = core.example_weights(weights, len(rows), "Affine.fit")
        need = 2 if self.scale == "diagonal" else self.event.size + 1
        if np.sum(w > 0.0) < need:
            raise ValueError(
                f"Affine.fit needs at least {need} rows of positive weight for a {self.scale} scale"
                f" of {self.event.size} elements; got {np.sum(w > 0.0)}."
            )
        shift = w @ rows / np.sum(w)
        centred = (rows - shift) * np.sqrt(w / np.sum(w))[:, None]
        std = np.sqrt(np.sum(centred**2, axis=0))
        (flat,) = np.nonzero(std <= 1e-12 * np.max(np.abs(rows), axis=0))
        if len(flat):
            raise ValueError(
                f"Affine.fit needs elements that vary; got data where {len(flat)} of "
                f"{self.event.size} are constant, the first at raster index {flat[0]}. Add noise "
                "or leave them out."
            )
        return self._pack(shift.reshape(self.event.shape), self._root(centred, std))

    def params_of(self, shift: np.ndarray, matrix: np.ndarray) -> Params:
        """Parameters whose m: [*event] and S: [D, D] these are.

        Raises:
          ValueError: shapes are others, S is singular to float32, or not what `scale` says.
        """
        size, root = self.event.size, np.asarray(matrix, np.float64)
        if np.shape(shift) != self.event.shape or root.shape != (size, size):
            raise ValueError(
                f"Affine needs a shift of shape {self.event.shape} and a matrix of "
                f"{(size, size)}; got {np.shape(shift)} and {root.shape}."
            )
        values = np.linalg.svd(root, compute_uv=False)
        if not values[-1] > np.finfo(np.float32).eps * values[0]:
            raise ValueError(
                "Affine needs a matrix that float32 can invert; got one that is singular, with "
                f"singular values from {values[-1]:.2e} to {values[0]:.2e}."
            )
        shape = {"diagonal": np.diag(np.diag(root)), "triangular": np.tril(root), "full": root}
        if np.any(root != shape[self.scale]) or (
            self.scale != "full" and np.any(np.diag(root) <= 0)
        ):
            raise ValueError(
                f"Affine needs a {self.scale} matrix with a positive diagonal; got another. "
                'scale="full" takes any that is not singular.'
            )
        return self._pack(np.asarray(shift), np.diag(root) if self.scale == "diagonal" else root)

    def _root(self, centred: np.ndarray, std: np.ndarray) -> np.ndarray:
        """S: [D, D] with S Sᵀ the covariance of centred rows; [D], std, where it is diagonal."""
        if self.scale == "diagonal":
            return std
        correlation = (centred / std).T @ (centred / std)
        if np.linalg.eigvalsh(correlation)[0] < 1e-10:
            raise ValueError(
                f"Affine.fit needs rows that fill all {self.event.size} dimensions for a "
                f"{self.scale} scale; got rows in a plane of fewer. A diagonal scale would do."
            )
        if self.scale == "triangular":
            return std[:, None] * np.linalg.cholesky(correlation)
        values, vectors = np.linalg.eigh(std[:, None] * correlation * std)
        return (vectors * np.sqrt(values)) @ vectors.T

    def _pack(self, shift: np.ndarray, root: np.ndarray) -> Params:
        """Parameters whose m and S these are."""
        params = {"shift": shift}
        if self.scale == "full":
            params["matrix"] = root
        elif self.scale == "triangular":
            row, column = np.tril_indices(len(root), -1)
            diagonal = np.diag(root)
            params["lower"] = root[row, column] / diagonal[row]
            params["log_scale"] = np.log(diagonal)
        else:
            params["log_scale"] = np.log(root)
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)

    def _matrix(self, params: Params) -> Array:
        """S: [D, D] of a triangular or a full scale."""
        if self.scale == "full":
            return params["matrix"]
        size = self.event.size
        unit = jnp.eye(size, dtype=params["lower"].dtype)
        unit = unit.at[np.tril_indices(size, -1)].set(params["lower"])
        return jnp.exp(params["log_scale"])[:, None] * unit

    def _log_det(self, params: Params) -> Array:
        """log |det S|"""
        if self.scale == "full":
            return jnp.linalg.slogdet(params["matrix"])[1]
        return jnp.sum(params["log_scale"])
