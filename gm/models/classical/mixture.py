r"""Mixtures of distributions of one kind, fitted by expectation maximization.

    p(x) = sum_k pi_k p(x | k)

Dempster, Laird & Rubin (1977). Each step gives every example to the components in the parts
p(k | x), and every component the best parameters for its parts: the likelihood does not fall, but
where a floor of the scales or the smoothing of bits holds it up. Starts are those of k-means++
(Arthur & Vassilvitskii 2007), the best of several is kept, and a component without examples stays
where it is. `log_prob` costs K evaluations of a component, `sample` one.

    model = Mixture(Event((2,)), 10, components.Gaussians(2))
    params = model.fit(x, key)

Expectation maximization is also a loss (`losses.fixed_points`), so that `train.run` can show a long
fit, save it and resume it.
"""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Event, Key, Metrics, Params
from gm.models.classical import em, selection


@dataclasses.dataclass(frozen=True)
class Mixture:
    """p(x) = sum_k pi_k p(x | k): {"log_weight": [K], "components": ...}.

    Attributes:
      event: the space of x, of as many elements as the components have.
      num_components: K.
      components: of `gm.models.classical.components`.

    Raises:
      ValueError: sizes that differ, or components of another kind than the event.
    """

    event: Event
    num_components: int
    components: Any

    def __post_init__(self) -> None:
        if self.event.size != self.components.size or self.num_components < 1:
            raise ValueError(
                f"Mixture needs components of the event's {self.event.size} elements and at least "
                f"one of them; got {self.components} and {self.num_components}."
            )
        if self.components.num_values != self.event.num_values:
            raise ValueError(
                "Mixture needs Bernoullis for bits and Gaussians for real values, or Categoricals "
                f"of the event's values; got {self.components} for {self.event}."
            )

    @property
    def num_params(self) -> int:
        """K - 1 and those of the components."""
        return self.num_components - 1 + self.components.num_params(self.num_components)

    def init(self, key: Key) -> Params:
        """Equal weights, and components near the origin."""
        log_weight = jnp.zeros(self.num_components, jnp.float32)
        of = self.components.init(key, self.num_components)
        return {"log_weight": log_weight, "components": of}

    def log_joint(self, params: Params, x: Array) -> Array:
        """log p(x, k) of each component: [K], nats."""
        flat = jnp.asarray(x, jnp.float32).reshape(-1)
        weights = jax.nn.log_softmax(params["log_weight"])
        return weights + self.components.log_probs(params["components"], flat)

    def log_prob(self, params: Params, x: Array) -> Array:
        """log p(x) in nats, exact."""
        self.event.check(x)
        return jax.nn.logsumexp(self.log_joint(params, x))

    def responsibilities(self, params: Params, x: Array) -> Array:
        """p(k | x): [K]."""
        return jax.nn.softmax(self.log_joint(params, x))

    def sample(self, params: Params, key: Key) -> Array:
        """One x, and with it one k: [*event]."""
        key_k, key_x = jax.random.split(key)
        k = jax.random.categorical(key_k, params["log_weight"])
        x = self.components.sample(params["components"], k, key_x)
        return x.reshape(self.event.shape).astype(self.event.dtype)

    def fit_step(
        self, params: Params, key: Key, x: Array, *, weights: Array | None = None
    ) -> tuple[Params, Metrics]:
        """One step of expectation maximization on all of x: [N, *event].

        Returns:
          The next parameters, and {"log_prob": of these ones, the mean over x}.
        """
        del key
        flat = jnp.asarray(x, jnp.float32).reshape(len(x), -1)
        w = jnp.ones(len(x), jnp.float32) if weights is None else jnp.asarray(weights, jnp.float32)
        joint = jax.vmap(self.log_joint, (None, 0))(params, flat)
        total = jax.nn.logsumexp(joint, axis=1)
        share = w[:, None] * jnp.exp(joint - total[:, None])
        count = jnp.sum(share, 0)
        of = self.components.maximize(params["components"], flat, share)
        log_weight = jnp.log(jnp.maximum(count / jnp.sum(w), 1e-30))
        found = {"log_weight": log_weight, "components": of}
        return found, {"log_prob": jnp.dot(w, total) / jnp.sum(w)}

    def fit(
        self,
        x: np.ndarray,
        key: Key | None = None,
        *,
        weights: np.ndarray | None = None,
        num_steps: int = 200,
        tolerance: float = 1e-5,
        restarts: int = 1,
    ) -> Params:
        """Expectation maximization from k-means++ starts, until the likelihood hardly rises.

        Args:
          x: [N, *event].
          key: of the starts; a fixed one by default.
          weights: [N], how often each example counts; once by default.
          num_steps: at most.
          tolerance: nats per example by which a step raises the log-likelihood at least; else it
            ends.
          restarts: starts, of which the likeliest end is kept.

        Raises:
          ValueError: x is not a batch of the event, has fewer examples than components, or there
            are no restarts.
        """
        x = np.asarray(x)
        self.event.check(x)
        if x.ndim != len(self.event.shape) + 1 or len(x) < self.num_components:
            raise ValueError(
                f"fit needs a batch of at least {self.num_components} examples, one for each "
                f"component; got shape {x.shape}."
            )
        if restarts < 1:
            raise ValueError(f"fit needs at least 1 of restarts; got {restarts}.")
        w = core.example_weights(weights, len(x), "Mixture.fit").astype(np.float32)
        flat = np.asarray(x, np.float32).reshape(len(x), -1)
        key = jax.random.key(0) if key is None else key
        ends = [
            _maximize(self, one, flat, w, num_steps, tolerance)
            for one in jax.random.split(key, restarts)
        ]
        return max(ends, key=lambda end: float(end[1]))[0]

    def bic(self, params: Params, x: np.ndarray) -> float:
        """The Bayesian information criterion of a fit to x, `selection.bic`: lower is better."""
        return selection.bic(self, params, x)


@functools.partial(jax.jit, static_argnames=("model",))
def _maximize(
    model: Mixture, key: Key, x: Array, w: Array, num_steps: int, tolerance: float
) -> tuple[Params, Array]:
    """The end of one start, and its mean log-likelihood."""
    centers = far_apart(key, x, w, model.num_components)
    begun = {
        "log_weight": jnp.zeros(model.num_components, jnp.float32),
        "components": model.components.around(centers, x),
    }

    def step(params: Params) -> tuple[Params, Metrics]:
        return model.fit_step(params, key, x, weights=w)

    return em.iterate(step, begun, num_steps, tolerance)


def far_apart(key: Key, x: Array, w: Array, num: int) -> Array:
    """[num, D] of the examples x: [N, D], far from each other: the seeding of k-means++.

    Each next one is taken with probability proportional to its weight times its squared distance to
    the nearest one so far: Arthur & Vassilvitskii (2007).

    Args:
      key: one key.
      x: [N, D].
      w: [N] weights.
      num: how many.
    """
    key, key_first = jax.random.split(key)
    first = x[jax.random.categorical(key_first, jnp.log(w))]

    def next_one(nearest: Array, key: Key) -> tuple[Array, Array]:
        # Where all examples are at the centers already, any will do.
        logits = jnp.log(w) + jnp.where(jnp.any(nearest > 0), jnp.log(nearest), 0.0)
        center = x[jax.random.categorical(key, logits)]
        nearest = jnp.minimum(nearest, jnp.sum((x - center[None]) ** 2, 1))
        return nearest, center

    nearest = jnp.sum((x - first[None]) ** 2, 1)
    _, others = jax.lax.scan(next_one, nearest, jax.random.split(key, num - 1))
    return jnp.concatenate([first[None], others])
