"""Standard noise from random bits with exact tails: Uniform, Normal, Laplace, Logistic, Gumbel.

`jax.random.uniform` has a resolution of 2^-23, so that samples derived from it never lie in tails
rarer than 1e-7, and too often close to these. Here all 32 bits are used: u = (bits + 1/2) / 2^32 is
rounded to a float, whose resolution is finer near zero. A symmetric distribution uses the last bit
for the sign and the others for the tail probability. Tails rarer than 2^-33 are never sampled.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax.scipy import special

from gm.core import Array, Key

BELOW_ONE = 1.0 - 2.0**-24  # the largest float32 below 1


def bits(key: Key, *parameters: Array) -> Array:
    """32 random bits for every element of the first parameter, uint32: [...]"""
    return jax.random.bits(key, jnp.shape(parameters[0]), jnp.uint32)


def uniform(bits: Array) -> Array:
    """Uniform numbers in (0, 1), with a resolution of 2^-32 near zero."""
    return jnp.minimum((bits.astype(jnp.float32) + 0.5) * 2.0**-32, BELOW_ONE)


def normal(bits: Array) -> Array:
    """Standard normal numbers."""
    sign, tail = _sign_and_tail(bits)
    return sign * special.ndtri(tail)


def laplace(bits: Array) -> Array:
    """Numbers with density exp(-|x|) / 2."""
    sign, tail = _sign_and_tail(bits)
    return sign * jnp.log(2.0 * tail)


def logistic(bits: Array) -> Array:
    """Numbers with density sigmoid(x) sigmoid(-x)."""
    sign, tail = _sign_and_tail(bits)
    return sign * (jnp.log(tail) - jnp.log1p(-tail))


def gumbel(bits: Array) -> Array:
    """Numbers with P(X <= x) = exp(-exp(-x)), precise in the upper tail, which decides argmax."""
    return -jnp.log(-jnp.log1p(-uniform(bits)))


def _sign_and_tail(bits: Array) -> tuple[Array, Array]:
    """A sign ±1, and a uniform number in (0, 1/2], the probability of the lower tail."""
    sign = 1.0 - 2.0 * (bits & 1).astype(jnp.float32)
    return sign, ((bits >> 1).astype(jnp.float32) + 0.5) * 2.0**-32
