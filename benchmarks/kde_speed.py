"""Kernel densities of many examples against KDEpy and scipy: times in one process, in turns.

    pip install KDEpy && python benchmarks/kde_speed.py > benchmarks/results/kde_speed.txt

A million samples of the claw, 1,024 grid values, one bandwidth, Gaussian kernels, 64-bit arrays for
KDEpy and scipy. Times are CPU seconds of all threads together, which other work on the machine
hardly changes, of the quickest call among --repeats, without compilation. scipy, whose time is
proportional to the grid values, is given every --every-th of them, once; its seconds are those
times --every. Errors are the largest difference from its values, over their largest.
"""

import dataclasses
import importlib.util
import time
from collections.abc import Callable

import jax
import numpy as np
import tyro
from scipy import stats

from gm.core import Event
from gm.data import toy
from gm.models.classical import KernelDensity, bandwidths


@dataclasses.dataclass(frozen=True)
class Config:
    """What to time."""

    num_examples: int = 1_000_000
    num_nodes: int = 1024
    bandwidth: float = 0.05
    repeats: int = 10
    exact_repeats: int = 3
    every: int = 16
    seed: int = 0


def in_turns(functions: dict[str, Callable], repeats: int) -> tuple[dict, dict]:
    """Seconds of each function's quickest call, in turns after one to compile; its last values."""
    best, values = dict.fromkeys(functions, np.inf), {}
    for turn in range(repeats + 1):
        for name, function in functions.items():
            begin = time.process_time()
            values[name] = np.asarray(function(), np.float64)
            if turn > 0:
                best[name] = min(best[name], time.process_time() - begin)
    return best, values


def main(c: Config) -> None:
    """Prints the table."""
    keys = jax.random.split(jax.random.key(c.seed), c.num_examples)
    x = np.asarray(jax.jit(jax.vmap(toy.CLAW.sample))(keys))  # [N, 1]
    grid = np.linspace(-5.0, 5.0, c.num_nodes)
    model = KernelDensity(Event((1,)), c.bandwidth)
    params = jax.block_until_ready(model.fit(x))
    wide = x[:, 0].astype(np.float64)

    functions = {"gm, on_grid": lambda: model.on_grid(params, -5.0, 5.0, c.num_nodes)}
    if importlib.util.find_spec("KDEpy"):
        from KDEpy import FFTKDE

        functions["KDEpy, FFTKDE"] = lambda: FFTKDE(bw=c.bandwidth).fit(wide).evaluate(grid)
    seconds, values = in_turns(functions, c.repeats)
    queries = grid[:, None].astype(np.float32)
    exact = {"gm, log_probs": lambda: np.exp(model.log_probs(params, queries))}
    best, found = in_turns(exact, c.exact_repeats)
    seconds, values = seconds | best, values | found
    other = stats.gaussian_kde(wide, c.bandwidth / np.std(wide, ddof=1))
    begin = time.process_time()
    right = other(grid[:: c.every])
    slow = seconds["scipy, gaussian_kde"] = c.every * (time.process_time() - begin)
    values["scipy, gaussian_kde"] = np.repeat(right, c.every)

    print(f"{c.num_examples:,} examples, {c.num_nodes:,} grid values, bandwidth {c.bandwidth}")
    print(f"{'':22}{'CPU s':>10}{'scipy / this':>14}{'error':>10}")
    for name, value in seconds.items():
        error = np.max(np.abs(values[name][:: c.every] - right)) / np.max(right)
        print(f"{name:22}{value:10.4f}{slow / value:14.1f}{error:10.1e}")
    if "KDEpy, FFTKDE" in seconds:
        ratio = seconds["gm, on_grid"] / seconds["KDEpy, FFTKDE"]
        print(f"on_grid / FFTKDE: {ratio:.2f}")
    begin = time.process_time()
    h = bandwidths.improved_sheather_jones(wide)
    print(
        f"improved Sheather-Jones of them: {time.process_time() - begin:.2f} CPU s, h = {h[0]:.4f}"
    )


if __name__ == "__main__":
    main(tyro.cli(Config))
