"""The models of the benchmarks of sampling and training, at the sizes they state."""

from typing import Any

from gm import distributions as dist
from gm import networks
from gm.core import Event
from gm.models import flows
from gm.models.autoregressive import FVSBN, MADE, NADE, CausalModel, DeepNADE, PixelModel

MNIST, DIGITS = Event((28, 28), 2), Event((8, 8), 17)
COLOUR = Event((16, 16, 3), 256)
TEXT, SOUND = Event((256,), 65), Event((1024,), 256)
REALS = Event((64,))
BITS = dist.BernoulliHead()


def over(event: Event, network: networks.CausalNetwork) -> CausalModel:
    """A network as a model of an event: Bernoulli, or Categorical."""
    head = BITS if event.num_values == 2 else dist.CategoricalHead(event.num_values)
    return CausalModel(event, head, network)


DILATIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256) * 2
MODELS: dict[str, Any] = {
    "FVSBN, MNIST": FVSBN(MNIST, BITS),
    "NADE 500, MNIST": NADE(MNIST, BITS, 500),
    "deep NADE 500x500, MNIST": DeepNADE(MNIST, BITS, (500, 500)),
    "MADE 500, MNIST": MADE(MNIST, BITS, (500,)),
    "MADE 500x500, MNIST": MADE(MNIST, BITS, (500, 500)),
    "MADE 200, digits": MADE(DIGITS, dist.head_for(DIGITS), (200,)),
    "PixelCNN 15x16, MNIST": over(MNIST, networks.PixelCNN(channels=16, num_layers=15)),
    "PixelCNN 8x64, MNIST": over(MNIST, networks.PixelCNN(channels=64, num_layers=8)),
    "Gated PixelCNN 10x32, MNIST": over(MNIST, networks.GatedPixelCNN(channels=32, num_layers=10)),
    "PixelCNN++ 3x2x16, 16x16 colour": PixelModel(
        COLOUR, networks.PixelCNNPlusPlus(channels=16, num_blocks=2, num_levels=3), 5
    ),
    "PixelSNAIL 2x2x16, MNIST": over(
        MNIST, networks.PixelSNAIL(channels=16, num_blocks=2, num_layers=2, value_channels=8)
    ),
    "Row LSTM 2x16, MNIST": over(
        MNIST, networks.PixelRNN(layer=networks.RowLSTM, channels=16, num_layers=2)
    ),
    "Diagonal BiLSTM 2x16, MNIST": over(
        MNIST, networks.PixelRNN(layer=networks.DiagonalBiLSTM, channels=16, num_layers=2)
    ),
    "LSTM 512, text of 256": over(TEXT, networks.RecurrentNetwork(widths=(512,))),
    "GRU 256x256, text of 256": over(
        TEXT, networks.RecurrentNetwork(cell=networks.GRU, widths=(256, 256))
    ),
    "Transformer 4x128, text of 256": over(
        TEXT, networks.Transformer(width=128, num_layers=4, num_heads=4)
    ),
    "WaveNet 18x32, sound of 1024": over(
        SOUND, networks.WaveNet(channels=32, skip_channels=64, dilations=DILATIONS)
    ),
    "MAF 5x128, 64 reals": flows.maf(REALS, 5, hidden=(128,)),
    "spline MAF 5x128, 64 reals": flows.spline_maf(REALS, 5, hidden=(128,)),
    "IAF 5x128, scoring": flows.iaf(REALS, 5, hidden=(128,)),
}
