r"""Variational inference: lower bounds on log p(x) from an approximate posterior.

    log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z))                      ELBO
    log p(x) >= E_q[log (1/S) \sum_s p(x, z_s) / q(z_s | x)],  z_s ~ q        IWAE, S samples

Kingma & Welling (2014), arXiv:1312.6114; Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519.
Both bounds are functions of the log weights log p(x, z) - log q(z | x). Their gradients are
pathwise: they pass through z, so q's samples must be reparameterized.
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Batch, Distribution, Key, Latent, Metrics, Params, require
from gm.losses import batches


def elbo(log_likelihood: Array, kl: Array, *, beta: float = 1.0, free_nats: float = 0.0) -> Array:
    r"""Evidence lower bound of one example, (1/S) \sum_s log p(x | z_s) - beta max(KL, free_nats).

    beta > 1 is the beta-VAE of Higgins et al. (2017); beta < 1 or free_nats > 0 (Kingma et al.,
    2016, arXiv:1606.04934, appendix C.8, here over all latents together) keep the posterior from
    collapsing. With the defaults this is the bound of Kingma & Welling (2014), equation 3.

    Args:
      log_likelihood: [S], log p(x | z_s) with z_s ~ q(. | x), nats.
      kl: scalar, KL(q(z | x) || p(z)) or an estimate of it, nats.
      beta: weight of the KL.
      free_nats: below this the KL is not penalised.

    Returns:
      Scalar in nats; a bound on log p(x) for beta >= 1 and kl exact or unbiased.
    """
    chex.assert_rank([log_likelihood, kl], [1, 0])
    if free_nats > 0.0:  # without free nats an estimate of the KL may fall below zero, and should
        kl = jnp.maximum(kl, free_nats)
    return jnp.mean(log_likelihood) - beta * kl


def iwae_bound(log_weights: Array) -> Array:
    r"""Importance-weighted bound log (1/S) \sum_s w_s <= log p(x) in expectation.

    Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519, section 3. S = 1 is the single-sample
    ELBO; in expectation the bound tightens with S.

    Args:
      log_weights: [S], log p(x, z_s) - log q(z_s | x) with z_s ~ q(. | x), nats.

    Returns:
      Scalar bound in nats.
    """
    chex.assert_rank(log_weights, 1)
    return jax.nn.logsumexp(log_weights) - jnp.log(log_weights.shape[0])


def log_weights(model: Latent, params: Params, key: Key, x: Array, num_samples: int) -> Array:
    """log p(x, z_s) - log q(z_s | x) with z_s ~ q(. | x): [S], nats, for one example x.

    The values are right for every q; their gradients where q's samples are reparameterized.
    """
    return _log_weights(model, params, model.encode(params, x), key, x, num_samples)


def _log_weights(
    model: Latent, params: Params, q: Distribution, key: Key, x: Array, num_samples: int
) -> Array:
    """The log weights of samples of q: [S]"""
    p = model.prior(params)

    def log_weight(key: Key) -> Array:
        z = q.sample(key)
        return model.decode(params, z).log_prob(x) + p.log_prob(z) - q.log_prob(z)

    return jax.vmap(log_weight)(jax.random.split(key, num_samples))


def negative_elbo(
    model: Latent,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    num_samples: int = 1,
    analytic_kl: bool = True,
    beta: float = 1.0,
    free_nats: float = 0.0,
) -> tuple[Array, Metrics]:
    """Negative ELBO, averaged over the batch.

    Args:
      model: a model with `prior`, `encode`, `decode`.
      params: of the model.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}.
      num_samples: S, samples of z for each example.
      analytic_kl: the KL in closed form (less variance; `dist.kl_divergence` must know the pair),
        or averaged over the same samples.
      beta, free_nats: as in `elbo`.

    Returns:
      Nats per example, and {"elbo", "kl", "log_likelihood"}; `elbo` has beta = 1 and no free nats.

    Raises:
      TypeError: the model lacks a capability, samples of its posterior are not reparameterized, the
        KL has no closed form, or the batch is not a mapping.
      ValueError: x is not in the model's event space, or num_samples is below 1.
    """
    x = _examples(model, batch, num_samples, "negative_elbo")

    def of_example(key: Key, x: Array) -> tuple[Array, Array, Array]:
        q, p = model.encode(params, x), model.prior(params)
        _require_pathwise(model, q, "negative_elbo")
        if analytic_kl and not dist.has_kl(q, p):
            raise TypeError(
                "negative_elbo needs analytic_kl=False here, which averages the KL over samples: "
                f"KL({type(q).__name__} || {type(p).__name__}), from the posterior to the prior of "
                f"{type(model).__name__}, has no closed form in gm.distributions."
            )
        z = jax.vmap(q.sample)(jax.random.split(key, num_samples))
        log_likelihood = jax.vmap(lambda z: model.decode(params, z).log_prob(x))(z)
        if analytic_kl:
            kl = dist.kl_divergence(q, p)
        else:
            kl = jnp.mean(jax.vmap(lambda z: q.log_prob(z) - p.log_prob(z))(z))
        objective = elbo(log_likelihood, kl, beta=beta, free_nats=free_nats)
        return objective, kl, jnp.mean(log_likelihood)

    keys = jax.random.split(key, x.shape[0])
    objective, kl, log_likelihood = map(jnp.mean, jax.vmap(of_example)(keys, x))
    metrics = {"elbo": log_likelihood - kl, "kl": kl, "log_likelihood": log_likelihood}
    return -objective, metrics


def negative_iwae(
    model: Latent, params: Params, key: Key, batch: Batch, *, num_samples: int = 5
) -> tuple[Array, Metrics]:
    """Negative importance-weighted bound, averaged over the batch.

    Args:
      model: a model with `prior`, `encode`, `decode`.
      params: of the model.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}.
      num_samples: S, samples of z for each example; 1 is the ELBO with a sampled KL.

    Returns:
      Nats per example, and {"iwae", "elbo"}, the latter from the same samples.

    Raises:
      TypeError: the model lacks a capability, samples of its posterior are not reparameterized, or
        the batch is not a mapping.
      ValueError: x is not in the model's event space, or num_samples is below 1.
    """
    x = _examples(model, batch, num_samples, "negative_iwae")

    def of_example(key: Key, x: Array) -> tuple[Array, Array]:
        q = model.encode(params, x)
        _require_pathwise(model, q, "negative_iwae")
        weights = _log_weights(model, params, q, key, x, num_samples)
        return iwae_bound(weights), jnp.mean(weights)

    keys = jax.random.split(key, x.shape[0])
    bound, elbo_ = map(jnp.mean, jax.vmap(of_example)(keys, x))
    return -bound, {"iwae": bound, "elbo": elbo_}


def _examples(model: Latent, batch: Batch, num_samples: int, name: str) -> Array:
    """x: [B, *event] of a batch that a bound can be taken of."""
    require(model, Latent, name)
    if num_samples < 1:
        raise ValueError(f"{name} needs num_samples of at least 1; got {num_samples}.")
    (x,) = batches.examples(model.event, batch, name)
    return x


def _require_pathwise(model: Latent, q: Distribution, name: str) -> None:
    """TypeError unless gradients flow through samples of q: otherwise they would be wrong."""
    if not dist.is_reparameterized(q):
        raise TypeError(
            f"{name} needs a posterior with reparameterized samples, since its gradient passes "
            f"through z; {type(model).__name__} encodes to {type(q).__name__}, whose samples stop "
            "it. A score-function estimator (REINFORCE, VIMCO) of these log weights would do, or a "
            "Gumbel-softmax (Concrete) relaxation of the posterior; gm.metrics.evaluate scores "
            "such a model as it is."
        )
