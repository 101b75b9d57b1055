r"""Flow: data as an invertible function of noise, whose density is exact.

Rezende & Mohamed (2015), "Variational inference with normalizing flows", arXiv:1505.05770;
Papamakarios, Nalisnick, Rezende, Mohamed & Lakshminarayanan (2021), arXiv:1912.02762, has them all.

    x = f(z),  z ~ base,    log p(x) = log p_base(f^{-1}(x)) + log |det df^{-1}/dx|

`log_prob` costs one inverse of the bijection, `sample` one forward pass.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import numpy as np

from gm import core
from gm.core import Array, Bijection, Event, Key, Params, PyTree


@dataclasses.dataclass(frozen=True)
class Flow:
    """p(x | y), the distribution of f(z; y) with z ~ base.

    Attributes:
      event: the space of x, real.
      base: a density of noise that samples, of as many elements: `Standard(event)`, or any model,
        another flow among them; with a field `context` it is given y too.
      bijection: f, from noise to data: `forward` samples, `inverse` scores.
      context: the space of y for p(x | y): `Event((), 10)` for labels, `Event((E,))` for vectors;
        the bijection is given y as a vector, one-hot for integers.

    Raises:
      ValueError: the event is discrete, or the base has another number of elements.
      TypeError: the bijection is none, or the base does not score and sample.
    """

    event: Event
    base: Any
    bijection: Bijection
    context: Event | None = None

    def __post_init__(self) -> None:
        core.require(self.base, core.Density, "Flow")
        core.require(self.base, core.Samplable, "Flow")
        core.require(self.bijection, core.Bijection, "Flow")
        if self.event.discrete or self.base.event.size != self.event.size:
            raise ValueError(
                f"Flow needs a real event, and a base of as many elements; got {self.event} and "
                f"{self.base.event}. Dequantize integers (gm.data.UniformDequantization)."
            )

    def init(self, key: Key, x: np.ndarray | None = None, context: PyTree | None = None) -> Params:
        """{"base", "bijection"}

        Args:
          key: one key.
          x: [N, *event], examples to start from, where the bijection depends on them
            (`core.DataInit`) or fits them (`core.Fittable`): the start of activation normalisation,
            and all there is to train of an affine flow.
          context: y of each example, leaves [N, ...], for a conditional flow started from examples.

        Raises:
          TypeError: there are examples, and a bijection that neither fits nor depends on them.
          ValueError: there are examples of a conditional flow without their contexts.
        """
        key_base, key_bijection = jax.random.split(key)
        params = {"base": self.base.init(key_base)}
        if x is None:
            return params | {"bijection": self.bijection.init(key_bijection)}
        if not isinstance(self.bijection, core.DataInit):
            core.require(self.bijection, core.Fittable, "Flow.init with examples")
        self.event.check(x)
        if self.context is not None and context is None:
            raise ValueError(
                f"Flow.init from examples needs their contexts too, leaves [{len(x)}, ...] of "
                f"{self.context}; got none. Give init(key, x, context), or start with init(key)."
            )
        if context is not None:
            context = jax.vmap(lambda y: core.context_vector(self, y))(context)
        started = core.init_from(self.bijection, key_bijection, x, context)
        return params | {"bijection": started}

    def to_noise(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """z = f^{-1}(x) and log |det df^{-1}/dx|."""
        self.event.check(x)
        given = core.context_vector(self, context)
        return self.bijection.inverse(params["bijection"], x, given)

    def to_data(self, params: Params, z: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x = f(z) and log |det df/dz|."""
        given = core.context_vector(self, context)
        return self.bijection.forward(params["bijection"], z, given)

    def log_prob(self, params: Params, x: Array, context: PyTree = None) -> Array:
        """log p(x | y) in nats, exact."""
        z, log_det = self.to_noise(params, x, context)
        return self._base(context).log_prob(params["base"], z) + log_det

    def sample(self, params: Params, key: Key, context: PyTree = None) -> Array:
        """f(z) with z ~ base."""
        z = self._base(context).sample(params["base"], key)
        return self.to_data(params, z, context)[0]

    def sample_and_log_prob(
        self, params: Params, key: Key, context: PyTree = None
    ) -> tuple[Array, Array]:
        """x ~ p(x | y) and log p(x | y) in nats, without an inverse."""
        base = self._base(context)
        z = base.sample(params["base"], key)
        x, log_det = self.to_data(params, z, context)
        return x, base.log_prob(params["base"], z) - log_det

    def _base(self, context: PyTree) -> Any:
        """The base, given y where it is conditional itself."""
        conditional = getattr(self.base, "context", None) is not None
        return core.given(self.base, context) if conditional else self.base
