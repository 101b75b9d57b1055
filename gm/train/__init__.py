"""Training: a step, the loop around it, checkpoints and exact resume.

    step = train.make_step(loss, optimizer)  # jitted, donated, data-parallel
    state = train.init(params, optimizer, key)
    state = train.run(step, state, batches, num_steps, folder="runs/made")

A training step is `step(state, batch) -> (state, metrics)`, and a plain `for` loop over it trains a
model. `run` is that loop with metrics, progress, checkpoints, exact resume and a clean stop. A game
is a dict of `Player`s over disjoint entries of one `params` dict, instead of the loss and the
optimizer. State that losses update without gradients (codebooks, power-iteration vectors, replay
buffers, hidden states) is `init(..., memory=)`. Batches of different sizes may be nested in one.
optax provides clipping, schedules and accumulation; `with_ema` wraps any optimizer so that
`state.averaged` are averaged parameters; `run(..., best=Best("nats"))` keeps those of the best
evaluation. All randomness is a function of (key, step).

Large models are split over devices (`rule=fsdp`); small ones are trained together as an ensemble
(`num_members`), or many steps at a time (`run(..., steps_per_dispatch=)`). `hosts` starts the same
script on several machines, `inspect` reads a run's folder, and `weights` exports parameters.

JAX uses threads: a process that is forked after JAX has started may deadlock. Start worker
processes before the first array is made, or with "spawn" (`multiprocessing`).
"""

from gm.train import checkpoints, weights
from gm.train.averaging import with_ema
from gm.train.best import Best
from gm.train.checkpoints import digest
from gm.train.logs import read_metrics
from gm.train.loop import run
from gm.train.players import Player
from gm.train.sharding import data_mesh, fsdp, local, replicated
from gm.train.state import State, init
from gm.train.step import Step, make_step

__all__ = [
    "Best",
    "Player",
    "State",
    "Step",
    "checkpoints",
    "data_mesh",
    "digest",
    "fsdp",
    "init",
    "local",
    "make_step",
    "read_metrics",
    "replicated",
    "run",
    "weights",
    "with_ema",
]
