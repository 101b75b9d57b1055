r"""VAE: a deep latent-variable model with an amortized Gaussian posterior.

Kingma & Welling (2014), "Auto-encoding variational Bayes", arXiv:1312.6114; Rezende, Mohamed &
Wierstra (2014), arXiv:1401.4082.

    z ~ N(0, I),    x | z ~ head(decoder(z)),    q(z | x) = N(m(x), diag s(x)^2)

`posteriors` are bijections that move q's Normal, `priors` are other p(z).

With a context y every part is given it (Sohn, Lee & Yan, 2015, "Learning structured output
representation using deep conditional generative models"), but for the prior, which stays N(0, I).

log p(x) is an integral over z with no closed form: `gm.losses.variational` bounds it for training,
`gm.metrics` estimates it. `sample` costs one forward pass of the decoder.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from gm import core
from gm import distributions as dist
from gm.core import Array, Bijection, Distribution, Event, Head, Key, Network, Params


@dataclasses.dataclass(frozen=True)
class VAE:
    """p(x, z) = N(z; 0, I) p(x | z) with a diagonal-Gaussian posterior, or a flow of one.

    Attributes:
      event: the space of x.
      head: turns P raw outputs into the distribution of one element of x given z.
      encoder: [*event, C] -> [2K], mean and raw scale of q(z | x); [2K + E] with a `posterior`.
      decoder: [K] -> [*event, P].
      latent_dim: K.
      min_scale: a floor under the posterior's standard deviation.
      start_scale: the posterior's standard deviation where the encoder's raw output is zero. Well
        below the prior's, so that z tells the decoder something before the KL prunes it.
      context: the space of y for p(x | y): `Event((), 10)` for labels, `Event((E,))` for vectors;
        both networks then take y too, as a vector: `network.apply(params, x, y)`.
      posterior: a bijection f of z that makes q(z | x) the distribution of f(e; h(x)), e Normal
        (`gm.models.latent.posteriors`). Its context h(x): [E] is what remains of the encoder's
        outputs after mean and scale. None for the Normal itself.
    """

    event: Event
    head: Head
    encoder: Network
    decoder: Network
    latent_dim: int
    min_scale: float = 1e-4
    start_scale: float = 0.1
    context: Event | None = None
    posterior: Bijection | None = None

    def __post_init__(self) -> None:
        if self.head.num_values != self.event.num_values:
            raise ValueError(
                f"VAE needs a head over num_values={self.event.num_values}, as its event; "
                f"got {self.head}. gm.distributions.head_for(event) gives one that fits."
            )

    def init(self, key: Key) -> Params:
        """Parameters of the encoder and the decoder."""
        key_encoder, key_decoder, key_posterior = jax.random.split(key, 3)
        x = jnp.zeros((*self.event.shape, self.head.num_features), jnp.float32)
        z = jnp.zeros(self.latent_dim, jnp.float32)
        y = core.context_inputs(self, core.example_context(self))
        params = {
            "encoder": self.encoder.init(key_encoder, x, *y),
            "decoder": self.decoder.init(key_decoder, z, *y),
        }
        if self.posterior is not None:
            params["posterior"] = self.posterior.init(key_posterior)
        return params

    def prior(self, params: Params, context: Array | None = None) -> dist.Normal:
        """p(z) = N(0, I)"""
        zeros = jnp.zeros(self.latent_dim, jnp.float32)
        return dist.Normal(zeros, jnp.ones_like(zeros))

    def encode(self, params: Params, x: Array, context: Array | None = None) -> Distribution:
        """q(z | x, y)"""
        self.event.check(x)
        return self.encode_features(params, self.head.features(x), context)

    def encode_features(
        self, params: Params, features: Array, context: Array | None = None
    ) -> Distribution:
        """q(z | x, y) for the features of x, [*event, C], or others like them.

        Raises:
          ValueError: the encoder has another number of outputs.
        """
        y, k = core.context_inputs(self, context), self.latent_dim
        raw = self.encoder.apply(params["encoder"], features, *y)
        if raw.ndim != 1 or raw.size < 2 * k or (self.posterior is None and raw.size > 2 * k):
            raise ValueError(
                f"VAE of {k} latents needs an encoder with {2 * k} outputs, and with more for the "
                f"context of a posterior, if there is one; got outputs of shape {raw.shape}."
            )
        loc, raw_scale, h = jnp.split(raw, (k, 2 * k))
        offset = math.log(math.expm1(self.start_scale))  # softplus of this is start_scale
        q = dist.Normal(loc, jax.nn.softplus(raw_scale + offset) + self.min_scale)
        if self.posterior is None:
            return q
        return dist.Transformed(q, self.posterior, params["posterior"], h)

    def decode(self, params: Params, z: Array, context: Array | None = None) -> Distribution:
        """p(x | z, y)"""
        y = core.context_inputs(self, context)
        return self.head(self.decoder.apply(params["decoder"], z, *y))

    def sample(self, params: Params, key: Key, context: Array | None = None) -> Array:
        """x ~ p(x | z, y) with z ~ p(z)."""
        key_z, key_x = jax.random.split(key)
        one = core.given(self, context)
        return one.decode(params, one.prior(params).sample(key_z)).sample(key_x)
