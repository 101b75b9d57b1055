"""A training step and both directions of three flows, beside zuko (PyTorch) and flowjax.

    pip install zuko flowjax
    python benchmarks/flows.py [--batch-size 256] [--repeats 15]

The same architecture in each: so many layers over so many real elements, each with a network of two
hidden layers of ReLUs; affine couplings (RealNVP), affine and rational-quadratic autoregressive
layers (MAF, spline MAF). A step is the gradient of the mean negative log-likelihood, and Adam. The
libraries take turns in one process, with as many threads each; the medians of the turns are stated,
without compilation. PyTorch is as its users run it, not compiled.
"""

import dataclasses
import functools
import os
import time
from collections.abc import Callable

import equinox as eqx
import flowjax.bijections
import flowjax.distributions
import flowjax.flows
import jax
import jax.numpy as jnp
import numpy as np
import optax
import paramax
import torch
import tyro
import zuko

from gm import train
from gm.core import Event
from gm.losses import likelihood
from gm.models import flows

Calls = dict[str, Callable[[], object]]  # what is timed: "step", "score", "sample"
KINDS = ("RealNVP", "MAF", "spline MAF")


@dataclasses.dataclass(frozen=True)
class Config:
    """What to time."""

    num_dims: int = 16
    num_layers: int = 5
    hidden: int = 64
    num_bins: int = 8
    batch_size: int = 256
    repeats: int = 15


def of_gm(c: Config, kind: str, x: np.ndarray) -> tuple[Calls, int]:
    """gm's flow, its parameters all started at random."""
    event, sizes = Event((c.num_dims,)), {"hidden": (c.hidden, c.hidden)}
    make = {
        "RealNVP": flows.realnvp,
        "MAF": flows.maf,
        "spline MAF": functools.partial(flows.spline_maf, num_bins=c.num_bins, bound=5.0),
    }[kind]
    flow, optimizer = make(event, c.num_layers, **sizes), optax.adam(1e-3)
    step = train.make_step(functools.partial(likelihood.negative_log_likelihood, flow), optimizer)
    params = jax.jit(flow.init)(jax.random.key(0))
    state = [train.init(jax.tree.map(jnp.copy, params), optimizer, jax.random.key(1))]
    keys, x = jax.random.split(jax.random.key(2), c.batch_size), jnp.asarray(x)
    score = jax.jit(jax.vmap(flow.log_prob, (None, 0)))
    sample = jax.jit(jax.vmap(flow.sample, (None, 0)))

    def one_step() -> object:
        state[0], metrics = step(state[0], {"x": x})
        return metrics

    calls = {
        "step": one_step,
        "score": lambda: score(params, x),
        "sample": lambda: sample(params, keys),
    }
    return calls, sum(leaf.size for leaf in jax.tree.leaves(params))


def of_flowjax(c: Config, kind: str, x: np.ndarray) -> tuple[Calls, int]:
    """flowjax's."""
    bijections, base = flowjax.bijections, flowjax.distributions.Normal(jnp.zeros(c.num_dims))
    spline = bijections.RationalQuadraticSpline(knots=c.num_bins, interval=5)
    make = flowjax.flows.masked_autoregressive_flow
    if kind == "RealNVP":
        make = flowjax.flows.coupling_flow
    transformer = {"transformer": spline} if kind == "spline MAF" else {}
    flow = make(
        jax.random.key(0),
        base_dist=base,
        flow_layers=c.num_layers,
        nn_width=c.hidden,
        nn_depth=2,
        **transformer,
    )
    trained, rest = eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )
    optimizer, x, key = optax.adam(1e-3), jnp.asarray(x), jax.random.key(2)
    state = [(trained, optimizer.init(trained))]

    @eqx.filter_jit
    def update(trained: object, opt_state: object, x: jax.Array) -> tuple:
        def loss(trained: object) -> jax.Array:
            return -jnp.mean(paramax.unwrap(eqx.combine(trained, rest)).log_prob(x))

        value, grads = eqx.filter_value_and_grad(loss)(trained)
        updates, opt_state = optimizer.update(grads, opt_state, trained)
        return (eqx.apply_updates(trained, updates), opt_state), value

    def one_step() -> object:
        state[0], value = update(*state[0], x)
        return value

    score = eqx.filter_jit(lambda flow, x: flow.log_prob(x))
    sample = eqx.filter_jit(lambda flow, key: flow.sample(key, (c.batch_size,)))
    calls = {"step": one_step, "score": lambda: score(flow, x), "sample": lambda: sample(flow, key)}
    return calls, sum(leaf.size for leaf in jax.tree.leaves(trained))


def of_zuko(c: Config, kind: str, x: np.ndarray) -> tuple[Calls, int]:
    """zuko's."""
    sizes = {"transforms": c.num_layers, "hidden_features": (c.hidden, c.hidden)}
    make = {
        "RealNVP": zuko.flows.RealNVP,
        "MAF": zuko.flows.MAF,
        "spline MAF": functools.partial(zuko.flows.NSF, bins=c.num_bins),
    }[kind]
    flow = make(c.num_dims, **sizes)
    optimizer, batch = torch.optim.Adam(flow.parameters(), 1e-3), torch.from_numpy(x)

    def one_step() -> object:
        optimizer.zero_grad(set_to_none=True)
        loss = -flow().log_prob(batch).mean()
        loss.backward()
        optimizer.step()
        return loss

    @torch.no_grad()
    def score() -> object:
        return flow().log_prob(batch)

    @torch.no_grad()
    def sample() -> object:
        return flow().sample((c.batch_size,))

    size = sum(p.numel() for p in flow.parameters())
    return {"step": one_step, "score": score, "sample": sample}, size


def seconds(call: Callable[[], object], count: int) -> float:
    """Wall time of a call, the mean of a few in a row."""
    begin = time.perf_counter()
    for _ in range(count):
        jax.block_until_ready(call())
    return (time.perf_counter() - begin) / count


def main(c: Config) -> None:
    """Prints one row for each flow and each thing that is timed."""
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(0)
    x = np.random.default_rng(0).standard_normal((c.batch_size, c.num_dims)).astype(np.float32)
    versions = f"jax {jax.__version__}, torch {torch.__version__}"
    print(f"{versions}; load of the machine before: {os.getloadavg()[0]:.1f}; {c}")
    header = ("flow", "what", "gm ms", "zuko ms", "flowjax ms", "zuko / gm", "flowjax / gm")
    print("{:12} {:8} {:>8} {:>8} {:>11} {:>10} {:>13}".format(*header))
    for kind in KINDS:
        made = [make(c, kind, x) for make in (of_gm, of_zuko, of_flowjax)]
        for what in ("step", "score", "sample"):
            calls = [calls[what] for calls, _ in made]
            for call in calls:
                jax.block_until_ready(call())
            counts = [max(1, int(0.05 / seconds(call, 2))) for call in calls]
            turns = [
                [seconds(*pair) for pair in zip(calls, counts, strict=True)]
                for _ in range(c.repeats)
            ]
            gm, zuko_, flowjax_ = 1e3 * np.median(turns, axis=0)
            row = f"{kind:12} {what:8} {gm:8.2f} {zuko_:8.2f} {flowjax_:11.2f}"
            print(f"{row} {zuko_ / gm:10.1f} {flowjax_ / gm:13.1f}", flush=True)
        sizes = [size for _, size in made]
        print(f"{kind:12} parameters: gm {sizes[0]:,}, zuko {sizes[1]:,}, flowjax {sizes[2]:,}")


if __name__ == "__main__":
    main(tyro.cli(Config))
