r"""k-nearest-neighbour densities: the mass of k examples over the volume that holds them.

    p(x) = k / (N V_D r_k(x)^D)

Loftsgaarden & Quesenberry (1965), "A nonparametric estimate of a multivariate density function".
r_k(x) is the distance to the k-th nearest example, V_D the volume of the unit ball. It does not
integrate to one: its tails fall as 1 / |x|^D, so that over all of space the integral diverges, and
k = 1 has a pole at every example. So

    NearestNeighbors(event, k)               has `log_score`, log p up to this, in any dimension
    IntervalNearestNeighbors(event, k, ...)  is a density on an interval, normalised in closed form
    KernelDensity(event, bandwidths.NearestNeighbors(k))   is one everywhere, kernels of width r_k

Costs of N examples: N distances for a score, in blocks where a batch asks; log N on the interval.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Event, Key, Params
from gm.sampling import inverse_cdf

QUERIES = 256
GROUP = 64  # numbers of which the least is looked at first
NUM_INIT = 8


@dataclasses.dataclass(frozen=True)
class NearestNeighbors:
    """{"points": [N, D], "weight": [N], or [1] where all are one}: a score, no density.

    Attributes:
      event: the space of x, real values.
      k: the number, or weight, of examples that a ball holds.

    Raises:
      ValueError: a discrete event, or k below 1.
    """

    event: Event
    k: int = 5

    def __post_init__(self) -> None:
        if self.event.discrete or not self.k >= 1 or self.k != int(self.k):
            raise ValueError(
                f"NearestNeighbors needs real values and a whole k of at least 1; got {self.event} "
                f"and k = {self.k}."
            )

    def init(self, key: Key) -> Params:
        """k + 8 places from N(0, I)."""
        num = self.k + NUM_INIT
        points = jax.random.normal(key, (num, self.event.size), jnp.float32)
        return {"points": points, "weight": jnp.ones(1, jnp.float32)}

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        """Keeps the examples.

        Args:
          x: [N, *event].
          key: not used; nothing is random.
          weights: [N], at least 0; by default 1.

        Raises:
          ValueError: x is not a batch of the event, or its weights sum to less than k.
        """
        del key
        points, w = _examples(self, x, weights)
        leaves = {"points": points, "weight": w[:1] if np.all(w == 1.0) else w}
        return {name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()}

    def distance(self, params: Params, x: Array) -> Array:
        """r_k(x): the least radius of a ball that holds k examples, a scalar."""
        self.event.check(x)
        shift = jnp.asarray(x, jnp.float32).reshape(1, -1) - params["points"]
        square = jnp.sum(shift * shift, axis=1)
        if len(params["weight"]) == 1:
            return jnp.sqrt(_smallest(square, self.k))
        order = jnp.argsort(square)
        held = jnp.cumsum(params["weight"][order])
        last = jnp.minimum(jnp.searchsorted(held, self.k * (1.0 - 1e-6)), len(held) - 1)
        return jnp.sqrt(square[order[last]])

    def log_score(self, params: Params, x: Array) -> Array:
        """log p(x), nats, of what does not integrate to one; infinite where k examples lie at x."""
        size = self.event.size
        log_ball = 0.5 * size * math.log(math.pi) - math.lgamma(0.5 * size + 1.0)
        log_total = jnp.log(jnp.mean(params["weight"]) * len(params["points"]))
        return math.log(self.k) - log_total - log_ball - size * jnp.log(self.distance(params, x))

    def log_scores(self, params: Params, x: np.ndarray) -> Array:
        """`log_score` of a batch [M, *event], QUERIES x N numbers at a time: [M]."""
        x = jnp.asarray(x)
        self.event.check(x)
        return _log_scores(self, params, x)


def _smallest(x: Array, k: int) -> Array:
    """The k-th smallest of x: [N]; the k smallest are in the k groups whose least are smallest.

    On a CPU `top_k` of all of x would take longer than the distances.
    """
    if len(x) > 4 * GROUP * k:
        groups = jnp.pad(x, (0, -len(x) % GROUP), constant_values=jnp.inf).reshape(GROUP, -1)
        x = groups[:, jax.lax.top_k(-jnp.min(groups, axis=0), k)[1]].reshape(-1)
    return -jax.lax.top_k(-x, k)[0][-1]


@functools.partial(jax.jit, static_argnames="model")
def _log_scores(model: NearestNeighbors, params: Params, x: Array) -> Array:
    size = min(QUERIES, max(len(x), 1))
    return jax.lax.map(lambda one: model.log_score(params, one), x, batch_size=size)


@dataclasses.dataclass(frozen=True)
class IntervalNearestNeighbors:
    """p(x) = c / r_k(x) on an interval: {"center": [M], "log_radius": [M]}.

    On the line r_k(x) = min_m (radius_m + |x - center_m|) over the M shortest intervals that hold k
    examples, so that its reciprocal has a closed integral, and that a closed inverse.

    Attributes:
      event: one real element.
      k: the weight of the examples that an interval holds; one example alone has no width.
      low: the edges of the support.
      high: the same.

    Raises:
      ValueError: more than one element, k below 2, or no interval.
    """

    event: Event
    k: int = 5
    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        inverse_cdf.check_line(self.event, "IntervalNearestNeighbors")
        if not (self.k >= 2 and self.low < self.high and math.isfinite(self.high - self.low)):
            raise ValueError(
                "IntervalNearestNeighbors needs k of at least 2 (1 / r_1 has no integral) and "
                f"finite edges low < high; got k = {self.k}, {self.low} and {self.high}."
            )

    def init(self, key: Key) -> Params:
        """Intervals of a tenth of the support's width, at random places."""
        width = self.high - self.low
        center = self.low + width * jax.random.uniform(key, (NUM_INIT,), jnp.float32)
        radius = jnp.full(NUM_INIT, math.log(0.1 * width), jnp.float32)
        return {"center": center, "log_radius": radius}

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        """The shortest intervals of k examples.

        Args:
          x: [N, *event], in [low, high].
          key: not used; nothing is random.
          weights: [N], at least 0; by default 1.

        Raises:
          ValueError: x is not a batch of the event, lies outside the interval, weighs less than k,
            or has k examples at one place.
        """
        del key
        points, w = _examples(self, x, weights)
        order = np.argsort(points[:, 0], kind="stable")
        x, w = points[order, 0], w[order]
        if x[0] < self.low or x[-1] > self.high:
            raise ValueError(
                f"IntervalNearestNeighbors needs examples in [{self.low}, {self.high}]; got {x[0]} "
                f"to {x[-1]}."
            )
        before = np.concatenate([[0.0], np.cumsum(w)])
        end = np.searchsorted(before, before[:-1] + self.k * (1.0 - 1e-9)) - 1
        begin = np.flatnonzero(end < len(x))
        left, right = x[begin], x[end[begin]]
        if not np.all(right > left):
            raise ValueError(
                f"IntervalNearestNeighbors needs less than k = {self.k} examples at one place; got "
                f"more at {left[np.argmin(right - left)]}. Take a larger k."
            )
        leaves = {"center": 0.5 * (left + right), "log_radius": np.log(0.5 * (right - left))}
        return {name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()}

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact; -inf outside the interval."""
        self.event.check(x)
        x = jnp.asarray(x, jnp.float32).reshape(())
        pieces = self._pieces(params)
        i = self._piece(pieces, x)
        _, rise, fall, below = pieces
        radius = jnp.minimum(rise[i] + x, fall[i] - x)
        inside = (x >= self.low) & (x <= self.high)
        return jnp.where(inside, -jnp.log(radius) - jnp.log(below[-1]), -jnp.inf)

    def cdf(self, params: Params, x: Array) -> Array:
        """P(X <= x), in closed form: a scalar."""
        x = jnp.clip(jnp.asarray(x, jnp.float32).reshape(()), self.low, self.high)
        pieces = self._pieces(params)
        i = self._piece(pieces, x)
        edges, rise, fall, below = pieces
        part = _integral(edges[i], x, edges[i + 1], rise[i], fall[i])
        return (below[i] + part) / below[-1]

    def icdf(self, params: Params, u: Array) -> Array:
        """The x with cdf(x) = u, in closed form: [*event]."""
        edges, rise, fall, below = self._pieces(params)
        mass = u * below[-1]
        i = jnp.clip(jnp.searchsorted(below, mass, side="right") - 1, 0, len(edges) - 2)
        rest, low, high = mass - below[i], edges[i], edges[i + 1]
        top = jnp.clip(0.5 * (fall[i] - rise[i]), low, high)
        up = _integral(low, top, high, rise[i], fall[i])
        # Where r = x + rise, the integral is a logarithm of it; then one of fall - x.
        first = (rise[i] + low) * jnp.exp(rest) - rise[i]
        second = fall[i] - (fall[i] - top) * jnp.exp(-(rest - up))
        x = jnp.where(rest <= up, first, second)
        return jnp.clip(x, low, high).reshape(self.event.shape)

    def sample(self, params: Params, key: Key) -> Array:
        """icdf of a uniform number: [*event]."""
        return self.icdf(params, jax.random.uniform(key, (), jnp.float32))

    def _pieces(self, params: Params) -> tuple[Array, Array, Array, Array]:
        """Edges [M + 2]; r = min(rise + x, fall - x) on each piece; integrals of 1 / r up to each.

        From one center to the next, r rises from what is left of it and falls to what is right.
        """
        order = jnp.argsort(params["center"])
        center = jnp.clip(params["center"][order], self.low, self.high)
        radius = jnp.exp(params["log_radius"][order])
        far = jnp.full(1, 1e30, jnp.float32)
        rise = jnp.concatenate([far, jax.lax.cummin(radius - center)])
        fall = jnp.concatenate([jax.lax.cummin(radius + center, reverse=True), far])
        ends = (jnp.full(1, end, jnp.float32) for end in (self.low, self.high))
        first, last = ends
        edges = jnp.concatenate([first, center, last])
        parts = _integral(edges[:-1], edges[1:], edges[1:], rise, fall)
        below = jnp.concatenate([jnp.zeros(1, jnp.float32), jnp.cumsum(parts)])
        return edges, rise, fall, below

    def _piece(self, pieces: tuple[Array, ...], x: Array) -> Array:
        edges = pieces[0]
        return jnp.clip(jnp.searchsorted(edges, x, side="right") - 1, 0, len(edges) - 2)


def _integral(low: Array, x: Array, high: Array, rise: Array, fall: Array) -> Array:
    """The integral from low to x <= high of 1 / min(rise + t, fall - t)."""
    top = jnp.clip(0.5 * (fall - rise), low, high)  # where both are equal
    middle = jnp.minimum(x, top)
    up = jnp.log((rise + middle) / (rise + low))
    down = jnp.log((fall - top) / (fall - jnp.maximum(x, top)))
    return up + down


def _examples(
    model: NearestNeighbors | IntervalNearestNeighbors, x: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """[N, D] in float64 and weights [N], without those of weight zero."""
    x = np.asarray(x)
    model.event.check(x)
    name = type(model).__name__
    if x.ndim != len(model.event.shape) + 1:
        raise ValueError(f"fit needs a batch of examples; got shape {x.shape}.")
    w = core.example_weights(weights, len(x), f"{name}.fit")
    if not np.sum(w) >= model.k * (1.0 - 1e-9):
        raise ValueError(
            f"{name}.fit needs examples of a weight of at least k = {model.k}; got {len(x)} of "
            f"{np.sum(w):g}."
        )
    return x.reshape(len(x), -1)[w > 0.0].astype(np.float64), w[w > 0.0]
