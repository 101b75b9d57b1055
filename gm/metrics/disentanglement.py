r"""Disentanglement of codes with respect to known factors: the mutual information gap, and a vote.

    mutual_information_gap   (1/F) Σ_f (I(c_1; f) - I(c_2; f)) / H(f) of the two best codes
    factor_accuracy          accuracy of naming the factor held fixed from the least varied code

Chen et al. (2018), arXiv:1802.04942, section 4.1; Kim & Mnih (2018), arXiv:1802.05983, section 4.
Codes are the posterior's means (or samples), factors integers: `gm.data.sprites` has both.
Locatello et al. (2019), arXiv:1811.12359: such scores depend on seeds more than on methods, so give
several seeds.
"""

from __future__ import annotations

import numpy as np

from gm.metrics.score import Score


def mutual_information(codes: np.ndarray, factors: np.ndarray, num_bins: int = 20) -> np.ndarray:
    """I(c_k; f) of every code and factor, nats, with codes in bins of equal width: [K, F].

    A plug-in estimate: too high by about (bins - 1)(values - 1) / (2 N).

    Args:
      codes: [N, K] reals.
      factors: [N, F] integers.
      num_bins: over the range of each code.

    Raises:
      ValueError: shapes do not fit, or fewer than 2 bins.
    """
    codes, factors = _checked(codes, factors, "mutual_information")
    if num_bins < 2:
        raise ValueError(f"mutual_information needs num_bins of at least 2; got {num_bins}.")
    low, high = codes.min(0), codes.max(0)
    width = np.where(high > low, high - low, 1.0)
    bins = np.minimum(((codes - low) / width * num_bins).astype(np.int64), num_bins - 1)
    found = np.zeros((codes.shape[1], factors.shape[1]))
    for f in range(factors.shape[1]):
        _, values = np.unique(factors[:, f], return_inverse=True)
        for k in range(codes.shape[1]):
            table = np.zeros((num_bins, values.max() + 1))
            np.add.at(table, (bins[:, k], values), 1.0 / len(codes))
            found[k, f] = _entropy(table.sum(0)) + _entropy(table.sum(1)) - _entropy(table)
    return found


def mutual_information_gap(codes: np.ndarray, factors: np.ndarray, num_bins: int = 20) -> float:
    """MIG: the lead of the best code of a factor over the second, as a share of its entropy.

    1 where each factor is in one code alone, 0 where two codes know equally much. Arguments and
    errors are those of `mutual_information`; at least 2 codes. Constant factors are left out.
    """
    table = mutual_information(codes, factors, num_bins)
    if len(table) < 2:
        raise ValueError(f"mutual_information_gap needs at least 2 codes; got {len(table)}.")
    factors = np.asarray(factors)
    counts = [np.unique(column, return_counts=True)[1] / len(factors) for column in factors.T]
    entropies = np.array([_entropy(p) for p in counts])
    if not np.any(entropies > 0.0):
        raise ValueError("mutual_information_gap needs a factor that varies; all are constant.")
    second, first = np.sort(table, axis=0)[-2:]
    varies = entropies > 0.0
    return float(np.mean((first - second)[varies] / entropies[varies]))


def factor_accuracy(
    codes: np.ndarray,
    factors: np.ndarray,
    *,
    seed: int = 0,
    num_votes: int = 800,
    group: int = 64,
) -> Score:
    """FactorVAE's score: a majority vote from the code that varies least to the factor held fixed.

    A vote fixes one random factor at a random value, takes `group` examples with it, and names the
    code whose variance, over its variance in all data, is least. Half of the votes make the table
    from codes to factors, the other half are scored. Chance is about 1 / F.

    Args:
      codes: [N, K] reals; those that do not vary are left out.
      factors: [N, F] integers, such as a grid of all combinations.
      seed: of the random choices.
      num_votes: at least 4.
      group: examples of a vote.

    Returns:
      The accuracy in %, with a binomial standard error.

    Raises:
      ValueError: shapes do not fit, no code varies, or fewer than 4 votes.
    """
    codes, factors = _checked(codes, factors, "factor_accuracy")
    scale = codes.var(0)
    kept = scale > 1e-12 * max(float(scale.max()), 1e-300)
    if num_votes < 4 or not kept.any() or not scale.max() > 0.0:
        raise ValueError(
            f"factor_accuracy needs 4 votes or more and a code that varies; got {num_votes} votes "
            f"and {int(kept.sum() if scale.max() > 0.0 else 0)} codes."
        )
    rng = np.random.default_rng(seed)
    codes, scale = codes[:, kept], scale[kept]
    fixed = rng.integers(factors.shape[1], size=num_votes)
    named = np.empty(num_votes, np.int64)
    for i, f in enumerate(fixed):
        value = factors[rng.integers(len(factors)), f]
        rows = rng.choice(np.flatnonzero(factors[:, f] == value), group)
        named[i] = np.argmin(codes[rows].var(0) / scale)
    half = num_votes // 2
    table = np.zeros((codes.shape[1], factors.shape[1]))
    np.add.at(table, (named[:half], fixed[:half]), 1.0)
    right = table.argmax(1)[named[half:]] == fixed[half:]
    return Score.mean(100.0 * right, unit="%", kind="estimate")


def _entropy(p: np.ndarray) -> float:
    p = p[p > 0.0]
    return float(-np.sum(p * np.log(p)))


def _checked(codes: np.ndarray, factors: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Both as arrays; ValueError unless they are [N, K] and integers [N, F]."""
    codes, factors = np.asarray(codes, np.float64), np.asarray(factors)
    fits = codes.ndim == factors.ndim == 2 and len(codes) == len(factors) > 1
    if not fits or factors.dtype.kind not in "iub":
        raise ValueError(
            f"{name} needs codes [N, K] and integer factors [N, F] of the same examples; got "
            f"{codes.shape} and {factors.shape} of {factors.dtype}."
        )
    return codes, factors
