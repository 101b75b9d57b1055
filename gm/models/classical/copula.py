r"""Densities from one-dimensional ones: independent elements, and a Gaussian copula.

    Independent     p(x) = prod_d p_d(x_d)
    GaussianCopula  p(x) = c(F_1(x_1), ..., F_D(x_D)) prod_d p_d(x_d)

Sklar (1959): every joint distribution is its marginals F_d and a copula, a distribution of uniform
numbers. The Gaussian one is that of F_d = Phi(z_d) for z ~ N(0, R) with a correlation matrix R:

    log c = log N(z; 0, R) - sum_d log N(z_d; 0, 1),   z_d = Phi^{-1}(F_d(x_d))

Marginals are any models of one real element with `fit`, `log_prob` and `sample`, and for a copula
`cdf` and `icdf`: `Histogram`, `KernelDensity`, `Bernstein`, `IntervalNearestNeighbors`. R is fitted
by the correlations of the z of the examples (Xue-Kun Song 2000; "inference functions for margins",
Joe 1997). Costs are those of the marginals and D^2.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import linalg, special

from gm import core
from gm.core import Array, Event, Key, Params

LEAST = 1e-6  # of F and 1 - F: where float32 ends
SHRINK = 1e-4  # of the correlations, so that R is not singular


@dataclasses.dataclass(frozen=True)
class Independent:
    """{"marginals": D parameters}, one for each element.

    Attributes:
      event: the space of x, real values.
      marginals: D models of one real element, event Event(()) or Event((1,)), or one for all.

    Raises:
      ValueError: another number of them, or of elements.
    """

    event: Event
    marginals: Any

    def __post_init__(self) -> None:
        given = self.marginals
        each = tuple(given) if isinstance(given, tuple | list) else (given,) * self.event.size
        if len(each) != self.event.size or any(m.event.size != 1 for m in each):
            raise ValueError(
                f"{type(self).__name__} needs one marginal of one element for each of "
                f"{self.event.size}; got {len(each)} of {[m.event.size for m in each]} elements."
            )
        object.__setattr__(self, "marginals", each)

    def init(self, key: Key) -> Params:
        """Those of the marginals."""
        keys = jax.random.split(key, self.event.size)
        return {"marginals": tuple(m.init(k) for m, k in zip(self.marginals, keys, strict=True))}

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        """Every marginal to its element.

        Args:
          x: [N, *event].
          key: split for the marginals.
          weights: [N], at least 0; by default 1.

        Raises:
          ValueError: x is not a batch of the event, or a marginal refuses its element.
        """
        x = np.asarray(x)
        self.event.check(x)
        if x.ndim != len(self.event.shape) + 1:
            raise ValueError(f"fit needs a batch of examples; got shape {x.shape}.")
        x = x.reshape(len(x), -1)
        keys = [None] * self.event.size if key is None else jax.random.split(key, self.event.size)
        fits = [
            m.fit(x[:, d].reshape(-1, *m.event.shape), keys[d], weights=weights)
            for d, m in enumerate(self.marginals)
        ]
        return {"marginals": tuple(fits)}

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact."""
        self.event.check(x)
        return jnp.sum(self.marginal_log_probs(params, x))

    def marginal_log_probs(self, params: Params, x: Array) -> Array:
        """log p_d(x_d) of every element: [D]."""
        x = jnp.ravel(x)
        return self._of_each(lambda m, p, x: m.log_prob(p, x.reshape(m.event.shape)), params, x)

    def sample(self, params: Params, key: Key) -> Array:
        """Every element by itself: [*event]."""
        keys = jax.random.split(key, self.event.size)
        x = self._of_each(lambda m, p, key: m.sample(p, key), params, keys)
        return x.reshape(self.event.shape)

    def _of_each(self, function: Callable[..., Array], params: Params, x: Array) -> Array:
        """function(marginal, its parameters, x_d): [D]; one program for marginals of one kind."""
        models, own = self.marginals, params["marginals"]

        def one(model: Any, p: Params, x: Array) -> Array:
            return function(model, p, x).reshape(())

        shapes = {(jax.tree.structure(p), *map(jnp.shape, jax.tree.leaves(p))) for p in own}
        if len(set(models)) == 1 and len(shapes) == 1:
            stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *own)
            return jax.vmap(functools.partial(one, models[0]))(stacked, x)
        return jnp.stack([one(*each) for each in zip(models, own, x, strict=True)])


@dataclasses.dataclass(frozen=True)
class GaussianCopula(Independent):
    """{"marginals": D parameters, "lower": [D (D - 1) / 2]}.

    R = L L', where row i of L is (lower_i1, ..., lower_i,i-1, 1) over its norm.
    """

    def init(self, key: Key) -> Params:
        """Those of the marginals, and R = I."""
        num = self.event.size * (self.event.size - 1) // 2
        return super().init(key) | {"lower": jnp.zeros(num, jnp.float32)}

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        """The marginals, and the correlations of the z of the examples.

        Args:
          x: [N, *event].
          key: split for the marginals.
          weights: [N], at least 0; by default 1.
        """
        params = super().fit(x, key, weights=weights)
        x = jnp.asarray(x, jnp.float32)
        scores = jax.jit(lambda p, x: jax.lax.map(lambda one: self._z(p, one), x, batch_size=256))
        z = np.asarray(scores(params, x), np.float64)
        w = core.example_weights(weights, len(x), "GaussianCopula.fit")
        cov = np.cov(z.T, aweights=w).reshape(self.event.size, self.event.size)
        scale = np.sqrt(np.maximum(np.diag(cov), 1e-12))
        eye = np.eye(self.event.size)
        chol = np.linalg.cholesky((1.0 - SHRINK) * cov / np.outer(scale, scale) + SHRINK * eye)
        row, column = np.tril_indices(self.event.size, -1)
        lower = (chol / np.diag(chol)[:, None])[row, column]
        return params | {"lower": jnp.asarray(lower, jnp.float32)}

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact up to the clipping of F to [1e-6, 1 - 1e-6]."""
        log_p = super().log_prob(params, x)
        z, chol = self._z(params, x), self._cholesky(params)
        white = linalg.solve_triangular(chol, z, lower=True)
        log_c = 0.5 * jnp.sum(z * z - white * white) - jnp.sum(jnp.log(jnp.diagonal(chol)))
        return jnp.where(log_p > -jnp.inf, log_p + log_c, -jnp.inf)

    def sample(self, params: Params, key: Key) -> Array:
        """icdf of every element at Phi(z), z ~ N(0, R): [*event]."""
        noise = jax.random.normal(key, (self.event.size,), jnp.float32)
        u = special.ndtr(jnp.matmul(self._cholesky(params), noise, precision="highest"))
        x = self._of_each(lambda m, p, u: m.icdf(p, u), params, u)
        return x.reshape(self.event.shape)

    def correlation(self, params: Params) -> Array:
        """R: [D, D]"""
        chol = self._cholesky(params)
        return chol @ chol.T

    def _z(self, params: Params, x: Array) -> Array:
        """Normal scores: [D]"""
        x = jnp.ravel(x)
        u = self._of_each(lambda m, p, x: m.cdf(p, x.reshape(m.event.shape)), params, x)
        return special.ndtri(jnp.clip(u, LEAST, 1.0 - LEAST))

    def _cholesky(self, params: Params) -> Array:
        row, column = np.tril_indices(self.event.size, -1)
        raw = jnp.eye(self.event.size, dtype=jnp.float32).at[row, column].set(params["lower"])
        return raw / jnp.sqrt(jnp.sum(raw * raw, axis=1, keepdims=True))
