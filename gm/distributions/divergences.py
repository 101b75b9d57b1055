"""KL divergences: closed forms for two distributions of one type, Monte Carlo otherwise."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Distribution, Key
from gm.distributions.continuous import Laplace, Normal, Uniform
from gm.distributions.counts import Poisson, below_ceiling
from gm.distributions.discrete import Bernoulli, Categorical
from gm.distributions.simplex import Dirichlet
from gm.numerics import exp_times


def kl_divergence(q: Distribution, p: Distribution) -> Array:
    """KL(q || p), nats, summed over every dimension; inf if p does not cover the support of q.

    Args:
      q, p: two distributions of one type over the same event.

    Returns:
      Scalar, nats.

    Raises:
      TypeError: there is no closed form; `sampled_kl` gives an estimate.
      ValueError: the parameters of q and p have different shapes.
    """
    if not has_kl(q, p):
        kinds = ", ".join(kind.__name__ for kind in _CLOSED_FORMS)
        raise TypeError(
            f"kl_divergence needs two distributions of one type out of {kinds}; got "
            f"{type(q).__name__} and {type(p).__name__}. Use sampled_kl(key, q, p, num_samples) "
            "for a Monte Carlo estimate."
        )
    shapes = [[jnp.shape(leaf) for leaf in jax.tree.leaves(d)] for d in (q, p)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"kl_divergence needs q and p over one event; got parameters of shapes {shapes[0]} "
            f"and {shapes[1]}. Use jax.vmap for a batch."
        )
    return _CLOSED_FORMS[type(q)](q, p)


def element_kl(q: Distribution, p: Distribution) -> Array:
    """KL(q_i || p_i) of every element, nats: [*event]; their sum is `kl_divergence(q, p)`.

    Args:
      q, p: two distributions of one type with independent elements over the same event.

    Raises:
      TypeError: there is no closed form, or elements are not independent (Dirichlet).
    """
    if not has_kl(q, p) or isinstance(q, Dirichlet):
        raise TypeError(
            "element_kl needs two distributions of one type with independent elements and a closed "
            f"form, such as Normal or Categorical; got {type(q).__name__} and {type(p).__name__}."
        )
    shape = jax.tree.leaves(q)[0].shape
    shape = shape[:-1] if isinstance(q, Categorical) else shape
    raster = [
        jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(shape) :]), d) for d in (q, p)
    ]
    return jax.vmap(_CLOSED_FORMS[type(q)])(*raster).reshape(shape)


def has_kl(q: Distribution, p: Distribution) -> bool:
    """Whether `kl_divergence(q, p)` has a closed form."""
    return type(q) is type(p) and type(q) in _CLOSED_FORMS


def sampled_kl(key: Key, q: Distribution, p: Distribution, num_samples: int = 1) -> Array:
    """Unbiased estimate (1/S) Σ_s log q(x_s) - log p(x_s), x_s ~ q, of KL(q || p), nats.

    The estimate may be negative. Its gradients with respect to q are unbiased if the samples of q
    are reparameterized (Normal, Laplace, Logistic, Uniform, Dirichlet).

    Args:
      key: one key.
      q, p: distributions over the same event.
      num_samples: S; the standard error is proportional to 1 / sqrt(S).

    Returns:
      Scalar, nats.
    """

    def log_ratio(key: Key) -> Array:
        x = q.sample(key)
        return q.log_prob(x) - p.log_prob(x)

    return jnp.mean(jax.vmap(log_ratio)(jax.random.split(key, num_samples)))


def _bernoulli(q: Bernoulli, p: Bernoulli) -> Array:
    """Σ_x q(x) (log q(x) - log p(x)); 0 log 0 = 0."""
    q_one, q_zero = jax.nn.log_sigmoid(q.logits), jax.nn.log_sigmoid(-q.logits)
    p_one, p_zero = jax.nn.log_sigmoid(p.logits), jax.nn.log_sigmoid(-p.logits)
    return jnp.sum(exp_times(q_one, q_one - p_one) + exp_times(q_zero, q_zero - p_zero))


def _categorical(q: Categorical, p: Categorical) -> Array:
    """Σ_k q_k (log q_k - log p_k); 0 log 0 = 0."""
    return jnp.sum(exp_times(q.log_probs, q.log_probs - p.log_probs))


def _normal(q: Normal, p: Normal) -> Array:
    """(s^2 - 1 - log s^2 + z^2) / 2, s = q.scale / p.scale, z = (q.loc - p.loc) / p.scale."""
    log_square = 2.0 * jnp.log(q.scale / p.scale)
    z = (q.loc - p.loc) / p.scale
    return 0.5 * jnp.sum(jnp.expm1(log_square) - log_square + z * z)


def _laplace(q: Laplace, p: Laplace) -> Array:
    """s exp(-d / q.scale) + d / p.scale - 1 - log s, with s as above and d = |q.loc - p.loc|."""
    ratio, distance = q.scale / p.scale, jnp.abs(q.loc - p.loc)
    near = ratio * jnp.exp(-distance / q.scale)
    return jnp.sum(near + distance / p.scale - 1.0 - jnp.log(ratio))


def _uniform(q: Uniform, p: Uniform) -> Array:
    """log of the ratio of the volumes, inf unless the box of p contains that of q."""
    held = (q.low >= p.low) & (q.high <= p.high)
    log_ratio = jnp.log((p.high - p.low) / (q.high - q.low))
    return jnp.sum(jnp.where(held, log_ratio, jnp.inf))


def _poisson(q: Poisson, p: Poisson) -> Array:
    """m (log m - log n) - m + n, with means m and n."""
    log_m, log_n = below_ceiling(q.log_rate), below_ceiling(p.log_rate)
    return jnp.sum(exp_times(log_m, log_m - log_n) - jnp.exp(log_m) + jnp.exp(log_n))


def _dirichlet(q: Dirichlet, p: Dirichlet) -> Array:
    """log B(b) - log B(a) + Σ (a_k - b_k) E_q log x_k, with concentrations a and b."""
    excess = q.concentration - p.concentration
    return p.log_normalizer() - q.log_normalizer() + jnp.sum(excess * q.mean_log())


_CLOSED_FORMS = {
    Bernoulli: _bernoulli,
    Categorical: _categorical,
    Normal: _normal,
    Laplace: _laplace,
    Uniform: _uniform,
    Poisson: _poisson,
    Dirichlet: _dirichlet,
}
