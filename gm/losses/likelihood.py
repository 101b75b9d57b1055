r"""Maximum likelihood.

    minimise -E_data[log p(x; params)],   the KL divergence KL(data || model) up to a constant

For models that score exactly: autoregressive models, flows, mixtures.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp

from gm.core import Array, Batch, Density, Key, Metrics, Params, require


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


def negative_log_likelihood(
    model: Density, params: Params, key: Key, batch: Batch, *, context: str | None = None
) -> tuple[Array, Metrics]:
    """-log p(x), or -log p(x | y), averaged over the batch.

    Args:
      model: a model with `log_prob`.
      params: of the model.
      key: not used; every loss has the same arguments.
      batch: {"x": [B, *event]}, and y where the model is conditional.
      context: the entry of the batch that holds y: "label", ...

    Returns:
      Nats per example, and {"log_prob", "bits_per_dim"}.

    Raises:
      TypeError: the model has no `log_prob`.
      ValueError: x is not in the model's event space (see `gm.core.Event.check`).
    """
    del key
    require(model, Density, "negative_log_likelihood")
    x = batch["x"]
    model.event.check(x)
    given = () if context is None else (batch[context],)
    log_prob = jnp.mean(jax.vmap(functools.partial(model.log_prob, params))(x, *given))
    return -log_prob, {
        "log_prob": log_prob,
        "bits_per_dim": bits_per_dim(-log_prob, model.event.size),
    }
