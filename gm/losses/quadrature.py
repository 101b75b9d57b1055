r"""Divergences between densities of the line, by quadrature: exact where there is no closed form.

    D_f(p || q) = \int q f(p / q) dx = \int q(x(t)) f(p / q) x'(t) dt,   x = m + s sinh t

The trapezoidal rule in t, which for smooth integrands converges faster than any power of the number
of points (Trefethen & Weideman 2014, "The exponentially convergent trapezoidal rule"), and reaches
x = m +- s 10^9. `between_densities` halves its steps until it agrees with itself, and refuses what
does not converge; `nodes` are the points and weights, for sums to be differentiated.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from gm.core import Array
from gm.losses.divergences import FDivergence

_FARTHEST = 21.0  # t, at which sinh is 6.6e8
_MOST = 2**16


def nodes(num: int, *, middle: float = 0.0, width: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Points x: [num] and weights of the rule, so that sum(weights * g(x)) is the integral of g.

    Args:
      num: of points.
      middle: m, where the densities are.
      width: s, of the narrower of them.
    """
    t = np.linspace(-_FARTHEST, _FARTHEST, num)
    step = 2.0 * _FARTHEST / (num - 1)
    return middle + width * np.sinh(t), step * width * np.cosh(t)


def between_densities(
    divergence: FDivergence,
    log_p: Callable[[Array], Array],
    log_q: Callable[[Array], Array],
    *,
    middle: float = 0.0,
    width: float = 1.0,
    tolerance: float = 1e-5,
) -> float:
    """D(p || q) of two densities of the line, to a tolerance.

    Args:
      divergence: any f-divergence.
      log_p, log_q: x: [N] -> [N], normalised log densities; -inf for zero.
      middle: m, a place where both are.
      width: s, about the scale of the narrower.
      tolerance: relative, or absolute below one; of the integrals of p and q too.

    Returns:
      Nats for KL, its reverse and Jensen-Shannon's.

    Raises:
      ValueError: the integral does not converge, is infinite, or a density does not integrate to
        one, which a narrow one far from `middle` does not seem to.
    """
    if not width > 0.0:
        raise ValueError(f"between_densities needs a positive width; got {width}.")
    integrals = functools.partial(
        _integrals, divergence, log_p, log_q
    )  # jit would compile each size
    num, before, agreed = 257, np.full(3, np.inf), 0
    while True:
        now, end = (
            np.asarray(a)
            for a in integrals(*map(jnp.asarray, nodes(num, middle=middle, width=width)))
        )
        if not np.isfinite(now[0]) or end > tolerance * (1.0 + abs(now[0])):
            raise ValueError(
                "between_densities needs an integral that converges; at |x| of about "
                f"{width * np.sinh(0.9 * _FARTHEST):.0e} this one is not small yet, or a term is "
                f"infinite ({now[0]:.4g} with {num} points): the divergence is infinite, or not "
                "defined."
            )
        close = np.all(np.abs(now - before) <= tolerance * (1.0 + np.abs(now)))
        agreed = agreed + 1 if close else 0
        if agreed == 2:  # once may be chance, where the integrand has a kink
            break
        if num > _MOST:
            raise ValueError(
                f"between_densities needs an integral that converges; {num} points give "
                f"{now[0]:.5g}, half as many {before[0]:.5g}. Try a middle and a width nearer to "
                "those of the densities."
            )
        num, before = 2 * num - 1, now
    for name, total in zip(("log_p", "log_q"), now[1:], strict=True):
        if abs(total - 1.0) > 10.0 * tolerance:
            raise ValueError(
                f"between_densities needs normalised densities; that of {name} integrates to "
                f"{total:.5g} around middle={middle} with width={width}."
            )
    return float(now[0])


def _integrals(
    divergence: FDivergence,
    log_p: Callable[[Array], Array],
    log_q: Callable[[Array], Array],
    x: Array,
    weights: Array,
) -> tuple[Array, Array]:
    """Of the divergence, of p and of q; and what the first holds at its ends."""
    at_p, at_q = log_p(x), log_q(x)
    terms = weights * divergence.term(at_p, at_q)
    ends = jnp.abs(jnp.linspace(-1.0, 1.0, len(x), dtype=x.dtype)) > 0.9
    totals = [jnp.sum(a) for a in (terms, weights * jnp.exp(at_p), weights * jnp.exp(at_q))]
    return jnp.stack(totals), jnp.sum(jnp.where(ends, jnp.abs(terms), 0.0))
