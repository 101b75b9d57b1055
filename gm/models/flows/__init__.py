"""Flows: an invertible map between data and noise, and so an exact density of data.

A new flow is its bijection (`gm.bijections`) and nothing else: `Flow(event, base, bijection)` has
`log_prob`, `sample`, `to_noise` and `to_data` of it. `Standard` is the usual base. `realnvp(event)`
and its like (`architectures`) are those of the literature.
"""

from gm.models.flows.architectures import (
    autoregressive_flow,
    coupling_flow,
    ffjord,
    iaf,
    maf,
    naf,
    nice,
    of_logits,
    realnvp,
    spline_coupling,
    spline_maf,
)
from gm.models.flows.dequantized import Dequantized
from gm.models.flows.flow import Flow
from gm.models.flows.images import glow, multiscale
from gm.models.flows.standard import Standard

__all__ = [
    "Dequantized",
    "Flow",
    "Standard",
    "autoregressive_flow",
    "coupling_flow",
    "ffjord",
    "glow",
    "iaf",
    "maf",
    "multiscale",
    "naf",
    "nice",
    "of_logits",
    "realnvp",
    "spline_coupling",
    "spline_maf",
]
