r"""Sprites: binary images of one shape, made by a function of five factors, for disentanglement.

    factor        values   what
    shape              3   square, ellipse, heart
    scale              3   half sizes of 0.12, 0.16 and 0.20 of the image
    orientation        4   in a half turn
    horizontal         6   place of the centre
    vertical           6   place of the centre

After dSprites (Matthey, Higgins, Hassabis & Lerchner, 2017), with fewer values: all 1,296
combinations, each once, 16 x 16 pixels by default. The factors of an example are the integers
above; `load()` has them as its contexts, `factors()` lists them in the order of `images()`.
"""

from __future__ import annotations

import numpy as np

from gm.data.arrays import from_arrays
from gm.data.dataset import Dataset

NAMES = ("shape", "scale", "orientation", "horizontal", "vertical")
SIZES = (3, 3, 4, 6, 6)


def factors() -> np.ndarray:
    """All combinations in raster order, the last factor fastest: [1296, 5] int32."""
    return np.indices(SIZES).reshape(len(SIZES), -1).T.astype(np.int32)


def render(factors: np.ndarray, size: int = 16) -> np.ndarray:
    """Images of factors [N, 5]: [N, size, size] bytes, 1 inside the shape.

    Raises:
      ValueError: factors are not [N, 5] integers within their ranges, or size is below 8.
    """
    factors = np.asarray(factors)
    fits = factors.ndim == 2 and factors.shape[1] == len(SIZES) and factors.dtype.kind in "iu"
    if size < 8 or not fits or np.any((factors < 0) | (factors >= np.array(SIZES))):
        raise ValueError(
            f"render needs integers [N, {len(SIZES)}] below {SIZES} and a size of at least 8; got "
            f"{factors.dtype} {factors.shape} and {size}."
        )
    shape, scale, turn, column, row = factors.T
    half = (0.12 + 0.04 * scale)[:, None, None]  # of an image of side 1
    angle = (np.pi * turn / SIZES[2])[:, None, None]
    centre = [(0.28 + 0.44 * place / (SIZES[3] - 1))[:, None, None] for place in (column, row)]
    pixels = (np.arange(size) + 0.5) / size
    dx, dy = pixels[None, None, :] - centre[0], pixels[None, :, None] - centre[1]
    u = (np.cos(angle) * dx + np.sin(angle) * dy) / half
    v = (np.cos(angle) * dy - np.sin(angle) * dx) / half
    inside = np.stack([_square(u, v), _ellipse(u, v), _heart(u, v)])
    return inside[shape, np.arange(len(factors))].astype(np.uint8)


def images(size: int = 16) -> np.ndarray:
    """The images of `factors()`: [1296, size, size] bytes."""
    return render(factors(), size)


def load(size: int = 16, seed: int = 0) -> Dataset:
    """All sprites as a data set: 80 % for training, 10 % each for validation and testing.

    Args:
      size: of a side, in pixels.
      seed: of the split.
    """
    all_factors = factors()
    order = np.random.default_rng(seed).permutation(len(all_factors))
    tenth = len(order) // 10
    parts = order[2 * tenth :], order[:tenth], order[tenth : 2 * tenth]
    splits = [render(all_factors[part], size) for part in parts]
    contexts = [all_factors[part].astype(np.float32) for part in parts]
    return from_arrays(*splits, contexts=contexts, num_values=2, name="sprites")


def _square(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return np.maximum(np.abs(u), np.abs(v)) <= 0.85


def _ellipse(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u**2 + (v / 0.55) ** 2 <= 1.0


def _heart(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """(a² + b² - 1)³ <= a² b³, upside up."""
    a, b = 1.2 * u, -1.2 * v
    return (a**2 + b**2 - 1.0) ** 3 <= a**2 * b**3
