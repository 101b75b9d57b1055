"""Anomaly detection by densities: mean AUROC of the one-class protocol over a folder of data sets.

    python benchmarks/anomalies.py FOLDER > benchmarks/results/anomalies.txt

FOLDER holds files of ADBench (Han et al. 2022, arXiv:2206.09426; github.com/Minqi824/ADBench,
adbench/datasets/Classical): .npz with X [N, D] and y [N], 1 for an anomaly. A half of the normal
rows, at random, is for training; elements are standardized by it, and left out where they do not
vary in it. The other half and all anomalies are scored by -log p, and the AUROC of the scores is
averaged over --splits, then over data sets.
"""

import dataclasses
import functools
import pathlib
from collections.abc import Callable

import jax
import numpy as np
import tyro
from sklearn import metrics

from gm.core import Event
from gm.models.classical import (
    Histogram,
    KernelDensity,
    Mixture,
    NearestNeighbors,
    bandwidth_search,
    bandwidths,
    components,
)

Scores = Callable[[np.ndarray, np.ndarray], np.ndarray]  # training rows, test rows -> log p
MOST = 2000  # rows of a bandwidth search


@dataclasses.dataclass(frozen=True)
class Config:
    """What to score."""

    folder: tyro.conf.Positional[pathlib.Path]
    splits: int = 1
    min_scale: float = 0.03
    """Of the components of mixtures, in standard deviations of the data."""


@functools.partial(jax.jit, static_argnames="model")
def log_probs(model: object, params: object, x: np.ndarray) -> jax.Array:
    """[M], in blocks."""
    return jax.lax.map(lambda one: model.log_prob(params, one), x, batch_size=256)


def of_mixture(num: int, kind: Callable, floor: float, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A mixture by EM, of fewer components where there are few rows."""
    size = x.shape[1]
    model = Mixture(Event((size,)), min(num, len(x) // 4), kind(size, min_scale=floor))
    return log_probs(model, model.fit(x, jax.random.key(0), num_steps=100), y)


def of_neighbours(k: int, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Minus the log-distance to the k-th neighbour: log p over D, so that 0 stays finite."""
    model = NearestNeighbors(Event((x.shape[1],)), k)
    params = model.fit(x)
    distance = jax.jit(
        lambda y: jax.lax.map(lambda one: model.distance(params, one), y, batch_size=64)
    )
    return -np.asarray(distance(y))


def of_kernels(rule: Callable, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """A kernel density, whose bandwidth is found from at most MOST rows."""

    def some(x: np.ndarray, w: np.ndarray) -> np.ndarray:
        few = x[:MOST]
        shrink = (len(x) / len(few)) ** (-1.0 / (x.shape[1] + 4))
        return np.maximum(rule(few) * shrink, 1e-3)

    model = KernelDensity(Event((x.shape[1],)), some)
    return np.asarray(model.log_probs(model.fit(x), y))


def of_histograms(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Histograms of ten bins, independent; beyond them is a hundredth of an example."""
    total = np.zeros(len(y))
    for d in range(x.shape[1]):
        model = Histogram(Event(()), 10)
        params = model.fit(x[:, d], smoothing=0.1)
        width = np.ptp(x[:, d])
        total += np.maximum(log_probs(model, params, y[:, d]), np.log(0.01 / len(x) / width))
    return total


def models(c: Config) -> dict[str, Scores]:
    """Every density of the table."""
    of = functools.partial
    gaussians = components.Gaussians
    return {
        "independent histograms, 10 bins": of_histograms,
        "Gaussian, diagonal": of(of_mixture, 1, components.DiagonalGaussians, 1e-3),
        "Gaussian": of(of_mixture, 1, gaussians, 1e-3),
        "mixture of 10 Gaussians, diagonal": of(
            of_mixture, 10, components.DiagonalGaussians, c.min_scale
        ),
        "mixture of 10 Gaussians": of(of_mixture, 10, gaussians, c.min_scale),
        "kernel density, Scott": of(of_kernels, bandwidths.scott),
        "kernel density, likelihood": of(of_kernels, bandwidth_search.likelihood),
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


def main(c: Config) -> None:
    """Prints the table of the data sets, then that of means."""
    paths = sorted(c.folder.glob("*.npz"))
    if not paths:
        raise SystemExit(f"anomalies.py needs a folder of .npz files of ADBench; got {c.folder}.")
    named = models(c)
    found = np.zeros((len(paths), c.splits, len(named)))
    print(f"AUROC of {len(paths)} data sets, {c.splits} splits\n")
    print(f"{'':20}" + "".join(f"{f'({j + 1})':>7}" for j in range(len(named))))
    for i, path in enumerate(paths):
        with np.load(path, allow_pickle=False) as arrays:
            x, y = arrays["X"].astype(np.float64), arrays["y"].astype(int)
        for s in range(c.splits):
            train, test, anomaly = split(x, y, s)
            for j, scores in enumerate(named.values()):
                score = np.nan_to_num(np.asarray(scores(train, test), np.float64))
                found[i, s, j] = metrics.roc_auc_score(anomaly, -score)
        row = "".join(f"{value:7.3f}" for value in np.mean(found[i], axis=0))
        print(f"{path.stem:20}{row}", flush=True)
    print("\nmean over data sets, and the deviation of this mean over splits\n")
    for j, name in enumerate(named):
        means = np.mean(found[:, :, j], axis=0)
        print(f"({j + 1}) {name:36}{np.mean(means):.4f} +- {np.std(means):.4f}")


if __name__ == "__main__":
    main(tyro.cli(Config))
