r"""Variational inference: lower bounds on log p(x) from an approximate posterior.

    log p(x) >= E_q[log p(x | z)] - KL(q(z | x) || p(z))                      ELBO
    log p(x) >= E_q[log (1/S) \sum_s p(x, z_s) / q(z_s | x)],  z_s ~ q        IWAE, S samples

Kingma & Welling (2014), arXiv:1312.6114; Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519.
Both bounds are functions of the log weights log p(x, z) - log q(z | x). Their gradients are
pathwise: they pass through z, so q's samples must be reparameterized. z may be any pytree; where
prior and posterior are both a `dist.Joint` of L parts, the KL has a term for each,

    KL(q(z | x) || p(z)) = Σ_l E_q KL(q(z_l | z_<l, x) || p(z_l | z_<l)).

A discrete z of few values needs no samples: the ELBO is a sum over all of them, exact, gradients
included (`negative_enumerated_elbo`).
"""

from __future__ import annotations

import chex
import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import (
    Array,
    Batch,
    Distribution,
    Key,
    Latent,
    Metrics,
    Params,
    PyTree,
    given,
    require,
)
from gm.losses import batches
from gm.numerics import exp_times, log_mean_exp

Weights = float | tuple[float, ...] | Array


def elbo(
    log_likelihood: Array, kl: Array, *, beta: Weights = 1.0, free_nats: Weights = 0.0
) -> Array:
    r"""Evidence lower bound of one example.

        (1/S) \sum_s log p(x | z_s) - \sum_l beta_l max(KL_l, free_nats_l)

    beta > 1 is the beta-VAE of Higgins et al. (2017); beta < 1 or free_nats > 0 (Kingma et al.,
    2016, arXiv:1606.04934, appendix C.8) keep the posterior from collapsing, in each term by
    itself. With the defaults this is the bound of Kingma & Welling (2014), equation 3.

    Args:
      log_likelihood: [S], log p(x | z_s) with z_s ~ q(. | x), nats.
      kl: KL(q(z | x) || p(z)) or an estimate of it, nats: a scalar, or terms [L] of it.
      beta: weight of the KL, one number or one for each term.
      free_nats: below this a term is not penalised; one number or one for each.

    Returns:
      Scalar in nats; a bound on log p(x) for beta >= 1 and kl exact or unbiased.

    Raises:
      ValueError: beta or free_nats has another number of terms.
    """
    chex.assert_rank([log_likelihood, kl], [1, {0, 1}])
    beta, free_nats = (
        _for_each_term(value, kl, name)
        for value, name in ((beta, "beta"), (free_nats, "free_nats"))
    )
    # Without free nats an estimate of a term may fall below zero, and should.
    kl = jnp.where(free_nats > 0.0, jnp.maximum(kl, free_nats), kl)
    return jnp.mean(log_likelihood) - jnp.sum(beta * kl)


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
    return log_mean_exp(log_weights)


def enumerated_elbo(log_q: Array, log_joint: Array) -> Array:
    r"""ELBO of one example as a sum over all z: \sum_z q(z | x) (log p(x, z) - log q(z | x)).

    Args:
      log_q: [S], log q(z | x) of every z, nats; -inf where q has none, which adds nothing.
      log_joint: [S], log p(x, z), nats.

    Returns:
      Scalar in nats, log p(x) where q is the posterior.
    """
    chex.assert_rank([log_q, log_joint], 1)
    return jnp.sum(exp_times(log_q, log_joint - log_q))


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
        z, log_q = dist.sample_and_log_prob(q, key)
        return model.decode(params, z).log_prob(x) + p.log_prob(z) - log_q

    return jax.vmap(log_weight)(jax.random.split(key, num_samples))


def negative_elbo(
    model: Latent,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    num_samples: int = 1,
    analytic_kl: bool = True,
    beta: Weights = 1.0,
    free_nats: Weights = 0.0,
    per_latent: bool = False,
    free_nats_of_batch: bool = False,
) -> tuple[Array, Metrics]:
    """Negative ELBO, averaged over the batch.

    Args:
      model: a model with `prior`, `encode`, `decode`.
      params: of the model.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}, and "context" for p(x | y).
      num_samples: S, samples of z for each example.
      analytic_kl: each term of the KL in closed form where there is one, for less variance; False
        averages all over the same samples.
      beta, free_nats: as in `elbo`; `losses.schedules` makes them functions of the step.
      per_latent: a term of the KL for each element of z in place of one for each part: weights and
        free nats ("free bits") are then of every latent by itself.
      free_nats_of_batch: whether a term's mean over the batch is compared with its free nats, as in
        Kingma et al. (2016), equation 15, in place of the term of each example.

    Returns:
      Nats per example, and {"elbo", "kl", "log_likelihood"}; `elbo` has beta = 1 and no free nats.
      Where z has several parts, {"kl_0", "kl_1", ...} too.

    Raises:
      TypeError: the model lacks a capability, samples of its posterior are not reparameterized, the
        batch is not a mapping, or per_latent is asked of a KL without a closed form by elements.
      ValueError: x is not in the model's event space, num_samples is below 1, or weights do not fit
        the terms.
    """
    x, y = examples_for(model, batch, num_samples, "negative_elbo")

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, Array, Array]:
        one = given(model, y)
        q, p = one.encode(params, x), one.prior(params)
        require_pathwise(model, q, "negative_elbo")

        def of_sample(key: Key) -> tuple[Array, Array]:
            if per_latent:
                z, terms = q.sample(key), jnp.ravel(dist.element_kl(q, p))
            else:
                z, terms = dist.sample_and_kl(key, q, p, analytic=analytic_kl)
            return one.decode(params, z).log_prob(x), terms

        log_likelihood, terms = jax.vmap(of_sample)(jax.random.split(key, num_samples))
        kl = jnp.mean(terms, axis=0)
        objective = elbo(log_likelihood, kl, beta=beta, free_nats=free_nats)
        return objective, kl, jnp.mean(log_likelihood)

    keys = jax.random.split(key, x.shape[0])
    each = jax.vmap(of_example)(keys, x, y)
    objective, terms, log_likelihood = (jnp.mean(values, axis=0) for values in each)
    if free_nats_of_batch:
        objective = elbo(log_likelihood[None], terms, beta=beta, free_nats=free_nats)
    kl = jnp.sum(terms)
    metrics = {"elbo": log_likelihood - kl, "kl": kl, "log_likelihood": log_likelihood}
    if len(terms) > 1 and not per_latent:
        metrics |= {f"kl_{i}": term for i, term in enumerate(terms)}
    return -objective, metrics


