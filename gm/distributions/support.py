"""Enumeration of the values of a discrete distribution, for exact expectations."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Distribution, PyTree
from gm.distributions.discrete import Bernoulli, Categorical
from gm.distributions.joint import Joint, given_part

MAX_VALUES = 4096


def enumerate_support(dist: Distribution) -> PyTree:
    """All values of a Bernoulli, a Categorical or a Joint of these.

        z = enumerate_support(q)
        jnp.exp(jax.vmap(q.log_prob)(z)) @ jax.vmap(f)(z)                       # E_q f(z)

    Args:
      dist: a distribution over D elements of K values each, or a `Joint` of several such parts.

    Returns:
      Leaves [S, *event], int32, with S = K^D, or the product of these over the parts; the last
      element changes fastest.

    Raises:
      TypeError: the distribution or a part of it is of another type.
      ValueError: there are more than 4,096 values.
    """
    if isinstance(dist, Joint):
        supports: list[PyTree] = []
        for part in dist.parts:
            first = tuple(jax.tree.map(lambda leaf: leaf[0], z) for z in supports)
            supports.append(enumerate_support(given_part(part, first)))
        sizes = [len(jax.tree.leaves(z)[0]) for z in supports]
        _check(sizes)
        places = np.indices(sizes).reshape(len(sizes), -1)
        return tuple(
            jax.tree.map(lambda leaf, i=i: leaf[i], z)
            for z, i in zip(supports, places, strict=True)
        )
    if not isinstance(dist, Bernoulli | Categorical):
        raise TypeError(
            "enumerate_support needs a Bernoulli, a Categorical or a Joint of them; got "
            f"{type(dist).__name__}, whose support is not finite."
        )
    categorical = isinstance(dist, Categorical)
    shape = dist.logits.shape[:-1] if categorical else dist.logits.shape
    sizes = [dist.num_values if categorical else 2] * math.prod(shape)
    _check(sizes)
    values = np.indices(sizes).reshape(len(sizes), math.prod(sizes)).T
    return jnp.asarray(values.reshape(-1, *shape), jnp.int32)


def _check(sizes: list[int]) -> None:
    if (count := math.prod(sizes)) > MAX_VALUES:
        raise ValueError(
            f"enumerate_support lists at most {MAX_VALUES:,} values; got {count:,}. Estimate "
            "expectations over more values from samples."
        )
