"""The parts of Glow: activation normalization, invertible 1x1 convolutions, squeezing, scales.

Kingma & Dhariwal (2018), "Glow: generative flow with invertible 1x1 convolutions",
arXiv:1807.03039; Dinh, Sohl-Dickstein & Bengio (2017), "Density estimation using Real NVP",
arXiv:1605.08803, sections 3.6 and 3.7. Channels are the last axis.
"""

from __future__ import annotations

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import scipy.linalg

from gm import core
from gm.core import Array, Bijection, Event, Key, Params, PyTree


@dataclasses.dataclass(frozen=True)
class ActNorm:
    """y_c = x_c exp(s_c) + m_c for every channel c, started so that a first batch has x of scale 1.

    Section 3.1. `init_from(key, y)` is that start, which `Flow.init(key, y)` makes; after it they
    are parameters like others: nothing looks at data again, when a run is resumed neither.

    Attributes:
      event: the space of x and y, real; channels are its last axis.

    Raises:
      ValueError: the event is discrete or has no axis.
    """

    event: Event

    def __post_init__(self) -> None:
        _check(self.event, "ActNorm")

    def init(self, key: Key) -> Params:
        """The identity: {"shift": [C], "log_scale": [C]}."""
        del key
        zeros = jnp.zeros(self.event.shape[-1], jnp.float32)
        return {"shift": zeros, "log_scale": zeros}

    def init_from(self, key: Key, x: np.ndarray) -> Params:
        """Mean and standard deviation of each channel of examples [N, *event]; in float64.

        A channel that is constant there keeps the scale 1.
        """
        del key
        rows = np.asarray(x, np.float64).reshape(-1, self.event.shape[-1])
        mean, std = rows.mean(axis=0), rows.std(axis=0)
        constant = std <= 1e-6 * np.max(np.abs(rows), axis=0)
        log_scale = np.log(np.where(constant, 1.0, std))
        return {
            "shift": jnp.asarray(mean, jnp.float32),
            "log_scale": jnp.asarray(log_scale, jnp.float32),
        }

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """x exp(s) + m"""
        del context
        shift, log_scale = self._channels(params, x)
        return x * jnp.exp(log_scale) + shift, self._log_det(params, x)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """(y - m) exp(-s)"""
        del context
        shift, log_scale = self._channels(params, y)
        return (y - shift) * jnp.exp(-log_scale), -self._log_det(params, y)

    def _channels(self, params: Params, x: Array) -> tuple[Array, Array]:
        shape = (1,) * (x.ndim - 1) + x.shape[-1:]
        return params["shift"].reshape(shape), params["log_scale"].reshape(shape)

    def _log_det(self, params: Params, x: Array) -> Array:
        return (x.size // x.shape[-1]) * jnp.sum(params["log_scale"])


@dataclasses.dataclass(frozen=True)
class InvertibleConv:
    """x = W y at every position, W: [C, C]: a 1x1 convolution that `inverse` applies.

    Section 3.2: W = P L (U + diag(s)), with P and the signs of s fixed, L lower triangular with
    ones on its diagonal, U strictly upper, so that log |det W| is Σ log |s| for each position. It
    starts as a random rotation; `forward` uses W^{-1}, of two triangular solutions.

    Attributes:
      event: the space of x and y, real; channels are its last axis.
      seed: of the rotation; layers of a flow should differ.

    Raises:
      ValueError: the event is discrete or has no axis.
    """

    event: Event
    seed: int = 0

    def __post_init__(self) -> None:
        _check(self.event, "InvertibleConv")

    def init(self, key: Key) -> Params:
        """{"lower", "upper": [C (C - 1) / 2], "log_scale": [C]} of the rotation of the seed."""
        del key
        _, lower, upper = self._rotation
        rows, columns = self._below
        params = {
            "lower": lower[rows, columns],
            "upper": upper.T[rows, columns],
            "log_scale": np.log(np.abs(np.diag(upper))),
        }
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """W^{-1} x"""
        del context
        order, lower, upper = self._factors(params)
        eye = jnp.eye(len(lower), dtype=lower.dtype)[np.argsort(order)]
        first = jax.scipy.linalg.solve_triangular(lower, eye, lower=True, unit_diagonal=True)
        inverse = jax.scipy.linalg.solve_triangular(upper, first, lower=False)
        return x @ inverse.T, -self._log_det(params, x)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """W y"""
        del context
        order, lower, upper = self._factors(params)
        return y @ (lower @ upper)[order].T, self._log_det(params, y)

    @property
    def _below(self) -> tuple[np.ndarray, np.ndarray]:
        return np.tril_indices(self.event.shape[-1], -1)

    @functools.cached_property
    def _rotation(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The order of rows, L and U of a random rotation."""
        size = self.event.shape[-1]
        normal = np.random.default_rng(self.seed).standard_normal((size, size))
        p, lower, upper = scipy.linalg.lu(np.linalg.qr(normal)[0])
        return np.argmax(p, axis=1), lower, upper

    def _factors(self, params: Params) -> tuple[np.ndarray, Array, Array]:
        """The order of rows, L and U + diag(s)."""
        order, _, upper = self._rotation
        rows, columns = self._below
        scale = jnp.asarray(np.sign(np.diag(upper)), jnp.float32) * jnp.exp(params["log_scale"])
        eye = jnp.eye(len(order), dtype=scale.dtype)
        lower = eye.at[rows, columns].set(params["lower"])
        return order, lower, jnp.diag(scale).at[columns, rows].set(params["upper"])

    def _log_det(self, params: Params, x: Array) -> Array:
        return (x.size // x.shape[-1]) * jnp.sum(params["log_scale"])


@dataclasses.dataclass(frozen=True)
class Squeeze:
    """[H, W, C] -> [H / 2, W / 2, 4 C]: every block of 2 x 2 pixels becomes channels; log_det = 0.

    Attributes:
      event: the space of x.

    Raises:
      ValueError: there are no three axes, or height or width is odd.
    """

    event: Event

    def __post_init__(self) -> None:
        shape = self.event.shape
        if len(shape) != 3 or shape[0] % 2 or shape[1] % 2:
            raise ValueError(
                f"Squeeze needs an event [H, W, C] of even height and width; got {shape}. Pad or "
                "crop the images, or use fewer levels."
            )

    @property
    def squeezed(self) -> Event:
        """The space of y."""
        height, width, channels = self.event.shape
        return Event((height // 2, width // 2, 4 * channels))

    def init(self, key: Key) -> Params:
        """Nothing: {}."""
        del key
        return {}

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """Blocks to channels."""
        del params, context
        height, width, channels = self.event.shape
        blocks = x.reshape(height // 2, 2, width // 2, 2, channels).transpose(0, 2, 1, 3, 4)
        return blocks.reshape(self.squeezed.shape), jnp.zeros((), x.dtype)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """Channels to blocks."""
        del params, context
        height, width, channels = self.event.shape
        blocks = y.reshape(height // 2, width // 2, 2, 2, channels).transpose(0, 2, 1, 3, 4)
        return blocks.reshape(self.event.shape), jnp.zeros((), y.dtype)


@dataclasses.dataclass(frozen=True)
class MultiScale:
    """The first half of the channels stays as it is; `rest` maps the others to what they become.

    From data to noise, half of the channels are factored out as noise at each scale.

    Attributes:
      event: the space of x and y, real; channels are its last axis.
      rest: a bijection of [*event.shape[:-1], C - C // 2] to itself.

    Raises:
      ValueError: the event is discrete or has one channel alone.
    """

    event: Event
    rest: Bijection

    def __post_init__(self) -> None:
        _check(self.event, "MultiScale")
        if self.event.shape[-1] < 2:
            raise ValueError(f"MultiScale needs at least 2 channels; got {self.event}.")

    @property
    def half(self) -> int:
        """Channels that stay."""
        return self.event.shape[-1] // 2

    def init(self, key: Key) -> Params:
        """Those of the rest."""
        return self.rest.init(key)

    def init_from(self, key: Key, x: np.ndarray, context: Array | None = None) -> Params:
        """Those of the rest, started from its part of x: [N, *event]."""
        return core.init_from(self.rest, key, x[..., self.half :], context)

    def forward(self, params: Params, x: Array, context: PyTree = None) -> tuple[Array, Array]:
        """The first half, and the rest mapped."""
        return self._apply(self.rest.forward, params, x, context)

    def inverse(self, params: Params, y: Array, context: PyTree = None) -> tuple[Array, Array]:
        """The first half, and the rest mapped back."""
        return self._apply(self.rest.inverse, params, y, context)

    def _apply(self, method: functools.partial, params: Params, x: Array, context: PyTree) -> tuple:
        rest = x[..., self.half :]
        y, log_det = method(params, rest, context)
        if y.shape != rest.shape:
            raise ValueError(
                f"MultiScale needs a rest that maps {rest.shape} to itself; got {y.shape}. "
                "gm.bijections.Reshape brings it back."
            )
        return jnp.concatenate([x[..., : self.half], y], axis=-1), log_det


def _check(event: Event, name: str) -> None:
    if event.discrete or not event.shape:
        raise ValueError(
            f"{name} needs a real event with channels as its last axis; got {event}. Dequantize "
            "integers (gm.data.UniformDequantization)."
        )
