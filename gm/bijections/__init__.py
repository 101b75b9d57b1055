"""Bijections: invertible maps with log-determinants, the parts of flows.

A bijection is a frozen dataclass of static fields with `init(key)`, and `forward(params, x,
context=None)` and `inverse(params, y, context=None)` for one example, each giving (value, log_det):

    y, log_det = bijection.forward(params, x)     # log_det = log |det dy/dx|
    x, log_det = bijection.inverse(params, y)     # log |det dx/dy|

`models.flows.Flow` makes a model of one, `forward` leading from noise to data;
`distributions.Transformed` makes a posterior, a prior or a likelihood of one. `Inverse` swaps the
directions, `Chain` composes. `gm.laws.check(bijection, key, event=...)` tries one's own.

`Coupling`, `MaskedAutoregressive` and `Elementwise` apply any of `transformers`, increasing maps of
one number. A context is one vector [E]: a bijection with a field `context_dim` is given it, and
`Amortized` makes any other conditional. Inverses without a closed form are found by bisection to
float32 rounding, and have the gradients of the implicit function theorem (`roots`).
"""

from gm.bijections import transformers
from gm.bijections.affine import Affine
from gm.bijections.amortized import Amortized
from gm.bijections.autoregressive import MaskedAutoregressive
from gm.bijections.block import BlockAutoregressive
from gm.bijections.compose import Chain, Inverse
from gm.bijections.continuous import Continuous
from gm.bijections.coupling import Coupling, alternating, checkerboard, halves
from gm.bijections.elementwise import Elementwise
from gm.bijections.glow import ActNorm, InvertibleConv, MultiScale, Squeeze
from gm.bijections.householder import Householder, Sylvester
from gm.bijections.permutation import Permutation, Reshape
from gm.bijections.planar import Planar, Radial

__all__ = [
    "ActNorm",
    "Affine",
    "Amortized",
    "BlockAutoregressive",
    "Chain",
    "Continuous",
    "Coupling",
    "Elementwise",
    "Householder",
    "Inverse",
    "InvertibleConv",
    "MaskedAutoregressive",
    "MultiScale",
    "Permutation",
    "Planar",
    "Radial",
    "Reshape",
    "Squeeze",
    "Sylvester",
    "alternating",
    "checkerboard",
    "halves",
    "transformers",
]
