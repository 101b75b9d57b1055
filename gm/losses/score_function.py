r"""Score-function gradients of ELBO and IWAE: for any posterior, discrete ones too.

With z_s ~ q_φ(z | x) held fixed and log w_s = log p(x, z_s) - log q_φ(z_s | x),

    d ELBO/dφ = E  (1/S) Σ_s (log w_s - b_s) d log q_φ(z_s | x)/dφ
    d IWAE/dφ = E  Σ_s (L - b_s - v_s) d log q_φ(z_s | x)/dφ,    L = IWAE of all, v = softmax(log w)

for any baseline b_s that does not depend on z_s (Williams, 1992, "Simple statistical
gradient-following algorithms"; Paisley, Blei & Jordan, 2012, arXiv:1206.6430). Baselines:

    RLOO    the mean of log w over the other samples: Kool, van Hoof & Welling (2019), "Buy 4
            REINFORCE samples, get a baseline for free!"; Salimans & Knowles (2014), arXiv:1401.1022
    VIMCO   L with w_s replaced by the geometric mean of the others: Mnih & Rezende (2016),
            arXiv:1602.06725
    NVIL    a moving average and a learned function of x: Mnih & Gregor (2014), arXiv:1402.0030

The gradient of the parameters that reach the bound through `prior` and `decode` is the usual one.
z may be any pytree, a `dist.Joint`'s too: all of it is held fixed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gm.core import Array, Batch, Critic, Key, Latent, Metrics, Params, PyTree, given, require
from gm.losses import variational
from gm.losses.variational import iwae_bound
from gm.losses.weighted_bounds import log_joints, with_gradient_of

_fixed = jax.lax.stop_gradient


class Baseline(NamedTuple):
    """What NVIL carries from step to step: moving averages of the signal, nats.

    Attributes:
      mean: of log w, after the learned baseline.
      variance: of the same.
    """

    mean: Array
    variance: Array

    @classmethod
    def start(cls) -> Baseline:
        """Mean 0, variance 1: `train.init(..., memory=Baseline.start(), replicated=True)`."""
        return cls(jnp.zeros((), jnp.float32), jnp.ones((), jnp.float32))


def leave_one_out(values: Array) -> Array:
    """The mean of the other values, for each: [S], S >= 2."""
    chex.assert_rank(values, 1)
    return (jnp.sum(values) - values) / (len(values) - 1)


def vimco_baselines(log_weights: Array) -> Array:
    r"""IWAE with w_s replaced by the geometric mean of the others, for each s: [S], nats.

    Mnih & Rezende (2016), arXiv:1602.06725, equation 10.

    Args:
      log_weights: [S], S >= 2, nats.
    """
    own, row = jnp.eye(len(log_weights), dtype=bool), log_weights[None, :]
    # Not the sum less its own term: a weight of zero would make that -inf less -inf.
    others = jnp.sum(jnp.where(own, 0.0, row), axis=1, keepdims=True) / (len(log_weights) - 1)
    return jax.vmap(iwae_bound)(jnp.where(own, others, row))


def score_surrogate(signal: Array, log_q: Array) -> Array:
    """Σ_s signal_s log q(z_s) with a constant signal: its gradient is the score function's.

    Args:
      signal: [S], nats.
      log_q: [S], log q(z_s | x) of fixed z_s.
    """
    chex.assert_rank([signal, log_q], 1)
    return jnp.sum(_fixed(signal) * log_q)


def score_function_loss(
    model: Latent, params: Params, key: Key, batch: Batch, *, num_samples: int = 1
) -> tuple[Array, Metrics]:
    """Negative ELBO with the score function's gradient, without a baseline: the noisiest one.

    Args:
      model: a model with `prior`, `encode`, `decode`.
      params: of the model.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}, and "context" for p(x | y).
      num_samples: S, samples of z for each example.

    Returns:
      Nats per example, and {"elbo", "iwae"}.

    Raises:
      TypeError: the model lacks a capability, or the batch is not a mapping.
      ValueError: x is not in the model's event space, or num_samples is too small.
    """
    return _loss(model, params, key, batch, num_samples, 1, _plain, "score_function_loss")


def rloo_loss(
    model: Latent, params: Params, key: Key, batch: Batch, *, num_samples: int = 4
) -> tuple[Array, Metrics]:
    """Negative ELBO with the score function's gradient and leave-one-out means as baselines.

    Arguments, results and errors are those of `score_function_loss`; S is at least 2.
    """
    return _loss(model, params, key, batch, num_samples, 2, _rloo, "rloo_loss")


def vimco_loss(
    model: Latent, params: Params, key: Key, batch: Batch, *, num_samples: int = 5
) -> tuple[Array, Metrics]:
    """Negative importance-weighted bound with VIMCO's gradient.

    Arguments, results and errors are those of `score_function_loss`; S is at least 2.
    """
    return _loss(model, params, key, batch, num_samples, 2, _vimco, "vimco_loss")


def nvil_loss(
    model: Latent,
    baseline: Critic | None,
    params: Params,
    key: Key,
    batch: Batch,
    memory: Baseline,
    *,
    num_samples: int = 1,
    decay: float = 0.8,
    scaled: bool = True,
) -> tuple[Array, tuple[Metrics, Baseline]]:
    """Negative ELBO with the score function's gradient and NVIL's baselines.

    The signal is log w - c - C(x), with a moving average c and a learned C, fitted by least squares
    at the same time; if scaled, divided by max(1, its moving standard deviation). The averages are
    those of earlier steps, so that the gradient is unbiased but for that factor.

    Args:
      model: a model with `prior`, `encode`, `decode`.
      baseline: C, a model with `score`; None for the moving average alone.
      params: {"model": of the model, "baseline": of C}, the latter where there is one.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}, and "context" for p(x | y).
      memory: of the step before, at first `Baseline.start()`.
      num_samples: S, samples of z for each example.
      decay: of the moving averages.
      scaled: whether a signal of large variance is divided by its standard deviation.

    Returns:
      Nats per example, and ({"elbo", "iwae", "baseline_loss"}, memory).

    Raises:
      TypeError: the model or the baseline lacks a capability, or the batch is not a mapping.
      ValueError: x is not in the model's event space, or num_samples is below 1.
    """
    x, y = variational.examples_for(model, batch, num_samples, "nvil_loss")
    if baseline is not None:
        require(baseline, Critic, "nvil_loss")

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, ...]:
        log_joint, log_q = _terms(given(model, y), params["model"], key, x, num_samples)
        log_w = _fixed(log_joint - log_q)
        learned = jnp.zeros(()) if baseline is None else baseline.score(params["baseline"], x)
        rest = log_w - memory.mean - learned
        factor = jnp.maximum(1.0, jnp.sqrt(memory.variance)) if scaled else 1.0
        score = score_surrogate(rest / factor, log_q) / num_samples
        objective = with_gradient_of(jnp.mean(log_w), score, jnp.mean(log_joint))
        return objective, jnp.mean(rest**2), _fixed(rest), iwae_bound(log_w)

    keys = jax.random.split(key, x.shape[0])
    objective, square, rest, iwae = jax.vmap(of_example)(keys, x, y)
    objective, square = jnp.mean(objective), jnp.mean(square)
    new = Baseline(
        memory.mean + (1.0 - decay) * jnp.mean(rest),
        decay * memory.variance + (1.0 - decay) * jnp.var(rest),
    )
    metrics = {"elbo": objective, "iwae": jnp.mean(iwae), "baseline_loss": square}
    return with_gradient_of(-objective, square), (_fixed(metrics), new)


def _terms(
    one: Latent, params: Params, key: Key, x: Array, num_samples: int
) -> tuple[Array, Array]:
    """log p(x, z_s) and log q(z_s | x) of fixed samples of q: [S] each."""
    q = one.encode(params, x)
    z = _fixed(jax.vmap(q.sample)(jax.random.split(key, num_samples)))
    return log_joints(one, params, x, z), jax.vmap(q.log_prob)(z)


def _plain(log_joint: Array, log_q: Array) -> Array:
    """ELBO; the gradient of -log q has mean zero and is left out."""
    log_w = _fixed(log_joint - log_q)
    score = score_surrogate(log_w, log_q) / len(log_w)
    return with_gradient_of(jnp.mean(log_w), score, jnp.mean(log_joint))


def _rloo(log_joint: Array, log_q: Array) -> Array:
    log_w = _fixed(log_joint - log_q)
    score = score_surrogate(log_w - leave_one_out(log_w), log_q) / len(log_w)
    return with_gradient_of(jnp.mean(log_w), score, jnp.mean(log_joint))


def _vimco(log_joint: Array, log_q: Array) -> Array:
    log_w = log_joint - log_q
    bound = iwae_bound(log_w)
    return with_gradient_of(bound, score_surrogate(bound - vimco_baselines(log_w), log_q))


def _loss(
    model: Latent,
    params: Params,
    key: Key,
    batch: Batch,
    num_samples: int,
    least: int,
    estimator: Callable[[Array, Array], Array],
    name: str,
) -> tuple[Array, Metrics]:
    """Negative mean over the batch of `estimator(log_joint, log_q)`."""
    x, y = variational.examples_for(model, batch, num_samples, name)
    if num_samples < least:
        raise ValueError(
            f"{name} needs num_samples of at least {least}, for the baseline of a sample is of the "
            f"others; got {num_samples}. score_function_loss and nvil_loss take one."
        )

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, Array, Array]:
        log_joint, log_q = _terms(given(model, y), params, key, x, num_samples)
        log_w = _fixed(log_joint - log_q)
        return estimator(log_joint, log_q), jnp.mean(log_w), iwae_bound(log_w)

    keys = jax.random.split(key, x.shape[0])
    objective, elbo, iwae = map(jnp.mean, jax.vmap(of_example)(keys, x, y))
    return -objective, {"elbo": elbo, "iwae": iwae}
