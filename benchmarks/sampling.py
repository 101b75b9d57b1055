"""The time of sampling over the time of scoring, and of the naive sampler, for every model.

    python benchmarks/sampling.py [--only MADE] [--repeats 5]

The ratio is the sampling-to-scoring time ratio: the time to sample a batch over the time to score
one of the same size, medians of one process without compilation. The naive sampler makes one
forward pass per element; the same key gives the same sample, which is checked at one batch size.
"""

import dataclasses
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import zoo

from gm.core import Array, Key, Params
from gm.sampling import ancestral


@dataclasses.dataclass(frozen=True)
class Config:
    """What to time."""

    batch_sizes: tuple[int, ...] = (1, 16, 64, 256, 1024)
    only: str = ""
    """Models with this in their name."""
    naive_at: int = 64
    """Batch size for the naive sampler; 0 to leave it out."""
    longest: float = 60.0
    """Seconds; what is expected to take longer is left out."""
    repeats: int = 5


def median_seconds(function: Callable[[], Array], repeats: int) -> float:
    """Median wall time of a call, after one that compiles."""
    jax.block_until_ready(function())
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(function())
        seconds.append(time.perf_counter() - begin)
    return float(np.median(seconds))


def parameters(model: Any, key: Key) -> Params:
    """Initial ones, with random numbers for what starts at zero.

    A logistic regression of zeros is independent pixels, which are too easy to sample.
    """

    def move(a: Array) -> Array:
        return jnp.where(jnp.any(a != 0.0), a, 0.3 * jax.random.normal(key, a.shape))

    return jax.jit(lambda key: jax.tree.map(move, model.init(key)))(key)


def main(c: Config) -> None:
    """Prints one row per model and batch size."""
    key = jax.random.key(0)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")
    header = ("model", "batch", "score ms", "sample ms", "ratio", "naive ms", "naive/sample")
    print("{:30} {:>6} {:>9} {:>9} {:>6} {:>9} {:>13}".format(*header))
    for name, model in zoo.MODELS.items():
        if c.only not in name:
            continue
        params = parameters(model, key)

        def batched(one: Callable[[Key], Array]) -> Callable[[Array], Array]:
            return jax.jit(jax.vmap(one))

        score = jax.jit(jax.vmap(model.log_prob, (None, 0)))
        sample = batched(lambda k, m=model, p=params: m.sample(p, k))
        naive = batched(lambda k, m=model, p=params: ancestral.sample_by_forward_passes(m, p, k))
        of_sample, before = 0.0, 1
        for size in c.batch_sizes:
            if of_sample * size / before * (c.repeats + 1) > 4 * c.longest:
                break
            keys = jax.random.split(key, size)
            x = sample(keys)
            of_score = median_seconds(lambda s=score, p=params, x=x: s(p, x), c.repeats)
            of_sample = median_seconds(lambda s=sample, k=keys: s(k), c.repeats)
            before = size
            row = f"{name:30} {size:6} {1e3 * of_score:9.2f} {1e3 * of_sample:9.2f} "
            row += f"{of_sample / of_score:6.1f}"
            if size == c.naive_at and of_score * model.event.size < c.longest:
                of_naive = median_seconds(lambda n=naive, k=keys: n(k), 1)
                # A probability next to a uniform number may fall on either side of it.
                same = float(jnp.mean(jnp.all((naive(keys) == x).reshape(size, -1), axis=1)))
                row += f" {1e3 * of_naive:9.0f} {of_naive / of_sample:13.0f}   same {same:.1%}"
            print(row, flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
