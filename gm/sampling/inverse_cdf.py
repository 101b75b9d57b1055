r"""Inverse-CDF sampling of a density on the line: in closed form, by bisection, or from a table.

    bisect(cdf, u, low, high)          the x with cdf(x) = u
    table = tabulate(log_density)      of any function of x, up to a constant
    table.error                        total variation between the table and the density
    table.sample(key), table.cdf(x), table.icdf(u), table.log_prob(x)

If u is uniform on (0, 1), x = F^{-1}(u) has the distribution function F: Devroye (1986),
"Non-uniform random variate generation", chapter 2. A distribution whose inverse has a closed form
has it as `icdf`.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Event, Key, pytree
from gm.core.pytrees import static

MAX_PANELS = 2**16
BLOCK = 2048  # nodes at once
END = 60.0  # of t: x is as far as exp(60) scales, and as near an edge as exp(-60) of them
NEGLIGIBLE = 1e-6  # of the mass, at an end


def check_line(event: Event, name: str) -> None:
    """Raises ValueError unless the event has one real element."""
    if event.discrete or event.size != 1:
        raise ValueError(f"{name} needs one real element; got {event}.")


def bisect(
    cdf: Callable[[Array], Array], u: Array, low: Array, high: Array, num_steps: int = 40
) -> Array:
    """The x in [low, high] with cdf(x) = u, to float32 rounding or (high - low) / 2^num_steps.

    Args:
      cdf: a function of one number that does not fall.
      u: in [0, 1], a scalar.
      low: cdf(low) <= u.
      high: cdf(high) >= u.
      num_steps: evaluations of cdf.
    """

    def step(_: int, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = 0.5 * (low + high)
        below = cdf(middle) < u
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    ends = jnp.asarray(low, jnp.float32), jnp.asarray(high, jnp.float32)
    low, high = jax.lax.fori_loop(0, num_steps, step, ends)
    return 0.5 * (low + high)


@pytree
class Table:
    """A density that is linear between nodes in t, where x is a function of t on the whole line.

    x = loc + scale sinh(t) without edges, low + scale exp(t) or high - scale exp(-t) with one, and
    low + (high - low) sigmoid(t) with two.

    Attributes:
      t: [G], nodes.
      height: [G], the density by t.
      below: [G], its integral up to each node; the last is 1.
      log_total: the logarithm of the integral of the function that was given.
      error: total variation between the table and the density, as halving every panel shows it: no
        event has a probability that differs by more.
      low, high, loc, scale: of the map.
    """

    t: Array
    height: Array
    below: Array
    log_total: Array
    error: Array
    low: float = static()
    high: float = static()
    loc: float = static()
    scale: float = static()

    def x(self, t: Array) -> Array:
        """x(t)"""
        if math.isinf(self.low) and math.isinf(self.high):
            return self.loc + self.scale * jnp.sinh(t)
        if math.isinf(self.high):
            return self.low + self.scale * jnp.exp(t)
        if math.isinf(self.low):
            return self.high - self.scale * jnp.exp(-t)
        return self.low + (self.high - self.low) * jax.nn.sigmoid(t)

    def log_slope(self, t: Array) -> Array:
        """log |dx/dt|"""
        if math.isinf(self.low) and math.isinf(self.high):
            return math.log(self.scale / 2.0) + jnp.logaddexp(t, -t)
        if math.isinf(self.high):
            return math.log(self.scale) + t
        if math.isinf(self.low):
            return math.log(self.scale) - t
        return math.log(self.high - self.low) + jax.nn.log_sigmoid(t) + jax.nn.log_sigmoid(-t)

    def t_of(self, x: Array) -> Array:
        """The inverse of `x`."""
        if math.isinf(self.low) and math.isinf(self.high):
            return jnp.arcsinh((x - self.loc) / self.scale)
        if math.isinf(self.high):
            return jnp.log((x - self.low) / self.scale)
        if math.isinf(self.low):
            return -jnp.log((self.high - x) / self.scale)
        return jnp.log(x - self.low) - jnp.log(self.high - x)

    def log_prob(self, x: Array) -> Array:
        """log p(x) of the table, nats; -inf outside of it."""
        t = self.t_of(jnp.asarray(x, jnp.float32))
        inside = (t >= self.t[0]) & (t <= self.t[-1])  # false where t is no number
        t = jnp.where(inside, t, self.t[0])
        log_height = jnp.log(jnp.interp(t, self.t, self.height))
        return jnp.where(inside, log_height - self.log_slope(t), -jnp.inf)

    def cdf(self, x: Array) -> Array:
        """P(X <= x)."""
        x = jnp.clip(jnp.asarray(x, jnp.float32), self.low, self.high)
        t = jnp.clip(self.t_of(x), self.t[0], self.t[-1])
        i = jnp.clip(jnp.searchsorted(self.t, t, side="right") - 1, 0, len(self.t) - 2)
        z = t - self.t[i]
        return jnp.clip(self.below[i] + z * (self.height[i] + 0.5 * self._rise(i) * z), 0.0, 1.0)

    def icdf(self, u: Array) -> Array:
        """The x with cdf(x) = u: the root of a quadratic, in the panel that holds it."""
        u = jnp.asarray(u, jnp.float32)
        i = jnp.clip(jnp.searchsorted(self.below, u, side="right") - 1, 0, len(self.t) - 2)
        rest, a, rise = u - self.below[i], self.height[i], self._rise(i)
        root = jnp.sqrt(jnp.maximum(a * a + 2.0 * rise * rest, 0.0))
        z = 2.0 * rest / jnp.maximum(a + root, 1e-30)  # so written, stable where it is flat
        return self.x(jnp.clip(self.t[i] + z, self.t[i], self.t[i + 1]))

    def sample(self, key: Key) -> Array:
        """One x, a scalar: icdf of a uniform number."""
        return self.icdf(jax.random.uniform(key, (), jnp.float32))

    def _rise(self, i: Array) -> Array:
        return (self.height[i + 1] - self.height[i]) / (self.t[i + 1] - self.t[i])


def tabulate(
    log_density: Callable[[Array], Array],
    low: float = -math.inf,
    high: float = math.inf,
    *,
    loc: float = 0.0,
    scale: float = 1.0,
    tolerance: float = 1e-4,
) -> Table:
    """A table of a density, with panels halved until the total variation is below the tolerance.

    Args:
      log_density: a function of one number, log p(x) up to a constant, -inf where it is zero.
      low: the edges of its support, where it may have poles that can be integrated; at 0 best, for
        elsewhere float32 holds no x nearer to the edge than its rounding, and their mass is lost.
      high: the same.
      loc: somewhere near its mass, where there is no edge.
      scale: how wide that is, within some powers of ten.
      tolerance: of `Table.error`.

    Raises:
      ValueError: the integral does not converge at an end or inside, is zero on the first grid, or
        there is no such interval.
    """
    if not (low < high and scale > 0.0 and math.isfinite(loc + scale)):
        raise ValueError(
            f"tabulate needs low < high, a scale above zero and a finite loc; got low {low}, high "
            f"{high}, scale {scale}, loc {loc}."
        )
    zero = jnp.zeros(2, jnp.float32)
    table = Table(zero, zero, zero, zero[0], zero[0], low, high, loc, scale)

    @jax.jit
    def log_heights(t: Array) -> Array:
        def one(t: Array) -> Array:
            x = table.x(t)
            value = log_density(x) + table.log_slope(t)
            outside = (x <= low) | (x >= high) | ~jnp.isfinite(x)
            return jnp.where(outside, -jnp.inf, value)

        return jax.vmap(one)(t)

    return _refined(table, functools.partial(_heights, table, log_heights), tolerance)


def _heights(table: Table, log_heights: Callable[[Array], Array], t: np.ndarray) -> np.ndarray:
    """log heights [G] at any number of nodes, in blocks of one shape."""
    found = []
    for begin in range(0, len(t), BLOCK):
        part = t[begin : begin + BLOCK].astype(np.float32)
        padded = np.pad(part, (0, BLOCK - len(part)), mode="edge")
        found.append(np.asarray(log_heights(padded), np.float64)[: len(part)])
    found = np.concatenate(found)
    wrong = np.isnan(found) | (found == np.inf)
    if np.any(wrong):
        at = float(table.x(jnp.float32(t[np.argmax(wrong)])))
        raise ValueError(
            f"tabulate needs a finite density; its logarithm is {found[np.argmax(wrong)]} at x = "
            f"{at:g}. Make that an edge (low, high), where a pole is allowed."
        )
    return found


def _refined(
    table: Table, log_heights: Callable[[np.ndarray], np.ndarray], tolerance: float
) -> Table:
    """Halves the panels whose middle is not where a line has it."""
    t = np.linspace(-END, END, 1921)
    log_height = log_heights(t)
    top = np.max(log_height)
    if top == -np.inf:
        raise ValueError("tabulate found no mass: give loc and scale near to where the density is.")
    while True:
        middle = 0.5 * (t[:-1] + t[1:])
        log_middle = log_heights(middle)
        top = max(top, np.max(log_middle))
        a, m = np.exp(log_height - top), np.exp(log_middle - top)
        width = np.diff(t)
        mass = width * (a[:-1] + 4.0 * m + a[1:]) / 6.0
        total = np.sum(mass)
        # Of a parabola: two thirds of its height above the chord, half of that each way.
        gap = width * np.abs(m - 0.5 * (a[:-1] + a[1:])) * 2.0 / 3.0
        error = 0.5 * np.sum(gap) / total
        if error < tolerance / 2.0:  # the middles join the nodes, so it is a quarter of this
            break
        split = gap > tolerance * total / len(gap) / 2.0
        if len(t) + np.sum(split) > MAX_PANELS:
            at = float(table.x(jnp.float32(middle[np.argmax(gap)])))
            raise ValueError(
                f"the integral of the density does not converge near x = {at:g}: after "
                f"{MAX_PANELS:,} panels it still changes by {error:.1e} of itself."
            )
        _check_ends(mass, total, t)
        t = np.concatenate([t, middle[split]])
        log_height = np.concatenate([log_height, log_middle[split]])
        order = np.argsort(t)
        t, log_height = t[order], log_height[order]
    _check_ends(mass, total, t)
    return _filled(table, t, middle, a, m, top, error)


def _check_ends(mass: np.ndarray, total: float, t: np.ndarray) -> None:
    """Raises ValueError where the last tenth of the line towards an end holds mass."""
    for name, at_end in {"lower": t[1:] < -0.9 * END, "upper": t[:-1] > 0.9 * END}.items():
        share = np.sum(mass[at_end]) / total
        if share > NEGLIGIBLE:
            raise ValueError(
                f"the integral of the density does not converge at its {name} end: the last "
                f"exp(6)-fold of its range holds {share:.1e} of all mass. Give an edge "
                "(low, high), or a density with a lighter tail."
            )


def _filled(
    table: Table,
    t: np.ndarray,
    middle: np.ndarray,
    a: np.ndarray,
    m: np.ndarray,
    top: float,
    error: float,
) -> Table:
    """The table of all nodes and middles that hold mass."""
    t, height = np.concatenate([t, middle]), np.concatenate([a, m])
    order = np.argsort(t)
    t, height = t[order], height[order]
    kept = np.flatnonzero(height > 0.0)
    first, last = max(kept[0] - 1, 0), min(kept[-1] + 2, len(t))
    t, height = t[first:last], height[first:last]
    below = np.concatenate([[0.0], np.cumsum(0.5 * np.diff(t) * (height[:-1] + height[1:]))])
    total = below[-1]
    leaves = t, height / total, below / total, top + math.log(total), error / 4.0
    t, height, below, log_total, error = (jnp.asarray(leaf, jnp.float32) for leaf in leaves)
    return table.replace(t=t, height=height, below=below, log_total=log_total, error=error)
