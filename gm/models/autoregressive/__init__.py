"""Autoregressive models: scored in one forward pass, sampled element by element with caches.

Each model offers its conditionals in two ways. `conditionals(params, x)` gives every p(x_i | x_<i)
in one forward pass, for training. `start`, `predict`, `observe` give the same conditionals one at a
time with a cache, for sampling, completion and compression, which are all functions of one element
in the scan of `gm.sampling.ancestral`. `benchmarks/sampling.py` measures the
sampling-to-scoring time ratio.
"""

from gm.models.autoregressive.causal import CausalModel
from gm.models.autoregressive.ensemble import Ensemble
from gm.models.autoregressive.fvsbn import FVSBN
from gm.models.autoregressive.made import MADE, degrees_by_entropy
from gm.models.autoregressive.nade import NADE, DeepNADE
from gm.models.autoregressive.pixelcnnpp import PixelModel

__all__ = [
    "FVSBN",
    "MADE",
    "NADE",
    "CausalModel",
    "DeepNADE",
    "Ensemble",
    "PixelModel",
    "degrees_by_entropy",
]
