"""Transformers: increasing maps of one number with parameters from elsewhere.

    y, log_det = transformer.forward(raw, x)      # raw: [P], x: []; log_det = log dy/dx
    x, log_det = transformer.inverse(raw, y)

A coupling layer or a masked autoregressive one gives each element its raw parameters from a
network; `gm.bijections.Elementwise` has them as parameters of its own. In those layers `forward`
leads from noise to data. A new one is a frozen dataclass with `num_params` and these two methods.
"""

from gm.bijections.transformers.affine import Additive, Affine
from gm.bijections.transformers.fixed import LeakyReLU, Sigmoid, SinhArcsinh, Softplus, Tanh
from gm.bijections.transformers.monotone import DeepSigmoidal, MixtureCDF, SumOfSquares
from gm.bijections.transformers.splines import CircularSpline, Spline
from gm.bijections.transformers.transformer import Inverse, Transformer, check_transformer, each

__all__ = [
    "Additive",
    "Affine",
    "CircularSpline",
    "DeepSigmoidal",
    "Inverse",
    "LeakyReLU",
    "MixtureCDF",
    "Sigmoid",
    "SinhArcsinh",
    "Softplus",
    "Spline",
    "SumOfSquares",
    "Tanh",
    "Transformer",
    "check_transformer",
    "each",
]
