r"""Bounds on log p(x) as functions of log weights, beside ELBO and IWAE; a loss for any of them.

With log w_s = log p(x, z_s) - log q(z_s | x), z_s ~ q(z | x), S samples:

    renyi_bound        log ((1/S) Σ_s w_s^(1-a)) / (1 - a)       a = 1: ELBO; a = 0: IWAE
    chi_upper_bound    log ((1/S) Σ_s w_s^n) / n,  n >= 1        above log p(x) as S grows
    miwae_bound        (1/M) Σ_m IWAE of group m                 M groups of S / M samples
    ciwae_bound        b ELBO + (1 - b) IWAE
    enumerated_iwae    E IWAE_K exactly, from all values of z

Li & Turner (2016), arXiv:1602.02311 (Rényi); Dieng et al. (2017), arXiv:1611.00328 (CUBO);
Rainforth et al. (2018), arXiv:1802.04537 (MIWAE, PIWAE, CIWAE).

A Monte-Carlo value of a Rényi bound of order a < 1, in expectation, rises with S to the bound: so
with a >= 0 it is a lower bound of log p(x) for every S. With a < 0, and so for the chi upper bound,
the limit is above log p(x), but the expectation from S samples may be on either side.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist
from gm.core import Array, Batch, Key, Latent, Metrics, Params, PyTree, given
from gm.losses import variational
from gm.losses.variational import iwae_bound
from gm.numerics import log_mean_exp

Bound = Callable[[Array], Array]
_GRID = np.linspace(-30.0, 40.0, 141)  # log t, for the integral of `enumerated_iwae`


def renyi_bound(log_weights: Array, order: float) -> Array:
    r"""Variational Rényi bound log ((1/S) Σ_s w_s^(1-a)) / (1 - a).

    Li & Turner (2016), arXiv:1602.02311, equation 10. For S to infinity it falls with the order:
    log p(x) at a = 0 for any q that covers the posterior, ELBO at a = 1.

    Args:
      log_weights: [S], nats.
      order: a, any finite number.

    Returns:
      Scalar in nats.

    Raises:
      ValueError: the order is not finite.
    """
    chex.assert_rank(log_weights, 1)
    if not math.isfinite(order):
        raise ValueError(f"renyi_bound needs a finite order; got {order}.")
    if order == 1.0:
        return jnp.mean(log_weights)
    return log_mean_exp((1.0 - order) * log_weights) / (1.0 - order)


def chi_upper_bound(log_weights: Array, order: float = 2.0) -> Array:
    r"""Chi upper bound log ((1/S) Σ_s w_s^n) / n, CUBO: at least log p(x) in the limit of large S.

    Dieng et al. (2017), arXiv:1611.00328, equation 4; the Rényi bound of order 1 - n. The mean of
    w^n is unbiased, so that its logarithm is low on average: a certain upper bound of log p(x) in
    expectation is that of reverse annealing (`gm.metrics.annealed`), not this one.

    Args:
      log_weights: [S], nats.
      order: n >= 1.

    Returns:
      Scalar in nats.

    Raises:
      ValueError: the order is below 1.
    """
    if not 1.0 <= order < math.inf:
        raise ValueError(f"chi_upper_bound needs a finite order of at least 1; got {order}.")
    return renyi_bound(log_weights, 1.0 - order)


def miwae_bound(log_weights: Array, num_groups: int) -> Array:
    r"""Mean over M groups of the importance-weighted bound of S / M samples.

    Rainforth et al. (2018), arXiv:1802.04537, equation 15. M = S is the ELBO, M = 1 IWAE.

    Args:
      log_weights: [S], nats.
      num_groups: M, which divides S.

    Returns:
      Scalar in nats, a lower bound of log p(x) in expectation.

    Raises:
      ValueError: M does not divide S.
    """
    chex.assert_rank(log_weights, 1)
    if num_groups < 1 or len(log_weights) % num_groups:
        raise ValueError(
            f"miwae_bound needs num_groups that divides the {len(log_weights)} samples; got "
            f"{num_groups}."
        )
    return jnp.mean(log_mean_exp(log_weights.reshape(num_groups, -1), axis=1))


def ciwae_bound(log_weights: Array, weight: float) -> Array:
    """b ELBO + (1 - b) IWAE, a lower bound of log p(x) in expectation.

    Rainforth et al. (2018), arXiv:1802.04537, equation 16.

    Args:
      log_weights: [S], nats.
      weight: b, from 0 to 1.

    Returns:
      Scalar in nats.

    Raises:
      ValueError: another weight.
    """
    if not 0.0 <= weight <= 1.0:
        raise ValueError(f"ciwae_bound needs a weight from 0 to 1; got {weight}.")
    return weight * jnp.mean(log_weights) + (1.0 - weight) * iwae_bound(log_weights)


def enumerated_iwae(log_q: Array, log_joint: Array, num_samples: int) -> Array:
    r"""E log (1/K) Σ_k w_k over K independent samples of q, exactly, with its gradients.

    By log a = ∫_0^∞ (e^-t - e^(-a t)) dt / t, the expectation over K samples is a power of one over
    one sample,

        E log (1/K) Σ_k w_k = ∫ (exp(-t) - (E_q exp(-w t / K))^K) dt / t,

    a smooth integral in log t, here by the trapezoidal rule; every w is positive. An oracle of
    estimators (`benchmarks/estimators.py`). A real z is given by the points of a quadrature.

    Args:
      log_q: [N], log q(z | x) of every z, nats, normalised; log (v q) with quadrature weights v.
      log_joint: [N], log p(x, z), nats; log (v p) with quadrature weights.
      num_samples: K.

    Returns:
      Scalar in nats, within about 1e-5 of the exact value in float32.

    Raises:
      ValueError: K is below 1.
    """
    chex.assert_rank([log_q, log_joint], 1)
    if num_samples < 1:
        raise ValueError(f"enumerated_iwae needs num_samples of at least 1; got {num_samples}.")
    log_w = log_joint - log_q
    top = jax.lax.stop_gradient(jax.nn.logsumexp(log_joint))  # a scale, whatever its value
    log_t = jnp.asarray(_GRID, log_w.dtype)[:, None]
    # w t / K, kept where float32 can hold it; beyond, exp(-w t / K) is zero.
    decay = jnp.exp(jnp.minimum(log_w[None] - top - math.log(num_samples) + log_t, 60.0))
    # E exp(-w t / K), as one less a small number where that is more accurate.
    missing = -jnp.expm1(-decay) @ jnp.exp(log_q)
    small = missing < 0.5
    log_mean = jax.nn.logsumexp(jnp.where(small[:, None], 0.0, log_q[None] - decay), axis=1)
    log_mean = jnp.where(small, jnp.log1p(-jnp.where(small, missing, 0.0)), log_mean)
    rest = jnp.exp(-jnp.exp(log_t[:, 0])) - jnp.exp(num_samples * log_mean)
    return top + (_GRID[1] - _GRID[0]).item() * jnp.sum(rest)


def negative_bound(
    model: Latent,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    bound: Bound,
    num_samples: int,
    encoder_bound: Bound | None = None,
) -> tuple[Array, Metrics]:
    """Negative of any bound of the log weights, averaged over the batch; its gradient is pathwise.

        negative_bound(..., bound=functools.partial(renyi_bound, order=0.5), num_samples=5)
        negative_bound(..., bound=iwae_bound, num_samples=64,                         # PIWAE
                       encoder_bound=functools.partial(miwae_bound, num_groups=8))

    Args:
      model: a model with `prior`, `encode`, `decode`.
      params: of the model.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}, and "context" for p(x | y).
      bound: log weights [S] -> scalar in nats.
      num_samples: S, samples of z for each example.
      encoder_bound: another such function, whose gradient the parameters get through `encode`
        while they get that of `bound` through `prior` and `decode`: IWAE's gradient of the encoder
        becomes noise as S grows (Rainforth et al., 2018), MIWAE's with few samples a group less so.

    Returns:
      Nats per example, and {"bound", "iwae", "elbo"} from the same samples.

    Raises:
      TypeError: the model lacks a capability, samples of its posterior are not reparameterized, or
        the batch is not a mapping.
      ValueError: x is not in the model's event space, or num_samples is below 1.
    """
    x, y = variational.examples_for(model, batch, num_samples, "negative_bound")

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, Array, Array, Array]:
        one = given(model, y)
        q = one.encode(params, x)
        variational.require_pathwise(model, q, "negative_bound")
        z, log_q = jax.vmap(lambda k: dist.sample_and_log_prob(q, k))(
            jax.random.split(key, num_samples)
        )

        def weights(params: Params, z: PyTree, log_q: Array) -> Array:
            return log_joints(one, params, x, z) - log_q

        log_w = weights(params, z, log_q)
        objective = bound(log_w)
        if encoder_bound is not None:
            of_model = bound(weights(params, *jax.lax.stop_gradient((z, log_q))))
            of_encoder = encoder_bound(weights(jax.lax.stop_gradient(params), z, log_q))
            objective = with_gradient_of(of_model, of_encoder)
        return objective, bound(log_w), iwae_bound(log_w), jnp.mean(log_w)

    keys = jax.random.split(key, x.shape[0])
    objective, *each = map(jnp.mean, jax.vmap(of_example)(keys, x, y))
    return -objective, dict(zip(("bound", "iwae", "elbo"), each, strict=True))


def log_joints(one: Latent, params: Params, x: Array, z: PyTree) -> Array:
    """log p(x, z_s) of samples z with leaves [S, ...]: [S], nats."""
    p = one.prior(params)
    return jax.vmap(lambda z: one.decode(params, z).log_prob(x) + p.log_prob(z))(z)


def with_gradient_of(value: Array, *surrogates: Array) -> Array:
    """value, with its own gradient and those of the surrogates added."""
    return value + sum(s - jax.lax.stop_gradient(s) for s in surrogates)
