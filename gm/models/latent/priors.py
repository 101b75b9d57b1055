r"""Richer priors, for any latent-variable model: a density of z, or a mixture of posteriors.

    WithPrior(model, density)    p(z) = density(z): a mixture, a flow, an autoregressive model, ...
    VampPrior(model, M)          p(z) = (1/M) \sum_m q(z | u_m), learned pseudo-inputs u_m

Both are latent-variable models themselves, with the posterior and the likelihood of `model`, and
are trained by the same bounds, their KL by samples. The best prior for a bound is the aggregated
posterior E_x q(z | x), which these approximate (Tomczak & Welling, 2018, arXiv:1705.07120;
Kingma et al., 2016, arXiv:1606.04934; Chen et al., 2017, arXiv:1611.02731, with flows). `sample`
costs one sample of the prior and one forward pass of the decoder.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm import distributions as dist
from gm.core import Array, Distribution, Event, Key, Params, PyTree


class _Around:
    """The methods of a model around another, whose parameters are params["model"]."""

    model: Any

    @property
    def event(self) -> Event:
        """The space of x."""
        return self.model.event

    @property
    def context(self) -> PyTree:
        """The space of y for p(x | y)."""
        return getattr(self.model, "context", None)

    def encode(self, params: Params, x: Array, context: PyTree = None) -> Distribution:
        """q(z | x, y)"""
        return core.given(self.model, context).encode(params["model"], x)

    def decode(self, params: Params, z: PyTree, context: PyTree = None) -> Distribution:
        """p(x | z, y)"""
        return core.given(self.model, context).decode(params["model"], z)

    def sample(self, params: Params, key: Key, context: PyTree = None) -> Array:
        """x ~ p(x | z, y) with z ~ p(z)."""
        key_z, key_x = jax.random.split(key)
        one = core.given(self, context)
        return one.decode(params, one.prior(params).sample(key_z)).sample(key_x)


@dataclasses.dataclass(frozen=True)
class WithPrior(_Around):
    """A latent-variable model with another prior: {"model", "prior"}.

    Attributes:
      model: a `core.Latent`.
      density: p(z), a density that samples, such as `flows.realnvp(Event((K,)))`,
        `classical.Mixture(...)` or MADE; with a field `context` it is p(z | y).

    Raises:
      TypeError: the model is not a latent-variable model, or the density does not score and sample.
    """

    model: Any
    density: Any

    def __post_init__(self) -> None:
        core.require(self.model, core.Latent, "WithPrior")
        core.require(self.density, core.Density, "WithPrior's density")
        core.require(self.density, core.Samplable, "WithPrior's density")

    def init(self, key: Key) -> Params:
        """Parameters of both."""
        key_model, key_prior = jax.random.split(key)
        return {"model": self.model.init(key_model), "prior": self.density.init(key_prior)}

    def prior(self, params: Params, context: PyTree = None) -> dist.OfModel:
        """p(z), or p(z | y) of a conditional density."""
        conditional = getattr(self.density, "context", None) is not None
        return dist.OfModel(self.density, params["prior"], context if conditional else None)


@dataclasses.dataclass(frozen=True)
class VampPrior(_Around):
    r"""p(z) = (1/M) \sum_m q(z | u_m): {"model", "inputs": [M, *event, C]}.

    Tomczak & Welling (2018), "VAE with a VampPrior", arXiv:1705.07120. The prior costs M
    evaluations of the encoder, once for a whole batch, and M densities for each z. Pseudo-inputs
    are what the encoder is given, features of the head, else free, where the paper bounds them to
    [0, 1]. With a context y, the mixture is of q(z | u_m, y).

    Attributes:
      model: a `VAE`, or any latent-variable model with `encode_features(params, features)`.
      num_inputs: M.

    Raises:
      TypeError: the model is not of this kind.
      ValueError: M is below 1.
    """

    model: Any
    num_inputs: int = 500

    def __post_init__(self) -> None:
        core.require(self.model, core.Latent, "VampPrior")
        if not hasattr(self.model, "encode_features"):
            raise TypeError(
                "VampPrior needs a model with encode_features(params, features), as VAE has; got "
                f"{type(self.model).__name__}."
            )
        if self.num_inputs < 1:
            raise ValueError(f"VampPrior needs at least 1 of num_inputs; got {self.num_inputs}.")

    def init(self, key: Key, x: np.ndarray | None = None) -> Params:
        """Parameters of the model, and pseudo-inputs.

        Args:
          key: one key.
          x: [N, *event], examples, of which M at random are the first pseudo-inputs; without them
            their features are uniform in [0, 1].
        """
        key_model, key_inputs = jax.random.split(key)
        model, event = self.model, self.event
        if x is None:
            shape = (self.num_inputs, *event.shape, model.head.num_features)
            inputs = jax.random.uniform(key_inputs, shape, jnp.float32)
        else:
            event.check(x)
            chosen = jax.random.choice(key_inputs, len(x), (self.num_inputs,))
            inputs = jax.vmap(model.head.features)(jnp.asarray(x)[chosen])
        return {"model": model.init(key_model), "inputs": inputs}

    def prior(self, params: Params, context: PyTree = None) -> dist.MixtureOfEvents:
        """The mixture of the posteriors of the pseudo-inputs."""
        one = core.given(self.model, context)

        def of_input(features: Array) -> Distribution:
            return one.encode_features(params["model"], features)

        logits = jnp.zeros(self.num_inputs, jnp.float32)
        return dist.MixtureOfEvents(logits, jax.vmap(of_input)(params["inputs"]))
