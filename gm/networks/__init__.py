"""Neural networks: functions from arrays to arrays, in Flax Linen, which no other room imports.

A network is a Linen module used through `init(key, x)` and `apply(params, x)`. It accepts leading
axes and treats x[None] as x. A causal network has two more methods, for `apply(..., method=...)`:
`start()` gives a cache and the raw parameters of the first element, and `step(cache, f_i)` takes
one element and gives the raw parameters of the next, so that all steps together cost one forward
pass. Most causal networks are a `CausalNetwork`, written as one `body` (`causal`) for one example.

Several inputs: `init(key, x, context)` and `apply(params, x, context)`, context a vector [..., E]
in which a model has joined all that it is given (`core.context_inputs`: one-hot labels, a time,
vectors, in the order of the pytree `model.context`). WaveNet, recurrent networks and Transformers
take `local=True`: the context then has a part for each element.
"""

from gm.networks.attention import CausalSelfAttention, LayerNorm, Transformer
from gm.networks.causal import (
    BlockNetwork,
    CausalConv,
    CausalNetwork,
    Incremental,
    Once,
    Shift,
    Window,
    parallel,
)
from gm.networks.conv import (
    ConvBlock,
    ConvDecoder,
    ConvEncoder,
    ConvNet,
    ConvResize,
    ResidualConvNet,
)
from gm.networks.layers import Conv, Dense
from gm.networks.masked import MaskedDense, MaskedMLP, evenly_spaced_degrees
from gm.networks.masked_conv import MaskedConv, RowConv
from gm.networks.mlp import MLP, ResidualBlock, ResidualMLP
from gm.networks.nade import NADE
from gm.networks.pixelcnn import GatedPixelCNN, ImageNetwork, PixelCNN
from gm.networks.pixelcnnpp import PixelCNNPlusPlus
from gm.networks.pixelrnn import DiagonalBiLSTM, PixelRNN, RowLSTM
from gm.networks.pixelsnail import PixelSNAIL
from gm.networks.recurrent import GRU, LSTM, RecurrentLayer, RecurrentNetwork
from gm.networks.spectral import SpectralNorm, spectral_norm
from gm.networks.wavenet import WaveNet

__all__ = [
    "GRU",
    "LSTM",
    "MLP",
    "NADE",
    "BlockNetwork",
    "CausalConv",
    "CausalNetwork",
    "CausalSelfAttention",
    "Conv",
    "ConvBlock",
    "ConvDecoder",
    "ConvEncoder",
    "ConvNet",
    "ConvResize",
    "Dense",
    "DiagonalBiLSTM",
    "GatedPixelCNN",
    "ImageNetwork",
    "Incremental",
    "LayerNorm",
    "MaskedConv",
    "MaskedDense",
    "MaskedMLP",
    "Once",
    "PixelCNN",
    "PixelCNNPlusPlus",
    "PixelRNN",
    "PixelSNAIL",
    "RecurrentLayer",
    "RecurrentNetwork",
    "ResidualBlock",
    "ResidualConvNet",
    "ResidualMLP",
    "RowConv",
    "RowLSTM",
    "Shift",
    "SpectralNorm",
    "Transformer",
    "WaveNet",
    "Window",
    "evenly_spaced_degrees",
    "parallel",
    "spectral_norm",
]
