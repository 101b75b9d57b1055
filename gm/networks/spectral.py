r"""Spectral normalization: every kernel of a network divided by its largest singular value.

    coefficient * W / sigma(W),   sigma(W) = u^T W v by power iterations

Miyato, Kataoka, Koyama & Yoshida (2018), arXiv:1802.05957. Where activations have slopes of at most
one, a chain of dense layers is then coefficient^L-Lipschitz. A convolution's kernel is the matrix
[height * width * in, out], as in the paper, whose norm is not that of the convolution.

The iterations start anew from a fixed vector at each call, so that a network stays a pure function
of its parameters: no vector is carried from step to step. They cost a matrix-vector product each,
once for a batch.
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Key, Network, Params
from gm.numerics import safe_norm


def spectral_norm(kernel: Array, iterations: int = 20) -> Array:
    """The largest singular value of a kernel [..., out], as a matrix; at most it, up to rounding.

    u and v are constants for the gradient, which is u v^T, as that of sigma itself.

    Args:
      kernel: [..., out] of two axes or more.
      iterations: power iterations; the relative error falls as (sigma_2 / sigma_1)^(2 iterations).

    Raises:
      ValueError: fewer than two axes, or no iteration.
    """
    if kernel.ndim < 2 or iterations < 1:
        raise ValueError(
            "spectral_norm needs a kernel of at least two axes and at least 1 iteration; got shape "
            f"{kernel.shape}, {iterations}."
        )
    matrix = kernel.reshape(-1, kernel.shape[-1])
    fixed = jax.lax.stop_gradient(matrix)
    start = np.random.default_rng(0).normal(size=matrix.shape[1]).astype(np.float32)
    start = jnp.asarray(start / np.linalg.norm(start), matrix.dtype)

    def iteration(_: int, v: Array) -> Array:
        return _unit(fixed.T @ _unit(fixed @ v))

    v = jax.lax.fori_loop(0, iterations, iteration, start)
    return _unit(fixed @ v) @ matrix @ v


def _unit(x: Array) -> Array:
    return x / jnp.maximum(safe_norm(x), 1e-12)


@dataclasses.dataclass(frozen=True)
class SpectralNorm:
    """A network whose kernels have a spectral norm of `coefficient`, whatever its parameters.

    Attributes:
      network: any network; what it calls "kernel" is normalised, biases and scales are not.
      coefficient: of every layer; above 1 the critic may be steeper.
      iterations: as in `spectral_norm`.
    """

    network: Network
    coefficient: float = 1.0
    iterations: int = 20

    def __post_init__(self) -> None:
        if not (self.coefficient > 0.0 and math.isfinite(self.coefficient)):
            raise ValueError(f"SpectralNorm needs a positive coefficient; got {self.coefficient}.")

    def init(self, key: Key, x: Array, /, *context: Array) -> Params:
        """Parameters of the network."""
        return self.network.init(key, x, *context)

    def apply(self, params: Params, x: Array, /, *context: Array) -> Array:
        """The network with normalised kernels at x."""
        return self.network.apply(self.normalized(params), x, *context)

    def normalized(self, params: Params) -> Params:
        """The parameters that the network is applied with."""

        def of_leaf(path: tuple, leaf: Array) -> Array:
            if getattr(path[-1], "key", None) != "kernel" or leaf.ndim < 2:
                return leaf
            sigma = spectral_norm(leaf, self.iterations)
            return leaf * (self.coefficient / jnp.maximum(sigma, 1e-12))

        return jax.tree_util.tree_map_with_path(of_leaf, params)
