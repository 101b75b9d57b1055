"""The time of sampling over the time of scoring, and of the naive sampler, for every model.

    python benchmarks/sampling.py [--only MADE] [--repeats 5]

The ratio is the sampling-to-scoring time ratio: the time to sample a batch over the time to score
one of the same size, medians of one process without compilation. The naive sampler makes one
forward pass per element; the same key gives the same sample, which is checked at one batch size.
An inverse autoregressive flow (IAF) samples in one forward pass and scores element by element: its
ratio is the inverse one, and the naive way is that of scoring.
"""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import tyro
import zoo

from gm.bijections import Inverse, MaskedAutoregressive, transformers
from gm.core import Array, Key, Params
from gm.models.flows import Flow
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

    A logistic regression of zeros is independent pixels, which are too easy to sample; and flows of
    large ones lose what a check could find.
    """

    size = 0.05 if isinstance(model, Flow) else 0.3

    def move(a: Array) -> Array:
        return jnp.where(jnp.any(a != 0.0), a, size * jax.random.normal(key, a.shape))

    return jax.jit(lambda key: jax.tree.map(move, model.init(key)))(key)


def sample_naively(model: Any, params: Params, key: Key) -> Array:
    """One x, with a forward pass of each network for every element."""
    if not isinstance(model, Flow):
        return ancestral.sample_by_forward_passes(model, params, key)
    x = model.base.sample(params["base"], key)
    for part, own in zip(model.bijection.parts, params["bijection"], strict=True):
        slow = isinstance(part, MaskedAutoregressive)
        x = one_by_one(part, own, x)[0] if slow else part.forward(own, x)[0]
    return x


def score_naively(model: Flow, params: Params, x: Array) -> Array:
    """log p(x) of an inverse autoregressive flow, likewise."""
    total = 0.0
    parts = zip(reversed(model.bijection.parts), reversed(params["bijection"]), strict=True)
    for part, own in parts:
        slow = isinstance(part, Inverse)
        x, log_det = one_by_one(part.bijection, own, x) if slow else part.inverse(own, x)
        total = total + log_det
    return model.base.log_prob(params["base"], x) + total


def one_by_one(layer: MaskedAutoregressive, params: Params, x: Array) -> tuple[Array, Array]:
    """`layer.forward`, whose first i elements are right after i forward passes of its network."""

    def again(_: Array, y: tuple[Array, Array]) -> tuple[Array, Array]:
        raw = layer.network.apply(params, y[0][..., None])
        return transformers.each(layer.transformer.forward, raw, x)

    start = jnp.zeros_like(x), jnp.zeros((), x.dtype)
    return jax.lax.fori_loop(0, x.size, again, start)


def main(c: Config) -> None:
    """Prints one row per model and batch size."""
    key = jax.random.key(0)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}")
    header = ("model", "batch", "score ms", "sample ms", "ratio", "naive ms", "naive/sample")
    print("{:30} {:>6} {:>9} {:>9} {:>6} {:>9} {:>13}".format(*header))
    for name, model in zoo.MODELS.items():
        if c.only in name:
            of_model(c, name, model, key)


def of_model(c: Config, name: str, model: Any, key: Key) -> None:
    """Prints the rows of one model."""
    params, swapped = parameters(model, key), name.startswith("IAF")
    score = jax.jit(jax.vmap(model.log_prob, (None, 0)))
    sample = jax.jit(jax.vmap(functools.partial(model.sample, params)))
    naive = score_naively if swapped else sample_naively
    naive = jax.jit(jax.vmap(functools.partial(naive, model, params)))
    of_slow, before = 0.0, 1
    for size in c.batch_sizes:
        if of_slow * size / before * (c.repeats + 1) > 4 * c.longest:
            break
        keys = jax.random.split(key, size)
        x = sample(keys)
        of_score = median_seconds(functools.partial(score, params, x), c.repeats)
        of_sample = median_seconds(functools.partial(sample, keys), c.repeats)
        of_slow, of_quick = (of_score, of_sample) if swapped else (of_sample, of_score)
        before = size
        row = f"{name:30} {size:6} {1e3 * of_score:9.2f} {1e3 * of_sample:9.2f} "
        row += f"{of_slow / of_quick:6.1f}"
        if size == c.naive_at and of_quick * model.event.size < c.longest:
            given, want = (x, score(params, x)) if swapped else (keys, x)
            of_naive = median_seconds(functools.partial(naive, given), 1)
            row += f" {1e3 * of_naive:9.0f} {of_naive / of_slow:13.0f}"
            row += f"   same {share_alike(naive(given), want):.1%}"
        print(row, flush=True)


def share_alike(a: Array, b: Array) -> float:
    """The share of examples that are the same, real numbers to 1e-3.

    A probability next to a uniform number may fall on either side of it.
    """
    real = jnp.issubdtype(a.dtype, jnp.floating)
    near = jnp.abs(a - b) <= 1e-3 * (1.0 + jnp.abs(b)) if real else a == b
    return float(jnp.mean(jnp.all(near.reshape(len(a), -1), axis=1)))


if __name__ == "__main__":
    main(tyro.cli(Config))
