"""The claw density, estimated: integrated squared errors of bandwidths, mixtures and a MADE.

    python benchmarks/kde.py --fitted-replicates 0 > benchmarks/results/claw.txt

Samples of the claw of Marron & Wand (1992), which lecture notes show as "Bart Simpson": half of it
is N(0, 1), half five narrow teeth. Each estimate is compared with the known density on a grid of
2,001 nodes from -5 to 5, in --replicates data sets of every size; the table has the mean of the
integrated squared error and its standard error. Bandwidths are those of a Gaussian kernel. The
mixture is fitted by EM, the best of three starts, with 1, 3, 6 or 9 Gaussians, as BIC prefers; MADE
(one element, a mixture of 12 Gaussians, Adam) stops where a held-out fifth is likeliest. These two
see the first --fitted-replicates data sets.
"""

import dataclasses
import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro

from gm import distributions as dist
from gm import plot
from gm.core import Array, Event, Params
from gm.data import toy
from gm.models.autoregressive import MADE
from gm.models.classical import KernelDensity, Mixture, bandwidth_search, bandwidths, components

LINE = Event((1,))
GRID = np.linspace(-5.0, 5.0, 2001, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Config:
    """What to estimate."""

    sizes: tuple[int, ...] = (100, 1000, 10_000)
    replicates: int = 100
    fitted_replicates: int = 20
    """Of the mixture and of MADE, which take longer; 0 leaves them out."""
    seed: int = 0
    picture: str = ""
    """Where to save the picture of one data set of 1,000, if anywhere."""


def binned(rule: Callable, x: np.ndarray) -> np.ndarray:
    """p on the grid."""
    model = KernelDensity(LINE, rule)
    return model.on_grid(model.fit(x), GRID[0], GRID[-1], len(GRID))


def adaptive(x: np.ndarray) -> np.ndarray:
    """Abramson's, around the bandwidth of improved Sheather-Jones."""
    model = KernelDensity(LINE, bandwidths.improved_sheather_jones, adaptive=0.5)
    return np.exp(model.log_probs(model.fit(x), GRID[:, None]))


@functools.partial(jax.jit, static_argnames="model")
def on_grid(model: Mixture | MADE, params: Params) -> Array:
    """p on the grid."""
    return jnp.exp(jax.vmap(model.log_prob, (None, 0))(params, GRID[:, None]))


def mixture(x: np.ndarray) -> np.ndarray:
    """By expectation maximization, with as many components as BIC prefers."""
    fits = []
    for num in (1, 3, 6, 9):
        model = Mixture(LINE, num, components.DiagonalGaussians(1, min_scale=0.05))
        params = model.fit(x, jax.random.key(0), restarts=3, num_steps=300, tolerance=1e-6)
        fits.append((model.bic(params, x), num, model, params))
    _, _, model, params = min(fits, key=lambda fit: fit[:2])
    return np.asarray(on_grid(model, params))


def mades(x: np.ndarray, num_steps: int = 1500, batch: int = 128) -> np.ndarray:
    """Of all data sets [R, N, 1] at once: p on the grid, [R, 2001]."""
    model = MADE(LINE, dist.MixtureOfNormalsHead(12), hidden=(8,))
    optimizer = optax.adam(optax.cosine_decay_schedule(0.03, num_steps))
    num_kept = len(x[0]) // 5
    score = jax.vmap(model.log_prob, (None, 0))

    def loss(params: Params, x: Array) -> Array:
        return -jnp.mean(score(params, x))

    def trained(key: Array, x: Array) -> Array:
        held_out, x = x[:num_kept], x[num_kept:]
        key, key_init = jax.random.split(key)
        params = model.init(key_init)

        def step(state: tuple, key: Array) -> tuple:
            params, opt, best, kept = state
            rows = x[jax.random.randint(key, (min(batch, len(x)),), 0, len(x))]
            updates, opt = optimizer.update(jax.grad(loss)(params, rows), opt)
            params = optax.apply_updates(params, updates)
            value = loss(params, held_out)
            better = value < best
            kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), params, kept)
            return (params, opt, jnp.minimum(value, best), kept), None

        start = params, optimizer.init(params), jnp.float32(jnp.inf), params
        state, _ = jax.lax.scan(step, start, jax.random.split(key, num_steps))
        return on_grid(model, state[-1])

    keys = jax.random.split(jax.random.key(0), len(x))
    return np.asarray(jax.jit(jax.vmap(trained))(keys, x))


KERNELS = {
    "normal reference, 1.06 s n^-1/5": bandwidths.normal_reference,
    "Silverman, 0.9 min(s, IQR / 1.34) n^-1/5": bandwidths.silverman,
    "likelihood, cross-validated": bandwidth_search.likelihood,
    "least squares, cross-validated": bandwidth_search.least_squares,
    "improved Sheather-Jones": bandwidths.improved_sheather_jones,
}
ESTIMATES = {name: functools.partial(binned, rule) for name, rule in KERNELS.items()} | {
    "Abramson around improved Sheather-Jones": adaptive,
}
FITTED = {
    "mixture by EM, BIC": lambda x: [mixture(one) for one in x],
    "MADE, mixture of 12, held-out fifth": mades,
}


def samples(c: Config, size: int) -> np.ndarray:
    """[R, N, 1]"""
    keys = jax.random.split(jax.random.fold_in(jax.random.key(c.seed), size), c.replicates * size)
    x = jax.jit(jax.vmap(toy.CLAW.sample))(keys)
    return np.asarray(x).reshape(c.replicates, size, 1)


def picture(c: Config, true: np.ndarray) -> None:
    """The true density, and two estimates of it from 1,000 samples."""
    (x,) = samples(dataclasses.replace(c, replicates=1), 1000)
    names = {"normal reference": "normal reference, 1.06 s n^-1/5"}
    names["improved Sheather-Jones"] = "improved Sheather-Jones"
    lines = {"true density": (GRID, true)}
    lines |= {name: (GRID, ESTIMATES[of](x)) for name, of in names.items()}
    shown = {name: (at[400:], p[400:]) for name, (at, p) in lines.items()}
    plot.save(plot.curves(shown, xlabel="x", ylabel="density"), c.picture)


def main(c: Config) -> None:
    """Prints the table."""
    true = np.exp(jax.vmap(toy.CLAW.log_prob)(GRID[:, None]))
    if c.picture:
        picture(c, true)
        return
    print(f"claw, {c.replicates} data sets: mean integrated squared error +- standard error")
    fitted = FITTED if c.fitted_replicates else {}
    if fitted:
        print(f"{c.fitted_replicates} of them for the mixture and MADE")
    for size in c.sizes:
        x = samples(c, size)
        print(f"\nn = {size:,}")
        for name, of in (ESTIMATES | fitted).items():
            p = of(x[: c.fitted_replicates]) if name in FITTED else [of(one) for one in x]
            error = np.sum((np.asarray(p) - true) ** 2, axis=1) * (GRID[1] - GRID[0])
            deviation = np.std(error) / np.sqrt(max(len(error) - 1, 1))
            print(f"{name:42}{np.mean(error):.4f} +- {deviation:.4f}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
