"""Baselines: independent elements, and file compressors."""

from __future__ import annotations

import bz2
import lzma
import zlib

import numpy as np

from gm.core import Event
from gm.metrics.score import Score


def independent(
    x_train: np.ndarray, x_test: np.ndarray, num_values: int, pseudo_count: float = 1.0
) -> Score:
    r"""Mean -log \prod_i p(x_i) on x_test, with each element's histogram of x_train for p_i.

    p_i(v) = (count_i(v) + a) / (N + a K): add-one smoothing for a = 1. A model above this score
    has learned nothing about how elements depend on each other. 107.3 nats and 2.42 bits/dim on
    a random tenth of the 8x8 digits of 17 levels.

    Args:
      x_train: [N, ...] integers in [0, K).
      x_test: [M, ...] integers in [0, K).
      num_values: K.
      pseudo_count: a.

    Returns:
      Exact score in nats.
    """
    x_train, x_test = np.asarray(x_train), np.asarray(x_test)
    event = Event(x_train.shape[1:], num_values)
    event.check(x_train, "x_train")
    event.check(x_test, "x_test")
    x_train = x_train.reshape(len(x_train), -1).astype(np.int64)
    x_test = x_test.reshape(len(x_test), -1).astype(np.int64)

    counts = np.stack([np.sum(x_train == v, axis=0) for v in range(num_values)])  # [K, D]
    log_probs = np.log(counts + pseudo_count) - np.log(len(x_train) + pseudo_count * num_values)
    elements = np.arange(x_test.shape[1])
    return Score.mean(-log_probs[x_test, elements].sum(axis=1))


def compressors(x_test: np.ndarray, x_train: np.ndarray | None = None) -> dict[str, float]:
    """Bits per dimension that lzma, bz2 and zlib spend on x_test.

    One byte per element, raster order, all of x_test in one stream, the strongest preset,
    container and all. For the tenth of the 8x8 digits that
    `numpy.random.RandomState(0).permutation(1797)` puts last (180 images) this gives 2.98, 2.90
    and 3.22; other random tenths differ by some 0.02. Since a model has seen training data, x_train
    may be given: then the cost is what x_test adds to a stream that starts with it (0.2 to
    0.3 less on the digits; zlib looks back 32 KiB only).

    Args:
      x_test: [N, ...] integers in [0, 256).
      x_train: None, or the training examples in the same form.
    """
    prefix = b"" if x_train is None else _bytes(x_train, "x_train")
    stream = _bytes(x_test, "x_test")
    if not stream:
        raise ValueError("compressors needs at least one example in x_test; got none.")
    compress = {
        "lzma": lambda data: lzma.compress(data, preset=9 | lzma.PRESET_EXTREME),
        "bz2": lambda data: bz2.compress(data, 9),
        "zlib": lambda data: zlib.compress(data, 9),
    }
    before = {name: len(f(prefix)) if prefix else 0 for name, f in compress.items()}
    after = {name: len(f(prefix + stream)) for name, f in compress.items()}
    return {name: 8 * (after[name] - before[name]) / len(stream) for name in compress}


def _bytes(x: np.ndarray, name: str) -> bytes:
    """The elements of x as bytes in raster order."""
    x = np.asarray(x)
    Event(x.shape[1:], 256).check(x, name)
    return x.astype(np.uint8).tobytes()
