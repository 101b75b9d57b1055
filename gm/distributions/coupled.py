r"""The coupled mixture of PixelCNN++: one component for all colours of a pixel.

Salimans, Karpathy, Chen & Kingma (2017), "PixelCNN++", arXiv:1701.05517, section 2.2. With values
v = 2 x / (K - 1) - 1 in [-1, 1] and discretised logistics P_m,

    p(x_1 .. x_G) = \sum_m π_m \prod_g P_m(x_g | x_<g)
    P_m(x_g | x_<g) = DiscretizedLogistic(μ_gm + \sum_{h<g} c_ghm v_h, s_gm)

Each colour given the colours before it is then a mixture as well, whose weights are the posterior
of the component:

    p(x_g | x_<g) = \sum_m π_m(x_<g) P_m(x_g | x_<g),   π_m(x_<g) ∝ π_m \prod_{h<g} P_m(x_h | x_<h)
"""

from __future__ import annotations

import dataclasses

import jax
import jax.numpy as jnp

from gm.core import Array
from gm.distributions import checks
from gm.distributions.discretized import DiscretizedLogistic
from gm.distributions.elements import element_log_probs
from gm.distributions.heads import DiscretizedLogisticMixtureHead
from gm.distributions.mixtures import Mixture


def coupled_mixture(
    logits: Array,
    loc: Array,
    scale: Array,
    coefficients: Array,
    x: Array,
    num_values: int,
) -> Mixture:
    r"""p(x_g | x_<g) of every colour; their product is \sum_m π_m \prod_g P_m(x_g | x_<g), exactly.

    The distribution of colour g depends on x_h for h < g only, so that values which are not yet
    sampled may be arbitrary.

    Args:
      logits: [..., M], log π_m, not normalised.
      loc: [..., G, M], μ, in units where -1 is the first value and 1 the last.
      scale: [..., G, M], s.
      coefficients: [..., G (G - 1) / 2, M], c_gh, by g and then by h: (1,0), (2,0), (2,1), ...
      x: [..., G], integers in [0, K).
      num_values: K.

    Returns:
      A Mixture over [..., G].

    Raises:
      ValueError: the number of coefficients is not G (G - 1) / 2.
    """
    num_colours = loc.shape[-2]
    if coefficients.shape[-2] != num_colours * (num_colours - 1) // 2:
        raise ValueError(
            f"coupled_mixture needs {num_colours * (num_colours - 1) // 2} coefficients for "
            f"{num_colours} colours; got {coefficients.shape}."
        )
    # A value outside the space has probability zero; the colours after it still need weights.
    x = jnp.clip(x, 0, num_values - 1)
    v = 2.0 * checks.as_wide(x, coefficients) / (num_values - 1) - 1.0
    shifts, first = [], 0
    for g in range(num_colours):
        c = coefficients[..., first : first + g, :]
        shifts.append(jnp.sum(c * v[..., :g, None], -2))
        first += g
    components = DiscretizedLogistic(loc + jnp.stack(shifts, -2), scale, num_values)
    log_p = element_log_probs(components, jnp.broadcast_to(x[..., None], loc.shape))
    before = jnp.cumsum(log_p[..., :-1, :], -2)  # not the total minus one term, which rounds
    before = jnp.concatenate([jnp.zeros_like(log_p[..., :1, :]), before], -2)
    return Mixture(jax.nn.log_softmax(logits[..., None, :] + before), components)


@dataclasses.dataclass(frozen=True)
class CoupledLogisticMixtureHead:
    """Turns the raw outputs of a pixel into the coupled mixture; for G = 1 it is a plain mixture.

    Log weights, locations and scales are computed as in `DiscretizedLogisticMixtureHead`;
    coefficients are the tanh of raw outputs.

    Attributes:
      num_values: K.
      num_colours: G.
      num_components: M.
      min_scale: the smallest scale of a component; PixelCNN++ uses exp(-7).
    """

    num_values: int
    num_colours: int = 3
    num_components: int = 10
    min_scale: float = 1e-3

    @property
    def num_params(self) -> int:
        """P = M (1 + 2 G + G (G - 1) / 2): 10 M for three colours, 3 M for one."""
        colours = self.num_colours
        return self.num_components * (1 + 2 * colours + colours * (colours - 1) // 2)

    @property
    def num_features(self) -> int:
        """G"""
        return self.num_colours

    def __call__(self, raw: Array, x: Array) -> Mixture:
        """Raw outputs [..., P] and the pixels themselves, [..., G] -> Mixture over [..., G]."""
        if raw.shape[-1] != self.num_params:
            raise ValueError(
                f"CoupledLogisticMixtureHead needs raw outputs of shape [..., {self.num_params}]; "
                f"got {raw.shape}."
            )
        num, colours = self.num_components, self.num_colours
        raw = raw.astype(jnp.float32).reshape(*raw.shape[:-1], -1, num)
        logits, loc, scale, coefficients = jnp.split(
            raw, [1, 1 + colours, 1 + 2 * colours], axis=-2
        )
        each = jnp.concatenate([jnp.broadcast_to(logits, loc.shape), loc, scale], -1)
        alone = DiscretizedLogisticMixtureHead(self.num_values, num, self.min_scale)(each)
        loc, scale = alone.components.loc, alone.components.scale
        c = jnp.tanh(coefficients)
        return coupled_mixture(logits[..., 0, :], loc, scale, c, x, self.num_values)

    def features(self, x: Array) -> Array:
        """x: [..., G] -> [..., G], 2x / (K - 1) - 1."""
        return 2.0 * checks.integers(self, x).astype(jnp.float32) / (self.num_values - 1) - 1.0
