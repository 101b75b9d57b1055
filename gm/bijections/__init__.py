"""Bijections: invertible maps with log-determinants, the parts of flows.

A bijection is a frozen dataclass of static fields with `init(key)`, and `forward(params, x,
context=None)` and `inverse(params, y, context=None)` for one example, each giving (value, log_det):

    y, log_det = bijection.forward(params, x)     # log_det = log |det dy/dx|
    x, log_det = bijection.inverse(params, y)     # log |det dx/dy|

`models.flows.Flow` makes a model of one, `forward` leading from noise to data;
`distributions.Transformed` makes a posterior, a prior or a likelihood of one. `Inverse` swaps the
directions, `Chain` composes. `gm.laws.check(bijection, key, event=...)` tries one's own.
"""

from gm.bijections.affine import Affine
from gm.bijections.compose import Chain, Inverse
from gm.bijections.permutation import Permutation

__all__ = ["Affine", "Chain", "Inverse", "Permutation"]
