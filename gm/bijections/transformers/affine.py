"""Affine transformers: those of NICE, RealNVP and MAF."""

from __future__ import annotations

import dataclasses

import jax.numpy as jnp

from gm.core import Array


@dataclasses.dataclass(frozen=True)
class Additive:
    """y = x + b, with raw = (b); log dy/dx = 0.

    Dinh, Krueger & Bengio (2015), "NICE", arXiv:1410.8516, section 3.2.
    """

    @property
    def num_params(self) -> int:
        """1"""
        return 1

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """x + b"""
        return x + raw[0], jnp.zeros_like(x)

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """y - b"""
        return y - raw[0], jnp.zeros_like(y)


@dataclasses.dataclass(frozen=True)
class Affine:
    """y = x exp(s) + b, with raw = (b, a) and s = a / (1 + |a| / m), between -m and m.

    Dinh, Sohl-Dickstein & Bengio (2017), "Density estimation using Real NVP", arXiv:1605.08803;
    Papamakarios, Pavlakou & Murray (2017), arXiv:1705.07057. The bound is a departure from both:
    without it a scale overflows where the network has seen no data.

    Attributes:
      max_log_scale: m, positive.

    Raises:
      ValueError: m is not positive, or exp(m) is beyond float32.
    """

    max_log_scale: float = 7.0

    def __post_init__(self) -> None:
        if not 0.0 < self.max_log_scale < 80.0:
            raise ValueError(
                f"Affine needs a max_log_scale between 0 and 80; got {self.max_log_scale}."
            )

    @property
    def num_params(self) -> int:
        """2"""
        return 2

    def forward(self, raw: Array, x: Array) -> tuple[Array, Array]:
        """x exp(s) + b"""
        log_scale = self._log_scale(raw)
        return x * jnp.exp(log_scale) + raw[0], log_scale

    def inverse(self, raw: Array, y: Array) -> tuple[Array, Array]:
        """(y - b) exp(-s)"""
        log_scale = self._log_scale(raw)
        return (y - raw[0]) * jnp.exp(-log_scale), -log_scale

    def _log_scale(self, raw: Array) -> Array:
        """s"""
        return raw[1] / (1.0 + jnp.abs(raw[1]) / self.max_log_scale)
