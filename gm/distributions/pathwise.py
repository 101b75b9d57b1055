"""Pathwise gradients: whether samples are reparameterized, and samples with their scores."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Distribution, Key, PyTree


class Scored:
    """What every distribution of this room has.

    Attributes:
      reparameterized: whether gradients flow from a sample to all parameters, so that
        E_x~p[f(x)] may be differentiated through x.
    """

    reparameterized = False

    def sample_and_log_prob(self: Distribution, key: Key) -> tuple[Array, Array]:
        """One x ~ p, and log p(x) in nats: what `sample` and then `log_prob` give."""
        x = self.sample(key)
        return x, self.log_prob(x)


def is_reparameterized(d: Distribution) -> bool:
    """Whether gradients flow through samples of d, gm's own or any other with `sample`.

    A distribution that does not say so by itself (`reparameterized`) is believed to be where every
    leaf of its samples is real, and is not where one is an integer.
    """
    said = getattr(d, "reparameterized", None)
    if said is not None:
        return bool(said)
    samples = jax.tree.leaves(jax.eval_shape(lambda: d.sample(jax.random.key(0))))
    return all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in samples)


def sample_and_log_prob(d: Distribution, key: Key) -> tuple[PyTree, Array]:
    """One x ~ d and log p(x) in nats, together where d has a method for both; gm's own have."""
    if hasattr(d, "sample_and_log_prob"):
        return d.sample_and_log_prob(key)
    return Scored.sample_and_log_prob(d, key)
