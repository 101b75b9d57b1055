"""The flows of `toys.py`, with how each is trained."""

import dataclasses

from gm.bijections import (
    ActNorm,
    Affine,
    BlockAutoregressive,
    Chain,
    Coupling,
    Inverse,
    InvertibleConv,
    MaskedAutoregressive,
    Permutation,
    Planar,
    Radial,
    Reshape,
    Sylvester,
    transformers,
)
from gm.core import Event
from gm.models import flows
from gm.networks import MLP

PLANE = Event((2,))
CHANNELS = Event((1, 1, 2))  # an image of one pixel, for Glow
SWAP = Permutation((1, 0))
AFFINE = transformers.Affine(2.0)  # scales between 1/7 and 7; with larger ones training diverges


def spline(num_bins: int, bound: float = 4.0) -> transformers.Spline:
    """A spline that can be steep and flat enough for modes as narrow as those of ring8."""
    return transformers.Spline(num_bins, bound, min_size=2e-4, min_slope=1e-4)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A flow, the number of updates, examples in each, and the peak learning rate."""

    flow: flows.Flow
    num_steps: int
    batch_size: int = 256
    learning_rate: float = 3e-3


def of(*parts: object) -> flows.Flow:
    """A flow of some bijections, then an affine map that is fitted to the data."""
    return flows.Flow(PLANE, flows.Standard(PLANE), Chain((*parts, Affine(PLANE))))


def glow(num_steps: int) -> flows.Flow:
    """The steps of Glow on one pixel of two channels."""
    network = MLP((64, 64), (), input_ndim=3, output_scale=0.0)
    parts = []
    for i in range(num_steps):
        step = Coupling(CHANNELS, AFFINE, network)
        parts += [step, InvertibleConv(CHANNELS, i), ActNorm(CHANNELS)]
    around = Reshape(PLANE.shape, CHANNELS.shape), Reshape(CHANNELS.shape, PLANE.shape)
    return of(around[0], *parts, around[1])


def autoregressive(transformer: object, num_layers: int, hidden: tuple[int, ...]) -> flows.Flow:
    """Layers whose transformer has its closed form in the direction of scoring."""
    return flows.autoregressive_flow(PLANE, transformer, num_layers, hidden=hidden)


def spline_maf() -> flows.Flow:
    """Three autoregressive layers in both orders; those next to the data spend their bins there."""
    layers = [
        MaskedAutoregressive(PLANE, spline(24, bound), (128, 128), order=order)
        for bound, order in ((4.0, (0, 1)), (2.2, (1, 0)), (2.2, (0, 1)))
    ]
    return of(*layers)


BNAF = Inverse(BlockAutoregressive(PLANE, 48, 2))
RECIPES = {
    "affine": Recipe(flows.Flow(PLANE, flows.Standard(PLANE), Affine(PLANE, "full")), 0),
    "planar": Recipe(of(*[Inverse(Planar(PLANE))] * 16), 2000, learning_rate=1e-2),
    "radial": Recipe(of(*[Radial(PLANE)] * 16), 2000, learning_rate=1e-2),
    "Sylvester": Recipe(of(*[Inverse(Sylvester(PLANE, 2, 2))] * 8), 2000, learning_rate=1e-2),
    "NICE": Recipe(flows.nice(PLANE, 8), 1500),
    "RealNVP": Recipe(flows.coupling_flow(PLANE, AFFINE, 8), 2000),
    "Glow": Recipe(glow(8), 2000),
    "spline coupling": Recipe(flows.coupling_flow(PLANE, spline(24), 4), 3000),
    "MAF": Recipe(flows.autoregressive_flow(PLANE, AFFINE, 8), 2000),
    "IAF": Recipe(flows.autoregressive_flow(PLANE, AFFINE, 4, inverse=True), 500),
    "spline MAF": Recipe(spline_maf(), 4000, 160),
    "NAF": Recipe(
        autoregressive(transformers.Inverse(transformers.DeepSigmoidal(16, 2)), 2, (64, 64)), 2000
    ),
    "mixture CDF": Recipe(
        autoregressive(transformers.Inverse(transformers.MixtureCDF(24)), 2, (128, 128)), 3000
    ),
    "sum of squares": Recipe(
        autoregressive(transformers.Inverse(transformers.SumOfSquares(4, 4)), 3, (64, 64)), 1500
    ),
    "BNAF": Recipe(of(*[BNAF, SWAP] * 2), 1500),
    "FFJORD": Recipe(flows.ffjord(PLANE, hidden=(64, 64), tolerance=1e-4), 400),
}
