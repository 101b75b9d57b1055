r"""Flows of the literature, as compositions: each function returns a `Flow`.

    x = A f_L(... f_1(z)),    z ~ N(0, 1)

with layers f_l that differ in their transformer, their masks or orders, and an elementwise affine
map A last, which `flow.init(key, x)` fits to examples: it standardizes them. Anything else is a
`Flow(event, base, Chain(...))` of one's own.

| | scoring | sampling |
|---|---|---|
| couplings | L networks | L networks |
| `maf`, `spline_maf`, `naf` | L networks | L networks, one element at a time |
| `ffjord` | as many networks as the solver takes steps, times 6 | the same |
| `iaf` | L networks, one element at a time | L networks |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import jax

from gm import distributions as dist
from gm.bijections import (
    Affine,
    Chain,
    Continuous,
    Coupling,
    Elementwise,
    Inverse,
    MaskedAutoregressive,
    Reshape,
    alternating,
    halves,
    transformers,
)
from gm.bijections.coupling import check_all_moved
from gm.core import Event, PyTree
from gm.models.flows.flow import Flow
from gm.models.flows.standard import Standard
from gm.networks import MLP


def coupling_flow(
    event: Event,
    transformer: transformers.Transformer,
    num_layers: int = 8,
    *,
    hidden: tuple[int, ...] = (64, 64),
    network: Any = None,
    family: Callable[..., Any] = dist.Normal,
    context: PyTree = None,
) -> Flow:
    """A flow of coupling layers over the elements in raster order.

    Masks keep the first half, the second, the even elements and the odd ones in turn.

    Args:
      event: the space of x, real, of at least 2 elements.
      transformer: of every layer.
      num_layers: L, at least 2.
      hidden: units in each hidden layer of each network, whose outputs start at zero.
      network: the conditioner in place of that MLP, as in `Coupling`.
      family: of the noise, as in `Standard`.
      context: the space of y for p(x | y), as in `Flow`.

    Raises:
      ValueError: some element would be moved by no layer, or the event is discrete or too small.
    """
    size = event.size
    flat = Event((size,))
    if event.discrete or size < 2:
        raise ValueError(
            f"A coupling flow needs a real event of at least 2 elements; got {event}. An element "
            "alone is moved by Elementwise or MaskedAutoregressive; integers are dequantized first "
            "(gm.data.UniformDequantization)."
        )
    network = network or MLP(hidden, (), output_scale=0.0)
    masks = [
        (alternating if i % 4 > 1 and size > 2 else halves)(size, keep=i % 2 == 0)
        for i in range(num_layers)
    ]
    layers = [Coupling(flat, transformer, network, m, vector_size(context)) for m in masks]
    check_all_moved(layers, "A coupling flow")
    parts = [*layers, Affine(flat)]
    if event != flat:
        parts.append(Reshape(flat.shape, event.shape))
    return Flow(event, Standard(flat, family), Chain(parts), context)


def autoregressive_flow(
    event: Event,
    transformer: transformers.Transformer,
    num_layers: int = 5,
    *,
    hidden: tuple[int, ...] = (64, 64),
    inverse: bool = False,
    family: Callable[..., Any] = dist.Normal,
    context: PyTree = None,
) -> Flow:
    """A flow of masked autoregressive layers, in raster order and its reverse in turn.

    Args:
      event: the space of x, real.
      transformer: of every layer.
      num_layers: L.
      hidden: units in each hidden layer of each network.
      inverse: makes sampling the quick direction (IAF), in place of scoring (MAF).
      family: of the noise, as in `Standard`; after mixture CDFs, `dist.Logistic` gives each
        conditional the tails of a logistic.
      context: the space of y for p(x | y), as in `Flow`.
    """
    layers = []
    for i in range(num_layers):
        order = tuple(range(event.size))[:: -1 if i % 2 else 1]
        layer = MaskedAutoregressive(
            event, transformer, hidden, order=order, context_dim=vector_size(context)
        )
        layers.append(Inverse(layer) if inverse else layer)
    return Flow(event, Standard(event, family), Chain([*layers, Affine(event)]), context)


def nice(event: Event, num_layers: int = 8, **options: Any) -> Flow:
    """NICE: additive couplings; log_det is constant. Dinh et al. (2015), arXiv:1410.8516."""
    return coupling_flow(event, transformers.Additive(), num_layers, **options)


def realnvp(event: Event, num_layers: int = 8, **options: Any) -> Flow:
    """RealNVP: affine couplings. Dinh et al. (2017), arXiv:1605.08803.

    Each layer's scales lie between exp(-2) and exp(2): with wider bounds a density of separate
    modes diverged (8 layers, the ring of 8).

    Args:
      event, num_layers, **options: as in `coupling_flow`.
    """
    return coupling_flow(event, transformers.Affine(2.0), num_layers, **options)


def spline_coupling(
    event: Event, num_layers: int = 6, *, num_bins: int = 8, bound: float = 4.0, **options: Any
) -> Flow:
    """RQ-NSF (C): spline couplings. Durkan et al. (2019), arXiv:1906.04032.

    Args:
      event, num_layers, **options: as in `coupling_flow`.
      num_bins, bound: as in `transformers.Spline`.
    """
    spline = transformers.Spline(num_bins, bound)
    return coupling_flow(event, spline, num_layers, **options)


def maf(event: Event, num_layers: int = 5, **options: Any) -> Flow:
    """MAF: affine autoregressive layers. Papamakarios et al. (2017), arXiv:1705.07057.

    Args:
      event, num_layers, **options: as in `autoregressive_flow`.
    """
    return autoregressive_flow(event, transformers.Affine(), num_layers, **options)


def iaf(event: Event, num_layers: int = 5, **options: Any) -> Flow:
    """IAF: the same, quick to sample, slow to score. Kingma et al. (2016), arXiv:1606.04934.

    Args:
      event, num_layers, **options: as in `autoregressive_flow`.
    """
    return autoregressive_flow(event, transformers.Affine(), num_layers, inverse=True, **options)


def spline_maf(
    event: Event, num_layers: int = 4, *, num_bins: int = 8, bound: float = 4.0, **options: Any
) -> Flow:
    """RQ-NSF (AR): autoregressive spline layers. Durkan et al. (2019), arXiv:1906.04032.

    Args:
      event, num_layers, **options: as in `autoregressive_flow`.
      num_bins, bound: as in `transformers.Spline`.
    """
    spline = transformers.Spline(num_bins, bound)
    return autoregressive_flow(event, spline, num_layers, **options)


def naf(event: Event, num_layers: int = 2, *, num_units: int = 8, **options: Any) -> Flow:
    """NAF: deep sigmoidal autoregressive layers. Huang et al. (2018), arXiv:1804.00779.

    Scoring is in closed form, sampling finds each element by bisection.

    Args:
      event, num_layers, **options: as in `autoregressive_flow`.
      num_units: as in `transformers.DeepSigmoidal`.
    """
    sigmoidal = transformers.Inverse(transformers.DeepSigmoidal(num_units))
    return autoregressive_flow(event, sigmoidal, num_layers, **options)


def ffjord(
    event: Event,
    *,
    hidden: tuple[int, ...] = (64, 64),
    num_probes: int = 0,
    tolerance: float = 1e-5,
    context: PyTree = None,
) -> Flow:
    """FFJORD: a continuous flow. Grathwohl et al. (2019), arXiv:1810.01367; needs diffrax.

    Args:
      event: the space of x, real.
      hidden: units in each hidden layer of the network, with softplus between them.
      num_probes, tolerance: as in `bijections.Continuous`; 0 probes for the exact trace.
      context: the space of y for p(x | y), as in `Flow`.
    """
    network = MLP(hidden, (), activation=jax.nn.softplus, output_scale=0.1)
    layer = Continuous(
        event, network, num_probes, tolerance=tolerance, context_dim=vector_size(context)
    )
    return Flow(event, Standard(event), Chain([layer, Affine(event)]), context)


def of_logits(flow: Flow, margin: float = 1e-6) -> Flow:
    """The flow of logits of data in [0, 1], as dequantized images are.

        x = (σ(y) - α) / (1 - 2 α),    y ~ flow

    Dinh et al. (2017), arXiv:1605.08803, section 4.1, with α = 0.05; Papamakarios et al. (2017),
    arXiv:1705.07057, with 1e-6 on MNIST.

    Args:
      flow: of real values.
      margin: α.
    """
    squash = Elementwise(flow.event, transformers.Sigmoid(margin))
    return dataclasses.replace(flow, bijection=Chain((flow.bijection, squash)))


def vector_size(context: PyTree) -> int:
    """E, the length of the vector that a bijection is given for y."""
    return sum(event.vector_size for event in jax.tree.leaves(context))
