"""Pathwise gradients: whether samples are reparameterized, and samples with their log_prob."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Distribution, Key, PyTree


class Scored:
    """The members that all distributions of this package share.

    Attributes:
      reparameterized: whether gradients flow from a sample to all parameters, so that
        E_x~p[f(x)] may be differentiated through x.
    """

    reparameterized = False

    def sample_and_log_prob(self: Distribution, key: Key) -> tuple[Array, Array]:
        """One x ~ p, and log p(x) in nats: the results of `sample` and `log_prob`."""
        x = self.sample(key)
        return x, self.log_prob(x)


def is_reparameterized(d: Distribution) -> bool:
    """Whether gradients flow through samples of d, any distribution with `sample`.

    A distribution without an attribute `reparameterized` is assumed to be reparameterized if every
    leaf of its samples is real, and not if one is an integer.
    """
    said = getattr(d, "reparameterized", None)
    if said is not None:
        return bool(said)
    samples = jax.tree.leaves(jax.eval_shape(lambda: d.sample(jax.random.key(0))))
    return all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in samples)


def sample_and_log_prob(d: Distribution, key: Key) -> tuple[PyTree, Array]:
    """One x ~ d and log p(x) in nats; uses d's method of this name if it has one, as gm's do."""
    if hasattr(d, "sample_and_log_prob"):
        return d.sample_and_log_prob(key)
    return Scored.sample_and_log_prob(d, key)
