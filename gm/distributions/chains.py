"""Markov chains: a distribution over paths of states, MarkovChain."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from gm.core import Array, Key, pytree
from gm.distributions import checks
from gm.distributions.discrete import Categorical
from gm.distributions.pathwise import Scored


@pytree
class MarkovChain(Scored):
    """p(z) = p(z_1) Π_t p(z_t+1 | z_t), for z: [T] of values {0, ..., K - 1}.

    Attributes:
      initial: [K], logits of z_1; -inf forbids a state.
      transition: [T - 1, K, K], logits of z_t+1 in the last axis, for each z_t; no row may be -inf
        throughout.
    """

    initial: Array
    transition: Array

    def log_prob(self, z: Array) -> Array:
        """log p(z), nats, for integers z: [T]."""
        z = checks.integers(self, z, self._places())
        first = Categorical(self.initial).log_prob(z[0])
        if len(z) == 1:
            return first
        before = jnp.clip(z[:-1], 0, len(self.initial) - 1)  # a value outside has scored -inf
        rows = jnp.take_along_axis(self.transition, before[:, None, None], axis=1)[:, 0]
        return first + Categorical(rows).log_prob(z[1:])

    def sample(self, key: Key) -> Array:
        """One z: [T] int32."""
        key_first, key_rest = jax.random.split(key)
        first = Categorical(self.initial).sample(key_first)
        noise = Categorical(self.transition[:, 0]).noise(key_rest)

        def step(z: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
            rows, noise = inputs
            z = Categorical(rows[z]).from_noise(noise)
            return z, z

        _, rest = jax.lax.scan(step, first, (self.transition, noise))
        return jnp.concatenate([first[None], rest])

    def marginals(self) -> Array:
        """P(z_t = k) of every t and k: [T, K]"""
        first = jax.nn.softmax(self.initial)

        def step(p: Array, rows: Array) -> tuple[Array, Array]:
            p = jnp.matmul(p, jnp.exp(Categorical(rows).log_probs), precision="highest")
            return p, p

        _, rest = jax.lax.scan(step, first, self.transition)
        return jnp.concatenate([first[None], rest])

    def mode(self) -> Array:
        """The likeliest path, by dynamic programming (Viterbi, 1967): [T] int32."""
        log_p = Categorical(self.transition).log_probs

        def ahead(score: Array, rows: Array) -> tuple[Array, Array]:
            through = score[:, None] + rows
            best = jnp.max(through, 0)
            # Less the highest, so that the scores of long paths are as fine as those of short ones.
            return best - jnp.max(best), jnp.argmax(through, 0).astype(jnp.int32)

        score, came_from = jax.lax.scan(ahead, Categorical(self.initial).log_probs, log_p)

        def back(z: Array, came_from: Array) -> tuple[Array, Array]:
            return came_from[z], z

        last = jnp.argmax(score).astype(jnp.int32)
        first, rest = jax.lax.scan(back, last, came_from, reverse=True)
        return jnp.concatenate([first[None], rest])

    def _places(self) -> Array:
        """[T], what z has the shape of."""
        return jnp.zeros(1 + self.transition.shape[0], jnp.int32)
