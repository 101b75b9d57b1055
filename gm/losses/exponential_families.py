r"""Divergences within an exponential family, in closed form, from its log partition function alone.

    p_theta(x) = h(x) exp(theta . T(x) - A(theta))

    KL(p || q)    A(eta) - A(theta) - grad A(theta) . (eta - theta)           a Bregman divergence
    Rényi_a       (A(a theta + (1 - a) eta) - a A(theta) - (1 - a) A(eta)) / (a - 1)

for p of natural parameters theta and q of eta: Banerjee et al. (2005), JMLR 6:1705-1749; Nielsen &
Nock (2011), arXiv:1105.3259. Alpha's divergence, Hellinger's and chi-square follow from Rényi's.
`Family.natural` takes the usual parameters:

    kl(POISSON, POISSON.natural(2.0), POISSON.natural(3.0))

`gaussians` has the multivariate Normals.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp

from gm.core import Array
from gm.numerics import log_sum_exp

_gammaln = jax.scipy.special.gammaln


@dataclasses.dataclass(frozen=True)
class Family:
    """An exponential family.

    Attributes:
      log_partition: A, natural parameters [K] -> scalar; inf where they are none of the family's.
      natural: usual parameters -> natural ones, [K].
    """

    log_partition: Callable[[Array], Array]
    natural: Callable[..., Array]


def kl(family: Family, theta_p: Array, theta_q: Array) -> Array:
    """KL(p || q), nats, of natural parameters [K]."""
    chex.assert_rank([theta_p, theta_q], 1)
    chex.assert_equal_shape([theta_p, theta_q])
    at_p, mean = jax.value_and_grad(family.log_partition)(theta_p)
    return family.log_partition(theta_q) - at_p - jnp.dot(mean, theta_q - theta_p)


def renyi(family: Family, theta_p: Array, theta_q: Array, order: float) -> Array:
    """Rényi's divergence, nats; infinite where a theta + (1 - a) eta is none of the family's.

    Args:
      family: of both.
      theta_p, theta_q: [K], natural parameters.
      order: a > 0; 1 is KL.

    Raises:
      ValueError: a is not above 0.
    """
    if not order > 0.0:
        raise ValueError(f"renyi needs an order above 0; got {order}.")
    if order == 1.0:
        return kl(family, theta_p, theta_q)
    chex.assert_equal_shape([theta_p, theta_q])
    a, of = order, family.log_partition
    mixed = of(a * theta_p + (1.0 - a) * theta_q)
    return (mixed - a * of(theta_p) - (1.0 - a) * of(theta_q)) / (a - 1.0)


def alpha(family: Family, theta_p: Array, theta_q: Array, a: float) -> Array:
    """The alpha divergence (E_q (p / q)^a - 1) / (a (a - 1)), as `divergences.alpha(a)`; a > 0."""
    if a == 1.0:
        return kl(family, theta_p, theta_q)
    return jnp.expm1((a - 1.0) * renyi(family, theta_p, theta_q, a)) / (a * (a - 1.0))


def squared_hellinger(family: Family, theta_p: Array, theta_q: Array) -> Array:
    """int (sqrt p - sqrt q)^2 / 2, between 0 and 1."""
    return -jnp.expm1(-0.5 * renyi(family, theta_p, theta_q, 0.5))


def pearson(family: Family, theta_p: Array, theta_q: Array) -> Array:
    """Chi-square E_q (p / q - 1)^2."""
    return jnp.expm1(renyi(family, theta_p, theta_q, 2.0))


def _positive(theta: Array, value: Callable[[Array], Array]) -> Array:
    """value(theta) where every number is above 0, else inf, with no nan in the gradient."""
    inside = jnp.all(theta > 0.0)
    return jnp.where(inside, value(jnp.where(inside, theta, 1.0)), jnp.inf)


def _log_beta(concentration: Array) -> Array:
    return jnp.sum(_gammaln(concentration)) - _gammaln(jnp.sum(concentration))


def _gamma(theta: Array) -> Array:
    return _positive(theta, lambda t: _gammaln(t[0]) - t[0] * jnp.log(t[1]))


def _normal(theta: Array) -> Array:
    inside = theta[1] < 0.0
    second = jnp.where(inside, theta[1], -0.5)
    value = -(theta[0] ** 2) / (4.0 * second) - 0.5 * jnp.log(-2.0 * second)
    return jnp.where(inside, value, jnp.inf)


def _stack(*parts: Array) -> Array:
    return jnp.stack([jnp.asarray(part, float) for part in parts])


BERNOULLI = Family(
    lambda theta: jax.nn.softplus(theta[0]),
    lambda probability: _stack(jax.scipy.special.logit(jnp.asarray(probability, float))),
)
CATEGORICAL = Family(log_sum_exp, lambda log_probs: jnp.asarray(log_probs, float))
POISSON = Family(lambda theta: jnp.exp(theta[0]), lambda rate: _stack(jnp.log(rate)))
EXPONENTIAL = Family(lambda theta: _positive(theta, lambda t: -jnp.log(t[0])), _stack)
GAMMA = Family(_gamma, _stack)  # shape, rate; T = (log x, -x) and h = 1 / x
DIRICHLET = Family(
    lambda theta: _positive(theta, _log_beta),
    lambda concentration: jnp.asarray(concentration, float),
)  # two concentrations are a Beta's
NORMAL = Family(_normal, lambda mean, scale: _stack(mean / scale**2, -0.5 / scale**2 + 0.0 * mean))
