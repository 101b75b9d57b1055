r"""Histograms in D dimensions: a density that is constant on every cell of a product of bins.

    p(x) = p_cell / volume_cell,   p_cell = (N_cell + a) / (N + a C)

Bins are found on each element (`bins`) and are parameters. On the line the distribution function
and its inverse have a closed form. Costs: `log_prob` a search in every element, `sample` one among
the C cells. Cells multiply with dimensions: beyond a few, take `Independent` or `GaussianCopula` of
histograms.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Event, Key, Params
from gm.models.classical import bins as rules
from gm.sampling import inverse_cdf

MAX_CELLS = 2**22
NUM_INIT = 4  # bins of each element


@dataclasses.dataclass(frozen=True)
class Histogram:
    """{"edges": D arrays [B_d + 1], "logits": [B_1, ..., B_D]}; edges are read in ascending order.

    Attributes:
      event: the space of x, real values.
      bins: how many in each element, or a function of (x [N], weights [N]) that gives edges.

    Raises:
      ValueError: a discrete event, or no bins.
    """

    event: Event
    bins: int | Callable[..., np.ndarray] = rules.freedman_diaconis

    def __post_init__(self) -> None:
        if self.event.discrete or self.event.size < 1:
            raise ValueError(
                f"Histogram needs real values; got {self.event}: see BayesianNetwork, Empirical."
            )
        if not callable(self.bins) and not self.bins >= 1:
            raise ValueError(
                f"Histogram needs at least one bin, or a rule of `bins`; got {self.bins}."
            )

    def init(self, key: Key) -> Params:
        """Four bins of one probability from -4 to 4 in every element."""
        del key
        edges = np.linspace(-4.0, 4.0, NUM_INIT + 1, dtype=np.float32)
        logits = jnp.zeros((NUM_INIT,) * self.event.size, jnp.float32)
        return {
            "edges": tuple(jnp.asarray(edges) for _ in range(self.event.size)),
            "logits": logits,
        }

    def fit(
        self,
        x: np.ndarray,
        key: Key | None = None,
        *,
        weights: np.ndarray | None = None,
        smoothing: float = 0.0,
    ) -> Params:
        """Bins by the rule, and the share of examples in every cell.

        Args:
          x: [N, *event].
          key: not used; nothing is random.
          weights: [N], at least 0; by default 1.
          smoothing: a, examples added to every cell; with 0 an empty one has probability zero.

        Raises:
          ValueError: x is not a batch of the event, an element does not vary, there are too many
            cells, or smoothing is negative.
        """
        del key
        x = np.asarray(x)
        self.event.check(x)
        if x.ndim != len(self.event.shape) + 1 or not smoothing >= 0.0:
            raise ValueError(
                "fit needs a batch of examples and smoothing of at least 0; got shape "
                f"{x.shape} and {smoothing}."
            )
        x = x.reshape(len(x), self.event.size)
        w = core.example_weights(weights, len(x), "Histogram.fit")
        edges = [_distinct(self._edges(x[:, d], w)) for d in range(self.event.size)]
        num_cells = math.prod(len(e) - 1 for e in edges)
        if num_cells > MAX_CELLS:
            raise ValueError(
                f"Histogram needs at most {MAX_CELLS:,} cells; got {num_cells:.3g} in "
                f"{self.event.size} dimensions. Take fewer bins, or Independent of histograms."
            )
        counts = np.histogramdd(x.astype(np.float64), edges, weights=w)[0] + smoothing
        with np.errstate(divide="ignore"):  # log 0 = -inf is meant
            logits = np.log(counts / np.sum(counts))
        edges = tuple(jnp.asarray(e, jnp.float32) for e in edges)
        return {"edges": edges, "logits": jnp.asarray(logits, jnp.float32)}

    def _edges(self, x: np.ndarray, w: np.ndarray) -> np.ndarray:
        return self.bins(x, w) if callable(self.bins) else rules.equal_width(x, w, num=self.bins)

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact; -inf outside all bins, whose last edge belongs to the last."""
        self.event.check(x)
        x = jnp.asarray(x, jnp.float32).reshape(-1)
        cell, log_volume, inside = [], jnp.zeros((), jnp.float32), jnp.array(True)
        for d, edges in enumerate(params["edges"]):
            edges = jnp.sort(jnp.asarray(edges))
            i = jnp.searchsorted(edges, x[d], side="right") - 1
            inside &= (x[d] >= edges[0]) & (x[d] <= edges[-1])
            i = jnp.clip(i, 0, len(edges) - 2)
            log_volume += jnp.log(edges[i + 1] - edges[i])
            cell.append(i)
        log_p = self._log_shares(params)[tuple(cell)]
        return jnp.where(inside, log_p - log_volume, -jnp.inf)

    def sample(self, params: Params, key: Key) -> Array:
        """A uniform point of a cell: [*event]."""
        key_cell, key_place = jax.random.split(key)
        shares = jnp.exp(self._log_shares(params)).reshape(-1)
        below = jnp.cumsum(shares)
        u = below[-1] * jax.random.uniform(key_cell, (), jnp.float32)
        cell = jnp.searchsorted(below, u, side="right").astype(jnp.int32)
        # Beyond rounding of the sum, the last cell of any probability.
        last = len(below) - 1 - jnp.argmax(shares[::-1] > 0.0).astype(jnp.int32)
        place = jnp.unravel_index(jnp.minimum(cell, last), params["logits"].shape)
        part = jax.random.uniform(key_place, (self.event.size,), jnp.float32)
        x = []
        for d, edges in enumerate(params["edges"]):
            edges = jnp.sort(jnp.asarray(edges))
            low, high = edges[place[d]], edges[place[d] + 1]
            x.append(low + part[d] * (high - low))
        return jnp.stack(x).reshape(self.event.shape)

    def cdf(self, params: Params, x: Array) -> Array:
        """P(X <= x) on the line, in closed form: a scalar."""
        edges, below = self._below(params, "Histogram.cdf")
        return jnp.interp(jnp.asarray(x, jnp.float32).reshape(()), edges, below)

    def icdf(self, params: Params, u: Array) -> Array:
        """The x with cdf(x) = u on the line, in closed form: [*event]."""
        edges, below = self._below(params, "Histogram.icdf")
        i = jnp.searchsorted(below, u, side="right") - 1
        i = jnp.clip(i, 0, len(edges) - 2)
        share = below[i + 1] - below[i]
        part = (u - below[i]) / jnp.where(share > 0.0, share, 1.0)
        x = edges[i] + jnp.clip(part, 0.0, 1.0) * (edges[i + 1] - edges[i])
        return x.reshape(self.event.shape)

    def _below(self, params: Params, name: str) -> tuple[Array, Array]:
        """Edges, and the probability below each of them: [B + 1]."""
        inverse_cdf.check_line(self.event, name)
        below = jnp.cumsum(jnp.exp(self._log_shares(params)))
        below = jnp.concatenate([jnp.zeros(1, jnp.float32), below / below[-1]])
        return jnp.sort(jnp.asarray(params["edges"][0])), below

    def _log_shares(self, params: Params) -> Array:
        logits = jnp.asarray(params["logits"])
        return jax.nn.log_softmax(logits.reshape(-1)).reshape(logits.shape)


def _distinct(edges: np.ndarray) -> np.ndarray:
    """Edges that float32 can hold apart; ValueError where none are left."""
    kept = np.unique(np.asarray(edges).astype(np.float32)).astype(np.float64)
    if len(kept) < 2:
        raise ValueError(
            f"Histogram needs at least two edges that float32 holds apart; got {edges}."
        )
    kept[0], kept[-1] = min(kept[0], edges[0]), max(kept[-1], edges[-1])
    return kept
