"""Score matching and noise-contrastive estimation: the errors that their theory gives.

    python benchmarks/score_estimators.py

Fits of densities up to a constant to samples of known parameters, over and over: a Gaussian of the
plane (mean, Cholesky factor of the precision) and two Gaussians of the line (weight, means, log
scales). Each minimises a mean of losses of one example, so that its errors are, for N examples,

    J^-1 V J^-1 / N,   J = E Hessian of the loss,   V = E of its gradient's outer product

at the true parameters (van der Vaart 1998, theorem 5.21), here by a large sample. A row gives, for
the worst parameter, the mean error in standard errors and the spread over that of the theory, and
the efficiency: the spread of maximum likelihood over it, geometric mean over the parameters.
"""

import dataclasses
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from gm.losses import scores

Loss = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]  # params, key, x: [D] -> scalar


@dataclasses.dataclass(frozen=True)
class Config:
    """How much."""

    repeats: int = 400
    num_examples: int = 2000
    num_theory: int = 200_000
    scale: float = 0.3
    """Of the noise of denoising score matching."""
    num_noise: int = 4
    """Samples of noise for each of data."""
    only: str = ""
    """Rows whose name holds this, as "line noise"."""


def plane(params: jax.Array, x: jax.Array, scale: float = 0.0) -> jax.Array:
    """log density of N(m, (L L')^-1 + scale^2 I) up to a constant; m, then L's three numbers."""
    factor = jnp.array([[params[2], 0.0], [params[3], params[4]]])
    precision = factor @ factor.T
    precision = jnp.linalg.inv(jnp.linalg.inv(precision) + scale**2 * jnp.eye(2))
    d = x - params[:2]
    return -0.5 * d @ precision @ d


def line(params: jax.Array, x: jax.Array, scale: float = 0.0) -> jax.Array:
    """log density of two Gaussians; logit of the weight, means, log scales."""
    variance = jnp.exp(2.0 * params[3:5]) + scale**2
    parts = -0.5 * (x[0] - params[1:3]) ** 2 / variance - 0.5 * jnp.log(variance)
    logits = jnp.stack([params[0], -params[0]])
    return jax.nn.logsumexp(jax.nn.log_sigmoid(logits) + parts)


PLANE = np.array([0.5, -1.0, 1.2, 0.5, 0.8])
LINE = np.array([0.4, -1.5, 1.5, math.log(0.7), 0.0])


def sample(name: str, key: jax.Array, num: int) -> jax.Array:
    """[num, D] of the true parameters."""
    if name == "plane":
        factor = np.array([[PLANE[2], 0.0], [PLANE[3], PLANE[4]]])
        noise = jax.random.normal(key, (num, 2))
        return PLANE[:2][None] + noise @ np.linalg.inv(factor)
    key_mode, key_noise = jax.random.split(key)
    second = jax.random.bernoulli(key_mode, jax.nn.sigmoid(-LINE[0]), (num,)).astype(int)
    noise = jax.random.normal(key_noise, (num,))
    return (jnp.asarray(LINE[1:3])[second] + jnp.exp(LINE[3:5])[second] * noise)[:, None]


def losses(c: Config, model: Callable, dim: int, normaliser: float) -> dict[str, Loss]:
    """Of one example; that of noise contrast has a constant for its last parameter."""

    def score(params: jax.Array, scale: float = 0.0) -> Callable[[jax.Array], jax.Array]:
        return scores.of_log_density(lambda x: model(params, x, scale))

    def denoising(params: jax.Array, key: jax.Array, x: jax.Array) -> jax.Array:
        return scores.denoising(key, score(params, c.scale), x, c.scale)

    def contrastive(params: jax.Array, key: jax.Array, x: jax.Array) -> jax.Array:
        y = 2.0 * jax.random.normal(key, (c.num_noise, dim))

        def log_q(a: jax.Array) -> jax.Array:
            return jax.scipy.stats.norm.logpdf(a, 0.0, 2.0).sum()

        def log_p(a: jax.Array) -> jax.Array:
            return model(params[:-1], a) + params[-1]

        of_y = [jax.vmap(f)(y) for f in (log_p, log_q)]
        return scores.noise_contrastive(log_p(x)[None], log_q(x)[None], *of_y)

    def likelihood(params: jax.Array, key: jax.Array, x: jax.Array) -> jax.Array:
        if dim == 1:
            return -model(params, x)
        return -model(params, x) - jnp.log(jnp.abs(params[2] * params[4]))

    return {
        "maximum likelihood": likelihood,
        "explicit score matching": lambda p, k, x: scores.explicit(score(p), x),
        "sliced score matching": lambda p, k, x: scores.sliced(k, score(p), x),
        f"denoising, scale {c.scale}": denoising,
        f"noise contrast, {c.num_noise} to 1": contrastive,
    }


