"""Autoregressive models: scored in one pass, drawn at the price of scoring.

Each model has two faces of one distribution. `conditionals(params, x)` gives every p(x_i | x_<i)
in one parallel pass, for training. `start`, `predict`, `observe` walk the same conditionals one
element at a time with a cache, for sampling, completion and compression. `walk` derives the rest,
once for all of them.
"""

from gm.models.autoregressive import walk
from gm.models.autoregressive.causal import CausalModel
from gm.models.autoregressive.made import MADE, degrees_by_entropy

__all__ = ["MADE", "CausalModel", "degrees_by_entropy", "walk"]
