"""Anomaly detection by densities: mean AUROC of the one-class protocol over a folder of data sets.

    python benchmarks/anomalies.py FOLDER > benchmarks/results/anomalies.txt

FOLDER holds files of ADBench (Han et al. 2022, arXiv:2206.09426; github.com/Minqi824/ADBench,
adbench/datasets/Classical): .npz with X [N, D] and y [N], 1 for an anomaly. A half of the normal
rows, at random, is for training; elements are standardized by it, and left out where they do not
vary in it. The other half and all anomalies are scored by -log p, and the AUROC of the scores is
averaged over --splits, then over data sets.

Models of one element (histogram, Bernstein polynomial) stand for independent elements. Densities
with edges get tails, so that what is beyond them has an order: a histogram a hundredth of an
example outside, a Bernstein polynomial of Phi(x) those of the Normal. Kernels and copulas are
fitted to --most rows, at random, for their cost is that of all pairs. Not here: models of discrete
elements; the nearest-neighbour density of an interval and bandwidths of neighbours, which refuse
values that repeat. The committed table was put together with --kept from several runs, on cores
shared with other work; all but the row of shuttle, which a profile of the same functions gave.
"""

import dataclasses
import functools
import json
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import tyro
from scipy import special
from sklearn import metrics

from gm.core import Array, Event, Params
from gm.models.classical import (
    Bernstein,
    FactorAnalysis,
    GaussianCopula,
    Histogram,
    KernelDensity,
    Mixture,
    NearestNeighbors,
    bandwidth_search,
    bandwidths,
    components,
)

Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]  # training rows, test rows -> log p
VARIANCE = 0.9  # that the factors of PPCA and factor analysis hold
NARROW = 1e-3  # the least bandwidth, in standard deviations of the data


@dataclasses.dataclass(frozen=True)
class Config:
    """What to score."""

    folder: tyro.conf.Positional[pathlib.Path]
    splits: int = 1
    min_scale: float = 0.03
    """Of the components of mixtures, in standard deviations of the data."""
    most: int = 2000
    """Training rows of kernel densities and copulas."""
    only: str = ""
    """Data sets whose name holds this."""
    kept: pathlib.Path | None = None
    """A file for the rows so far; the same command goes on from it."""


@functools.partial(jax.jit, static_argnames="function")
def rowwise(function: Callable, params: Params, x: Array) -> Array:
    """function(params, x_m) of all rows [M, D], in blocks."""
    return jax.lax.map(functools.partial(function, params), x, batch_size=256)