def fit(loss: Loss, truth: jax.Array, key: jax.Array, x: jax.Array) -> jax.Array:
    """Newton's method from beside the truth, with steps of one scale of a parameter at most."""
    key_start, key_loss = jax.random.split(key)
    keys = jax.random.split(key_loss, len(x))

    def mean(params: jax.Array) -> jax.Array:
        return jnp.mean(jax.vmap(loss, (None, 0, 0))(params, keys, x))

    def step(params: jax.Array, _: None) -> tuple[jax.Array, None]:
        slope, curvature = jax.grad(mean)(params), jax.hessian(mean)(params)
        values, vectors = jnp.linalg.eigh(curvature)
        move = vectors @ ((vectors.T @ slope) / jnp.maximum(jnp.abs(values), 1e-3))
        return params - move / jnp.maximum(1.0, 2.0 * jnp.linalg.norm(move)), None

    start = truth + 0.1 * jax.random.normal(key_start, truth.shape)
    return jax.lax.scan(step, start, None, 15)[0]


def theory(loss: Loss, truth: jax.Array, key: jax.Array, x: jax.Array) -> jax.Array:
    """J^-1 V J^-1 by examples x."""

    def one(both: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        slope = jax.grad(loss)(truth, *both)
        return jax.hessian(loss)(truth, *both), jnp.outer(slope, slope)

    parts = jax.lax.map(one, (jax.random.split(key, len(x)), x), batch_size=2000)
    curvature, spread = (jnp.mean(part, axis=0) for part in parts)
    inverse = jnp.linalg.inv(curvature)
    return inverse @ spread @ inverse


def rows(c: Config, name: str, model: Callable, truth: jax.Array, normaliser: float) -> None:
    """Prints one row per estimator."""
    key_theory, key_fit = jax.random.split(jax.random.key(0))
    far = sample(name, key_theory, c.num_theory)
    best = None
    for row, loss in losses(c, model, far.shape[1], normaliser).items():
        wanted = c.only in f"{name} {row}"
        if not wanted and best is not None:  # the first, maximum likelihood, is what others need
            continue
        all_of_it = jnp.append(truth, normaliser) if "contrast" in row else truth
        covariance = jax.jit(lambda x, f=loss, t=all_of_it: theory(f, t, key_theory, x))(far)
        error = np.sqrt(np.diag(covariance) / c.num_examples)
        best = error if best is None else best
        if not wanted:
            continue

        def one(key: jax.Array, f: Loss = loss, t: jax.Array = all_of_it) -> jax.Array:
            key_x, key = jax.random.split(key)
            return fit(f, t, key, sample(name, key_x, c.num_examples))

        keys = jax.random.split(key_fit, c.repeats)
        found = np.asarray(jax.jit(lambda k, f=one: jax.lax.map(f, k))(keys))
        bias = (found.mean(0) - np.asarray(all_of_it)) / error
        ratio = found.std(0) / error
        worst = np.argmax(np.abs(np.log(ratio)))
        efficiency = np.exp(2 * np.mean(np.log(best / error[: len(best)])))
        print(
            f"{name:6} {row:26} mean error at most {np.abs(bias).max():.2f} standard errors, "
            f"spread over theory {ratio[worst]:.2f} (worst), efficiency {efficiency:.2f}",
            flush=True,
        )


def main(c: Config) -> None:
    """Both families."""
    with jax.enable_x64(True):
        of_plane = -math.log(2 * math.pi) + math.log(float(PLANE[2] * PLANE[4]))
        rows(c, "plane", plane, jnp.asarray(PLANE, float), of_plane)
        rows(c, "line", line, jnp.asarray(LINE, float), -0.5 * math.log(2 * math.pi))


if __name__ == "__main__":
    main(tyro.cli(Config))
