"""Optimal transport against ott-jax, POT and scipy: the same values, and the ratio of times.

    pip install ott-jax POT
    python benchmarks/transport.py

Sinkhorn of 2,000 x 2,000 points in 10 dimensions, both to a marginal error of 1e-3 (ott-jax looks
every ten iterations, gm after each, so that gm may stop earlier); sliced Wasserstein of 100,000
points in 64 dimensions along the same 50 directions, gm's inside and outside jit; both in turns in
one process on the CPU, the quickest call of each after one that compiles. On the line 10^7 points,
one call, with the peak of memory in a process of its own.
"""

import dataclasses
import multiprocessing
import resource
import time
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from scipy import stats

from gm.losses import entropic, transport


@dataclasses.dataclass(frozen=True)
class Config:
    """What to time."""

    repeats: int = 5
    num_sinkhorn: int = 2_000
    num_sliced: int = 100_000
    num_line: int = 10_000_000
    only: str = ""
    """sinkhorn, sliced or line."""


def quickest(functions: Sequence[Callable[[], object]], repeats: int) -> list[float]:
    """Seconds of each function's quickest call, in turns, after one call each."""
    best = [float("inf")] * len(functions)
    for turn in range(repeats + 1):
        for i, function in enumerate(functions):
            begin = time.perf_counter()
            jax.block_until_ready(function())
            if turn > 0:
                best[i] = min(best[i], time.perf_counter() - begin)
    return best


def sinkhorn(c: Config) -> str:
    """Against ott-jax."""
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import sinkhorn as solvers

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, c.num_sinkhorn, 10)).astype(np.float32)
    y = 1.2 * y + np.float32(0.3)
    epsilon = float(transport.squared_distances(x, y).mean()) / 20

    @jax.jit
    def ours(x: jax.Array, y: jax.Array) -> jax.Array:
        plan = entropic.sinkhorn(x, y, epsilon)
        return plan.cost, plan.num_steps, plan.error

    @jax.jit
    def theirs(x: jax.Array, y: jax.Array) -> jax.Array:
        problem = linear_problem.LinearProblem(pointcloud.PointCloud(x, y, epsilon=epsilon))
        found = solvers.Sinkhorn(threshold=1e-3)(problem)
        return found.reg_ot_cost, found.n_iters, found.errors[found.n_iters // 10 - 1]

    times = quickest([lambda: ours(x, y), lambda: theirs(x, y)], c.repeats)
    (mine, steps, error), (its, its_steps, its_error) = ours(x, y), theirs(x, y)
    return (
        f"Sinkhorn {c.num_sinkhorn:,} x {c.num_sinkhorn:,}: gm {mine:.5f} ({steps} iterations, "
        f"error {error:.0e}), ott-jax {its:.5f} ({its_steps} iterations, error {its_error:.0e}); "
        f"{times[0]:.2f} s and {times[1]:.2f} s, ratio {times[0] / times[1]:.2f}"
    )


def sliced(c: Config) -> str:
    """Against POT."""
    import ot

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, c.num_sliced, 64)).astype(np.float32)
    y = y + np.float32(0.1)
    key, num = jax.random.key(0), 50
    along = np.asarray(transport.directions(key, num, 64)).T

    def ours(x: jax.Array, y: jax.Array) -> jax.Array:
        return transport.sliced(key, x, y, num_directions=num)

    def theirs(dtype: type = np.float32) -> float:
        arrays = (a.astype(dtype) for a in (x, y))
        return ot.sliced_wasserstein_distance(*arrays, projections=along.astype(dtype), p=2) ** 2

    compiled, (on_x, on_y) = jax.jit(ours), (jnp.asarray(x), jnp.asarray(y))
    functions = [lambda: ours(on_x, on_y), lambda: compiled(on_x, on_y), theirs]
    times = quickest(functions, max(c.repeats // 2, 1))
    one, other = times[0] / times[2], times[1] / times[2]
    return (
        f"sliced W_2^2, {c.num_sliced:,} x 64: gm {ours(on_x, on_y):.7f}, in jit "
        f"{compiled(on_x, on_y):.7f}, POT {theirs():.7f}, in float64 {theirs(np.float64):.7f}; "
        f"{times[0]:.2f} s, {times[1]:.2f} s, {times[2]:.2f} s; ratios {one:.2f} and {other:.2f}"
    )


def points(num: int) -> list[np.ndarray]:
    """Two samples of the line."""
    rng = np.random.default_rng(0)
    x, y = (rng.standard_normal(num, np.float32) for _ in range(2))
    y *= np.float32(1.1)
    y += np.float32(0.2)
    return [x, y]


def peak(num: int, weighted: bool, queue: multiprocessing.Queue) -> None:
    """Value, seconds, and bytes above those of the points, in this process."""
    x, y = (jnp.asarray(a) for a in points(num))
    weights = jnp.asarray(np.random.default_rng(1).random(num, np.float32) + np.float32(0.5))
    given = {"weights_x": weights} if weighted else {}
    jax.block_until_ready(transport.wasserstein_1d(x[:100], y[:100]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begin = time.perf_counter()
    value = float(transport.wasserstein_1d(x, y, **given))
    seconds = time.perf_counter() - begin
    queue.put((value, seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before))


def line(c: Config) -> str:
    """Against scipy, weighted too."""
    context, parts = multiprocessing.get_context("spawn"), []
    for weighted in (False, True):
        queue = context.Queue()
        process = context.Process(target=peak, args=(c.num_line, weighted, queue))
        process.start()
        value, seconds, kilobytes = queue.get()
        process.join()
        x, y = (a.astype(np.float64) for a in points(c.num_line))
        weights = np.random.default_rng(1).random(c.num_line, np.float32) + np.float32(0.5)
        given = [weights] if weighted else []
        begin = time.perf_counter()
        want = stats.wasserstein_distance(x, y, *given)
        its = time.perf_counter() - begin
        parts.append(
            f"{'weighted' if weighted else 'plain'}: gm {value:.7f} in {seconds:.1f} s with "
            f"{kilobytes / 1e6:.2f} GB beside the points, scipy {want:.7f} in {its:.1f} s"
        )
    return f"W_1 of {c.num_line:,} points, first call; " + "; ".join(parts)


def main(c: Config) -> None:
    """Prints one line per row."""
    for part in (sinkhorn, sliced, line):
        if c.only in part.__name__:
            print(part(c), flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
