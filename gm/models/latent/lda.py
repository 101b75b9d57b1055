r"""Latent Dirichlet allocation: a document mixes topics, a topic is a distribution over terms.

Blei, Ng & Jordan (2003), "Latent Dirichlet allocation", JMLR 3:993-1022.

    theta ~ Dir(a),    z_i | theta ~ Cat(theta),    x_i | z_i ~ Cat(topics[z_i])

with z summed out, x_i | theta ~ Cat(theta @ topics), the words of a document being independent
given theta. q(theta | x) is the Dirichlet of `dist.proportions_posterior`, without an encoder to
train. log p(x) is an integral over theta: `gm.losses.variational` bounds it, and importance
sampling from q estimates it. Topics come from `topic_fits` (variational Bayes, collapsed Gibbs
sampling), or from any loss of a latent model, since q is a function of the parameters.
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Event, Key, Params


@dataclasses.dataclass(frozen=True)
class LatentDirichletAllocation:
    """Documents of N words over V terms: {"log_topics": [K, V], "log_concentration": [K]}.

    Attributes:
      event: `Event((N,), V)`.
      num_topics: K.
      concentration: a at the start, of every topic.
      num_steps: of coordinate ascent for q(theta | x).
    """

    event: Event
    num_topics: int
    concentration: float = 0.1
    num_steps: int = 30

    def __post_init__(self) -> None:
        if len(self.event.shape) != 1 or not self.event.discrete:
            raise ValueError(
                "LatentDirichletAllocation needs the event of a document of words, Event((N,), V); "
                f"got {self.event}."
            )
        if self.num_topics < 1 or not self.concentration > 0.0:
            raise ValueError(
                "LatentDirichletAllocation needs at least one topic and a positive concentration; "
                f"got {self.num_topics} and {self.concentration}."
            )

    def init(self, key: Key) -> Params:
        """Topics near the uniform one."""
        shape = (self.num_topics, self.event.num_values)
        topics = 0.5 * jax.random.normal(key, shape, jnp.float32)
        a = jnp.full(self.num_topics, jnp.log(self.concentration), jnp.float32)
        return {"log_topics": topics, "log_concentration": a}

    def topics(self, params: Params) -> Array:
        """p(w | k): [K, V]"""
        return jax.nn.softmax(params["log_topics"], axis=1)

    def prior(self, params: Params) -> dist.Dirichlet:
        """p(theta) = Dir(a)"""
        return dist.Dirichlet(jnp.exp(params["log_concentration"]))

    def encode(self, params: Params, x: Array) -> dist.Dirichlet:
        """q(theta | x)"""
        self.event.check(x)
        parts, ones = self.topics(params)[:, x].T, jnp.ones(len(x), jnp.float32)
        a = jnp.exp(params["log_concentration"])
        return dist.proportions_posterior(parts, ones, a, self.num_steps)

    def decode(self, params: Params, z: Array) -> dist.Categorical:
        """p(x | theta), for z = theta: [K]"""
        log_p = jnp.log(jnp.maximum(z @ self.topics(params), jnp.finfo(jnp.float32).tiny))
        return dist.Categorical(jnp.broadcast_to(log_p, (*self.event.shape, *log_p.shape)))

    def sample(self, params: Params, key: Key) -> Array:
        """The words of one document: [N]"""
        key_theta, key_words = jax.random.split(key)
        return self.decode(params, self.prior(params).sample(key_theta)).sample(key_words)
