"""`Score`: a number with its standard error, unit, count and kind."""

from __future__ import annotations

import dataclasses
import functools
import math
from typing import Any

import numpy as np

from gm.core import Event
from gm.losses import likelihood

KINDS = ("exact", "bound", "estimate")


def with_error(value: float, standard_error: float | None) -> str:
    """`89.93 ± 0.24`: the error to two significant digits, the value to as many decimals."""
    if not standard_error or not math.isfinite(standard_error):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"
    decimals = min(max(1 - math.floor(math.log10(standard_error)), 0), 8)
    return f"{value:.{decimals}f} ± {standard_error:.{decimals}f}"


def _error_of_mean(values: np.ndarray, block: int) -> float | None:
    """The standard error of the mean of values: [N], from the means of all blocks of that length.

    It is std / sqrt(N) for blocks of 1, and None for N = 1.
    """
    count = len(values)
    if count == 1:
        return None
    sums = np.cumsum(np.concatenate([[0.0], values - values.mean()]))
    means = (sums[block:] - sums[:-block]) / block  # [N - b + 1]
    return math.sqrt(block * np.sum(means**2) / ((count - block) * (count - block + 1)))


@dataclasses.dataclass(frozen=True)
class Score:
    """The mean of a quantity over examples, or a statistic of samples.

    Attributes:
      value: the number, in `unit`.
      standard_error: the standard error of `value` over random examples; None if it is unknown.
      count: the number of examples.
      unit: "nats", "bits/dim", "accuracy", "%", ...
      kind: "exact"; "bound" if the expectation of a negative log-likelihood is above the true one;
        "estimate" for a statistic of samples.
      num_samples: Monte Carlo samples per example; None for exact values.
      p_value: the p-value of a test under its null hypothesis; None without a test.
      log_volume: nats that were subtracted for the transforms of the examples, so that `value` is
        that of the original examples (`Split.log_volume`).
    """

    value: float
    standard_error: float | None
    count: int
    unit: str = "nats"
    kind: str = "exact"
    num_samples: int | None = None
    p_value: float | None = None
    log_volume: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"Score needs a kind among {', '.join(KINDS)}; got {self.kind!r}.")

    @classmethod
    def mean(cls, values: np.ndarray, *, correlated: bool = False, **fields: Any) -> Score:
        r"""The mean of values: [N] and its standard error, std / sqrt(N); None for N = 1.

        Correlated values, such as those of consecutive windows of a text, contain less information
        than N independent ones. `correlated` gives the standard error of overlapping batch means,

            se^2 = b / ((N - b) (N - b + 1)) \sum_j (mean(values[j : j + b]) - mean(values))^2

        with b = floor(N^(2/3)): Flegal & Jones (2010), arXiv:0811.1729. It is correct if values
        more than b apart are independent, and too small otherwise; its own relative error is about
        sqrt(b / 3N), 0.22 for 341 windows. Texts change slowly and need blocks of this length: for
        bigrams on 341 windows of 128 characters of the Python docs it is 3.5 times the error of
        independent values; with b = sqrt(N) it is 2.5 times.

        Args:
          values: [N], summed in float64.
          correlated: whether adjacent values are correlated.
          **fields: the other attributes of the Score.

        Raises:
          ValueError: values is empty or not [N].
        """
        values = np.asarray(values, np.float64)
        if values.ndim != 1 or not values.size:
            raise ValueError(f"Score.mean needs values of shape [N], N >= 1; got {values.shape}.")
        count = len(values)
        error = _error_of_mean(values, int(count ** (2 / 3)) if correlated else 1)
        return cls(float(values.mean()), error, count, **fields)

    def bits_per_dim(self, event: Event, dequantized_levels: int | None = None) -> Score:
        r"""This negative log-likelihood in bits per dimension: nats / (D log 2).

        With x = (v + u) / K, u uniform on [0, 1)^D, the mass of the integers v is bounded by the
        density of x: -log P(v) <= -E_u log p(x) + D log K (Theis, van den Oord & Bethge 2016,
        arXiv:1511.01844, section 3.1), so bits/dim = (nats + D log K) / (D log 2), and the
        kind becomes "bound".

        Args:
          event: the space of one example, for D.
          dequantized_levels: K, for a density of data dequantized into [0, 1); else None.

        Raises:
          ValueError: the unit is not nats, or K is given for a discrete event or for a score that
            already includes its dequantization.
        """
        if self.unit != "nats":
            raise ValueError(f"bits_per_dim needs a score in nats; got {self.unit}.")
        if dequantized_levels is not None and event.discrete:
            raise ValueError(
                "bits_per_dim takes dequantized_levels for real-valued events only; this one has "
                f"{event.num_values} integer values and needs none."
            )
        if dequantized_levels is not None and self.log_volume:
            raise ValueError(
                "bits_per_dim needs no dequantized_levels here: the score is already that of the "
                f"integers (it includes {self.log_volume:g} nats of volume)."
            )
        bits = functools.partial(likelihood.bits_per_dim, size=event.size)
        error = None if self.standard_error is None else bits(self.standard_error)
        own = {"value": bits(self.value, num_levels=dequantized_levels), "standard_error": error}
        if dequantized_levels is not None:
            own |= {"kind": "bound", "num_samples": self.num_samples or 1}
        return dataclasses.replace(self, unit="bits/dim", **own)

    def per_char(self, event: Event) -> Score:
        """This negative log-likelihood of windows of T characters in nats/char: nats / T.

        Args:
          event: the space of one window, for T.

        Raises:
          ValueError: the unit is not nats.
        """
        if self.unit != "nats":
            raise ValueError(f"per_char needs a score in nats; got {self.unit}.")
        error = None if self.standard_error is None else self.standard_error / event.size
        own = {"value": self.value / event.size, "standard_error": error}
        return dataclasses.replace(self, unit="nats/char", **own)

    def __str__(self) -> str:
        """`89.93 ± 0.24 nats (exact, 10,000 examples)`"""
        notes = [self.kind]
        if self.num_samples is not None:
            notes.append(f"{self.num_samples:,} sample{'s' * (self.num_samples != 1)}")
        notes.append(f"{self.count:,} example{'s' * (self.count != 1)}")
        if self.p_value is not None:
            notes.append("p < 0.001" if self.p_value < 0.001 else f"p = {self.p_value:.3f}")
        return f"{with_error(self.value, self.standard_error)} {self.unit} ({', '.join(notes)})"
