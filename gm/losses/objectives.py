r"""Objectives of adversarial games, as functions of a critic's scores alone.

r = c(x) of real x and f = c(x~) of fake ones, [B] each, E over the batch:

    MINIMAX         critic  E softplus(-r) + E softplus(f)       generator  -E softplus(f)
    NON_SATURATING  critic  E softplus(-r) + E softplus(f)       generator  E softplus(-f)
    WASSERSTEIN     critic  E f - E r, c being 1-Lipschitz       generator  -E f
    LEAST_SQUARES   critic  (E (r - 1)^2 + E f^2) / 2            generator  E (f - 1)^2 / 2
    HINGE           critic  E relu(1 - r) + E relu(1 + f)        generator  -E f
    RELATIVISTIC    critic  E softplus(f - r), in pairs          generator  E softplus(r - f)
    RELATIVISTIC_AVERAGE   r - E f and f - E r in place of r and f; the generator's is the critic's
    RELATIVISTIC_LEAST_SQUARES     with the two sides exchanged
    FISHER          critic  (E f - E r) / sqrt((E r^2 + E f^2) / 2)    generator  -E f
    f_gan(D)        critic  E f*(t(f)) - E t(r), t the map of D        generator  -E t(f)

Goodfellow et al. (2014), arXiv:1406.2661, sections 3 and 4, for the first two; Arjovsky, Chintala &
Bottou (2017), arXiv:1701.07875; Mao et al. (2017), arXiv:1611.04076, with labels 0 and 1; Lim & Ye
(2017), arXiv:1705.02894; Jolicoeur-Martineau (2019), arXiv:1807.00734; Mroueh & Sercu (2017),
arXiv:1705.09675; Nowozin, Cseke & Tomioka (2016), arXiv:1606.00709.

With the best critic its loss is, of p(x) and q(x~) with m = (p + q) / 2: 2 log 2 - 2 JS(p, q),
twice; minus the Wasserstein-1 distance; 1/4 - \sum (p - q)^2 / (p + q) / 8; 2 - 2 TV(p, q);
-sqrt(\sum (p - q)^2 / m) for FISHER; -D(p || q) for f_gan(D). The relativistic ones are
divergences without a closed form (Jolicoeur-Martineau, 2020, arXiv:1901.02474).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm.core import Array, Metrics
from gm.losses.divergences import FDivergence
from gm.losses.lower_bounds import variational_bound


@dataclasses.dataclass(frozen=True)
class Objective:
    """What both players minimise, given the critic's scores of real and of fake x.

    Attributes:
      critic: (real [B], fake [B]) -> scalar.
      generator: the same, for the player that makes the fakes. If it also moves the real side (as
        the encoder of a bidirectional game), `lambda real, fake: critic(fake, real)` swaps labels.
      metrics: the same -> metrics of the critic besides its mean scores.
    """

    critic: Callable[[Array, Array], Array]
    generator: Callable[[Array, Array], Array]
    metrics: Callable[[Array, Array], Metrics] = lambda real, fake: {}


def _logistic(real: Array, fake: Array) -> Array:
    return jnp.mean(jax.nn.softplus(-real)) + jnp.mean(jax.nn.softplus(fake))


def _accuracy(real: Array, fake: Array) -> Metrics:
    """The share of scores with the right sign; 0.5 is chance."""
    return {"accuracy": 0.5 * (jnp.mean(real > 0.0) + jnp.mean(fake < 0.0))}


def _distance(real: Array, fake: Array) -> Metrics:
    """An estimate of the Wasserstein-1 distance, as far as the critic is 1-Lipschitz."""
    return {"distance": jnp.mean(real) - jnp.mean(fake)}


MINIMAX = Objective(_logistic, lambda real, fake: -jnp.mean(jax.nn.softplus(fake)), _accuracy)
NON_SATURATING = Objective(
    _logistic, lambda real, fake: jnp.mean(jax.nn.softplus(-fake)), _accuracy
)
WASSERSTEIN = Objective(
    lambda real, fake: jnp.mean(fake) - jnp.mean(real),
    lambda real, fake: -jnp.mean(fake),
    _distance,
)
LEAST_SQUARES = Objective(
    lambda real, fake: 0.5 * (jnp.mean((real - 1.0) ** 2) + jnp.mean(fake**2)),
    lambda real, fake: 0.5 * jnp.mean((fake - 1.0) ** 2),
)
HINGE = Objective(
    lambda real, fake: jnp.mean(jax.nn.relu(1.0 - real)) + jnp.mean(jax.nn.relu(1.0 + fake)),
    lambda real, fake: -jnp.mean(fake),
    _accuracy,
)


def _exchanged(critic: Callable[[Array, Array], Array], metrics: Callable) -> Objective:
    """The objective of a generator that moves both sides: the critic's, real and fake exchanged."""
    return Objective(critic, lambda real, fake: critic(fake, real), metrics)


