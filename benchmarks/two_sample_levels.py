"""p-values under the null hypothesis: how often two-sample tests reject at 5 %.

    python benchmarks/two_sample_levels.py

MMD, energy and C2ST tests of samples of one distribution, 2,000 times: the share of p-values up to
0.05, which should be 0.05 (2,000 fix it to 0.5 %), and the largest distance of their distribution
from the uniform one. Accuracies of a classifier are counts, so that a p-value of C2ST is one of
those that a count can have and their share at most 0.05.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from sklearn.linear_model import LogisticRegression

from gm.losses import moments
from gm.metrics import c2st, permutation


@dataclasses.dataclass(frozen=True)
class Config:
    """How much."""

    repeats: int = 2000
    num: int = 30
    """Points on each side of MMD and energy tests."""
    num_c2st: int = 500


def of_kernel(c: Config, kernel: moments.Kernel, dim: int) -> np.ndarray:
    """p-values, [R], with 199 permutations each."""
    x, y = np.random.default_rng(0).normal(size=(2, c.repeats, c.num, dim)).astype(np.float32)
    keys = jax.random.split(jax.random.key(0), c.repeats)

    @jax.jit
    def test(keys: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        return jax.lax.map(
            lambda one: permutation.mmd(one[0], kernel, *one[1:], num_permutations=199)[1],
            (keys, x, y),
        )

    return np.asarray(test(keys, x, y))


def of_classifier(c: Config) -> np.ndarray:
    """p-values of C2ST with a logistic regression, [R]."""
    rng = np.random.default_rng(0)
    return np.array(
        [
            c2st.accuracy(
                *rng.normal(size=(2, c.num_c2st, 2)), classifier=LogisticRegression(), seed=i
            ).p_value
            for i in range(c.repeats)
        ]
    )


def row(name: str, p: np.ndarray) -> str:
    """One line."""
    grid = np.arange(1, 200) / 200
    apart = np.abs(np.mean(p[:, None] <= grid, axis=0) - grid).max()
    return (
        f"{name:38} p <= 0.05: {np.mean(p <= 0.05):6.2%}   p <= 0.01: {np.mean(p <= 0.01):6.2%}   "
        f"largest distance from uniform {apart:.3f}"
    )


def main(c: Config) -> None:
    """Prints one row per test."""
    rbf = moments.RBF(jnp.array([1.0]))
    distance = jax.tree_util.Partial(moments.negative_distance)
    print(row(f"MMD, RBF, {c.num} points, D = 2", of_kernel(c, rbf, 2)), flush=True)
    print(row(f"energy, {c.num} points, D = 2", of_kernel(c, distance, 2)), flush=True)
    print(row(f"C2ST, {c.num_c2st} points, D = 2", of_classifier(c)), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
