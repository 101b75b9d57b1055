r"""Reverse KL: a model fitted to an unnormalised density, without data.

    KL(q || p) = E_q [log q(x) - log p̃(x)] + log Z,    p = p̃ / Z,    w = p̃(x) / q(x),  x ~ q

Variational inference with normalizing flows: Rezende & Mohamed (2015), arXiv:1505.05770. E_q w is
Z, and weighted samples of q are samples of p; the effective sample size says how many they are
worth. Both are of samples of q alone, and know nothing of a mode that q misses: Z is then too low
by the mass of that mode, with a small standard error, and the effective sample size is high.
Samples of p, where there are some, show it (`forward_effective_share`; Nicoli et al. 2023,
arXiv:2302.14082).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Protocol, runtime_checkable

import chex
import jax
import jax.numpy as jnp

from gm.core import Array, Batch, Event, Key, Metrics, Params, require
from gm.numerics import log_mean_exp

LogDensity = Callable[[Array], Array]  # of one x, in nats, up to a constant


@runtime_checkable
class ScoredSampler(Protocol):
    """A model that scores what it samples, as flows do."""

    @property
    def event(self) -> Event:
        """The space of x."""

    def log_prob(self, params: Params, x: Array) -> Array:
        """log q(x), nats."""

    def sample_and_log_prob(self, params: Params, key: Key) -> tuple[Array, Array]:
        """x ~ q and log q(x), nats."""


def evidence_lower_bound(log_weights: Array) -> Array:
    """The mean log weight: log Z - KL(q || p) in expectation, nats.

    Args:
      log_weights: [S], log p̃(x) - log q(x) with x ~ q, nats.
    """
    chex.assert_rank(log_weights, 1)
    return jnp.mean(log_weights)


def log_normalizer(log_weights: Array) -> tuple[Array, Array]:
    """log Z by importance sampling, log (1/S) Σ_s w_s, and its standard error, nats.

    The error is sqrt(Var w / S) / mean w, by the delta method: too small where few samples have
    most of the weight, and of what q covers alone. The estimate is too low in expectation, by half
    the square of the error.

    Args:
      log_weights: [S], S > 1, log p̃(x) - log q(x) with x ~ q, nats.
    """
    chex.assert_rank(log_weights, 1)
    log_z = log_mean_exp(log_weights)
    relative = jnp.exp(log_weights - log_z)  # of mean 1
    return log_z, jnp.std(relative, ddof=1) / math.sqrt(len(log_weights))


def effective_share(log_weights: Array) -> Array:
    """(Σ w)² / (S Σ w²): the effective sample size over S, from 1/S to 1, where weights are equal.

    Kong (1992); Liu (2001), "Monte Carlo strategies in scientific computing", section 2.5.

    Args:
      log_weights: [S], log p̃(x) - log q(x) with x ~ q, nats.
    """
    chex.assert_rank(log_weights, 1)
    return jnp.exp(2.0 * log_mean_exp(log_weights) - log_mean_exp(2.0 * log_weights))


def forward_effective_share(log_weights: Array) -> Array:
    """1 / (mean w · mean 1/w) of samples of p: the same share, which sees what q misses.

    Its expectation over p is (E_q w)² / E_q w², for E_p w = E_q w² / Z and E_p 1/w = 1 / Z, where q
    is nowhere without p.

    Args:
      log_weights: [S], log p̃(x) - log q(x) with x ~ p, nats.
    """
    chex.assert_rank(log_weights, 1)
    return jnp.exp(-log_mean_exp(log_weights) - log_mean_exp(-log_weights))


def log_weights(
    model: ScoredSampler,
    params: Params,
    key: Key,
    log_target: LogDensity,
    num_samples: int,
    *,
    path_gradient: bool = False,
) -> Array:
    """log p̃(x) - log q(x) of samples of the model: [S], nats; arguments as in `reverse_kl`."""
    require(model, ScoredSampler, "log_weights")
    if num_samples < 1:
        raise ValueError(f"log_weights needs num_samples of at least 1; got {num_samples}.")

    def one(key: Key) -> Array:
        x, log_q = model.sample_and_log_prob(params, key)
        if path_gradient:
            log_q = model.log_prob(jax.lax.stop_gradient(params), x)
        log_p = log_target(x)
        if jnp.shape(log_p) != ():
            raise ValueError(
                "log_weights needs a log_target that gives one number for one x, of shape "
                f"{x.shape}; got shape {jnp.shape(log_p)}."
            )
        return log_p - log_q

    return jax.vmap(one)(jax.random.split(key, num_samples))


def reverse_kl(
    model: ScoredSampler,
    params: Params,
    key: Key,
    batch: Batch | None = None,
    *,
    log_target: LogDensity,
    num_samples: int = 256,
    path_gradient: bool = False,
) -> tuple[Array, Metrics]:
    """E_q [log q(x) - log p̃(x)] of samples of the model: KL(q || p) - log Z.

    The gradient goes through the samples, and through the parameters of log q at them. The second
    part has mean zero; `path_gradient` leaves it out (Roeder, Wu & Duvenaud 2017, "Sticking the
    landing", arXiv:1703.09194; of flows, Vaitl et al. 2022, arXiv:2207.08219). The rest is without
    bias too, and zero for every sample where q is p, so that training settles there; it costs one
    more `log_prob`.

    Args:
      model: with `log_prob` and `sample_and_log_prob`, its samples differentiable in the
        parameters: a flow.
      params: of the model.
      key: of the samples.
      batch: not used, there are no data; training gives one to every loss.
      log_target: log p̃ of one x, nats, up to a constant, and above -inf where the model samples.
      num_samples: S.
      path_gradient: whether the gradient is that of the path alone.

    Returns:
      Nats, and {"elbo", "log_normalizer", "ess"}, the last as a share of S.

    Raises:
      TypeError: the model lacks a capability, or samples integers.
      ValueError: num_samples is below 1, or log_target gives more than a number.
    """
    del batch
    require(model, ScoredSampler, "reverse_kl")
    if model.event.discrete:
        raise TypeError(
            "reverse_kl needs samples that are differentiable in the parameters; "
            f"{type(model).__name__} samples integers."
        )
    weights = log_weights(model, params, key, log_target, num_samples, path_gradient=path_gradient)
    elbo, held = evidence_lower_bound(weights), jax.lax.stop_gradient(weights)
    numbers = {"log_normalizer": log_mean_exp(held), "ess": effective_share(held)}
    return -elbo, {"elbo": elbo} | numbers