def negative_iwae(
    model: Latent, params: Params, key: Key, batch: Batch, *, num_samples: int = 5
) -> tuple[Array, Metrics]:
    """Negative importance-weighted bound, averaged over the batch.

    Args:
      model: a model with `prior`, `encode`, `decode`.
      params: of the model.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}, and "context" for p(x | y).
      num_samples: S, samples of z for each example; 1 is the ELBO with a sampled KL.

    Returns:
      Nats per example, and {"iwae", "elbo"}, the latter from the same samples.

    Raises:
      TypeError: the model lacks a capability, samples of its posterior are not reparameterized, or
        the batch is not a mapping.
      ValueError: x is not in the model's event space, or num_samples is below 1.
    """
    x, y = examples_for(model, batch, num_samples, "negative_iwae")

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, Array]:
        one = given(model, y)
        q = one.encode(params, x)
        require_pathwise(model, q, "negative_iwae")
        weights = _log_weights(one, params, q, key, x, num_samples)
        return iwae_bound(weights), jnp.mean(weights)

    keys = jax.random.split(key, x.shape[0])
    bound, elbo_ = map(jnp.mean, jax.vmap(of_example)(keys, x, y))
    return -bound, {"iwae": bound, "elbo": elbo_}


def negative_enumerated_elbo(
    model: Latent, params: Params, key: Key, batch: Batch
) -> tuple[Array, Metrics]:
    """Negative ELBO of a model with a discrete z of few values, averaged over the batch; exact.

    Costs one `decode` for every z and example: for one categorical of tens of values, or a few.

    Args:
      model: a model with `prior`, `encode`, `decode`, whose posterior is Bernoulli, Categorical or
        a `dist.Joint` of such parts.
      params: of the model.
      key: not used; nothing is random.
      batch: {"x": [B, *event]}, and "context" for p(x | y).

    Returns:
      Nats per example, and {"elbo", "kl", "log_likelihood"}.

    Raises:
      TypeError: the model lacks a capability, its posterior is of another kind, or the batch is not
        a mapping.
      ValueError: x is not in the model's event space, or z has more than 4,096 values.
    """
    del key
    x, y = examples_for(model, batch, 1, "negative_enumerated_elbo")

    def of_example(x: Array, y: PyTree) -> tuple[Array, Array]:
        one = given(model, y)
        q, p = one.encode(params, x), one.prior(params)
        z = dist.enumerate_support(q)
        log_q, log_p = jax.vmap(q.log_prob)(z), jax.vmap(p.log_prob)(z)
        log_likelihood = jax.vmap(lambda z: one.decode(params, z).log_prob(x))(z)
        bound = enumerated_elbo(log_q, log_p + log_likelihood)
        return bound, -enumerated_elbo(log_q, log_p)

    bound, kl = map(jnp.mean, jax.vmap(of_example)(x, y))
    return -bound, {"elbo": bound, "kl": kl, "log_likelihood": bound + kl}


def _for_each_term(value: Weights, kl: Array, name: str) -> Array:
    """One number, or one for each term; ValueError for another number of them."""
    value = jnp.asarray(value, kl.dtype)
    if value.shape not in ((), kl.shape):
        raise ValueError(
            f"elbo needs a {name} that is one number or one for each term of the KL, {kl.shape}; "
            f"got shape {value.shape}."
        )
    return value


def examples_for(model: Latent, batch: Batch, num_samples: int, name: str) -> tuple[Array, PyTree]:
    """x: [B, *event] of a batch that a bound can be taken of, and its context or None."""
    require(model, Latent, name)
    if num_samples < 1:
        raise ValueError(f"{name} needs num_samples of at least 1; got {num_samples}.")
    return batches.examples(model.event, batch, name, model)


def require_pathwise(model: Latent, q: Distribution, name: str) -> None:
    """TypeError unless gradients flow through samples of q: otherwise they would be wrong."""
    if not dist.is_reparameterized(q):
        raise TypeError(
            f"{name} needs a posterior with reparameterized samples, since its gradient passes "
            f"through z; {type(model).__name__} encodes to {type(q).__name__}, whose samples stop "
            "it. negative_enumerated_elbo sums over all z of a discrete one that has few values; a "
            "score-function estimator (REINFORCE, VIMCO) of these log weights would do, or a "
            "Gumbel-softmax (Concrete) relaxation of the posterior; gm.metrics.evaluate scores "
            "such a model as it is."
        )
