"""One Gaussian for two modes, under eight divergences: exactly, and from samples.

    python benchmarks/nearest_gaussians.py      # docs/images/nearest_gaussians.png, and a table

p = 0.65 N(-2, 0.6^2) + 0.35 N(2.5, 0.8^2). Exactly: by quadrature, by quantiles (Wasserstein), by
closed forms (MMD with bandwidth 2, energy). From 2,000 samples of p; as many of the model, but for
KL; reverse KL, Jensen-Shannon, Hellinger and chi-square (Pearson's) compare densities there, and
are told that of p. Each is the lowest of the ends of L-BFGS from four starts.
"""

import pathlib
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from scipy import optimize, stats

from gm import plot
from gm.losses import divergences, gaussians, moments, quadrature, transport

WEIGHTS, CENTERS, SCALES = (np.array(a) for a in ((0.65, 0.35), (-2.0, 2.5), (0.6, 0.8)))
BANDWIDTH, NUM = 2.0, 2000
STARTS = [(-2.0, -0.5), (2.5, -0.2), (0.0, 0.7), (0.0, 0.0)]  # mean and log scale
PICTURE = pathlib.Path(__file__).resolve().parent.parent / "docs" / "images"
Objective = Callable[[jax.Array, jax.Array], jax.Array]


def log_p(x: jax.Array) -> jax.Array:
    """Of the mixture, [N] -> [N]."""
    parts = jax.scipy.stats.norm.logpdf(x[:, None], CENTERS[None], SCALES[None])
    return jax.nn.logsumexp(parts + np.log(WEIGHTS)[None], axis=1)


def exact_f(divergence: divergences.FDivergence) -> Objective:
    """By quadrature."""
    x, weights = map(jnp.asarray, quadrature.nodes(4001, width=0.3))

    def objective(mean: jax.Array, scale: jax.Array) -> jax.Array:
        log_q = jax.scipy.stats.norm.logpdf(x, mean, scale)
        return jnp.sum(weights * divergence.term(log_p(x), log_q))

    return objective


def exact_wasserstein() -> Objective:
    """W_2^2 by the quantiles of both: those of p by its CDF, upside down."""
    u = (np.arange(20_000) + 0.5) / 20_000
    grid = np.linspace(-8.0, 8.0, 40_001)
    cdf = (WEIGHTS * stats.norm(CENTERS, SCALES).cdf(grid[:, None])).sum(1)
    of_p, z = jnp.asarray(np.interp(u, cdf, grid)), jnp.asarray(stats.norm.ppf(u))
    return lambda mean, scale: jnp.mean((of_p - mean - scale * z) ** 2)


def exact_by_pairs(mean_kernel: Callable[[jax.Array, jax.Array], jax.Array]) -> Objective:
    """MMD^2 of a kernel whose mean k(x, y) over x - y ~ N(m, v) is known."""
    weights = np.append(WEIGHTS, -1.0)

    def objective(mean: jax.Array, scale: jax.Array) -> jax.Array:
        m = jnp.append(jnp.asarray(CENTERS), mean)
        v = jnp.append(jnp.asarray(SCALES) ** 2, scale**2)
        kernels = mean_kernel(m[:, None] - m[None], v[:, None] + v[None])
        return weights @ kernels @ weights

    return objective


def mean_rbf(mean: jax.Array, variance: jax.Array) -> jax.Array:
    """E exp(-d^2 / 2 b^2) of d ~ N(mean, variance)."""
    total = BANDWIDTH**2 + variance
    return BANDWIDTH / jnp.sqrt(total) * jnp.exp(-(mean**2) / (2.0 * total))


def mean_minus_distance(mean: jax.Array, variance: jax.Array) -> jax.Array:
    """-E |d|."""
    return -gaussians.mean_distance_1d(mean, jnp.sqrt(variance))


def sampled_f(divergence: divergences.FDivergence, x: np.ndarray, noise: np.ndarray) -> Objective:
    """KL by likelihood of samples x; others at these and at samples of the model."""

    def objective(mean: jax.Array, scale: jax.Array) -> jax.Array:
        if divergence is divergences.KL:
            return -jnp.mean(jax.scipy.stats.norm.logpdf(x, mean, scale))
        ratios = [
            log_p(a) - jax.scipy.stats.norm.logpdf(a, mean, scale)
            for a in (x, mean + scale * noise)
        ]
        return divergences.estimate_from_both(divergence, *ratios)[0]

    return objective


