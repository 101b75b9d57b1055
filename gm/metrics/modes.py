"""Mode coverage: how many modes of a known mixture a generator covers, and how evenly."""

from __future__ import annotations

import dataclasses

import numpy as np

from gm.core import Array
from gm.metrics.score import Score


@dataclasses.dataclass(frozen=True)
class ModeCoverage:
    """Coverage of a mixture of M modes of equal weight by samples.

    Attributes:
      captured: modes with at least one high-quality sample, at most M.
      high_quality: fraction of samples within the threshold of some mode, in [0, 1].
      reverse_kl: KL(fraction of samples nearest to each mode || 1/M) in nats, in [0, log M].
      num_modes: M.
      count: number of samples.
    """

    captured: int
    high_quality: float
    reverse_kl: float
    num_modes: int
    count: int

    def scores(self) -> dict[str, Score]:
        """The three numbers by name, for result files; high quality in %."""
        values = {
            "modes captured": (float(self.captured), "modes"),
            "samples of high quality": (100.0 * self.high_quality, "%"),
            "reverse KL of mode counts": (self.reverse_kl, "nats"),
        }
        return {
            name: Score(value, None, self.count, unit, "estimate")
            for name, (value, unit) in values.items()
        }

    def __str__(self) -> str:
        """`24 of 25 modes, 93.6 % high quality, reverse KL 0.040 nats (2,500 samples)`"""
        return (
            f"{self.captured} of {self.num_modes} modes, {self.high_quality:.1%} high quality, "
            f"reverse KL {self.reverse_kl:.3f} nats ({self.count:,} samples)"
        ).replace("%", " %")


def mode_coverage(
    x: Array | np.ndarray, centers: Array | np.ndarray, scale: float, num_scales: float = 3.0
) -> ModeCoverage:
    """Measures mode coverage of samples, as in VEEGAN and PacGAN.

    A sample has high quality if its Euclidean distance to the nearest centre is at most
    `num_scales * scale`; only such samples capture a mode. The reverse KL counts every sample for
    its nearest mode, as defined in the text of Lin et al. (2018), arXiv:1712.04086, section 4.1
    (their released code counts only high-quality samples). The first two measures are those of
    Srivastava et al. (2017), arXiv:1705.07761.

    How to read it. In 2-D, 1.1 % of perfect samples lie beyond three standard deviations, so 98.9 %
    is the ideal score; a higher one means that the modes are too narrow. With N samples a perfect
    generator has a reverse KL of about (M - 1) / 2N, not 0.

    Args:
      x: [N, D] samples.
      centers: [M, D] means of the modes.
      scale: the standard deviation of each mode in every direction.
      num_scales: the threshold in standard deviations.

    Raises:
      ValueError: the shapes do not fit, or samples are not finite.
    """
    x, centers = np.asarray(x, np.float64), np.asarray(centers, np.float64)
    if x.ndim != 2 or centers.ndim != 2 or x.shape[1] != centers.shape[1] or not len(x):
        raise ValueError(
            f"mode_coverage needs x [N, D], N >= 1, and centers [M, D]; got {x.shape} and "
            f"{centers.shape}."
        )
    if not np.isfinite(x).all():
        raise ValueError("mode_coverage needs finite samples; got nan or inf.")
    distances = np.stack([np.linalg.norm(x - center, axis=1) for center in centers], axis=1)
    nearest = distances.argmin(axis=1)  # [N]
    good = distances.min(axis=1) <= num_scales * scale  # [N]
    share = np.bincount(nearest, minlength=len(centers)) / len(x)
    seen = share[share > 0]
    return ModeCoverage(
        captured=len(np.unique(nearest[good])),
        high_quality=float(good.mean()),
        reverse_kl=float(max(np.sum(seen * np.log(seen * len(centers))), 0.0)),
        num_modes=len(centers),
        count=len(x),
    )
