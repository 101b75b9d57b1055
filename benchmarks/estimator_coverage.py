"""How often 95 % intervals of divergence estimates hold the true value.

    python benchmarks/estimator_coverage.py

Each row repeats an estimate with fresh samples and counts how often value +- 1.96 standard errors
holds what a closed form gives; 1,000 repetitions fix the share to 0.7 %. Bounds are those of the
best critic, which is known here, so that they are tight. All of p = N(0, I) and q = N(shift,
scale^2 I) in D dimensions.
"""

import dataclasses
import functools
import math
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from scipy import stats

from gm.losses import divergences, gaussians, lower_bounds, moments
from gm.metrics import density_ratio, mmd, neighbors

BANDWIDTH = 1.0
Estimate = Callable[[np.ndarray, np.ndarray], tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Config:
    """How much."""

    repeats: int = 1000
    only: str = ""
    """Rows whose name holds this."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One row: an estimate from [N, D] samples of p and of q, and the truth."""

    name: str
    num: int
    dim: int
    shift: float
    scale: float
    estimate: Estimate
    truth: float
    jitted: bool = True


def truths(dim: int, shift: float, scale: float) -> dict[str, float]:
    """Closed forms between N(0, I) and N(shift, scale^2 I)."""
    one, zero = jnp.eye(dim), jnp.zeros(dim)
    p, q = (zero, one), (zero + shift, scale**2 * one)

    def mean_kernel(variance: float, apart: float) -> float:
        total = BANDWIDTH**2 + variance
        return (BANDWIDTH**2 / total) ** (dim / 2) * math.exp(-dim * apart**2 / 2 / total)

    squared_mmd = mean_kernel(2, 0) + mean_kernel(2 * scale**2, 0)
    squared_mmd -= 2 * mean_kernel(1 + scale**2, shift)
    return {
        "KL": float(gaussians.kl(*p, *q)),
        "Hellinger": float(gaussians.squared_hellinger(*p, *q)),
        "Pearson": float(gaussians.pearson(*p, *q)),
        "MMD": squared_mmd,
        "energy": float(gaussians.energy_distance_1d(0.0, 1.0, shift, scale)) if dim == 1 else 0.0,
    }


def log_ratio(shift: float, scale: float, x: jax.Array) -> jax.Array:
    """log p(x) - log q(x) of one dimension."""
    return jax.scipy.stats.norm.logpdf(x) - jax.scipy.stats.norm.logpdf(x, shift, scale)


def closed(name: str, num: int, shift: float, scale: float) -> Iterator[Case]:
    """Estimates by densities: Monte Carlo, and the bounds of the best critic; one dimension."""
    true, of = truths(1, shift, scale), functools.partial(log_ratio, shift, scale)
    best, case = of, functools.partial(Case, num=num, dim=1, shift=shift, scale=scale)

    def monte_carlo(divergence: divergences.FDivergence, of_p: bool) -> Estimate:
        def estimate(x: jax.Array, y: jax.Array) -> tuple:
            ratio = of((x if of_p else y)[:, 0])
            return divergences.estimate(divergence, ratio, samples_of_p=of_p)

        return estimate

    def bound(divergence: divergences.FDivergence) -> Estimate:
        def estimate(x: jax.Array, y: jax.Array) -> tuple:
            t = [divergence.critic(best(a[:, 0])) for a in (x, y)]
            value = lower_bounds.variational_bound(divergence, *t)
            return value, lower_bounds.variational_error(divergence, *t)

        return estimate

    def donsker_varadhan(x: jax.Array, y: jax.Array) -> tuple:
        t = [best(a[:, 0]) for a in (x, y)]
        return lower_bounds.donsker_varadhan(*t), lower_bounds.donsker_varadhan_error(*t)

    kl, hellinger, pearson = (
        divergences.KL,
        divergences.SQUARED_HELLINGER,
        divergences.PEARSON,
    )
    rows = {
        "Monte Carlo KL, samples of p": (monte_carlo(kl, True), "KL"),
        "Monte Carlo KL, samples of q": (monte_carlo(kl, False), "KL"),
        "Monte Carlo squared Hellinger, samples of q": (monte_carlo(hellinger, False), "Hellinger"),
        "Monte Carlo Pearson, samples of q": (monte_carlo(pearson, False), "Pearson"),
        "variational bound of KL (NWJ)": (bound(kl), "KL"),
        "variational bound of squared Hellinger": (bound(hellinger), "Hellinger"),
        "Donsker-Varadhan bound of KL": (donsker_varadhan, "KL"),
    }
    for row, (estimate, key) in rows.items():
        yield case(f"{row}{name}", estimate=estimate, truth=true[key])


def of_samples(dim: int, num: int, shift: float, scale: float) -> Iterator[Case]:
    """MMD, its linear-time estimate, and the energy distance."""
    true = truths(dim, shift, scale)
    rbf = moments.RBF(jnp.array([BANDWIDTH]))
    distance = jax.tree_util.Partial(moments.negative_distance)
    case = functools.partial(Case, dim=dim, shift=shift, scale=scale)
    name = "" if shift else ", p = q"
    yield case(
        f"MMD quadratic{name}", num, estimate=functools.partial(_mmd, rbf), truth=true["MMD"]
    )
    linear = functools.partial(moments.linear_time_mmd, rbf)
    yield case(f"MMD linear time{name}", 10 * num, estimate=linear, truth=true["MMD"])
    if dim == 1:
        energy = functools.partial(_mmd, distance)
        yield case(f"energy distance{name}", num, estimate=energy, truth=true["energy"])


def _mmd(kernel: moments.Kernel, x: jax.Array, y: jax.Array) -> tuple:
    return mmd.squared_mmd(x, y, kernel, chunk=len(x))


def without_densities(dim: int, num: int) -> Iterator[Case]:
    """Nearest neighbours, and a classifier that is right for Normals."""
    shift, scale = 0.6 / math.sqrt(dim), 1.1
    true = truths(dim, shift, scale)
    case = functools.partial(Case, num=num, dim=dim, shift=shift, scale=scale, jitted=False)

    def score(function: Callable, *arrays: np.ndarray) -> tuple:
        found = function(*arrays)
        return found.value, found.standard_error

    entropy = stats.multivariate_normal(np.zeros(dim)).entropy()
    yield case(
        "k-NN entropy, k = 3", estimate=lambda x, y: score(neighbors.entropy, x), truth=entropy
    )
    nearest = functools.partial(score, neighbors.kl_divergence)
    yield case("k-NN KL, k = 3", estimate=nearest, truth=true["KL"])
    ratio = functools.partial(score, density_ratio.kl_divergence)
    yield case("KL by a classifier", estimate=ratio, truth=true["KL"])


def row(case: Case, repeats: int) -> str:
    """One line of the table."""
    rng = np.random.default_rng(0)
    found = []
    of = jax.jit(jax.vmap(case.estimate)) if case.jitted else None
    many = 50 if case.jitted else 1
    for _ in range(0, repeats, many):
        x, y = rng.normal(size=(2, many, case.num, case.dim)).astype(np.float32)
        y = (case.shift + case.scale * y).astype(np.float32)
        found.append(np.stack(of(x, y)) if of else np.reshape(case.estimate(x[0], y[0]), (2, 1)))
    values, errors = np.concatenate(found, axis=1).astype(np.float64)
    share = np.mean(np.abs(values - case.truth) <= 1.96 * errors)
    bias = (values.mean() - case.truth) / values.std()
    width = np.sqrt(np.mean(errors**2)) / values.std()
    return (
        f"{case.name:45} D={case.dim} N={case.num:<6} true {case.truth:8.4f} "
        f"coverage {share:6.1%}  bias {bias:+5.2f} spreads  error/spread {width:5.2f}"
    )


def main(c: Config) -> None:
    """Prints one row per estimator."""
    cases = [*closed("", 1000, 0.6, 1.1), *closed(", far", 1000, 2.0, 1.0)]
    cases += [*of_samples(1, 100, 0.6, 1.1), *of_samples(1, 400, 0.6, 1.1)]
    cases += of_samples(1, 100, 0.0, 1.0)
    for dim in (1, 2, 5):
        cases += without_densities(dim, 500)
    for case in cases:
        if c.only in case.name:
            print(row(case, c.repeats), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
