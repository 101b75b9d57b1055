r"""Contrastive divergence: maximum likelihood of an unnormalized model, with samples of a chain.

    -d/dθ E_data log p(x) = E_chain d/dθ log_score(x') - E_data d/dθ log_score(x)

with log_score = log p + constant; exact if x' ~ p. CD-k starts the chain at the data and takes k
steps: Hinton (2002), "Training products of experts by minimizing contrastive divergence".
Persistent chains go on from step to step, and follow the model as long as it changes slowly:
Tieleman (2008), "Training restricted Boltzmann machines using approximations to the likelihood
gradient".
"""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from gm.core import Array, Batch, Event, Key, Metrics, Params, require
from gm.losses import batches


@runtime_checkable
class Chained(Protocol):
    """An unnormalized model with a Markov kernel that leaves it as it is."""

    @property
    def event(self) -> Event:
        """The space of x."""

    def log_score(self, params: Params, x: Array) -> Array:
        """log p(x) up to a constant, nats."""

    def gibbs(self, params: Params, key: Key, x: Array) -> Array:
        """One step of the chain."""


def score_gap(real: Array, chain: Array) -> Array:
    """E log_score of the chain's x - E log_score of real x, whose gradient is that of learning.

    Args:
      real, chain: [B] and [C], log scores, nats; the chain's x are constants.

    Returns:
      Scalar; its value says little, its gradient is an estimate of that of -E log p(x).
    """
    return jnp.mean(chain) - jnp.mean(real)


def run_chain(model: Chained, params: Params, key: Key, x: Array, num_steps: int) -> Array:
    """The ends of chains from each of x: [B, *event], without gradients."""

    def step(x: Array, key: Key) -> tuple[Array, None]:
        keys = jax.random.split(key, len(x))
        return jax.vmap(model.gibbs, (None, 0, 0))(params, keys, x), None

    x = jnp.asarray(x, model.event.dtype)
    end, _ = jax.lax.scan(step, x, jax.random.split(key, num_steps))
    return jax.lax.stop_gradient(end)


def contrastive_divergence(
    model: Any, params: Params, key: Key, batch: Batch, *, num_steps: int = 1
) -> tuple[Array, Metrics]:
    """CD-k: chains of k steps from the data.

    Args:
      model: has `log_score` and `gibbs`, as `models.latent.RBM`.
      params: of the model.
      key: one key.
      batch: {"x": [B, *event]}.
      num_steps: k.

    Returns:
      The gap of log scores, and {"gap", "moved"}, the share of elements that the chain changed.

    Raises:
      TypeError: the model lacks a method, or the batch is not a mapping.
      ValueError: x is not in the model's event space, or num_steps is below 1.
    """
    x = _examples(model, batch, num_steps, "contrastive_divergence")
    return _gap(model, params, x, run_chain(model, params, key, x, num_steps), x)


def persistent(
    model: Any, params: Params, key: Key, batch: Batch, memory: Array, *, num_steps: int = 1
) -> tuple[Array, tuple[Metrics, Array]]:
    """Persistent contrastive divergence: chains that go on, one for each example of the batch.

    Args:
      model, params, key, batch, num_steps: as in `contrastive_divergence`.
      memory: [B, *event], where the chains are; `train.init(..., memory=)` starts them anywhere.

    Returns:
      The gap, and (metrics, the ends of the chains).

    Raises:
      TypeError, ValueError: as `contrastive_divergence`; or the chains are not in the event space.
    """
    x = _examples(model, batch, num_steps, "persistent")
    model.event.check(memory, "memory")
    end = run_chain(model, params, key, memory, num_steps)
    loss, metrics = _gap(model, params, x, end, memory)
    return loss, (metrics, end)


def _examples(model: Any, batch: Batch, num_steps: int, name: str) -> Array:
    require(model, Chained, name)
    if num_steps < 1:
        raise ValueError(f"{name} needs num_steps of at least 1; got {num_steps}.")
    return batches.examples(model.event, batch, name, model)[0]


def _gap(
    model: Chained, params: Params, x: Array, end: Array, start: Array
) -> tuple[Array, Metrics]:
    """The gap between the chain's end and the data."""
    score = jax.vmap(model.log_score, (None, 0))
    gap = score_gap(score(params, x), score(params, end))
    return gap, {"gap": gap, "moved": jnp.mean(jnp.asarray(end != start, jnp.float32))}