def sampled(distance: Callable, x: np.ndarray, noise: np.ndarray) -> Objective:
    """A distance of two samples."""
    return lambda mean, scale: distance(x[:, None], (mean + scale * noise)[:, None])


def nearest(objective: Objective) -> tuple[float, float]:
    """Mean and scale of the Gaussian of least distance."""
    of = jax.jit(jax.value_and_grad(lambda t: objective(t[0], jnp.exp(t[1]))))

    def value(t: np.ndarray) -> tuple[float, np.ndarray]:
        return tuple(np.asarray(a, np.float64) for a in of(jnp.asarray(t)))

    bounds = [(-4.0, 4.0), (-2.0, 1.5)]
    ends = [optimize.minimize(value, s, jac=True, bounds=bounds) for s in STARTS]
    best = min((end for end in ends if np.isfinite(end.fun)), key=lambda end: end.fun)
    return float(best.x[0]), float(np.exp(best.x[1]))


def problems() -> dict[str, tuple[Objective, Objective]]:
    """Exactly, and from samples."""
    rng = np.random.default_rng(0)
    which = rng.choice(2, NUM, p=WEIGHTS)
    x = CENTERS[which] + SCALES[which] * rng.normal(size=NUM)
    noise = rng.normal(size=NUM)
    named = {
        "KL(data || model)": divergences.KL,
        "reverse KL": divergences.REVERSE_KL,
        "Jensen-Shannon": divergences.JENSEN_SHANNON,
        "squared Hellinger": divergences.SQUARED_HELLINGER,
        "chi-square": divergences.PEARSON,
    }
    found = {name: (exact_f(d), sampled_f(d, x, noise)) for name, d in named.items()}
    rbf = moments.RBF(jnp.array([BANDWIDTH]))

    def wasserstein(a: jax.Array, b: jax.Array) -> jax.Array:
        return transport.wasserstein_1d(a[:, 0], b[:, 0], 2.0)

    distances = {
        "MMD": (exact_by_pairs(mean_rbf), lambda a, b: moments.squared_mmd(rbf, a, b)),
        "Wasserstein-2": (exact_wasserstein(), wasserstein),
        "energy": (exact_by_pairs(mean_minus_distance), moments.energy_distance),
    }
    return found | {n: (e, sampled(d, x, noise)) for n, (e, d) in distances.items()}


def picture(found: dict[str, list[tuple[float, float]]]) -> None:
    """One panel per divergence."""
    import matplotlib
    from matplotlib.figure import Figure

    grid = np.linspace(-6.0, 6.0, 601)
    density = np.exp(np.asarray(log_p(jnp.asarray(grid))))
    with matplotlib.rc_context(plot.STYLE):
        figure = Figure(figsize=(11.0, 4.6), layout="constrained")
        axes = figure.subplots(2, 4, sharex=True, sharey=True).ravel()
        for axis, (name, fits) in zip(axes, found.items(), strict=True):
            axis.fill_between(grid, density, color="0.85", lw=0.0, label="data")
            for label, style, color, fit in zip(
                ("exactly", "from samples"), ("-", "--"), plot.COLORS, fits, strict=False
            ):
                axis.plot(grid, stats.norm(*fit).pdf(grid), style, color=color, label=label)
            axis.set_title(name)
            axis.set_yticks([])
        axes[0].legend(loc="upper right", fontsize=8)
    plot.save(figure, PICTURE / "nearest_gaussians.png", dpi=110)


def main() -> None:
    """Prints a table and writes the picture."""
    with jax.enable_x64(True):
        found = {name: [nearest(o) for o in both] for name, both in problems().items()}
        print(f"{'divergence':24} exactly: mean scale   from samples: mean scale")
        for name, (exact, samples) in found.items():
            print(f"{name:24} {exact[0]:8.2f} {exact[1]:6.2f} {samples[0]:18.2f} {samples[1]:6.2f}")
        picture(found)


if __name__ == "__main__":
    main()