def of_mixture(num: int, kind: Callable, floor: float, x: np.ndarray, y: np.ndarray) -> Array:
    """A mixture by EM, of fewer components where there are few rows."""
    size = x.shape[1]
    model = Mixture(Event((size,)), min(num, len(x) // 4), kind(size, min_scale=floor))
    key = jax.random.key(0)
    if num == 1:  # one step is the maximum
        params, _ = jax.jit(model.fit_step)(model.init(key), key, x)
    else:
        params = model.fit(x, key, num_steps=100, tolerance=1e-3)
    return rowwise(model.log_prob, params, y)


def of_factors(isotropic: bool, x: np.ndarray, y: np.ndarray) -> Array:
    """As many factors as principal components hold VARIANCE."""
    values = np.linalg.eigvalsh(np.cov(x.T))[::-1]
    held = np.cumsum(values) / np.sum(values)
    num = min(int(np.searchsorted(held, VARIANCE)) + 1, x.shape[1] - 1)
    model = FactorAnalysis(Event((x.shape[1],)), num, isotropic=isotropic, min_scale=0.03)
    return rowwise(model.log_prob, model.fit(x, num_steps=100, tolerance=1e-3), y)


def of_neighbours(k: int, x: np.ndarray, y: np.ndarray) -> Array:
    """Minus the log-distance to the k-th neighbour: log p over D, so that 0 stays finite."""
    model = NearestNeighbors(Event((x.shape[1],)), k)
    return -rowwise(model.distance, model.fit(x), y)


def of_kernels(rule: Callable, x: np.ndarray, y: np.ndarray) -> Array:
    """A kernel density."""
    model = KernelDensity(Event((x.shape[1],)), lambda x, w: np.maximum(rule(x), NARROW))
    return model.log_probs(model.fit(x), y)


def of_copula(x: np.ndarray, y: np.ndarray) -> Array:
    """A Gaussian copula of kernel densities."""
    marginal = KernelDensity(Event(()), bandwidths.normal_reference)
    model = GaussianCopula(Event((x.shape[1],)), marginal)
    return rowwise(model.log_prob, model.fit(x), y)


def of_histograms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Histograms of ten bins, independent; beyond them is a hundredth of an example."""
    total, model = np.zeros(len(y)), Histogram(Event(()), 10)
    for d in range(x.shape[1]):
        params = model.fit(x[:, d], smoothing=0.1)
        least = np.log(0.01 / len(x) / np.ptp(x[:, d]))
        total += np.maximum(rowwise(model.log_prob, params, y[:, d]), least)
    return total


def of_polynomials(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bernstein polynomials of Phi(x), independent: log p(Phi(x)) + log N(x; 0, 1)."""
    total, model = np.zeros(len(y)), Bernstein(Event(()), 20)
    for d in range(x.shape[1]):
        params = model.fit(special.ndtr(x[:, d]), num_steps=50)
        inside = rowwise(model.log_prob, params, special.ndtr(y[:, d]))
        total += np.asarray(inside) - 0.5 * y[:, d].astype(np.float64) ** 2
    return total


def fewer(most: int, scores: Scores) -> Scores:
    """The same of the first `most` training rows, whose order is random, where they vary."""

    def of_fewer(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        varies = np.ptp(x[:most], axis=0) > 0.0
        return scores(x[:most, varies], y[:, varies])

    return of_fewer


def models(c: Config) -> dict[str, Scores]:
    """Every density of the table."""
    of, gaussians = functools.partial, components.Gaussians
    diagonal, some = components.DiagonalGaussians, functools.partial(fewer, c.most)
    return {
        "histograms of 10 bins, independent": of_histograms,
        "Bernstein, degree 20, independent": of_polynomials,
        "Gaussian, diagonal": of(of_mixture, 1, diagonal, NARROW),
        "Gaussian": of(of_mixture, 1, gaussians, NARROW),
        "probabilistic PCA, 90 % of variance": of(of_factors, True),
        "factor analysis, as many factors": of(of_factors, False),
        "Gaussian copula of kernel densities": some(of_copula),
        "10 Gaussians, diagonal": of(of_mixture, 10, diagonal, c.min_scale),
        "10 Gaussians": of(of_mixture, 10, gaussians, c.min_scale),
        "kernel density, Scott": some(of(of_kernels, bandwidths.scott)),
        "kernel density, likelihood": some(of(of_kernels, bandwidth_search.likelihood)),
        "nearest neighbour, k = 1": of(of_neighbours, 1),
        "nearest neighbours, k = 5": of(of_neighbours, 5),
    }


def split(x: np.ndarray, y: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training rows, test rows, and which of these are anomalies."""
    normal = np.random.default_rng(seed).permutation(np.flatnonzero(y == 0))
    half = len(normal) // 2
    test = np.concatenate([normal[half:], np.flatnonzero(y == 1)])
    train = x[normal[:half]]
    varies = np.std(train, axis=0) > 1e-6 * (1e-6 + np.abs(np.mean(train, axis=0)))
    mean, scale = np.mean(train, axis=0)[varies], np.std(train, axis=0)[varies]
    parts = [((part[:, varies] - mean) / scale).astype(np.float32) for part in (train, x[test])]
    return *parts, y[test]


def auroc(scores: Scores, train: np.ndarray, test: np.ndarray, anomaly: np.ndarray) -> float:
    """The probability that an anomaly has a lower log p than a normal row; -inf is the lowest."""
    log_p = np.asarray(scores(train, test), np.float64)
    if np.any(np.isnan(log_p)):
        raise ValueError("a density gives nan.")
    return metrics.roc_auc_score(anomaly, -np.maximum(log_p, -1e300))


def main(c: Config) -> None:
    """Prints the table of the data sets, then that of means."""
    paths = [path for path in sorted(c.folder.glob("*.npz")) if c.only in path.stem]
    if not paths:
        raise SystemExit(f"anomalies.py needs a folder of .npz files of ADBench; got {c.folder}.")
    named = models(c)
    found = np.zeros((len(paths), c.splits, len(named)))
    print(f"AUROC of {len(paths)} data sets, splits: {c.splits}\n")
    print(f"{'':20}" + "".join(f"{f'({j + 1})':>6}" for j in range(len(named))))
    kept = json.loads(c.kept.read_text()) if c.kept and c.kept.exists() else {}
    for i, path in enumerate(paths):
        if path.stem not in kept:
            with np.load(path, allow_pickle=False) as arrays:
                x, y = arrays["X"].astype(np.float64), arrays["y"].astype(int)
            parts = [split(x, y, s) for s in range(c.splits)]
            kept[path.stem] = [[auroc(of, *one) for of in named.values()] for one in parts]
            if c.kept:
                c.kept.write_text(json.dumps(kept))
        found[i] = kept[path.stem]
        row = "".join(f"{value:6.3f}" for value in np.mean(found[i], axis=0))
        print(f"{path.stem:20}{row}", flush=True)
    print("\nmean over data sets, and the deviation of this mean over splits\n")
    for j, name in enumerate(named):
        means = np.mean(found[:, :, j], axis=0)
        print(f"{f'({j + 1})':5}{name:38}{np.mean(means):.4f} +- {np.std(means):.4f}")


if __name__ == "__main__":
    main(tyro.cli(Config))
