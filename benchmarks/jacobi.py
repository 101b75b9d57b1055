"""Jacobi sampling against ancestral sampling and the naive sampler: forward passes and times.

    python benchmarks/jacobi.py [--repeats 20]

MADE with two hidden layers of 512, trained first, because an untrained model needs few forward
passes: on fixed binarized MNIST where TFDS has it, else on the digits in black and white. All three
sample from the same keys. Times are of the quickest call among --repeats, in turns in one process,
without compilation. A batch runs until its last example is done, so it makes as many forward passes
as the example that needs most.
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax
import tyro

from gm import data, metrics, train
from gm import distributions as dist
from gm.core import Array, Params
from gm.losses import likelihood
from gm.models.autoregressive import MADE, degrees_by_entropy
from gm.sampling import ancestral, jacobi


@dataclasses.dataclass(frozen=True)
class Config:
    """What to train and to time."""

    batch_sizes: tuple[int, ...] = (1, 16, 64)
    hidden: tuple[int, ...] = (512, 512)
    num_steps: int = 10000
    """Of training, one to three minutes on 2 CPU cores."""
    repeats: int = 20
    naive: bool = True
    """Also time the sampler that makes one forward pass per element."""
    seed: int = 0


def trained(c: Config) -> tuple[data.Dataset, MADE, Params]:
    """The data, the model and its parameters after training."""
    try:
        dataset = data.load("binarized_mnist")
    except FileNotFoundError:
        dataset = data.load("digits_threshold")
    degrees = degrees_by_entropy(dataset.train.x, 2, c.hidden)
    head = dist.BernoulliHead()
    model = MADE(dataset.event, head, c.hidden, direct=False, degrees=degrees)
    optimizer = optax.adamw(optax.cosine_decay_schedule(2e-3, c.num_steps), weight_decay=0.03)
    step = train.make_step(functools.partial(likelihood.negative_log_likelihood, model), optimizer)
    key_init, key_train = jax.random.split(jax.random.key(c.seed))
    state = train.init(model.init(key_init), optimizer, key_train)
    state = train.run(step, state, dataset.train.batches(64, c.seed), c.num_steps)
    return dataset, model, state.params


def quickest(functions: Sequence[Callable[[], Array]], repeats: int) -> list[float]:
    """Seconds of each function's quickest call, in turns, after one call that compiles."""
    best = [float("inf")] * len(functions)
    for turn in range(repeats + 1):
        for i, function in enumerate(functions):
            begin = time.perf_counter()
            jax.block_until_ready(function())
            if turn > 0:
                best[i] = min(best[i], time.perf_counter() - begin)
    return best


def row(model: MADE, params: Params, size: int, c: Config) -> str:
    """One line of the table."""
    keys = jax.random.split(jax.random.key(c.seed), size)

    def batched(one: Callable) -> Callable:
        return jax.jit(jax.vmap(functools.partial(one, model, params)))

    ancestrally, by_jacobi = batched(ancestral.sample), batched(jacobi.sample)
    x, num_forward_passes = by_jacobi(keys)
    same = float(jnp.mean(jnp.all((x == ancestrally(keys)).reshape(size, -1), axis=1)))
    of_jacobi, of_ancestral = quickest(
        [lambda: by_jacobi(keys), lambda: ancestrally(keys)], c.repeats
    )
    line = (
        f"{size:5} {float(jnp.mean(num_forward_passes)):8.1f} {int(jnp.max(num_forward_passes)):5} "
    )
    line += f"{1e3 * of_jacobi:10.1f} {1e3 * of_ancestral:13.1f} {of_ancestral / of_jacobi:19.2f} "
    if c.naive:
        naive = batched(ancestral.sample_by_forward_passes)
        (of_naive,) = quickest([lambda: naive(keys)], 2)
        line += f"{1e3 * of_naive:9.0f} {of_naive / of_jacobi:14.1f} "
    return f"{line} {same:6.1%}"


def main(c: Config) -> None:
    """Trains, then prints one row per batch size."""
    dataset, model, params = trained(c)
    score = metrics.evaluate(model, params, dataset.test.x)
    name = "x".join(map(str, c.hidden))
    print(f"MADE {name} on {dataset.name}, {model.event.size} elements: test NLL {score}")
    header = "batch  passes  most  jacobi ms  ancestral ms  ancestral / jacobi "
    print(header + (" naive ms naive / jacobi " if c.naive else "") + "   same")
    for size in c.batch_sizes:
        print(row(model, params, size, c), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
