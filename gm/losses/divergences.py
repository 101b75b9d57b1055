r"""Divergences of distributions, as functions of log probabilities, of log ratios and of critics.

An f-divergence is E_q f(p(x) / q(x)) for a convex f with f(1) = 0 (Csiszár, 1967; Ali & Silvey,
1966). Here it is the term that a sum or an integral adds up, q f(p / q) as a function of log p and
log q, so that zeros of either side and tiny probabilities are right:

    KL                    p log (p / q)                           inf where p leaves q's support
    REVERSE_KL            q log (q / p)
    JENSEN_SHANNON        (p log (p / m) + q log (q / m)) / 2     m = (p + q) / 2; at most log 2
    TOTAL_VARIATION       |p - q| / 2                             at most 1
    SQUARED_HELLINGER     (sqrt p - sqrt q)^2 / 2                 at most 1
    PEARSON, NEYMAN       (p - q)^2 / q, (p - q)^2 / p            chi-square
    alpha(a)              (p^a q^(1-a) - a p - (1 - a) q) / (a (a - 1))
    skew_jensen_shannon   w p log (p / m) + (1 - w) q log (q / m),  m = w p + (1 - w) q

    between(KL, log_p, log_q)             exact: [K] log probabilities
    estimate(KL, log_ratio)               Monte Carlo, with its standard error
    estimate_from_both(KL, ratio, ratio)  the same from samples of both sides

`gaussians` and `exponential_families` have closed forms, `quadrature` the integral on the line, and
`lower_bounds` what a critic makes of samples by the convex conjugate f*(t) = sup_u u t - f(u).
Rényi's divergence is a function of alpha's, and so has closed forms with all that alpha holds.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable

import chex
import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array
from gm.losses import batches
from gm.numerics import exp_times

_LOG_2 = math.log(2.0)
_RATIOS = np.linspace(-4.0, 4.0, 33)  # log p / q, at which a pair is checked


@dataclasses.dataclass(frozen=True)
class FDivergence:
    """An f-divergence E_q f(p / q), f convex, f(1) = 0.

    Attributes:
      term: (log p, log q) -> q f(p / q), elementwise; f(u) is term(log u, 0).
      critic: log u -> f'(u): the best critic, as a function of the log ratio. As a last layer it
        maps any real number into the domain of the conjugate.
      conjugate: t -> f*(t) for t = f'(u) of some u > 0.
    """

    term: Callable[[Array, Array], Array]
    critic: Callable[[Array], Array] | None = None
    conjugate: Callable[[Array], Array] | None = None


def _kl(log_p: Array, log_q: Array) -> Array:
    return exp_times(log_p, log_p - log_q)


def skew_jensen_shannon(weight: float) -> FDivergence:
    """w KL(p || m) + (1 - w) KL(q || m), m = w p + (1 - w) q: at most the entropy of (w, 1 - w).

    Lin (1991), "Divergence measures based on the Shannon entropy".

    Args:
      weight: w, in (0, 1); 1/2 is Jensen and Shannon's.

    Raises:
      ValueError: another weight.
    """
    if not 0.0 < weight < 1.0:
        raise ValueError(f"skew_jensen_shannon needs a weight between 0 and 1; got {weight}.")
    w, log_w, log_rest = weight, math.log(weight), math.log1p(-weight)

    def term(log_p: Array, log_q: Array) -> Array:
        log_m = jnp.logaddexp(log_p + log_w, log_q + log_rest)
        return w * _kl(log_p, log_m) + (1.0 - w) * _kl(log_q, log_m)

    def critic(log_u: Array) -> Array:  # w log (u / (w u + 1 - w))
        return -w * jnp.logaddexp(log_w, log_rest - log_u)

    def conjugate(t: Array) -> Array:
        return (1.0 - w) * (log_rest - jnp.log1p(-w * jnp.exp(t / w)))

    return FDivergence(term, critic, conjugate)


def alpha(a: float) -> FDivergence:
    """(p^a q^(1-a) - a p - (1 - a) q) / (a (a - 1)): Amari's, KL at 1 and reverse KL at 0.

    a = 1/2 is four times the squared Hellinger distance, 2 half of Pearson's chi-square.
    Minka (2005), "Divergence measures and message passing", section 2.

    Args:
      a: any number; 0 and 1 are the limits.
    """
    if a == 1.0:
        return KL
    if a == 0.0:
        return REVERSE_KL

    def term(log_p: Array, log_q: Array) -> Array:
        powers = [w * log for w, log in ((a, log_p), (1.0 - a, log_q))]
        # Of a zero probability to a negative power, inf; of two zeros, 0.
        both = (log_p == -jnp.inf) & (log_q == -jnp.inf)
        product = jnp.where(both, 0.0, jnp.exp(jnp.where(both, 0.0, powers[0] + powers[1])))
        return (product - a * jnp.exp(log_p) - (1.0 - a) * jnp.exp(log_q)) / (a * (a - 1.0))

    def critic(log_u: Array) -> Array:
        return jnp.expm1((a - 1.0) * log_u) / (a - 1.0)

    def conjugate(t: Array) -> Array:
        return jnp.expm1(a / (a - 1.0) * jnp.log1p((a - 1.0) * t)) / a

    return FDivergence(term, critic, conjugate)


KL = FDivergence(_kl, lambda log_u: 1.0 + log_u, lambda t: jnp.exp(t - 1.0))
REVERSE_KL = FDivergence(
    lambda log_p, log_q: _kl(log_q, log_p),
    lambda log_u: -jnp.exp(-log_u),
    lambda t: -1.0 - jnp.log(-t),
)
JENSEN_SHANNON = skew_jensen_shannon(0.5)
TOTAL_VARIATION = FDivergence(
    lambda log_p, log_q: 0.5 * jnp.abs(jnp.exp(log_p) - jnp.exp(log_q)),
    lambda log_u: 0.5 * jnp.sign(log_u),
    lambda t: t,
)
SQUARED_HELLINGER = FDivergence(
    lambda log_p, log_q: 0.5 * (jnp.exp(0.5 * log_p) - jnp.exp(0.5 * log_q)) ** 2,
    lambda log_u: -0.5 * jnp.expm1(-0.5 * log_u),
    lambda t: t / (1.0 - 2.0 * t),
)
_HALF_PEARSON, _HALF_NEYMAN = alpha(2.0), alpha(-1.0)
PEARSON = FDivergence(
    lambda log_p, log_q: 2.0 * _HALF_PEARSON.term(log_p, log_q),
    lambda log_u: 2.0 * jnp.expm1(log_u),
    lambda t: t + t**2 / 4.0,
)
NEYMAN = FDivergence(
    lambda log_p, log_q: 2.0 * _HALF_NEYMAN.term(log_p, log_q),
    lambda log_u: -jnp.expm1(-2.0 * log_u),
    lambda t: 2.0 - 2.0 * jnp.sqrt(1.0 - t),
)


def of_function(
    f: Callable[[Array], Array], conjugate: Callable[[Array], Array] | None = None
) -> FDivergence:
    """An f-divergence of one's own, f given as a function of u = p / q; the critic is its slope.

    Where p or q is zero its terms are limits, which a function does not tell: use `FDivergence`
    with a term for distributions of different support.

    Args:
      f: convex, f(1) = 0, elementwise.
      conjugate: f*(t) = sup_u u t - f(u), elementwise.

    Raises:
      ValueError: f(1) is not 0, f is not convex, or the conjugate is that of another function, at
        log u from -4 to 4.
    """
    slope = jax.vmap(jax.grad(f))

    def term(log_p: Array, log_q: Array) -> Array:
        return exp_times(log_q, f(jnp.exp(log_p - log_q)))

    def critic(log_u: Array) -> Array:
        return slope(jnp.exp(jnp.ravel(log_u))).reshape(jnp.shape(log_u))

    made = FDivergence(term, critic, conjugate)
    check(made)
    return made


def check(divergence: FDivergence) -> None:
    """Holds an f-divergence to its definition: f(1) = 0, f' rises, and f*(f'(u)) = u f'(u) - f(u).

    Raises:
      ValueError: the first that does not hold, with where.
    """
    log_u = jnp.asarray(_RATIOS, jnp.float32)
    f = np.asarray(divergence.term(log_u, jnp.zeros_like(log_u)))
    middle = len(_RATIOS) // 2
    if abs(f[middle]) > 1e-5:
        raise ValueError(f"an f-divergence has f(1) = 0; this one has {f[middle]:g}.")
    if divergence.critic is None:
        return
    slope = np.asarray(divergence.critic(log_u))
    if np.any(np.diff(slope) < -1e-4 * (1.0 + np.abs(slope[1:]))):
        raise ValueError("the f of an f-divergence is convex; the slope of this one falls.")
    if divergence.conjugate is None:
        return
    want = np.exp(_RATIOS) * slope - f
    have = np.asarray(divergence.conjugate(jnp.asarray(slope)))
    wrong = ~(np.abs(have - want) <= 1e-3 * (1.0 + np.abs(want) + np.exp(_RATIOS) * np.abs(slope)))
    if wrong.any():
        i = int(np.argmax(wrong))
        raise ValueError(
            f"a conjugate has f*(f'(u)) = u f'(u) - f(u); at u = {math.exp(_RATIOS[i]):.3g}, "
            f"{want[i]:.5g}; the one given says {have[i]:.5g}."
        )


def between(divergence: FDivergence, log_p: Array, log_q: Array) -> Array:
    """D(p || q) of two distributions over the same K values, exactly.

    Args:
      divergence: any f-divergence.
      log_p, log_q: [K] log probabilities, normalised; -inf for zero.

    Returns:
      A scalar: nats for KL, its reverse and Jensen-Shannon's.

    Raises:
      ValueError: probabilities that do not sum to one (of known values, outside jit).
    """
    chex.assert_rank([log_p, log_q], 1)
    chex.assert_equal_shape([log_p, log_q])
    batches.normalised("between", log_p=log_p, log_q=log_q)
    return jnp.sum(divergence.term(log_p, log_q))


def entropy(log_p: Array) -> Array:
    """H(p) = -sum_k p_k log p_k, nats; 0 log 0 = 0. log_p: [K]."""
    chex.assert_rank(log_p, 1)
    batches.normalised("entropy", log_p=log_p)
    return -jnp.sum(exp_times(log_p, log_p))


def cross_entropy(log_p: Array, log_q: Array) -> Array:
    """H(p, q) = -sum_k p_k log q_k = H(p) + KL(p || q), nats. log_p, log_q: [K]."""
    chex.assert_rank([log_p, log_q], 1)
    chex.assert_equal_shape([log_p, log_q])
    batches.normalised("cross_entropy", log_p=log_p, log_q=log_q)
    return -jnp.sum(exp_times(log_p, log_q))


def renyi(log_p: Array, log_q: Array, order: float) -> Array:
    """Rényi's divergence log(sum_k p_k^a q_k^(1-a)) / (a - 1), nats; KL in the limit of order 1.

    Rényi (1961); van Erven & Harremoës (2014), arXiv:1206.2459. It does not fall with the order.

    Args:
      log_p, log_q: [K] log probabilities.
      order: a > 0.

    Raises:
      ValueError: another order, or probabilities that do not sum to one.
    """
    chex.assert_equal_shape([log_p, log_q])
    batches.normalised("renyi", log_p=log_p, log_q=log_q)
    if not order > 0.0:
        raise ValueError(f"renyi needs an order above 0; got {order}.")
    if order == 1.0:
        return between(KL, log_p, log_q)
    a = order
    both = (log_p == -jnp.inf) | ((log_q == -jnp.inf) & (a < 1.0))
    power = jnp.where(both, -jnp.inf, a * log_p + (1.0 - a) * jnp.where(both, 0.0, log_q))
    return jax.nn.logsumexp(power) / (a - 1.0)


def estimate(
    divergence: FDivergence, log_ratio: Array, *, samples_of_p: bool = False
) -> tuple[Array, Array]:
    """Monte-Carlo estimate of D(p || q), without bias, and its standard error.

        (1/S) sum_s f(p(x_s) / q(x_s)),  x_s ~ q,   or  (q / p) f(p / q) of x_s ~ p

    Samples of one side hardly see where the other has its mass. Coverage of the 95 % interval, S =
    1,000, Normals (`benchmarks/estimator_coverage.py`): 95 to 96 % where they overlap (shift 0.6);
    at a shift of 2 standard deviations 94 % for KL from samples of p, but 76 % from samples of q,
    80 % for Hellinger's and 30 % for Pearson's. `estimate_from_both` has no such fault where the
    divergence is bounded.

    Args:
      divergence: any f-divergence.
      log_ratio: [S], S >= 2, log p(x_s) - log q(x_s) of normalised densities.
      samples_of_p: whether x_s ~ p, which is better for KL; else x_s ~ q.

    Returns:
      The mean, and std / sqrt(S), too small where a few ratios have most of the sum: see below.

    Raises:
      ValueError: fewer than two samples.
    """
    chex.assert_rank(log_ratio, 1)
    if len(log_ratio) < 2:
        raise ValueError(f"estimate needs at least 2 samples; got {len(log_ratio)}.")
    zero = jnp.zeros_like(log_ratio)
    sides = (zero, -log_ratio) if samples_of_p else (log_ratio, zero)
    values = divergence.term(*sides)
    return jnp.mean(values), jnp.std(values, ddof=1) / math.sqrt(len(log_ratio))


def estimate_from_both(
    divergence: FDivergence, log_ratio_p: Array, log_ratio_q: Array
) -> tuple[Array, Array]:
    """Monte-Carlo estimate of D(p || q) from samples of both, without bias, and its standard error.

        E_m [q f(p / q) / m],  m = (p + q) / 2,  half of the samples of p and half of q

    so that what either side alone would miss is seen: Veach & Guibas (1995), the balance heuristic.
    Of bounded divergences (Jensen-Shannon's, Hellinger's, total variation) every term is bounded.

    Args:
      divergence: any f-divergence.
      log_ratio_p: [B], B >= 2, log p(x) - log q(x) at samples of p.
      log_ratio_q: [C], C >= 2, the same at samples of q.

    Raises:
      ValueError: fewer than two samples of one side.
    """
    chex.assert_rank([log_ratio_p, log_ratio_q], 1)
    batches.two_samples("estimate_from_both", log_ratio_p, log_ratio_q, least=2)

    def terms(log_ratio: Array) -> Array:
        log_m = jax.nn.softplus(log_ratio) - math.log(2.0)
        return divergence.term(log_ratio - log_m, -log_m)

    of_p, of_q = terms(log_ratio_p), terms(log_ratio_q)
    variance = jnp.var(of_p, ddof=1) / len(of_p) + jnp.var(of_q, ddof=1) / len(of_q)
    return 0.5 * (jnp.mean(of_p) + jnp.mean(of_q)), 0.5 * jnp.sqrt(variance)
