r"""Wake-sleep: learning p by samples of q, and q by samples of p, without gradients through them.

    wake     minimise -E_{q(z|x)} log p(x, z) in p's parameters, over the data
    sleep    minimise -E_{p(x,z)} log q(z | x) in q's parameters, over the model's own samples

Hinton, Dayan, Frey & Neal (1995), "The wake-sleep algorithm for unsupervised neural networks". The
sleep phase minimises KL(p(z | x) || q), not the KL of the ELBO, so that the two phases have no
common objective. Reweighted wake-sleep (Bornschein & Bengio, 2015, arXiv:1406.2751) takes z_s ~ q
with normalised weights w_s of p(x, z_s) / q(z_s | x):

    wake p   -\sum_s w_s log p(x, z_s), an estimate of the gradient of -log p(x)
    wake q   -\sum_s w_s log q(z_s | x), of KL(p(z | x) || q) on the data
    sleep q  as above

Every phase is of samples held constant, so that one loss is their sum, for any z, discrete or not.
p and q must not share parameters.
"""

from __future__ import annotations

from typing import Any

import chex
import jax
import jax.numpy as jnp

from gm.core import Array, Batch, Key, Latent, Metrics, Params, PyTree, given
from gm.losses import variational


def reweighted(log_p: Array, log_q: Array) -> tuple[Array, Array]:
    r"""-\sum_s w_s log p_s and -\sum_s w_s log q_s with w = softmax(log p - log q) held constant.

    Args:
      log_p: [S], log p(x, z_s) with z_s ~ q(. | x), nats.
      log_q: [S], log q(z_s | x), nats.

    Returns:
      Two scalars, whose gradients are those of wake p and wake q.
    """
    chex.assert_rank([log_p, log_q], 1)
    weights = jax.lax.stop_gradient(jax.nn.softmax(log_p - log_q))
    return -jnp.sum(weights * log_p), -jnp.sum(weights * log_q)


def wake_sleep(
    model: Any, params: Params, key: Key, batch: Batch, *, num_samples: int = 1
) -> tuple[Array, Metrics]:
    """Wake and sleep phases, averaged over the batch.

    Args:
      model: a model with `prior`, `encode`, `decode`; x of the sleep phase are samples of it.
      params: of the model.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}, and "context" for p(x | y).
      num_samples: S, samples of z for each example, and of (x, z) for each in the sleep phase.

    Returns:
      Nats per example, and {"elbo", "iwae", "sleep"}, the last the cross-entropy of that phase.

    Raises:
      TypeError: the model lacks a capability, or the batch is not a mapping.
      ValueError: x is not in the model's event space, or num_samples is below 1.
    """
    x, y = variational.examples_for(model, batch, num_samples, "wake_sleep")

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, ...]:
        log_p, log_q, slept = _phases(given(model, y), params, key, x, num_samples)
        return slept - jnp.mean(log_p), log_p, log_q, slept

    return _averaged(of_example, key, x, y)


def reweighted_wake_sleep(
    model: Any,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    num_samples: int = 5,
    wake_share: float = 0.5,
) -> tuple[Array, Metrics]:
    """Wake p, and wake q and sleep q in shares that sum to one, averaged over the batch.

    Args:
      model, params, key, batch, num_samples: as in `wake_sleep`; one sample leaves nothing to
        reweight.
      wake_share: of wake q; 1 - wake_share is that of sleep q. The paper does best with both.

    Returns:
      Nats per example, and {"elbo", "iwae", "sleep"}.

    Raises:
      TypeError, ValueError: as `wake_sleep`; or wake_share is not between 0 and 1.
    """
    x, y = variational.examples_for(model, batch, num_samples, "reweighted_wake_sleep")
    if not 0.0 <= wake_share <= 1.0:
        raise ValueError(
            f"reweighted_wake_sleep needs a wake_share between 0 and 1; got {wake_share}."
        )

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, ...]:
        log_p, log_q, slept = _phases(given(model, y), params, key, x, num_samples)
        wake_p, wake_q = reweighted(log_p, log_q)
        loss = wake_p + wake_share * wake_q + (1.0 - wake_share) * slept
        return loss, log_p, log_q, slept

    return _averaged(of_example, key, x, y)


def _phases(
    model: Latent, params: Params, key: Key, x: Array, num_samples: int
) -> tuple[Array, Array, Array]:
    """log p(x, z_s) and log q(z_s | x) of z_s ~ q: [S], and the sleep phase's -log q."""
    key_wake, key_sleep = jax.random.split(key)
    q, p = model.encode(params, x), model.prior(params)

    def wake(key: Key) -> tuple[Array, Array]:
        z = jax.lax.stop_gradient(q.sample(key))
        return p.log_prob(z) + model.decode(params, z).log_prob(x), q.log_prob(z)

    def sleep(key: Key) -> Array:
        key_z, key_x = jax.random.split(key)
        z = p.sample(key_z)
        dream = model.decode(params, z).sample(key_x)
        z, dream = jax.lax.stop_gradient((z, dream))
        return -model.encode(params, dream).log_prob(z)

    log_p, log_q = jax.vmap(wake)(jax.random.split(key_wake, num_samples))
    slept = jax.vmap(sleep)(jax.random.split(key_sleep, num_samples))
    return log_p, log_q, jnp.mean(slept)


def _averaged(of_example: Any, key: Key, x: Array, y: PyTree) -> tuple[Array, Metrics]:
    """The mean loss of a batch, and bounds of the wake phase's samples."""
    loss, log_p, log_q, slept = jax.vmap(of_example)(jax.random.split(key, x.shape[0]), x, y)
    log_weights = log_p - log_q
    iwae = jnp.mean(jax.vmap(variational.iwae_bound)(log_weights))
    metrics = {"elbo": jnp.mean(log_weights), "iwae": iwae, "sleep": jnp.mean(slept)}
    return jnp.mean(loss), metrics
