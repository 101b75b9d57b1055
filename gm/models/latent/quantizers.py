r"""Quantizers: vectors to one of K codes and back, the bottleneck of a VQ-VAE.

A quantizer has `num_codes`, `dim`, `init(key)`, and for vectors h: [..., E]

    index(params, h) -> [...]      which code
    vectors(params, k) -> [..., E] the codes' vectors
    project(params, h) -> [..., E] h itself, or h bounded, that quantization rounds

The straight-through estimator passes the gradient of the code's vector on to `project(h)`
(Bengio, Léonard & Courville, 2013, arXiv:1308.3432).
"""

from __future__ import annotations

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Key, Params


@dataclasses.dataclass(frozen=True)
class Codebook:
    """K learned vectors, of which h becomes the nearest: {"codes": [K, E]}.

    van den Oord, Vinyals & Kavukcuoglu (2017), "Neural discrete representation learning",
    arXiv:1711.00937. `losses.vector_quantization` learns the vectors.

    Attributes:
      num_codes: K, at least 2.
      dim: E.

    Raises:
      ValueError: a size is too small.
    """

    num_codes: int
    dim: int

    def __post_init__(self) -> None:
        if self.num_codes < 2 or self.dim < 1:
            raise ValueError(f"Codebook needs at least 2 codes and 1 dimension; got {self}.")

    def init(self, key: Key) -> Params:
        """Standard normal vectors."""
        return {"codes": jax.random.normal(key, (self.num_codes, self.dim), jnp.float32)}

    def index(self, params: Params, h: Array) -> Array:
        """argmin_k |h - e_k|, the first on a tie: [...] int32."""
        codes = params["codes"]
        half = 0.5 * jnp.sum(codes**2, axis=1)  # |h|^2 is the same for all codes
        scores = h @ codes.T
        return jnp.argmax(scores - jnp.broadcast_to(half, scores.shape), axis=-1).astype(jnp.int32)

    def vectors(self, params: Params, k: Array) -> Array:
        """e_k: [..., E]"""
        return jnp.take(params["codes"], k, axis=0)

    def project(self, params: Params, h: Array) -> Array:
        """h"""
        del params
        return h


@dataclasses.dataclass(frozen=True)
class FiniteScalar:
    """A grid without parameters: element i of h becomes one of L_i values between -1 and 1.

    Mentzer, Minnen, Agustsson & Tschannen (2024), "Finite scalar quantization: VQ-VAE made simple",
    arXiv:2309.15505. No codebook loss, no dead codes: gradients reach the encoder through a tanh.

    Attributes:
      levels: L_i >= 2; there are K = prod L_i codes.

    Raises:
      ValueError: there are no levels, or an element has fewer than 2.
    """

    levels: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "levels", tuple(self.levels))
        if not self.levels or min(self.levels) < 2:
            raise ValueError(f"FiniteScalar needs 2 levels for each element; got {self.levels}.")

    @property
    def num_codes(self) -> int:
        """K"""
        return math.prod(self.levels)

    @property
    def dim(self) -> int:
        """E"""
        return len(self.levels)

    def init(self, key: Key) -> Params:
        """Nothing: {}."""
        del key
        return {}

    def index(self, params: Params, h: Array) -> Array:
        """The number of the nearest grid point, the first element slowest: [...] int32."""
        places = jnp.round((self.project(params, h) + 1.0) * self._half(h)).astype(jnp.int32)
        return jnp.sum(places * jnp.broadcast_to(self._strides, h.shape), -1, dtype=jnp.int32)

    def vectors(self, params: Params, k: Array) -> Array:
        """The grid point: [..., E] in [-1, 1]."""
        shape = (*jnp.shape(k), self.dim)
        levels = np.array(self.levels, np.int32)
        places = jnp.broadcast_to(jnp.asarray(k, jnp.int32)[..., None], shape)
        places = places // jnp.broadcast_to(self._strides, shape) % jnp.broadcast_to(levels, shape)
        return places.astype(jnp.float32) / self._half(places) - 1.0

    def project(self, params: Params, h: Array) -> Array:
        """tanh(h)"""
        del params
        return jnp.tanh(h)

    @property
    def _strides(self) -> np.ndarray:
        """By how much the number of a grid point grows with each element: [E]."""
        later = [math.prod(self.levels[i + 1 :]) for i in range(self.dim)]
        return np.array(later, np.int32)

    def _half(self, like: Array) -> Array:
        """(L_i - 1) / 2 in the shape of vectors."""
        return jnp.broadcast_to(0.5 * (np.array(self.levels, np.float32) - 1.0), like.shape)
