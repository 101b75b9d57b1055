"""How fast every model trains: examples a second, and how much of the machine's arithmetic is used.

    python benchmarks/training.py [--only PixelCNN] [--repeats 5]

One step is the gradient of the mean negative log-likelihood and an Adam update, jitted, donated.
The arithmetic is what XLA counts in the compiled step; the machine's rate is that of the largest
of a few matrix products in the same process.
"""

import dataclasses
import functools
import time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import tyro
import zoo

from gm.losses import likelihood


@dataclasses.dataclass(frozen=True)
class Config:
    """What to time."""

    batch_size: int = 128
    only: str = ""
    """Models with this in their name."""
    repeats: int = 5


def matmul_rate(size: int = 2048, repeats: int = 5) -> float:
    """Floating-point operations a second in a square matrix product."""
    a = jnp.ones((size, size))
    product = jax.jit(jnp.matmul)
    jax.block_until_ready(product(a, a))
    seconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        jax.block_until_ready(product(a, a))
        seconds.append(time.perf_counter() - begin)
    return 2 * size**3 / min(seconds)


def main(c: Config) -> None:
    """Prints one row per model."""
    rate = matmul_rate()
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, {rate / 1e9:.0f} GFLOP/s")
    header = ("model", "batch", "ms a step", "examples/s", "GFLOP/s", "of the rate")
    print("{:30} {:>6} {:>10} {:>11} {:>9} {:>12}".format(*header))
    key, optimizer = jax.random.key(0), optax.adam(1e-3)
    for name, model in zoo.MODELS.items():
        if c.only not in name:
            continue
        params = jax.jit(model.init)(key)
        state = optimizer.init(params)
        shape = (c.batch_size, *model.event.shape)
        batch = {"x": jax.random.randint(key, shape, 0, model.event.num_values)}
        loss = functools.partial(likelihood.negative_log_likelihood, model)

        def step(params, state, batch, loss=loss):
            grads = jax.grad(lambda p: loss(p, key, batch)[0])(params)
            updates, state = optimizer.update(grads, state, params)
            return optax.apply_updates(params, updates), state

        compiled = jax.jit(step, donate_argnums=(0, 1)).lower(params, state, batch).compile()
        flops = compiled.cost_analysis().get("flops", float("nan"))
        seconds = []
        for _ in range(c.repeats + 1):
            begin = time.perf_counter()
            params, state = jax.block_until_ready(compiled(params, state, batch))
            seconds.append(time.perf_counter() - begin)
        best = float(np.median(seconds[1:]))
        row = f"{name:30} {c.batch_size:6} {1e3 * best:10.1f} {c.batch_size / best:11.0f} "
        print(row + f"{flops / best / 1e9:9.1f} {flops / best / rate:12.0%}", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
