r"""VQ-VAE: an autoencoder through discrete codes, with a prior over the codes trained afterwards.

van den Oord, Vinyals & Kavukcuoglu (2017), "Neural discrete representation learning",
arXiv:1711.00937.

    k(x) = the code of encoder(x) at each place,    log p(x) >= log p(x | k(x)) + log p(k(x))

The bound is the ELBO of a posterior with all its mass on k(x). In the first stage p(k) is uniform,
and `losses.vector_quantization` trains the networks and the codebook; in the second the prior is
any density of k that samples, such as PixelCNN, trained on codes. `sample` costs one sample of the
prior and one forward pass of the decoder.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp

from gm import core
from gm.core import Array, Distribution, Event, Head, Key, Network, Params
from gm.models.latent.quantizers import Codebook, FiniteScalar


@dataclasses.dataclass(frozen=True)
class VQVAE:
    """p(k) p(x | k) with a deterministic k(x): {"encoder", "decoder", "quantizer", "prior"}.

    Attributes:
      event: the space of x.
      head: turns P raw outputs into the distribution of one element of x given k.
      encoder: [*event, C] -> [*shape, E].
      decoder: [*shape, E] -> [*event, P].
      quantizer: from vectors [E] to codes, `Codebook(K, E)` or `FiniteScalar(levels)`.
      shape: of the codes k, such as (7, 7).
      density: p(k), a density over `codes` that samples; None for a uniform one, without "prior".

    Raises:
      ValueError: the head, or the density, is over other values.
      TypeError: the density does not score and sample.
    """

    event: Event
    head: Head
    encoder: Network
    decoder: Network
    quantizer: Codebook | FiniteScalar
    shape: tuple[int, ...]
    density: Any = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "shape", tuple(self.shape))
        if self.head.num_values != self.event.num_values:
            raise ValueError(
                f"VQVAE needs a head over num_values={self.event.num_values}, as its event; "
                f"got {self.head}. gm.distributions.head_for(event) gives one that fits."
            )
        if self.density is None:
            return
        core.require(self.density, core.Density, "VQVAE's density")
        core.require(self.density, core.Samplable, "VQVAE's density")
        if self.density.event != self.codes:
            raise ValueError(
                f"VQVAE needs a density over its codes, {self.codes}; got one over "
                f"{self.density.event}."
            )

    @property
    def codes(self) -> Event:
        """The space of k."""
        return Event(self.shape, self.quantizer.num_codes)

    def init(self, key: Key) -> Params:
        """Parameters of all parts; the codes near 0, where encoders start."""
        keys = jax.random.split(key, 4)
        x = jnp.zeros((*self.event.shape, self.head.num_features), jnp.float32)
        h = jnp.zeros((*self.shape, self.quantizer.dim), jnp.float32)
        params = {
            "encoder": self.encoder.init(keys[0], x),
            "decoder": self.decoder.init(keys[1], h),
            "quantizer": self.quantizer.init(keys[2]),
        }
        return params | ({} if self.density is None else {"prior": self.density.init(keys[3])})

    def features(self, params: Params, x: Array) -> Array:
        """The encoder's vectors, before quantization: [*shape, E]

        Raises:
          ValueError: x is not of the event, or the encoder has outputs of another shape.
        """
        self.event.check(x)
        h = self.encoder.apply(params["encoder"], self.head.features(x))
        if h.shape != (*self.shape, self.quantizer.dim):
            raise ValueError(
                f"VQVAE needs an encoder with outputs {(*self.shape, self.quantizer.dim)}, a "
                f"vector for each code; got {h.shape}."
            )
        return self.quantizer.project(params["quantizer"], h)

    def index(self, params: Params, x: Array) -> Array:
        """k(x): [*shape] int32"""
        self.event.check(x)
        h = self.encoder.apply(params["encoder"], self.head.features(x))
        return self.quantizer.index(params["quantizer"], h)

    def decode(self, params: Params, k: Array) -> Distribution:
        """p(x | k)"""
        return self.decode_vectors(params, self.quantizer.vectors(params["quantizer"], k))

    def decode_vectors(self, params: Params, e: Array) -> Distribution:
        """p(x | e) for vectors [*shape, E], of codes or others."""
        return self.head(self.decoder.apply(params["decoder"], e))

    def log_prior(self, params: Params, k: Array) -> Array:
        """log p(k), nats."""
        if self.density is None:
            uniform = -math.prod(self.shape) * math.log(self.quantizer.num_codes)
            return jnp.asarray(uniform, jnp.float32)
        return self.density.log_prob(params["prior"], k)

    def lower_bound(self, params: Params, key: Key, x: Array) -> Array:
        """log p(x | k(x)) + log p(k(x)) in nats; nothing is random.

        Gradients pass straight through to the encoder, and reach the codes too.
        """
        del key
        h, k = self.features(params, x), self.index(params, x)
        e = self.quantizer.vectors(params["quantizer"], k)
        e = e + h - jax.lax.stop_gradient(h)
        return self.decode_vectors(params, e).log_prob(x) + self.log_prior(params, k)

    def sample(self, params: Params, key: Key) -> Array:
        """x ~ p(x | k) with k ~ p(k)."""
        key_k, key_x = jax.random.split(key)
        if self.density is None:
            k = jax.random.randint(key_k, self.shape, 0, self.quantizer.num_codes, jnp.int32)
        else:
            k = self.density.sample(params["prior"], key_k)
        return self.decode(params, k).sample(key_x)
