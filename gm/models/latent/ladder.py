r"""Ladder VAE: a hierarchy of latents whose posterior goes down with the generative model.

Sønderby, Raiko, Maaløe, Sønderby & Winther (2016), "Ladder variational autoencoders",
arXiv:1602.02282. From the top, z_L to z_1:

    p(z, x) = N(z_L; 0, I) \prod_l N(z_l; m_p(z_{l+1}), s_p(z_{l+1})^2) head(x; down_1(z_1))
    d_l = up_l(d_{l-1}), d_0 = x,    N(m_e(d_l), s_e(d_l)^2) is what x says of z_l alone
    q(z_l | z_{l+1}, x) = N of the two, precisions added:
        s_q^{-2} = s_p^{-2} + s_e^{-2},    m_q = s_q^2 (m_p s_p^{-2} + m_e s_e^{-2})

or, with relative=True, a step from the prior, m_q = m_p + s_p m_e, s_q = s_p s_e, as in NVAE
(Vahdat & Kautz, 2020, arXiv:2007.03898, equation 4). Latents are vectors or images [H, W, C],
whatever the networks take. z is a tuple from the top; the ELBO has a KL for each layer, to which
`beta` and `free_nats` of `variational.negative_elbo` apply one by one.

`sample` evaluates the down networks once. Batch normalization, which the paper uses, sees more
than one example and is not here.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Distribution, Event, Head, Key, Network, Params

Partial = jax.tree_util.Partial
MAX_SCALE = 20.0  # of a prior: its precision stays in float32's reach


@dataclasses.dataclass(frozen=True)
class Rung:
    """One layer of latents.

    Attributes:
      shape: of z_l: (K,), or (H, W, C).
      up: d_{l-1} -> d_l; for the lowest layer, from the head's features of x: [*event, C].
      evidence: d_l -> [*shape, 2], location and raw scale.
      down: z_l -> [*shape of the layer below, 2]; for the lowest layer [*event, P].
    """

    shape: tuple[int, ...]
    up: Network
    evidence: Network
    down: Network


@dataclasses.dataclass(frozen=True)
class LadderVAE:
    """A hierarchy of diagonal Normals with top-down inference.

    Attributes:
      event: the space of x.
      head: turns P raw outputs into the distribution of one element of x given z_1.
      rungs: the layers from the lowest, z_1, to the top, z_L.
      min_scale: a floor under the standard deviations.
      start_scale: of the evidence where raw scales are zero, well below the prior's 1, so that a
        layer says something before its KL prunes it.
      relative: whether the posterior is a step from the prior, instead of a product with it.

    Raises:
      ValueError: there is no layer, or the head is over other values than the event.
    """

    event: Event
    head: Head
    rungs: tuple[Rung, ...]
    min_scale: float = 1e-4
    start_scale: float = 0.1
    relative: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "rungs", tuple(self.rungs))
        if not self.rungs or self.head.num_values != self.event.num_values:
            raise ValueError(
                "LadderVAE needs a layer of latents at least, and a head over num_values="
                f"{self.event.num_values}, as its event; got {len(self.rungs)} layers and "
                f"{self.head}. gm.distributions.head_for(event) gives one that fits."
            )

    def init(self, key: Key) -> Params:
        """{"up", "evidence", "down"}, each a tuple from the lowest layer to the top."""
        d = jnp.zeros((*self.event.shape, self.head.num_features), jnp.float32)
        params = {"up": (), "evidence": (), "down": ()}
        for rung, one in zip(self.rungs, jax.random.split(key, len(self.rungs)), strict=True):
            keys = jax.random.split(one, 3)
            up = rung.up.init(keys[0], d)
            d = rung.up.apply(up, d)
            params["up"] += (up,)
            params["evidence"] += (rung.evidence.init(keys[1], d),)
            params["down"] += (rung.down.init(keys[2], jnp.zeros(rung.shape, jnp.float32)),)
        return params

    def prior(self, params: Params) -> dist.Joint:
        """p(z), from the top."""
        zeros = jnp.zeros(self.rungs[-1].shape, jnp.float32)
        parts = [dist.Normal(zeros, jnp.ones_like(zeros))]
        for i in range(len(self.rungs) - 1, 0, -1):
            parts.append(Partial(_Below(self, i), params["down"][i]))
        return dist.Joint(tuple(parts))

    def encode(self, params: Params, x: Array) -> dist.Joint:
        """q(z | x), from the top."""
        self.event.check(x)
        d, evidence = self.head.features(x), []
        for rung, up, network in zip(self.rungs, params["up"], params["evidence"], strict=True):
            d = rung.up.apply(up, d)
            evidence.append(self._normal(rung.evidence.apply(network, d), self.start_scale))
        *lower, top = evidence
        zeros = jnp.zeros(self.rungs[-1].shape, jnp.float32)
        parts = [self.combine(dist.Normal(zeros, jnp.ones_like(zeros)), top)]
        for i in range(len(self.rungs) - 1, 0, -1):
            parts.append(Partial(_Below(self, i, True), params["down"][i], lower[i - 1]))
        return dist.Joint(tuple(parts))

    def decode(self, params: Params, z: tuple[Array, ...]) -> Distribution:
        """p(x | z_1)

        Raises:
          ValueError: z is not a tuple of the layers' latents, from the top.
        """
        shapes = tuple(rung.shape for rung in reversed(self.rungs))
        if not isinstance(z, tuple | list) or tuple(map(jnp.shape, z)) != shapes:
            got = [jnp.shape(leaf) for leaf in jax.tree.leaves(z)]
            raise ValueError(
                f"LadderVAE needs a tuple z of shapes {shapes}, from the top; got "
                f"{type(z).__name__} of {got}."
            )
        return self.head(self.rungs[0].down.apply(params["down"][0], z[-1]))

    def sample(self, params: Params, key: Key) -> Array:
        """x ~ p(x | z) with z ~ p(z)."""
        key_z, key_x = jax.random.split(key)
        return self.decode(params, self.prior(params).sample(key_z)).sample(key_x)

    def given_above(self, down: Params, i: int, z: Array) -> dist.Normal:
        """p(z_{i-1} | z_i) of layer i, counted from the lowest, 0."""
        return self._normal(self.rungs[i].down.apply(down, z), 1.0)

    def combine(self, prior: dist.Normal, evidence: dist.Normal) -> dist.Normal:
        """q(z_l | z_{l+1}, x)"""
        if self.relative:
            scale = prior.scale * evidence.scale
            return dist.Normal(prior.loc + prior.scale * evidence.loc, scale)
        # Weights of the two means, in a form that stays finite for any scales.
        ratio = (evidence.scale / prior.scale) ** 2
        loc = (evidence.loc + ratio * prior.loc) / (1.0 + ratio)
        return dist.Normal(loc, evidence.scale / jnp.sqrt(1.0 + ratio))

    def _normal(self, raw: Array, start: float) -> dist.Normal:
        """[..., 2] -> a Normal over [...]."""
        offset = math.log(math.expm1(start))  # softplus of this is start
        scale = jax.nn.softplus(raw[..., 1] + offset) + self.min_scale
        return dist.Normal(raw[..., 0], jnp.minimum(scale, MAX_SCALE))


@dataclasses.dataclass(frozen=True)
class _Below:
    """The distribution of z_{i-1} given the ones above, of which the last is z_i."""

    model: LadderVAE
    i: int
    posterior: bool = False

    def __call__(self, down: Params, *arrays: Array) -> dist.Normal:
        """p(z_{i-1} | z_i), or the posterior, whose evidence is the first of the arrays."""
        prior = self.model.given_above(down, self.i, arrays[-1])
        return self.model.combine(prior, arrays[0]) if self.posterior else prior
