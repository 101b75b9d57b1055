"""Multi-scale flows of images: Glow, and couplings from coarse to fine.

Scoring and sampling take one forward pass of each network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gm import distributions as dist
from gm.bijections import (
    ActNorm,
    Chain,
    Coupling,
    Elementwise,
    Inverse,
    InvertibleConv,
    MultiScale,
    Reshape,
    Squeeze,
    transformers,
)
from gm.core import Event, PyTree
from gm.models.flows.architectures import coupling_flow, vector_size
from gm.models.flows.flow import Flow
from gm.models.flows.standard import Standard
from gm.networks import ConvNet, ResidualConvNet

MODERATE = transformers.Affine(2.0)  # scales of a layer between 1/7 and 7
SMALL = ResidualConvNet(32, (), output_scale=0.0)


def glow(
    event: Event,
    num_levels: int = 2,
    num_steps: int = 8,
    *,
    transformer: transformers.Transformer = MODERATE,
    channels: tuple[int, ...] = (64, 64),
    logit_margin: float | None = None,
    context: PyTree = None,
) -> Flow:
    """Glow. Kingma & Dhariwal (2018), arXiv:1807.03039.

    At each level, from data to noise: squeezing, then steps of activation normalization, a 1x1
    convolution and a coupling layer of channels; then half of the channels are noise, given the
    others, by one more coupling layer. `flow.init(key, x)` starts from a batch of examples.

    Args:
      event: [H, W] or [H, W, C], real; height and width are multiples of 2^num_levels.
      num_levels: levels.
      num_steps: steps of each level.
      transformer: of the coupling layers; a spline Glow takes `transformers.Spline(8, 8.0)`.
      channels: hidden channels of each network, `networks.ConvNet`.
      logit_margin: for data in [0, 1], which RealNVP takes logits of: `transformers.Sigmoid`'s
        margin; None leaves the data as they are.
      context: the space of y for p(x | y), as in `Flow`.

    Raises:
      ValueError: the event is no image of such a size, or is discrete.
    """
    network = ConvNet(channels, (), output_scale=0.0)
    options = {"network": network, "context_dim": vector_size(context)}
    image = Event((*event.shape, 1), event.num_values) if len(event.shape) == 2 else event
    parts = _glow_level(image, num_levels, num_steps, transformer, options)
    if image != event:
        parts.append(Reshape(image.shape, event.shape))
    if logit_margin is not None:
        parts.append(Elementwise(event, transformers.Sigmoid(logit_margin)))
    return Flow(event, Standard(image), Chain(parts), context)


def multiscale(
    event: Event,
    num_levels: int = 2,
    *,
    transformer: transformers.Transformer = MODERATE,
    network: Any = SMALL,
    hidden: tuple[int, ...] = (128, 128),
    num_coarse: int = 4,
    family: Callable[..., Any] = dist.Normal,
    context: PyTree = None,
) -> Flow:
    """Couplings over ever coarser pixels: from data to noise, three of four at each level.

    Of every block of 2x2 pixels, three are moved one after the other, each given the image of the
    pixels at the other places; they are noise from then on, and the fourth pixels of all blocks are
    the image of the next level. The last such image is moved by couplings of halves.

    So the pixels of a level are modelled given the coarser ones, as in RealNVP's multi-scale
    architecture, Dinh et al. (2017), arXiv:1605.08803, section 3.6; a level's order is that of Reed
    et al. (2017), "Parallel multiscale autoregressive density estimation", arXiv:1703.03664.

    Args:
      event: [H, W] or [H, W, C], real; height and width are multiples of 2^num_levels.
      num_levels: levels.
      transformer: of all couplings; one such as `Inverse(MixtureCDF(5))` makes the conditional
        density of a pixel multimodal, for which affine ones need many layers.
      network: of the couplings of pixels, an image network with `output_shape`.
      hidden: units in each hidden layer of the couplings of the last image.
      num_coarse: couplings of the last image.
      family: of the noise, as in `autoregressive_flow`.
      context: the space of y for p(x | y), as in `Flow`.

    Raises:
      ValueError: the event is no image of such a size, or is discrete.
    """
    image = Event((*event.shape, 1), event.num_values) if len(event.shape) == 2 else event
    options = {"network": network, "context_dim": vector_size(context)}
    coarse = {"num_layers": num_coarse, "hidden": hidden, "context": context}
    parts = [*_scales(image, num_levels, transformer, options, coarse), ActNorm(image)]
    if image != event:
        parts.append(Reshape(image.shape, event.shape))
    return Flow(event, Standard(image, family), Chain(parts), context)


def _glow_level(
    event: Event,
    num_levels: int,
    num_steps: int,
    transformer: transformers.Transformer,
    options: dict[str, Any],
) -> list[Any]:
    """The parts of one level and those inside it, from noise to data, both in the event's shape."""
    squeeze = Squeeze(event)
    inner = squeeze.squeezed
    size = inner.shape[-1]
    parts = [Reshape(event.shape, inner.shape)]
    if num_levels > 1:
        rest = Event((*inner.shape[:-1], size - size // 2))
        later = Chain(_glow_level(rest, num_levels - 1, num_steps, transformer, options))
        given_rest = tuple(i >= size // 2 for i in range(size))  # the mask: the rest is kept
        parts += [
            MultiScale(inner, later),
            Coupling(inner, transformer, mask=given_rest, **options),
        ]
    for step in range(num_steps):
        seed = num_levels * num_steps + step
        parts += [
            Coupling(inner, transformer, **options),
            InvertibleConv(inner, seed),
            ActNorm(inner),
        ]
    return [*parts, Inverse(squeeze)]


def _scales(
    event: Event,
    num_levels: int,
    transformer: transformers.Transformer,
    options: dict[str, Any],
    coarse: dict[str, Any],
) -> list[Any]:
    """The parts of `num_levels` levels, from noise to data, both in the event's shape."""
    if num_levels == 0:
        flow = coupling_flow(Event((event.size,)), transformer, **coarse)
        back = Reshape((event.size,), event.shape)
        return [Inverse(back), flow.bijection, back]
    squeeze = Squeeze(event)
    inner, size = squeeze.squeezed, event.shape[-1]
    half, quarter = (Event((*inner.shape[:-1], n * size)) for n in (2, 1))
    rest = Chain(_scales(quarter, num_levels - 1, transformer, options, coarse))
    parts = [Reshape(event.shape, inner.shape), MultiScale(inner, MultiScale(half, rest))]
    for place in (0, 1, 2):  # of the pixel of a block that is moved; to noise in reverse
        kept = tuple(i // size != place for i in range(4 * size))
        parts.append(Coupling(inner, transformer, mask=kept, **options))
    return [*parts, Inverse(squeeze)]
