"""Reading `.wav` files as real values in [-1, 1)."""

from __future__ import annotations

import wave
from typing import IO

import numpy as np

WIDTHS = {1: "u1", 2: "<i2", 4: "<i4"}  # bytes per sample; 8-bit samples have their zero at 128


def read(file: IO[bytes], name: str, most: int | None = None) -> tuple[int, np.ndarray]:
    """Reads the samples per second, and the samples: [T] float32, the mean of the channels.

    Args:
      file: an open `.wav` file of PCM samples of 8, 16 or 32 bits.
      name: the name of the file, for errors.
      most: the number of samples to read; by default all.

    Raises:
      ValueError: the file is not a `.wav` file of such samples, or is damaged.
    """
    try:
        with wave.open(file) as sound:
            channels, width, rate, frames, *_ = sound.getparams()
            raw = sound.readframes(frames if most is None else min(frames, most))
        x = np.frombuffer(raw, WIDTHS[width]).reshape(-1, channels).astype(np.float64)
    except Exception as error:  # wave raises many errors for damaged files
        raise ValueError(
            f"{name} is not a .wav file of PCM samples of 8, 16 or 32 bits, or is damaged: "
            f"{type(error).__name__}: {error!s:.100}"
        ) from error
    zero, scale = (128.0, 128.0) if width == 1 else (0.0, 2.0 ** (8 * width - 1))
    return rate, ((x.mean(axis=1) - zero) / scale).astype(np.float32)


def fit(x: np.ndarray, length: int) -> np.ndarray:
    """The first `length` samples, padded with silence if there are fewer."""
    return np.pad(x[:length], (0, max(0, length - len(x))))
