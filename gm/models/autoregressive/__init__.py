"""Autoregressive models: scored in one parallel pass, sampled one element at a time with caches.

Each model has two faces of one distribution. `conditionals(params, x)` gives every p(x_i | x_<i)
in one parallel pass, for training. `start`, `predict`, `observe` take the same conditionals
one at a time with a cache, for sampling, completion and compression, which are functions of one
element in the one scan of `gm.sampling.ancestral`. `benchmarks/sampling.py` measures the
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
