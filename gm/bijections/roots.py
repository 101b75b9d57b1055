"""Inverses without a closed form: bisection, and the implicit function theorem for gradients.

    f(x; args) = y    =>    dx = (df/dx)^{-1} (dy - df/dargs dargs)

to all orders and in both modes, whatever found x.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm.core import Array, PyTree

LARGEST = 2.0**40  # roots are sought in [-LARGEST, LARGEST]


def increasing(f: Callable[[PyTree, Array], Array], args: PyTree, y: Array) -> Array:
    """x with f(args, x) = y, for an increasing f of one number.

    Bisection over floating-point numbers, by their bits: of all float32 numbers in [-2^40, 2^40],
    the least x whose f(args, x), as it is rounded, is at least y; 2^40 where there is none. So its
    error is that of rounding f, however large or small x is. It costs 32 evaluations of f.

    Args:
      f: (args, x) -> y, a pure function whose only arrays are its arguments.
      args: a pytree of real arrays, with gradients.
      y: a scalar.
    """
    return implicit(f, functools.partial(_bisect, f), args, y)


def triangular(f: Callable[[PyTree, Array], Array], args: PyTree, y: Array) -> Array:
    """x: [D] with f(args, x) = y, where f_i depends on x_0 .. x_i alone and increases with x_i.

    One element after another, each as in `increasing`: 32 D evaluations of f, and for gradients its
    Jacobian and a solution of D linear equations.

    Args:
      f, args: as in `increasing`, for vectors.
      y: [D]
    """
    return implicit(f, functools.partial(_one_by_one, f), args, y)


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def implicit(
    f: Callable[[PyTree, Array], Array],
    search: Callable[[PyTree, Array], Array],
    args: PyTree,
    y: Array,
) -> Array:
    """x = search(args, y), which solves f(args, x) = y, with the derivatives of a solution.

    Args:
      f: (args, x) -> y, for x and y of one shape, () or [D]; its Jacobian is formed, and inverted.
      search: finds x; it is not differentiated.
      args: a pytree of real arrays.
      y: the right-hand side.
    """
    return search(args, y)


def _implicit_jvp(f: Callable, search: Callable, primals: tuple, tangents: tuple) -> tuple:
    (args, y), (args_dot, y_dot) = primals, tangents
    x = implicit(f, search, args, y)
    _, moved = jax.jvp(lambda args: f(args, x), (args,), (args_dot,))
    jacobian = jax.jacfwd(f, argnums=1)(args, x)
    if y.ndim == 0:
        return x, (y_dot - moved) / jacobian
    return x, jnp.linalg.solve(jacobian, y_dot - moved)


implicit.defjvp(_implicit_jvp)


def _bisect(f: Callable[[PyTree, Array], Array], args: PyTree, y: Array) -> Array:
    """The least x with f(args, x) >= y."""
    dtype = y.dtype
    limit = jnp.asarray(LARGEST, dtype)

    def halve(_: Array, ends: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = ends
        middle = (low >> 1) + (high >> 1) + (low & high & 1)  # their sum may overflow
        above = f(args, _number(middle, dtype)) >= y
        return jnp.where(above, low, middle), jnp.where(above, middle, high)

    ends = _rank(-limit), _rank(limit)
    low, high = jax.lax.fori_loop(0, jnp.finfo(dtype).bits, halve, ends)
    del low
    return _number(high, dtype)


def _one_by_one(f: Callable[[PyTree, Array], Array], args: PyTree, y: Array) -> Array:
    """Each x_i by bisection, given those before it."""

    def element(i: Array, x: Array) -> Array:
        def own(args: PyTree, x_i: Array) -> Array:
            return f(args, x.at[i].set(x_i))[i]

        return x.at[i].set(_bisect(own, args, y[i]))

    return jax.lax.fori_loop(0, len(y), element, jnp.zeros_like(y))


def _rank(x: Array) -> Array:
    """An integer that orders floating-point numbers as they are: their bits, with a sign."""
    bits = jax.lax.bitcast_convert_type(x, f"int{jnp.finfo(x.dtype).bits}")
    return jnp.where(bits < 0, bits ^ jnp.iinfo(bits.dtype).max, bits)


def _number(rank: Array, dtype: jnp.dtype) -> Array:
    """The inverse of `_rank`."""
    bits = jnp.where(rank < 0, rank ^ jnp.iinfo(rank.dtype).max, rank)
    return jax.lax.bitcast_convert_type(bits, dtype)
