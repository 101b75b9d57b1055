r"""Kernel density estimation: a kernel around every example.

    p(x) = sum_i w_i prod_d K((x_d - x_id) / h_id) / h_id

Rosenblatt (1956); Parzen (1962). Bandwidths h are numbers or rules (`bandwidths`), kernels have
variance one (`kernels`), edges are kept by reflection (`supports`), and with `adaptive` bandwidths
follow a first estimate, h_i ~ p(x_i)^(-a): Abramson (1982), "On bandwidth variation in kernel
estimates", a = 1/2.

    model = KernelDensity(Event((2,)))
    params = model.fit(x)
    model.log_probs(params, queries)         exact, in blocks
    model.on_grid(params, low, high, 1024)   binned, by FFT

Costs of N examples: `log_prob` N kernels, in blocks of examples, so that a batch of B needs
B x 4,096 numbers at a time; `on_grid` one sweep over the examples and an FFT; `sample` a search.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from gm import core, numerics
from gm.core import Array, Event, Key, Params
from gm.models.classical import bandwidths, kernel_grid, kernels, supports
from gm.sampling import inverse_cdf

BLOCK = 4096  # examples whose kernels one query sees at once
QUERIES = 256  # queries of `log_probs` at once
FEW = 20_000  # examples on the line, up to which Abramson's first estimate is exact
NUM_INIT = 8


@dataclasses.dataclass(frozen=True)
class KernelDensity:
    """{"points": [N, D], "log_weight": [N], "log_bandwidth": [1, D] or [N, D]}.

    Attributes:
      event: the space of x, real values.
      bandwidth: standard deviation of the kernel in the units of x, one number, D of them, or a
        function of (x [N, D], weights [N]) that gives [D], or [N, D] for one of each example.
      kernel: of `kernels`.
      support: (low, high) for all elements or for each; kernels are mirrored in these edges.
      adaptive: a; 0 is one bandwidth for all, 1/2 Abramson's.

    Raises:
      ValueError: a discrete event, a bandwidth that is not positive, or no such support.
    """

    event: Event
    bandwidth: float | tuple[float, ...] | Callable[..., np.ndarray] = bandwidths.silverman
    kernel: kernels.Kernel = kernels.Gaussian()
    support: tuple | None = None
    adaptive: float = 0.0

    def __post_init__(self) -> None:
        if self.event.discrete or self.event.size < 1:
            raise ValueError(f"KernelDensity needs real values; got {self.event}: see Empirical.")
        if not callable(self.bandwidth):
            h = np.atleast_1d(np.asarray(self.bandwidth, np.float64))
            if h.shape not in ((1,), (self.event.size,)) or not np.all((h > 0.0) & (h < np.inf)):
                raise ValueError(
                    "KernelDensity needs a bandwidth above zero, one or one for each of "
                    f"{self.event.size} elements, or a rule of `bandwidths`; got {self.bandwidth}."
                )
            fixed = tuple(h.tolist()) if len(h) > 1 else float(h[0])
            object.__setattr__(self, "bandwidth", fixed)
        support = supports.checked(self.support, self.event.size, "KernelDensity")
        object.__setattr__(self, "support", support)

    def init(self, key: Key) -> Params:
        """Kernels of bandwidth one, or a sixth of the support, at a few random places."""
        z = jax.random.normal(key, (NUM_INIT, self.event.size), jnp.float32)
        width = jnp.ones((1, self.event.size), jnp.float32)
        if self.support is not None:
            low, high = np.array(self.support, np.float32).T
            width = jnp.asarray(np.where(np.isinf(high - low), 1.0, (high - low) / 6.0))[None]
            z = jax.vmap(lambda x: supports.folded(x, self.support))(z)
        log_weight = jnp.zeros(NUM_INIT, jnp.float32)
        return {"points": z, "log_weight": log_weight, "log_bandwidth": jnp.log(width)}

    def fit(
        self, x: np.ndarray, key: Key | None = None, *, weights: np.ndarray | None = None
    ) -> Params:
        """Keeps the examples, and finds their bandwidth.

        Args:
          x: [N, *event].
          key: not used; nothing is random.
          weights: [N], at least 0; by default 1. Those of weight zero are left out.

        Raises:
          ValueError: x is not a batch of the event, has no examples of positive weight, has some
            outside the support, or has no bandwidth by the rule: one repeated point.
        """
        del key
        x = np.asarray(x)
        self.event.check(x)
        if x.ndim != len(self.event.shape) + 1 or len(x) == 0:
            raise ValueError(f"fit needs a batch of at least one example; got shape {x.shape}.")
        w = core.example_weights(weights, len(x), "KernelDensity.fit")
        if not np.any(w > 0.0):
            raise ValueError("KernelDensity.fit needs an example of positive weight; got none.")
        x = x.reshape(len(x), -1)[w > 0.0].astype(np.float64)
        w = w[w > 0.0] / np.sum(w)
        supports.check_inside(x, self.support, "KernelDensity.fit")
        h = self.bandwidth(x, w) if callable(self.bandwidth) else np.asarray(self.bandwidth)
        h = np.broadcast_to(h, np.broadcast_shapes(np.shape(h), (1, self.event.size)))
        self._check(h)
        params = self._params(x, w, h)
        if self.adaptive == 0.0:
            return params
        log_p = self._first_estimate(params, x)
        factor = np.exp(-self.adaptive * (log_p - w @ log_p))
        return self._params(x, w, h * factor[:, None])

    def _check(self, h: np.ndarray) -> None:
        """Raises ValueError for a bandwidth that is none, or is too wide for the support."""
        if not np.all((h > 0.0) & np.isfinite(h)):
            raise ValueError(f"KernelDensity needs a bandwidth above zero; its rule gave {h}.")
        if self.support is not None and np.any(2.0 * h > np.diff(np.array(self.support)).T):
            raise ValueError(
                f"KernelDensity needs bandwidths of at most half the width of its support "
                f"{self.support}; got {np.max(h, axis=0)}."
            )

    def _params(self, x: np.ndarray, w: np.ndarray, h: np.ndarray) -> Params:
        leaves = {"points": x, "log_weight": np.log(w * len(w)), "log_bandwidth": np.log(h)}
        return {name: jnp.asarray(leaf, jnp.float32) for name, leaf in leaves.items()}

    def _first_estimate(self, params: Params, x: np.ndarray) -> np.ndarray:
        """log p at the examples x: [N, D], binned where there are many on the line."""
        if self.event.size > 1 or len(x) <= FEW or params["log_bandwidth"].shape[0] > 1:
            log_p = self.log_probs(params, x.reshape(-1, *self.event.shape).astype(np.float32))
            return np.asarray(log_p, np.float64)
        h = float(np.exp(params["log_bandwidth"][0, 0]))
        num = int(min(8.0 * np.ptp(x) / h, 2**20)) + 16
        low, high = np.min(x) - h, np.max(x) + h
        p = self.on_grid(params, low, high, num)
        return np.log(np.maximum(np.interp(x[:, 0], np.linspace(low, high, num), p), 1e-30))

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact: -inf outside the support, and where no kernel reaches."""
        self.event.check(x)
        x = jnp.asarray(x, jnp.float32).reshape(-1)
        log_weight = jax.nn.log_softmax(params["log_weight"])
        total = self._sum(params, x, log_weight)
        return jnp.where(supports.inside(x, self.support), total, -jnp.inf)

    def _sum(self, params: Params, x: Array, log_weight: Array) -> Array:
        """log of the weighted sum of all kernels, a scalar."""
        points, log_h = params["points"], params["log_bandwidth"]
        if len(points) <= BLOCK:
            return numerics.log_sum_exp(log_weight + self._log_kernels(x, points, log_h))
        lacking = -len(points) % BLOCK
        blocks = (
            jnp.pad(points, ((0, lacking), (0, 0))).reshape(-1, BLOCK, points.shape[1]),
            jnp.pad(log_weight, (0, lacking), constant_values=-jnp.inf).reshape(-1, BLOCK),
        )
        if len(log_h) > 1:
            blocks += (jnp.pad(log_h, ((0, lacking), (0, 0))).reshape(-1, BLOCK, points.shape[1]),)

        def step(total: Array, block: tuple[Array, ...]) -> tuple[Array, None]:
            points, log_weight, *own = block
            logs = log_weight + self._log_kernels(x, points, own[0] if own else log_h)
            return jnp.logaddexp(total, numerics.log_sum_exp(logs)), None

        start = jnp.full((), -jnp.inf, jnp.float32)
        return jax.lax.scan(step, start, blocks)[0]

    def _log_kernels(self, x: Array, points: Array, log_h: Array) -> Array:
        """log of the kernel of each point at x: [N]."""
        if self.support is None:
            u = (x[None] - points) * jnp.exp(-log_h)
            return jnp.sum(self.kernel.log_density(u) - log_h, axis=1)
        total = jnp.zeros(len(points), jnp.float32)
        for d, (low, high) in enumerate(self.support):
            scale = jnp.exp(-log_h[:, d])
            logs = [
                self.kernel.log_density((x[d] - image) * scale)
                for image in supports.images(points[:, d], low, high)
            ]
            total += numerics.log_sum_exp(jnp.stack(logs), axis=0) - log_h[:, d]
        return total

    def sample(self, params: Params, key: Key) -> Array:
        """An example of these weights and a kernel's noise, folded at the edges: [*event]."""
        key_i, key_noise = jax.random.split(key)
        below = jnp.cumsum(jax.nn.softmax(params["log_weight"]))
        u = below[-1] * jax.random.uniform(key_i, (), jnp.float32)
        i = jnp.minimum(jnp.searchsorted(below, u, side="right"), len(below) - 1)
        log_h = params["log_bandwidth"]
        h = jnp.exp(log_h[i if len(log_h) > 1 else 0])
        x = params["points"][i] + h * self.kernel.sample(key_noise, (self.event.size,))
        return supports.folded(x, self.support).reshape(self.event.shape)

    def cdf(self, params: Params, x: Array) -> Array:
        """P(X <= x) on the line, a scalar.

        Raises:
          ValueError: more than one dimension.
        """
        inverse_cdf.check_line(self.event, "KernelDensity.cdf")
        x = jnp.asarray(x, jnp.float32).reshape(())
        weight = jax.nn.softmax(params["log_weight"])
        points, scale = params["points"][:, 0], jnp.exp(-params["log_bandwidth"][:, 0])
        if self.support is None:
            return jnp.dot(weight, self.kernel.cdf((x - points) * scale))
        ((low, high),) = self.support
        x = jnp.clip(x, low, high)
        below = jnp.zeros(len(points), jnp.float32)
        for image in supports.images(points, low, high):
            below += self.kernel.cdf((x - image) * scale) - self.kernel.cdf((low - image) * scale)
        return jnp.dot(weight, below)

    def icdf(self, params: Params, u: Array) -> Array:
        """The x with cdf(x) = u on the line, by bisection: a scalar."""
        points, h = params["points"][:, 0], jnp.exp(params["log_bandwidth"][:, 0])
        low = jnp.min(points - self.kernel.reach * h)
        high = jnp.max(points + self.kernel.reach * h)
        if self.support is not None:
            low, high = (jnp.clip(edge, *self.support[0]) for edge in (low, high))
        x = inverse_cdf.bisect(lambda x: self.cdf(params, x), u, low, high)
        return x.reshape(self.event.shape)

    def log_probs(self, params: Params, x: np.ndarray) -> Array:
        """log p of a batch, exact, [M] for x: [M, *event]; QUERIES x BLOCK numbers at a time."""
        x = jnp.asarray(x)
        self.event.check(x)
        if x.ndim != len(self.event.shape) + 1:
            raise ValueError(f"log_probs needs a batch of examples; got shape {x.shape}.")
        return _log_probs(self, params, x)

    def on_grid(
        self,
        params: Params,
        low: float | Sequence[float],
        high: float | Sequence[float],
        num: int | Sequence[int],
    ) -> np.ndarray:
        """p on a product of even grids, by linear binning and FFT: [num_1, ..., num_D].

        As `kernel_grid.density`, which says what the error is.

        Args:
          params: of a fit, with one bandwidth for all examples.
          low: the first node, of all axes or of each.
          high: the last node.
          num: how many nodes, at least 2.

        Raises:
          ValueError: bandwidths of each example, or steps that are wider than the bandwidth.
        """
        x, log_w, log_h = (
            np.asarray(params[name]) for name in ("points", "log_weight", "log_bandwidth")
        )
        if len(log_h) > 1:
            raise ValueError(
                "on_grid needs one bandwidth for all examples; these are adaptive: use log_probs."
            )
        w = None if np.all(log_w == log_w[0]) else np.exp(log_w.astype(np.float64) - np.max(log_w))
        h = np.exp(log_h[0].astype(np.float64))
        kernel, support = self.kernel, self.support
        return kernel_grid.density(x, h, low, high, num, w, kernel=kernel, support=support)


@functools.partial(jax.jit, static_argnames="model")
def _log_probs(model: KernelDensity, params: Params, x: Array) -> Array:
    size = min(QUERIES, max(len(x), 1))
    return jax.lax.map(lambda one: model.log_prob(params, one), x, batch_size=size)
