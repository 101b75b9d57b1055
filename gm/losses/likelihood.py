r"""Maximum likelihood.

    minimise -E_data[log p(x; params)],   the KL divergence KL(data || model) up to a constant

For models that score exactly: autoregressive models, flows, mixtures. Long sequences are trained
window by window, with a memory (`continued_negative_log_likelihood`).
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from gm.core import Array, Batch, Density, Event, Key, Metrics, Params, PyTree, given, require
from gm.losses import batches


def bits_per_dim(nats: Array, size: int, num_levels: int | None = None) -> Array:
    r"""Nats per example to bits per dimension: nats / (D log 2).

    A density of data dequantized into [0, 1), x = (k + u) / K, is K^D times the bound it gives on
    the probability of the K-level data: log P(k) >= E_u[log p(x)] - D log K (Theis, van den Oord &
    Bethge, 2016, arXiv:1511.01844, section 3.1).

    Args:
      nats: negative log-likelihood of one example, or an average of several.
      size: D, elements of one example.
      num_levels: K, for data dequantized into [0, 1); None where x itself was scored.

    Returns:
      Bits per dimension, of the same shape.
    """
    offset = 0.0 if num_levels is None else size * math.log(num_levels)
    return (nats + offset) / (size * math.log(2.0))


@runtime_checkable
class DropoutDensity(Protocol):
    """A density that also scores with a part of its network dropped, for training."""

    @property
    def event(self) -> Event:
        """The space of x."""

    def log_prob_with_dropout(self, params: Params, key: Key, x: Array) -> Array:
        """log p(x) in nats of the network with its dropout sampled from key."""


def negative_log_likelihood(
    model: Density,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    context: str | None = None,
    dropout: bool = False,
) -> tuple[Array, Metrics]:
    """-log p(x), or -log p(x | y), averaged over the batch.

    Args:
      model: a model with `log_prob`.
      params: of the model.
      key: for dropout, one split from it for each example; else not used.
      batch: {"x": [B, *event]}, and y where the model is conditional.
      context: the entry of the batch that holds y, where it is not "context": "label", ...
      dropout: whether to score by the model's `log_prob_with_dropout`.

    Returns:
      Nats per example, and {"log_prob", "bits_per_dim"}.

    Raises:
      TypeError: the model has no `log_prob`, or none with dropout; the batch is not a mapping.
      ValueError: x is not in the model's event space (see `gm.core.Event.check`), or y is not in
        that of its context.
    """
    name = "negative_log_likelihood"
    require(model, Density, name)
    x, y = batches.examples(model.event, batch, name, model, context)
    if dropout:
        require(model, DropoutDensity, f"{name} with dropout=True")

    def one(x: Array, y: PyTree, key: Key | None) -> Array:
        p = given(model, y)
        return p.log_prob_with_dropout(params, key, x) if dropout else p.log_prob(params, x)

    keys = jax.random.split(key, len(x)) if dropout else None
    log_prob = jnp.mean(jax.vmap(one)(x, y, keys))
    return -log_prob, {
        "log_prob": log_prob,
        "bits_per_dim": bits_per_dim(-log_prob, model.event.size),
    }


@runtime_checkable
class Continuing(Protocol):
    """A density of sequences that goes on where a window of elements has ended."""

    @property
    def event(self) -> Event:
        """The space of x."""

    def memory(self, params: Params) -> PyTree:
        """What there is to remember before any element: zeros."""

    def log_prob_from(self, params: Params, memory: PyTree, x: Array) -> tuple[Array, PyTree]:
        """log p(x | what came before), nats, and the memory after x: [T]."""


def continued_negative_log_likelihood(
    model: Continuing,
    params: Params,
    key: Key,
    batch: Batch,
    memory: PyTree,
    *,
    context: str | None = None,
) -> tuple[Array, tuple[Metrics, PyTree]]:
    r"""-log p(x_t..x_{t+T-1} | x_<t), averaged over the batch: truncated backpropagation in time.

    The memory of x_<t is where the last window of the same lane has ended; no gradient goes through
    it (Williams & Peng, 1990, "An efficient gradient-based algorithm for on-line training of
    recurrent network trajectories"). Give `train.init` a memory, and batches that read on:

        memory = jax.vmap(model.memory, None, axis_size=batch_size)(params)
        state = train.init(params, optimizer, key, memory)
        train.run(step, state, data.streams(split, batch_size), num_steps)

    Args:
      model: a model with `memory` and `log_prob_from`.
      params: of the model.
      key: not used; every loss has the same arguments.
      batch: {"x": [B, T], "first": [B]}: the next window of each lane, and whether it is the first
        of its text, so that the lane forgets; y where the model is conditional.
      memory: of the windows before, [B, ...] in every leaf.
      context: the entry of the batch that holds y, where it is not "context".

    Returns:
      Nats per window, and ({"log_prob", "bits_per_dim"}, the memory after these windows).

    Raises:
      TypeError: the model cannot go on; the batch is not a mapping.
      ValueError: x is not windows of the event's values, or the batch lacks "first" or y.
    """
    del key
    name = "continued_negative_log_likelihood"
    require(model, Continuing, name)
    x, y = batches.examples(model.event, batch, name, model, context)
    first = batches.entry(batch, "first", name)

    def one(first: Array, memory: PyTree, x: Array, y: PyTree) -> tuple[Array, PyTree]:
        memory = jax.tree.map(lambda m: jnp.where(first, jnp.zeros_like(m), m), memory)
        return given(model, y).log_prob_from(params, memory, x)

    log_prob, memory = jax.vmap(one)(first, memory, x, y)
    log_prob = jnp.mean(log_prob)
    numbers = {"log_prob": log_prob, "bits_per_dim": bits_per_dim(-log_prob, x.shape[1])}
    return -log_prob, (numbers, jax.lax.stop_gradient(memory))