def _ranked(real: Array, fake: Array) -> Metrics:
    """The share of pairs in which the real one has the higher score; 0.5 is chance."""
    return {"accuracy": jnp.mean(real > fake)}


def _fisher(real: Array, fake: Array) -> Array:
    second = 0.5 * (jnp.mean(real**2) + jnp.mean(fake**2))
    positive = second > 0.0
    scale = jnp.where(positive, jnp.sqrt(jnp.where(positive, second, 1.0)), 1.0)
    return (jnp.mean(fake) - jnp.mean(real)) / scale


RELATIVISTIC = _exchanged(lambda real, fake: jnp.mean(jax.nn.softplus(fake - real)), _ranked)
RELATIVISTIC_AVERAGE = _exchanged(
    lambda real, fake: _logistic(real - jnp.mean(fake), fake - jnp.mean(real)), _ranked
)
RELATIVISTIC_LEAST_SQUARES = _exchanged(
    lambda real, fake: (
        jnp.mean((real - jnp.mean(fake) - 1.0) ** 2) + jnp.mean((fake - jnp.mean(real) + 1.0) ** 2)
    ),
    _ranked,
)
# The ratio of Fisher's distance, in place of its constraint; the critic's scale is free.
FISHER = Objective(
    _fisher,
    lambda real, fake: -jnp.mean(fake),
    lambda real, fake: {"distance": -_fisher(real, fake)},
)


def f_gan(divergence: FDivergence, *, saturating: bool = False) -> Objective:
    """The game of an f-divergence D(p || q): a critic whose scores estimate log p / q.

    The critic maximises the lower bound E_p t - E_q f*(t) with t = f'(e^c), so that any real
    number is a valid score. Nowozin, Cseke & Tomioka (2016), arXiv:1606.00709, sections 2 and 3.

    Args:
      divergence: with a critic and a conjugate: `divergences.KL`, `REVERSE_KL`, `alpha(a)`, ...
      saturating: the generator minimises the same bound, -E f*(t), whose slope vanishes where the
        critic is sure; by default it raises its score, -E t (their section 3.2), which agrees at
        p = q.

    Raises:
      ValueError: the divergence has no critic or no conjugate.
    """
    if divergence.critic is None or divergence.conjugate is None:
        raise ValueError(
            "f_gan needs a divergence with a critic and a conjugate; this one lacks them. Give "
            "FDivergence(term, critic, conjugate), or divergences.of_function(f, conjugate)."
        )
    last, conjugate = divergence.critic, divergence.conjugate

    def critic(real: Array, fake: Array) -> Array:
        return -variational_bound(divergence, last(real), last(fake))

    def generator(real: Array, fake: Array) -> Array:
        return -jnp.mean(conjugate(last(fake)) if saturating else last(fake))

    return Objective(
        critic, generator, lambda r, f: {"divergence": -critic(r, f), **_accuracy(r, f)}
    )
