r"""Gradients of the ELBO for Bernoulli and Categorical posteriors through their relaxations.

    relaxed_loss   E log p(x | z~) - KL(q || p),  z~ Concrete: biased, of low variance
    rebar_loss     the score function with a relaxed control variate: unbiased

Both need a `decode` that takes relaxed values: floats [...] in (0, 1) for a Bernoulli, [..., K] on
the simplex for a Categorical (`dist.one_hot(z, K)` leaves them as they are). The KL of the discrete
distributions is exact. Jang, Gu & Poole (2017), arXiv:1611.01144; Maddison, Mnih & Teh (2017),
arXiv:1611.00712; Tucker et al. (2017), arXiv:1703.07370.

REBAR, with b the discrete sample of noise u, z its real-valued pre-image, z' another pre-image of
the same b, and c(z) = log p(x | relaxed(z)):

    (f(b) - η c(z')) d log q(b)/dφ + η d/dφ (c(z) - c(z')),   f(b) = log p(x | b)

is unbiased for every η and temperature, since c(z) and c(z') cancel in expectation.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Batch, Distribution, Key, Latent, Metrics, Params, PyTree, given
from gm.losses import variational
from gm.losses.weighted_bounds import with_gradient_of

_fixed = jax.lax.stop_gradient


class Relaxed(NamedTuple):
    """One discrete sample b of q, and relaxed values of two pre-images of it, with gradients.

    Attributes:
      hard: b as floats, [...] or one-hot [..., K].
      log_q: log q(b), nats.
      soft: relaxed(z), z the pre-image that b was made from.
      conditional: relaxed(z'), z' another sample of p(z | b).
    """

    hard: Array
    log_q: Array
    soft: Array
    conditional: Array


def relaxed_samples(
    q: dist.Bernoulli | dist.Categorical, key: Key, temperature: float | Array
) -> Relaxed:
    r"""A discrete sample, its relaxation, and another relaxation given that sample.

    Tucker et al. (2017), arXiv:1703.07370, appendix C: with v uniform and p = q(b = 1),

        binary        z' = log(1 + v / ((1 - v)(1 - p))) if b = 1, else -log(1 + v / ((1 - v) p))
        categorical   z'_k = -log(-log v_k) for k = b, else -log(-log v_k / p_k - log v_b)

    Args:
      q: the posterior.
      key: one key.
      temperature: t > 0.

    Raises:
      TypeError: q is of another kind.
      ValueError: the temperature is not positive.
    """
    concrete = dist.relax(q, temperature)
    key_z, key_v = jax.random.split(key)
    noise = concrete.noise(key_z)
    if isinstance(q, dist.Bernoulli):
        b = _fixed(q.logits + noise > 0.0).astype(jnp.int32)
        log_odds = concrete.noise(key_v)  # log v / (1 - v) of a uniform number v is logistic
        sign = 2.0 * b.astype(q.logits.dtype) - 1.0
        # log(1 + exp(log odds - log(1 - p))), with the sides exchanged for b = 0
        z = sign * jax.nn.softplus(log_odds - jax.nn.log_sigmoid(-sign * q.logits))
        hard = b.astype(q.logits.dtype)
    else:
        b = _fixed(jnp.argmax(q.log_probs + noise, -1)).astype(jnp.int32)
        hard = jax.nn.one_hot(b, q.num_values, dtype=q.logits.dtype)
        log_v = -jnp.exp(-concrete.noise(key_v))  # log of a uniform number
        own = jnp.sum(jnp.where(hard > 0.0, log_v, 0.0), -1, keepdims=True)
        z = jnp.where(hard > 0.0, -jnp.log(-own), -jnp.log(-log_v * jnp.exp(-q.log_probs) - own))
    # p(z) has the logits as its location, which is in z' already.
    conditional = concrete.replace(logits=z).from_noise(jnp.zeros_like(z))
    return Relaxed(hard, q.log_prob(b), concrete.from_noise(noise), conditional)


def relaxed_loss(
    model: Latent,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    temperature: float | Array = 0.5,
    straight_through: bool = False,
    num_samples: int = 1,
) -> tuple[Array, Metrics]:
    """Negative ELBO with z relaxed in the likelihood: Gumbel-softmax, or straight-through.

    Args:
      model: a model with `prior`, `encode`, `decode`; prior and posterior are both Bernoulli or
        both Categorical, and `decode` takes relaxed values.
      params: of the model.
      key: one key; every example gets its own.
      batch: {"x": [B, *event]}, and "context" for p(x | y).
      temperature: t > 0; `losses.schedules` makes it a function of the step.
      straight_through: whether the likelihood sees the discrete sample, with the gradient of the
        relaxed one; the value is then an unbiased ELBO, the gradient is not.
      num_samples: S, samples of z for each example.

    Returns:
      Nats per example, and {"elbo", "kl", "log_likelihood"}, of relaxed z unless straight-through:
      then no bound of the discrete model.

    Raises:
      TypeError: the model lacks a capability, its distributions are of other kinds, or the batch is
        not a mapping.
      ValueError: x is not in the model's event space, num_samples is below 1, or the temperature is
        not positive.
    """
    x, y = variational.examples_for(model, batch, num_samples, "relaxed_loss")

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, Array]:
        one = given(model, y)
        q, p = one.encode(params, x), one.prior(params)
        _require_discrete(model, q, p, "relaxed_loss")
        concrete = dist.relax(q, temperature)

        def log_likelihood(key: Key) -> Array:
            z = concrete.sample(key)
            if straight_through:
                z = dist.straight_through(concrete.hard(z), z)
            return one.decode(params, z).log_prob(x)

        values = jax.vmap(log_likelihood)(jax.random.split(key, num_samples))
        return jnp.mean(values), dist.kl_divergence(q, p)

    keys = jax.random.split(key, x.shape[0])
    likelihood, kl = map(jnp.mean, jax.vmap(of_example)(keys, x, y))
    return kl - likelihood, {"elbo": likelihood - kl, "kl": kl, "log_likelihood": likelihood}


def rebar_loss(
    model: Latent,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    temperature: float | Array = 0.5,
    weight: float | Array = 1.0,
    num_samples: int = 1,
) -> tuple[Array, Metrics]:
    """Negative ELBO with REBAR's gradient, unbiased for every temperature and weight.

    Arguments, results and errors are those of `relaxed_loss`; the metrics are of the discrete z.
    weight is η, which multiplies the control variate; 0 is the score function without a baseline.
    Three times as many forward passes of `decode`.
    """
    x, y = variational.examples_for(model, batch, num_samples, "rebar_loss")

    def of_example(key: Key, x: Array, y: PyTree) -> tuple[Array, Array, Array]:
        one = given(model, y)
        q, p = one.encode(params, x), one.prior(params)
        _require_discrete(model, q, p, "rebar_loss")

        def of_sample(key: Key) -> tuple[Array, Array]:
            z = relaxed_samples(q, key, temperature)
            value = one.decode(params, z.hard).log_prob(x)
            fixed = _fixed(params)
            soft, conditional = (one.decode(fixed, c).log_prob(x) for c in z[2:])
            score = _fixed(value - weight * conditional) * z.log_q
            return with_gradient_of(value, score, weight * (soft - conditional)), value

        likelihood, value = jax.vmap(of_sample)(jax.random.split(key, num_samples))
        return jnp.mean(likelihood), jnp.mean(value), dist.kl_divergence(q, p)

    keys = jax.random.split(key, x.shape[0])
    objective, likelihood, kl = map(jnp.mean, jax.vmap(of_example)(keys, x, y))
    return kl - objective, {"elbo": likelihood - kl, "kl": kl, "log_likelihood": likelihood}


def _require_discrete(model: Latent, q: Distribution, p: Distribution, name: str) -> None:
    """TypeError unless both are Bernoulli, or both Categorical."""
    if type(q) is not type(p) or not isinstance(q, dist.Bernoulli | dist.Categorical):
        raise TypeError(
            f"{name} needs a prior and a posterior that are both Bernoulli or both Categorical; "
            f"{type(model).__name__} has {type(p).__name__} and {type(q).__name__}. Score-function "
            "losses (rloo_loss, vimco_loss) take any z."
        )
