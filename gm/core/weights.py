"""Weights of the examples of a batch."""

from __future__ import annotations

import numpy as np


def example_weights(weights: np.ndarray | None, count: int, name: str) -> np.ndarray:
    """One weight for each of N examples, [N] in float64; ones by default.

    Args:
      weights: [N], at least 0, or None.
      count: N.
      name: the name of the caller, for the message.

    Raises:
      ValueError: the shape is not [N], or a weight is negative or not finite.
    """
    if weights is None:
        return np.ones(count)
    w = np.asarray(weights, np.float64)
    if w.shape != (count,) or not np.all(np.isfinite(w)) or np.any(w < 0.0):
        lowest = f"from {w.min()}" if w.size else "none"
        raise ValueError(
            f"{name} needs one finite weight of at least 0 for each of {count} rows; got shape "
            f"{w.shape}, {lowest}."
        )
    return w
