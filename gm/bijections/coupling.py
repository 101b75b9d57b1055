r"""Coupling layers: some elements are moved by a map that the others choose.

Dinh, Krueger & Bengio (2015), "NICE", arXiv:1410.8516; Dinh, Sohl-Dickstein & Bengio (2017),
"Density estimation using Real NVP", arXiv:1605.08803.

    y_i = x_i                                        for i kept
    y_i = τ(x_i; network(x_kept, context)_i)         for the others
    log_det = Σ_i log dτ/dx_i

Both directions cost one forward pass of the network.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from gm.bijections import context as given
from gm.bijections.transformers import Transformer, check_transformer, each
from gm.core import Array, Event, Key, Params, PyTree
from gm.networks import MLP
from gm.networks.layers import frozen


@dataclasses.dataclass(frozen=True)
class Coupling:
    """τ of some elements, its parameters from a network of the others.

    Attributes:
      event: the space of x and y, real.
      transformer: τ: `transformers.Additive()` is NICE's, `Affine()` RealNVP's, `Spline()` that of
        neural spline flows.
      network: any network with a field `output_shape`, which is set here: `MLP((64, 64), ())`,
        `ResidualMLP(64, 2, ())`, `ConvNet((32, 32), ())` for images. One whose last layer starts
        at zero (output_scale=0) makes the layer start where all raw parameters are zero.
      mask: whether each element is kept. Of the length of the last axis, as `halves` and
        `alternating` make them, the network sees the kept part alone: [..., kept]. In the shape of
        the event, as `checkerboard` makes it, it sees all of x, with zeros for what is moved. By
        default the first half of the last axis is kept.
      context_dim: E, the size of the context vector that the network is given; 0 for none.

    Raises:
      ValueError: the event is discrete, a mask does not fit it, or keeps all of it or nothing; of
        the default, the last axis has only one element.
      TypeError: there is no transformer, or a network without `output_shape`.
    """

    event: Event
    transformer: Transformer
    network: Any = MLP((64, 64), (), output_scale=0.0)
    mask: Any = None
    context_dim: int = 0

    def __post_init__(self) -> None:
        shape = self.event.shape
        check_transformer(self.transformer, "Coupling")
        if self.event.discrete:
            raise ValueError(
                f"Coupling needs a real event; got {self.event}. Dequantize integers "
                "(gm.data.UniformDequantization)."
            )
        if not hasattr(self.network, "output_shape"):
            raise TypeError(
                "Coupling needs a network with a field output_shape, as gm.networks.MLP((64,), ());"
                f" got {type(self.network).__name__}."
            )
        if self.mask is None:
            if not shape or shape[-1] < 2:
                raise ValueError(
                    f"Coupling needs at least 2 elements along the last axis; got {self.event}. "
                    "Give a mask in the shape of the event."
                )
            object.__setattr__(self, "mask", halves(shape[-1]))
        object.__setattr__(self, "mask", frozen(self.mask))
        kept = np.asarray(self.mask, bool)
        if not shape or kept.shape not in (shape, shape[-1:]):
            raise ValueError(
                f"Coupling needs a mask of shape {shape} or {shape[-1:]}; got {kept.shape}."
            )
        if np.all(kept) or not np.any(kept):
            raise ValueError(
                "Coupling needs a mask that keeps some elements and moves others; got one that "
                f"{'keeps' if np.all(kept) else 'moves'} all {kept.size}."
            )

    @property
    def moved(self) -> np.ndarray:
        """Whether each element is moved: bool, [*event]."""
        return np.broadcast_to(~np.asarray(self.mask, bool), self.event.shape)

    @functools.cached_property
    def sized_network(self) -> Any:
        """The network in the sizes of what it sees and of the raw parameters."""
        kept, shape = np.asarray(self.mask, bool), self.event.shape
        if self._splits:
            shape = (*shape[:-1], int(np.sum(~kept)))
        sizes = {"output_shape": (*shape, self.transformer.num_params)}
        if hasattr(self.network, "input_ndim"):
            sizes["input_ndim"] = len(shape)
        return self.network.clone(**sizes)

    def init(self, key: Key) -> Params:
        """Parameters of the network."""
        x = jnp.zeros(self.event.shape, jnp.float32)
        return self.sized_network.init(key, self._seen(x), *given.example(self))

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """τ of the moved elements."""
        return self._apply(self.transformer.forward, params, x, context)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """τ^{-1} of the moved elements."""
        return self._apply(self.transformer.inverse, params, y, context)

    def _apply(self, method: Any, params: Params, x: Array, context: PyTree) -> tuple:
        raw = self.sized_network.apply(params, self._seen(x), *given.inputs(self, context))
        kept = np.asarray(self.mask, bool)
        if self._splits:
            (own,), (other,) = np.nonzero(kept), np.nonzero(~kept)
            y, log_det = each(method, raw, _take(x, other))
            both = jnp.concatenate([_take(x, own), y], axis=-1)
            return _take(both, np.argsort(np.concatenate([own, other]))), log_det
        (moved,) = np.nonzero(~kept.reshape(-1))
        raw = _take(jnp.moveaxis(raw.reshape(x.size, -1), 0, -1), moved)
        flat = x.reshape(-1)
        y, log_det = each(method, raw.T, _take(flat, moved))
        return flat.at[moved].set(y, unique_indices=True).reshape(x.shape), log_det

    @property
    def _splits(self) -> bool:
        """Whether the mask is one of the last axis."""
        return np.ndim(self.mask) == 1

    def _seen(self, x: Array) -> Array:
        """What the network sees of x."""
        kept = np.asarray(self.mask, bool)
        return _take(x, np.nonzero(kept)[0]) if self._splits else jnp.where(kept, x, 0.0)


def halves(size: int, *, keep: bool = True) -> tuple[bool, ...]:
    """A mask that keeps the first half, rounded up, or else moves it: [size]."""
    return tuple((i < (size + 1) // 2) == keep for i in range(size))


def alternating(size: int, *, keep: bool = True) -> tuple[bool, ...]:
    """A mask that keeps the elements of even index, or else moves them: [size]."""
    return tuple((i % 2 == 0) == keep for i in range(size))


def checkerboard(shape: tuple[int, ...], *, keep: bool = True) -> tuple:
    """A mask [H, W, C] that keeps pixels whose row and column have an even sum, or else moves them.

    RealNVP, arXiv:1605.08803, section 3.4. For [H, W] too.
    """
    height, width, *channels = shape
    even = np.add.outer(np.arange(height), np.arange(width)) % 2 == 0
    mask = (even == keep).reshape(height, width, *(1 for _ in channels))
    return frozen(np.broadcast_to(mask, shape))


def check_all_moved(layers: tuple[Coupling, ...], name: str) -> None:
    """Raises ValueError where some element is kept by every one of the layers."""
    never = ~np.logical_or.reduce([layer.moved for layer in layers])
    if np.any(never):
        size = math.prod(never.shape)
        raise ValueError(
            f"{name} needs masks that move every element in some layer; {np.sum(never)} of {size} "
            f"are kept by all {len(layers)}, the first at raster index {np.argmax(never)}. Add a "
            "layer with the opposite mask."
        )


def _take(x: Array, index: np.ndarray) -> Array:
    """x[..., index] for a known index: a slice where it is one, for a gather is slow."""
    steps = {int(b - a) for a, b in itertools.pairwise(index)}
    if len(steps) > 1:
        return x[..., index]
    step = steps.pop() if steps else 1
    if step < 1:
        return x[..., index]
    return x[..., int(index[0]) : int(index[-1]) + 1 : step]
