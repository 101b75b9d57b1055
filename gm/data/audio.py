"""Writing sound to `.wav` files."""

from __future__ import annotations

import os
import pathlib
import wave

import numpy as np

from gm.core import Array


def write_wav(
    path: str | os.PathLike[str], x: Array | np.ndarray, sample_rate: int
) -> pathlib.Path:
    """Writes one channel of audio as a 16-bit PCM `.wav` file and creates missing folders.

    Args:
      path: the file to write.
      x: [T] real values; values outside [-1, 1], the full scale, are clipped. Decode mu-law levels
        with `mu_law_decode` first.
      sample_rate: samples per second.

    Returns:
      The path.

    Raises:
      ValueError: x is not a vector of finite real values, or the rate is not positive.
    """
    x = np.asarray(x)
    if x.ndim != 1 or not x.size or not np.issubdtype(x.dtype, np.floating):
        raise ValueError(
            f"write_wav needs real values [T]; got {x.dtype} of shape {x.shape}. Integers of "
            "MuLaw become real values by gm.data.mu_law_decode; numpy.concatenate joins sounds."
        )
    if not np.isfinite(x).all():
        raise ValueError("write_wav needs finite values; x holds nan or inf.")
    if sample_rate < 1:
        raise ValueError(f"write_wav needs a sample_rate of at least 1 Hz; got {sample_rate}.")
    pcm = np.clip(np.rint(x.astype(np.float64) * 2**15), -(2**15), 2**15 - 1).astype("<i2")
    path = pathlib.Path(path).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(os.fspath(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(sample_rate)
        file.writeframes(pcm.tobytes())
    return path
