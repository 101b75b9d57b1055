"""Reading `.wav` files as real values in [-1, 1)."""

from __future__ import annotations

import wave
from typing import IO

import numpy as np

WIDTHS = {1: "u1", 2: "<i2", 4: "<i4"}  # bytes of a sample; of one byte, 128 is zero


def read(file: IO[bytes], name: str, most: int | None = None) -> tuple[int, np.ndarray]:
    """Samples per second, and the samples: [T] float32, the mean of the channels.

    Args:
      file: an open `.wav` file of PCM samples of 8, 16 or 32 bits.
      name: of it, for errors.
      most: samples to read; by default all.

    Raises:
      ValueError: it is none.
    """
    try:
        with wave.open(file) as sound:
            channels, width, rate, frames, *_ = sound.getparams()
            raw = sound.readframes(frames if most is None else min(frames, most))
        x = np.frombuffer(raw, WIDTHS[width]).reshape(-1, channels).astype(np.float64)
    except Exception as error:  # of a damaged file: wave raises as it comes
        raise ValueError(
            f"{name} is no .wav file of PCM samples of 8, 16 or 32 bits, or damaged: "
            f"{type(error).__name__}: {error!s:.100}"
        ) from error
    zero, scale = (128.0, 128.0) if width == 1 else (0.0, 2.0 ** (8 * width - 1))
    return rate, ((x.mean(axis=1) - zero) / scale).astype(np.float32)


def fit(x: np.ndarray, length: int) -> np.ndarray:
    """The first `length` samples, with silence at the end where there are fewer."""
    return np.pad(x[:length], (0, max(0, length - len(x))))
