"""Distances between two minibatches of one distribution: how far above zero they are.

    python benchmarks/minibatch_bias.py

The mean over 100 pairs of batches of N(0, I) in five dimensions, as a share of the same distance
between N(0, I) and its shift by one standard deviation in every dimension. A distance whose share
is large prefers, as a loss of minibatches, a model that is too narrow.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from gm.losses import entropic, moments, transport

DIM = 5


def distances(key: jax.Array) -> dict[str, Callable]:
    """Of samples [N, D], squared Wasserstein ones."""
    epsilon = 0.1 * DIM
    short = {"tolerance": 1e-3, "max_steps": 200}
    rbf = moments.RBF(jnp.array([DIM**0.5]))
    return {
        "entropic W_2^2 (epsilon = D / 10)": lambda x, y: (
            entropic.sinkhorn(x, y, epsilon, **short).cost
        ),
        "Sinkhorn divergence, the same": lambda x, y: entropic.sinkhorn_divergence(
            x, y, epsilon, **short
        ),
        "sliced W_2^2": functools.partial(transport.sliced, key, num_directions=64),
        "energy distance": moments.energy_distance,
        "MMD^2, RBF": functools.partial(moments.squared_mmd, rbf),
    }


def mean(distance: Callable, num: int, repeats: int, shift: float) -> tuple[float, float]:
    """The mean distance of batches of that size, and its standard error."""
    rng = np.random.default_rng(0)
    of = jax.jit(distance)
    found = []
    for _ in range(repeats):
        x, y = rng.normal(size=(2, num, DIM)).astype(np.float32)
        found.append(float(of(x, y + np.float32(shift))))
    return float(np.mean(found)), float(np.std(found) / np.sqrt(repeats))


def main() -> None:
    """One row per distance."""
    sizes = (32, 128, 512)
    print(f"{'D = ' + str(DIM):36}" + "".join(f"batch {size:<14}" for size in sizes))
    for name, distance in distances(jax.random.key(0)).items():
        far, _ = mean(distance, 1024, 5, 1.0)
        parts = []
        for size in sizes:
            value, error = mean(distance, size, 100, 0.0)
            parts.append(f"{value / far:7.2%} ± {error / far:<8.2%}   ")
        print(f"{name:36}" + "".join(parts), flush=True)


if __name__ == "__main__":
    main()
