"""Log-domain helpers: stable forms, with gradients that stay finite at the edges."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array


def log1mexp(x: Array) -> Array:
    """log(1 - exp(-x)) for x > 0, accurate at both ends.

    Maechler (2012), "Accurately computing log(1 - exp(-|a|))": log(-expm1(-x)) for x < log 2,
    log1p(-exp(-x)) above. Returns -inf at 0.
    """
    small = x < jnp.log(2.0)
    # Both branches are differentiated; each sees a harmless argument where it is not taken.
    near = jnp.log(-jnp.expm1(-jnp.where(small, x, 1.0)))
    far = jnp.log1p(-jnp.exp(-jnp.where(small, 1.0, x)))
    return jnp.where(small, near, far)


def log_mean_exp(x: Array, axis: int = 0) -> Array:
    """log (1/S) Σ_s exp(x_s) along an axis."""
    return log_sum_exp(x, axis) - jnp.log(x.shape[axis])


def safe_norm(x: Array) -> Array:
    """Euclidean norm of all of x, with gradient 0 (not NaN) at x = 0."""
    square = jnp.sum(x * x)
    positive = square > 0.0
    return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1.0)), 0.0)


def log_sum_exp(x: Array, axis: int = -1) -> Array:
    """log Σ exp(x) along an axis; where every term is -inf the gradient is 0, not NaN."""
    possible = jnp.any(x > -jnp.inf, axis, keepdims=True)
    total = jax.nn.logsumexp(jnp.where(possible, x, 0.0), axis)
    return jnp.where(jnp.squeeze(possible, axis), total, -jnp.inf)


def exp_times(log_p: Array, x: Array) -> Array:
    """exp(log_p) x, where an impossible event counts for nothing: 0 times ±inf is 0.

    So that Σ p log p and Σ q log (q / p) keep their limits, value and gradient, at log_p = -inf.
    """
    impossible = jnp.exp(log_p) == 0.0
    return jnp.where(impossible, 0.0, jnp.exp(jnp.where(impossible, 0.0, log_p)) * x)


def block_size(size: int) -> int:
    """The divisor of size nearest to its square root, for a scan in equal blocks; size up to 16."""
    if size <= 16:
        return max(size, 1)
    divisors = [d for d in range(1, size + 1) if size % d == 0]
    return min(divisors, key=lambda d: abs(math.log(d * d / size)))


@jax.custom_jvp
def certain(logits: Array) -> Array:
    """Logits [..., K] without +inf: where a row has some, they are 0 and all others -inf.

    So that certainty has the limits of large logits in softmax and its logarithm, value and
    gradient, in place of inf - inf.
    """
    infinite = logits == jnp.inf
    limit = jnp.where(infinite, 0.0, -jnp.inf).astype(logits.dtype)
    return jnp.where(jnp.any(infinite, -1, keepdims=True), limit, logits)


certain.defjvp(lambda primals, tangents: (certain(*primals), *tangents))


def log_softmax(logits: Array) -> Array:
    """log softmax along the last axis, [..., K]; logits may be -inf, and +inf (`certain`)."""
    return jax.nn.log_softmax(certain(logits))


def on_host(*arrays: Array | None) -> bool:
    """Whether numpy may compute with these: values are known, outside jit, and on a CPU."""
    known = not any(isinstance(array, jax.core.Tracer) for array in arrays)
    return known and jax.default_backend() == "cpu"


@jax.custom_jvp
def sort(x: Array) -> Array:
    """x in rising order along its last axis, floats; nan at the end.

    XLA sorts floats on a CPU by a comparison that knows nan, which takes five times as long as
    comparing their bits as integers, and thirty times as long as numpy, which sorts values that
    are known (outside jit).
    """
    if on_host(x):
        return jnp.asarray(np.sort(np.asarray(x), axis=-1))
    bits = jnp.finfo(x.dtype).bits
    integer = jnp.dtype(f"int{bits}")
    largest = jnp.asarray(jnp.iinfo(integer).max, integer)

    def ordered(i: Array) -> Array:  # of negative floats the bits fall; its own inverse
        return jnp.where(i < 0, i ^ largest, i)

    keys = ordered(jax.lax.bitcast_convert_type(x, integer))
    keys = jax.lax.sort(keys, dimension=-1, is_stable=False)
    return jax.lax.bitcast_convert_type(ordered(keys), x.dtype)


sort.defjvp(
    lambda primals, tangents: jax.jvp(functools.partial(jnp.sort, axis=-1), primals, tangents)
)
