r"""Maximum likelihood.

    minimise -E_data[log p(x; params)],   the KL divergence KL(data || model) up to a constant

For models with an exact log-likelihood: autoregressive models, flows, mixtures. Recurrent models of
long sequences are trained by truncated BPTT (`truncated_bptt_nll`).
"""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import jax
import jax.numpy as jnp

from gm.core import (
    Array,
    Batch,
    Density,
    Event,
    Key,
    Metrics,
    Params,
    PyTree,
    given,
    require,
    scalar,
)
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
    dropout: bool = False,
) -> tuple[Array, Metrics]:
    """-log p(x), or -log p(x | y), averaged over the batch.

    Args:
      model: a model with `log_prob`.
      params: of the model.
      key: for dropout, one split from it for each example; else not used.
      batch: {"x": [B, *event]}, and {"context": y} where the model is conditional.
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
    x, y = batches.examples(model.event, batch, name, model)
    if dropout:
        require(model, DropoutDensity, f"{name} with dropout=True")

    def one(x: Array, y: PyTree, key: Key | None) -> Array:
        p = given(model, y)
        log_p = p.log_prob_with_dropout(params, key, x) if dropout else p.log_prob(params, x)
        return scalar(log_p, model)

    keys = jax.random.split(key, len(x)) if dropout else None
    log_prob = jnp.mean(jax.vmap(one)(x, y, keys))
    return -log_prob, {
        "log_prob": log_prob,
        "bits_per_dim": bits_per_dim(-log_prob, model.event.size),
    }


@runtime_checkable
class Recurrent(Protocol):
    """A density of sequences with a hidden state, scored one window of elements after another."""

    @property
    def event(self) -> Event:
        """The space of x."""

    def initial_hidden_state(self, params: Params) -> PyTree:
        """The hidden state before any element: zeros."""

    def log_prob_from(self, params: Params, hidden: PyTree, x: Array) -> tuple[Array, PyTree]:
        """log p(x | the elements before), nats, and the hidden state after x: [T]."""


def truncated_bptt_nll(
    model: Recurrent,
    params: Params,
    key: Key,
    batch: Batch,
    hidden: PyTree,
) -> tuple[Array, tuple[Metrics, PyTree]]:
    r"""-log p(x_t..x_{t+T-1} | x_<t), averaged over the batch: truncated BPTT.

    Each batch row starts from the hidden state at the end of its previous window; no gradient flows
    into that window (Williams & Peng, 1990, "An efficient gradient-based algorithm for on-line
    training of recurrent network trajectories"). The hidden state is the memory of `train.init`,
    and the batches hold consecutive windows:

        hidden = jax.vmap(model.initial_hidden_state, None, axis_size=batch_size)(params)
        state = train.init(params, optimizer, key, hidden)
        train.run(step, state, data.truncated_bptt_windows(split, batch_size), num_steps)

    Args:
      model: a model with `initial_hidden_state` and `log_prob_from`.
      params: of the model.
      key: not used; every loss has the same arguments.
      batch: {"x": [B, T], "first": [B]}: the next window of each batch row, and whether it is the
        first of its text, where the hidden state is reset; "context" for p(x | y).
      hidden: the hidden state after the windows before, [B, ...] in every leaf.

    Returns:
      Nats per window, and ({"log_prob", "bits_per_dim"}, the hidden state after these windows).

    Raises:
      TypeError: the model has no hidden state; the batch is not a mapping.
      ValueError: x is not windows of the event's values, or the batch lacks "first" or "context".
    """
    del key
    name = "truncated_bptt_nll"
    require(model, Recurrent, name)
    x, y = batches.examples(model.event, batch, name, model)
    first = batches.entry(batch, "first", name)

    def one(first: Array, hidden: PyTree, x: Array, y: PyTree) -> tuple[Array, PyTree]:
        hidden = jax.tree.map(lambda h: jnp.where(first, jnp.zeros_like(h), h), hidden)
        return given(model, y).log_prob_from(params, hidden, x)

    log_prob, hidden = jax.vmap(one)(first, hidden, x, y)
    log_prob = jnp.mean(log_prob)
    numbers = {"log_prob": log_prob, "bits_per_dim": bits_per_dim(-log_prob, x.shape[1])}
    return -log_prob, (numbers, jax.lax.stop_gradient(hidden))
