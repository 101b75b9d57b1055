r"""Bernstein polynomial densities on an interval: mixtures of beta densities with fixed shapes.

    p(x) = sum_{k=0}^m w_k Beta(t; k + 1, m - k + 1) / (high - low),  t = (x - low) / (high - low)

Vitale (1975), "A Bernstein polynomial approach to density function estimation", who takes for w_k
the share of examples in the k-th of m + 1 equal bins; by default the weights are those of maximum
likelihood, found by expectation maximization (Guan 2016, "Efficient and robust density estimation
using Bernstein type polynomials"). Smooth, of no sign but positive, and without loss of mass at the
edges. Costs: m + 1 terms for everything; `icdf` is by bisection.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy import special as jsp
from scipy import special

from gm import core
from gm.core import Array, Event, Key, Params
from gm.sampling import inverse_cdf


@dataclasses.dataclass(frozen=True)
class Bernstein:
    """{"logits": [m + 1]}, of the weights.

    Attributes:
      event: one real element.
      degree: m.
      low: the edges of the support.
      high: the same.

    Raises:
      ValueError: more than one element, a negative degree, or no interval.
    """

    event: Event
    degree: int = 20
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        inverse_cdf.check_line(self.event, "Bernstein")
        if not (self.degree >= 0 and self.low < self.high and math.isfinite(self.high - self.low)):
            raise ValueError(
                "Bernstein needs a degree of at least 0 and finite edges low < high; got degree "
                f"{self.degree}, {self.low} and {self.high}."
            )

    def init(self, key: Key) -> Params:
        """Equal weights: the uniform density."""
        del key
        return {"logits": jnp.zeros(self.degree + 1, jnp.float32)}

    def fit(
        self,
        x: np.ndarray,
        key: Key | None = None,
        *,
        weights: np.ndarray | None = None,
        num_steps: int = 300,
    ) -> Params:
        """Maximum likelihood by expectation maximization from equal weights, a convex problem.

        Args:
          x: [N, *event], in [low, high].
          key: not used; nothing is random.
          weights: [N], at least 0; by default 1.
          num_steps: of expectation maximization; 0 takes Vitale's shares of bins instead.

        Raises:
          ValueError: x is not a batch of the event, nothing in it has a weight, or some of it is
            outside the interval.
        """
        del key
        x = np.asarray(x)
        self.event.check(x)
        if x.ndim != len(self.event.shape) + 1:
            raise ValueError(f"fit needs a batch of examples; got shape {x.shape}.")
        w = core.example_weights(weights, len(x), "Bernstein.fit")
        x, w = x.reshape(-1).astype(np.float64)[w > 0.0], w[w > 0.0]
        if not w.size or np.min(x) < self.low or np.max(x) > self.high:
            got = f"{np.min(x)} to {np.max(x)}" if x.size else "none of positive weight"
            raise ValueError(f"Bernstein needs examples in [{self.low}, {self.high}]; got {got}.")
        t, w = (x - self.low) / (self.high - self.low), w / np.sum(w)
        if num_steps == 0:
            share, _ = np.histogram(t, self.degree + 1, (0.0, 1.0), weights=w)
        else:
            share = self._maximized(t, w, num_steps)
        return {"logits": jnp.asarray(np.log(np.maximum(share, 1e-30)), jnp.float32)}

    def _maximized(self, t: np.ndarray, w: np.ndarray, num_steps: int) -> np.ndarray:
        k = np.arange(self.degree + 1)
        log_terms = special.xlogy(k, t[:, None]) + special.xlog1py(self.degree - k, -t[:, None])
        terms = np.exp(log_terms + self._log_binomials())  # [N, m + 1]
        share = np.full(self.degree + 1, 1.0 / (self.degree + 1))
        for _ in range(num_steps):
            share = share * (terms.T @ (w / (terms @ share)))
        return share

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact; -inf outside the interval."""
        self.event.check(x)
        x = jnp.asarray(x, jnp.float32).reshape(())
        inside = (x >= self.low) & (x <= self.high)
        t = jnp.clip((x - self.low) / (self.high - self.low), 0.0, 1.0)
        k = jnp.arange(self.degree + 1, dtype=jnp.float32)
        terms = jsp.xlogy(k, t) + jsp.xlog1py(self.degree - k, -t)
        log_p = jax.nn.log_softmax(params["logits"]) + terms
        log_p += jnp.asarray(self._log_binomials(), jnp.float32)
        total = jax.nn.logsumexp(log_p) - math.log(self.high - self.low)
        return jnp.where(inside, total, -jnp.inf)

    def cdf(self, params: Params, x: Array) -> Array:
        """P(X <= x), a mixture of incomplete beta functions: a scalar."""
        t = (jnp.asarray(x, jnp.float32).reshape(()) - self.low) / (self.high - self.low)
        k = jnp.arange(self.degree + 1, dtype=jnp.float32)
        terms = jsp.betainc(k + 1.0, self.degree - k + 1.0, jnp.clip(t, 0.0, 1.0))
        return jnp.dot(jax.nn.softmax(params["logits"]), terms)

    def icdf(self, params: Params, u: Array) -> Array:
        """The x with cdf(x) = u, by bisection: [*event]."""
        x = inverse_cdf.bisect(lambda x: self.cdf(params, x), u, self.low, self.high, 30)
        return x.reshape(self.event.shape)

    def sample(self, params: Params, key: Key) -> Array:
        """A beta variable of one of the shapes: [*event]."""
        key_k, key_t = jax.random.split(key)
        k = jax.random.categorical(key_k, params["logits"]).astype(jnp.float32)
        t = jax.random.beta(key_t, k + 1.0, self.degree - k + 1.0, dtype=jnp.float32)
        return (self.low + (self.high - self.low) * t).reshape(self.event.shape)

    def _log_binomials(self) -> np.ndarray:
        """log (m + 1) binomial(m, k): [m + 1]."""
        k = np.arange(self.degree + 1)
        return -special.betaln(k + 1.0, self.degree - k + 1.0)
