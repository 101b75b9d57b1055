"""The empirical distribution: every example as often as it was seen, nothing else.

    p(x) = sum_i w_i [x = x_i]

The maximum-likelihood estimate among all distributions, for discrete values: it remembers and does
not generalise, as a full table, without a table of K^D entries. Costs: `log_prob` N comparisons,
`sample` a search. Real values have no density of this kind: `KernelDensity` gives it width.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from gm import core, numerics
from gm.core import Array, Event, Key, Params

NUM_INIT = 8


@dataclasses.dataclass(frozen=True)
class Empirical:
    """{"points": [N, D] integers, "log_weight": [N]}.

    Attributes:
      event: the space of x, discrete.

    Raises:
      ValueError: real values.
    """

    event: Event

    def __post_init__(self) -> None:
        if not self.event.discrete:
            raise ValueError(
                f"Empirical needs discrete values; got {self.event}: see KernelDensity."
            )

    def init(self, key: Key) -> Params:
        """Eight places at random."""
        shape = NUM_INIT, self.event.size
        points = jax.random.randint(key, shape, 0, self.event.num_values, jnp.int32)
        return {"points": points, "log_weight": jnp.zeros(NUM_INIT, jnp.float32)}

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        """Counts the examples that are different.

        Args:
          x: [N, *event], integers in [0, K).
          key: not used; nothing is random.
          weights: [N], at least 0; by default 1.

        Raises:
          ValueError: x is not a batch of the event, or nothing in it has a weight.
        """
        del key
        x = np.asarray(x)
        self.event.check(x)
        if x.ndim != len(self.event.shape) + 1:
            raise ValueError(f"fit needs a batch of examples; got shape {x.shape}.")
        w = core.example_weights(weights, len(x), "Empirical.fit")
        if not np.sum(w) > 0.0:
            raise ValueError("Empirical.fit needs an example of positive weight; got none.")
        points, place = np.unique(x.reshape(len(x), -1)[w > 0.0], axis=0, return_inverse=True)
        share = np.bincount(place.reshape(-1), w[w > 0.0]) / np.sum(w)
        log_weight = jnp.asarray(np.log(share), jnp.float32)
        return {"points": jnp.asarray(points, jnp.int32), "log_weight": log_weight}

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact; -inf for what was not seen."""
        self.event.check(x)
        x = jnp.asarray(x, jnp.int32).reshape(1, -1)
        same = jnp.all(params["points"] == x, axis=1)
        log_weight = jax.nn.log_softmax(params["log_weight"])
        return numerics.log_sum_exp(jnp.where(same, log_weight, -jnp.inf))

    def sample(self, params: Params, key: Key) -> Array:
        """One of the examples: [*event]."""
        below = jnp.cumsum(jax.nn.softmax(params["log_weight"]))
        u = below[-1] * jax.random.uniform(key, (), jnp.float32)
        i = jnp.minimum(jnp.searchsorted(below, u, side="right"), len(below) - 1)
        return params["points"][i].reshape(self.event.shape)
