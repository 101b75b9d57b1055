"""What the training loop costs, and what many steps in one dispatch save.

    python benchmarks/timing.py

Overhead: `train.run` with rows, progress, TensorBoard and a checkpoint every 1,000 steps, against
a bare `for` loop over the jitted step and the same batches, in turns of 1,000 steps. Dispatch:
steps/s of MADE 500 and of a model so small that dispatch is most of a step, with more and more
steps in one.
"""

import contextlib
import dataclasses
import functools
import io
import itertools
import tempfile
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
import optax
import tyro

from gm import data, train
from gm import distributions as dist
from gm.losses import likelihood
from gm.models.autoregressive import MADE

STEPS = 1000  # of one turn: one checkpoint, ten rows


@dataclasses.dataclass(frozen=True)
class Config:
    """What to time."""

    repeats: int = 12
    hidden: int = 500
    batch_size: int = 128
    """About 3 ms a step on 2 CPU cores."""
    dispatches: tuple[int, ...] = (1, 10, 100)


def problem(hidden: int, side: int = 28) -> tuple[MADE, train.Step, Any, data.Dataset]:
    """A MADE, its step, a way to begin anew, and random binary images."""
    x = np.random.default_rng(0).integers(0, 2, (10_000, side, side)).astype(np.uint8)
    dataset = data.from_arrays(x, x[:100], x[:100], num_values=2)
    model = MADE(dataset.event, dist.head_for(dataset.event), hidden=(hidden,), direct=False)
    loss = functools.partial(likelihood.negative_log_likelihood, model)
    optimizer = optax.adam(1e-3)
    params = jax.jit(model.init)(jax.random.key(0))
    step = train.make_step(loss, optimizer)
    return model, step, lambda: train.init(params, optimizer, jax.random.key(1)), dataset


class Stamped:
    """Batches that note when each is asked for."""

    def __init__(self, batches: data.Batches) -> None:
        self.batches, self.times = batches, []

    def starting_at(self, step: int) -> Iterator[dict]:
        """As the batches do."""
        for batch in self.batches.starting_at(step):
            self.times.append(time.perf_counter())
            yield batch

    def middle(self) -> float:
        """Seconds from half a turn to one and a half: compilation and the end are left out."""
        return self.times[3 * STEPS // 2] - self.times[STEPS // 2]


def overhead(c: Config) -> tuple[str, str]:
    """The loop against a bare one, in turns; the quickest of each, for a busy machine only adds."""
    _, step, new, dataset = problem(c.hidden)
    batches, num_steps = dataset.train.batches(c.batch_size), 3 * STEPS // 2 + 10

    def bare() -> float:
        state, stamped = step.place(new()), Stamped(batches)
        program = step.program(state)
        for batch in itertools.islice(stamped.starting_at(0), num_steps):
            state, _ = program.once(state, step.put(batch))
        return stamped.middle()

    def loop() -> float:
        stamped = Stamped(batches)
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stderr(io.StringIO()):
            train.run(step, new(), stamped, num_steps, folder=folder, config={"a": 1})
        return stamped.middle()

    bare()
    seen = []
    for _ in range(c.repeats):
        seen.append((bare() / STEPS, loop() / STEPS))
        print("  bare {:.2f} ms, loop {:.2f} ms".format(*np.multiply(1e3, seen[-1])), flush=True)
    plain, whole = np.min(seen, axis=0)
    pairs = np.median([after / before for before, after in seen])
    return (
        f"the loop (rows, progress, TensorBoard, a checkpoint every {STEPS} steps) over the bare "
        "jitted step",
        f"{whole / plain - 1:+.1%} at {1e3 * plain:.1f} ms a step (quickest of {c.repeats} turns; "
        f"median of the pairs: {pairs - 1:+.1%})",
    )


def rates(c: Config, hidden: int, side: int, batch_size: int) -> Iterator[tuple[str, float]]:
    """Steps/s, by how the batches come and how many steps one dispatch makes."""
    _, step, new, dataset = problem(hidden, side)
    for on_device, many in itertools.product((False, True), c.dispatches):
        batches = dataset.train.batches(batch_size, on_device=on_device)
        options = {"steps_per_dispatch": many, "progress": False, "log_every": 10**6}

        def go(num_steps: int, batches: Any = batches, options: dict = options) -> float:
            begin = time.perf_counter()
            jax.block_until_ready(train.run(step, new(), batches, num_steps, **options))
            return time.perf_counter() - begin

        go(100)
        seconds = np.median([go(1100) - go(100) for _ in range(3)])
        yield f"{'on device, ' * on_device}{many} a dispatch", 1000 / seconds


def dispatch(c: Config) -> Iterator[tuple[str, str]]:
    """A model of usual size, and one that is bound by dispatch."""
    cases = {"MADE 500, MNIST, batch 128": (500, 28, 128), "MADE 16, 8x8, batch 16": (16, 8, 16)}
    for name, case in cases.items():
        found = dict(rates(c, *case))
        one = found["1 a dispatch"]
        text = "; ".join(f"{k}: {v:,.0f} ({v / one:.2f})" for k, v in found.items())
        yield f"steps/s of {name} (over one step, one dispatch)", text


def main(c: Config) -> None:
    """Prints rows of the table."""
    for what, seen in [overhead(c), *dispatch(c)]:
        print(f"| {what} | {seen} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
