r"""Pathwise gradients of ELBO and IWAE with less variance: path derivatives alone.

With z_s = z(e_s, φ) reparameterized and log w_s = log p(x, z_s) - log q_φ(z_s | x), the gradient
with respect to φ is that through z_s, the path, and that of log q_φ at fixed z_s, the score. The
score's expectation is zero (ELBO) or another path (IWAE), so that both bounds have gradients of
paths alone:

    ELBO    (1/S) Σ_s        ∂log w_s/∂z_s  dz_s/dφ          sticking the landing
    IWAE         Σ_s  v_s²   ∂log w_s/∂z_s  dz_s/dφ          doubly reparameterized, v_s = w_s / Σ w

Roeder, Wu & Duvenaud (2017), arXiv:1703.09194; Tucker et al. (2019), arXiv:1810.04152. Both are
unbiased, and zero without noise where q is the posterior. IWAE's usual gradient of the encoder
has a signal-to-noise ratio that falls as 1 / sqrt(S) (Rainforth et al., 2018, arXiv:1802.04537);
that of DReG does not where the weights are bounded (`benchmarks/estimators.py`). The gradient of
the parameters that reach the bound through `prior` and `decode` is the usual one.

The score is held off by a second `encode` with constant parameters, whose `log_prob` is evaluated
at z: for a posterior that is an inverse autoregressive flow this is its slow direction.
"""

from __future__ import annotations

from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gm.core import Array, Batch, Key, Latent, Metrics, Params, PyTree, given
from gm.losses import variational
from gm.losses.weighted_bounds import log_joints, with_gradient_of

_fixed = jax.lax.stop_gradient


def doubly_reparameterized(log_weights: Array) -> Array:
    r"""Σ_s v_s² log w_s with constant v = softmax(log w): its gradient is DReG's of the encoder.

    Tucker et al. (2019), arXiv:1810.04152, equation 8. The value has no meaning of its own.

    Args:
      log_weights: [S], log weights whose gradient is that of the path alone.

    Returns:
      Scalar.
    """
    chex.assert_rank(log_weights, 1)
    shares = _fixed(jax.nn.softmax(log_weights))
    return jnp.sum(shares**2 * log_weights)


def sticking_the_landing_loss(
    model: Latent, params: Params, key: Key, batch: Batch, *, num_samples: int = 1
) -> tuple[Array, Metrics]:
    """Negative ELBO, sampled, with path gradients of the encoder.

    Args:
      model: a model with `prior`, `encode`, `decode`.
      params: of the model.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}, and "context" for p(x | y).
      num_samples: S, samples of z for each example.

    Returns:
      Nats per example, and {"elbo", "iwae"}.

    Raises:
      TypeError: the model lacks a capability, samples of its posterior are not reparameterized, or
        the batch is not a mapping.
      ValueError: x is not in the model's event space, or num_samples is below 1.
    """
    objective, metrics = _bounds(
        model, params, key, batch, num_samples, jnp.mean, jnp.mean, "sticking_the_landing_loss"
    )
    return -objective, metrics


def doubly_reparameterized_loss(
    model: Latent, params: Params, key: Key, batch: Batch, *, num_samples: int = 5
) -> tuple[Array, Metrics]:
    """Negative importance-weighted bound with DReG's gradient of the encoder.

    Arguments, results and errors are those of `sticking_the_landing_loss`, which it is for S = 1.
    """
    pair = variational.iwae_bound, doubly_reparameterized
    objective, metrics = _bounds(
        model, params, key, batch, num_samples, *pair, "doubly_reparameterized_loss"
    )
    return -objective, metrics


def _bounds(
    model: Latent,
    params: Params,
    key: Key,
    batch: Batch,
    num_samples: int,
    bound: Callable[[Array], Array],
    path: Callable[[Array], Array],
    name: str,
) -> tuple[Array, Metrics]:
    """The mean over the batch of a bound, with the encoder's gradient of `path`; and metrics."""
    x, y = variational.examples_for(model, batch, num_samples, name)

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, Array, Array]:
        one = given(model, y)
        q, q_fixed = one.encode(params, x), one.encode(_fixed(params), x)
        variational.require_pathwise(model, q, name)
        z = jax.vmap(q.sample)(jax.random.split(key, num_samples))
        along = log_joints(one, _fixed(params), x, z) - jax.vmap(q_fixed.log_prob)(z)
        log_q = _fixed(jax.vmap(q_fixed.log_prob)(z))
        log_w = log_joints(one, params, x, _fixed(z)) - log_q
        objective = with_gradient_of(bound(log_w), path(along))
        return objective, variational.iwae_bound(log_w), jnp.mean(log_w)

    keys = jax.random.split(key, x.shape[0])
    objective, iwae, elbo = map(jnp.mean, jax.vmap(of_example)(keys, x, y))
    return objective, {"iwae": iwae, "elbo": elbo}
