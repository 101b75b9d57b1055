"""A training whose files, signals and folder `attacks.py` attacks.

A game of two linear players that hand on a replay buffer and a spectral-norm vector.
"""

import contextlib
import ctypes
import dataclasses
import functools
import json
import multiprocessing
import os
import pathlib
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

HERE = pathlib.Path(__file__).resolve().parent
FORKS = multiprocessing.get_context("forkserver")
LIBRARIES = "jax optax gm.train orbax.checkpoint tensorboardX __main__"
COUNT, KILL, HALF, FAIL, FULL, DISK, NEARLY, COPY = range(8)  # as in faults.c
STEPS, ROWS, SAVES, PLOTS, KEPT = 8, 2, 4, 6, 1
LIMIT = 120.0  # seconds after which a run hangs


@dataclasses.dataclass(frozen=True)
class Fault:
    """What goes wrong with the files of a run; see `faults.c`."""

    mode: int = COUNT
    at: int = 0
    span: int = 1
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Victim:
    """A training, and how long parts of it take, in seconds, so that a signal can meet them."""

    folder: pathlib.Path
    steps: int = STEPS
    fault: Fault | None = None
    step_takes: float = 0.0
    evaluation_takes: float = 0.0
    picture_takes: float = 0.0
    compilation_takes: float = 0.0
    busy: int = 0
    """Threads that do nothing but take the lock of the interpreter."""

    @property
    def aside(self) -> pathlib.Path:
        """A path beside the folder, which no attack concerns."""
        return self.folder.parent / f"{self.folder.name[:40]} aside"


CURRENT: list[Victim] = []  # of this process; in a closure it would be a part of what the run is


class Slow:
    """Batches that take their time."""

    def starting_at(self, step: int) -> Iterator[dict]:
        """Batches of step, step + 1, ..."""
        import numpy as np

        while True:
            rng = np.random.default_rng(step)
            _slow(f"training {step}", CURRENT[0].step_takes)
            yield {"x": rng.normal(size=(4, 4)).astype(np.float32)}
            step += 1


def _slow(what: str, seconds: float) -> None:
    """Takes its time, and says so to who waits for it."""
    if seconds:
        with (CURRENT[0].aside / "where").open("a") as file:
            file.write(f"{what}\n")
        time.sleep(seconds)


def critic(params: Any, key: Any, batch: Mapping[str, Any], memory: Any) -> tuple[Any, tuple]:
    """A loss of scores over a matrix of spectral norm one, and of samples from a replay buffer."""
    import jax
    import jax.numpy as jnp

    _slow("compiling", CURRENT[0].compilation_takes)
    w, made = params["w"], params["made"] + jax.random.normal(key, (4,))
    u = w.T @ (w @ memory["u"])
    u = u / jnp.linalg.norm(u)
    scores = batch["x"] @ w / jax.lax.stop_gradient(jnp.linalg.norm(w @ u))
    pool = jnp.concatenate([memory["pool"][1:], made[None]])
    seen = memory["seen"] + batch["x"][:, 0]
    loss = jnp.mean(jnp.square(scores - 1.0)) + jnp.mean(memory["pool"] @ w)
    return loss, ({}, {"u": u, "pool": pool, "seen": seen})


def generator(params: Any, key: Any, batch: Any, memory: Any) -> tuple[Any, tuple]:
    """A loss of what the critic is to score near zero."""
    import jax.numpy as jnp

    return jnp.mean(jnp.square(params["made"] @ params["w"])), ({}, memory)


@functools.cache
def game() -> tuple[Any, Any]:
    """The players of the game, and its step, which a process compiles once."""
    import optax

    from gm import train

    players = {
        "w": train.Player(critic, optax.adam(1e-2), updates=2),
        "made": train.Player(generator, optax.adam(1e-2)),
    }
    return players, train.make_step(players)


def first(players: Any) -> Any:
    """The first state of the game."""
    import jax
    import numpy as np

    from gm import train

    ones, zeros = np.ones(4, np.float32), np.zeros((4, 4), np.float32)
    memory = {"u": ones, "pool": zeros, "seen": zeros[0]}
    replicated = {"u": True, "pool": True, "seen": False}
    params = {"w": np.tri(4, dtype=np.float32), "made": ones}
    return train.init(params, players, jax.random.key(1), memory, replicated)


def evaluate(state: Any) -> dict[str, Any]:
    """One number, in its time."""
    _slow("evaluating", CURRENT[0].evaluation_takes)
    import numpy as np

    return {"first": np.asarray(state.params["w"])[0, 0]}


def plot(state: Any, path: pathlib.Path) -> None:
    """Writes what stands for a picture, in its time."""
    _slow("plotting", CURRENT[0].picture_takes)
    path.write_text("a picture")


def _busy() -> None:
    while True:
        pass


def arm_faults(victim: Victim) -> Any:
    """The library, once it knows what is to go wrong from now on, or that nothing is."""
    fault, lib = victim.fault or Fault(), ctypes.CDLL(os.environ["GM_FAULTS"])
    where = os.fsencode(victim.folder.absolute())
    lib.faults_arm(where, fault.mode, *map(ctypes.c_long, (fault.at, fault.span, fault.seed)))
    return lib


def train_it(victim: Victim) -> None:
    """Trains; leaves the SHA-256, the count of operations and whether the fault was met aside."""
    with (victim.aside / "log").open("a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    CURRENT[:] = [victim]
    for _ in range(victim.busy):
        threading.Thread(target=_busy, daemon=True).start()
    import jax

    from gm import train

    jax.config.update("jax_compilation_cache_dir", str(HERE.parent / ".jax_cache" / "attacks"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    players, step = game()
    state = first(players)
    lib, best = arm_faults(victim), train.Best("first")
    state = train.run(
        step,
        state,
        Slow(),
        victim.steps,
        folder=victim.folder,
        config={"width": 3},
        log_every=ROWS,
        checkpoint_every=SAVES,
        evaluate=evaluate,
        evaluate_every=SAVES,
        best=best,
        plot=plot,
        plot_every=PLOTS,
        keep=KEPT,
        progress=False,
    )
    told = {
        "sha256": train.digest((state, best.params)),
        "operations": lib.faults_counted(),
        "met": bool(lib.faults_met()),
    }
    (victim.aside / "told").write_text(json.dumps(told))


def prepare(victim: Victim) -> None:
    """Makes room beside the folder, and takes away what an earlier run left there."""
    victim.aside.mkdir(parents=True, exist_ok=True)
    for old in ("told", "where"):
        (victim.aside / old).unlink(missing_ok=True)


def lead(victim: Victim) -> None:
    """Trains as the leader of a group of processes, which `timeout` sends a signal to as well."""
    os.setpgrp()
    train_it(victim)


def start(victim: Victim) -> Any:
    """A process that trains."""
    prepare(victim)
    process = FORKS.Process(target=lead, args=(victim,))
    process.start()
    return process


def end(process: Any, limit: float = LIMIT) -> int | None:
    """The exit status of a process, or None where it hangs."""
    process.join(limit)
    status = process.exitcode
    if status is None:
        process.kill()
        process.join()
    return status


def run(victim: Victim) -> int | None:
    """Trains in a process of its own, and returns its exit status; None where it hangs."""
    return end(start(victim))


class Warm:
    """A process that trains one victim after another, and compiles their step once."""

    def __init__(self) -> None:
        self._here, there = FORKS.Pipe()
        self._process = FORKS.Process(target=_serve, args=(there,), daemon=True)
        self._process.start()

    def run(self, victim: Victim) -> int | None:
        """As `run`."""
        prepare(victim)
        self._here.send(victim)
        if self._here.poll(LIMIT):
            with contextlib.suppress(EOFError):
                return self._here.recv()
        return end(self._process, 1.0)

    @property
    def alive(self) -> bool:
        """Whether it trains another one."""
        return self._process.is_alive()


def _serve(pipe: Any) -> None:
    """Trains what comes; ends once a run leaves a thread that an end would have to wait for."""
    while True:
        status, victim = 0, pipe.recv()
        try:
            train_it(victim)
        except Exception:
            traceback.print_exc()
            status = 1
        if _threads():
            sys.exit(status)
        pipe.send(status)


def _threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate()[1:] if not t.daemon]


def told(victim: Victim) -> dict:
    """What a run that came to its end left aside."""
    path = victim.aside / "told"
    return json.loads(path.read_text()) if path.exists() else {}


def last_line(victim: Victim) -> str:
    """The last that a run said, cut short."""
    return (victim.aside / "log").read_text().strip().rpartition("\n")[2][-100:]


def rows(folder: pathlib.Path) -> list[dict]:
    """The rows of a run, without what depends on the clock."""
    from gm import train

    clock = ("seconds", "per_s")
    return [
        {name: x for name, x in row.items() if not any(word in name for word in clock)}
        for row in train.read_metrics(folder)
    ]


def arm(root: pathlib.Path) -> None:
    """Compiles `faults.c`, and has all processes begin with it and with the libraries imported."""
    library = root / "faults.so"
    build = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(HERE / "faults.c"), "-ldl"]
    subprocess.run(build, check=True)
    os.environ |= {"LD_PRELOAD": str(library), "GM_FAULTS": str(library)}
    os.environ |= {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": ""}
    FORKS.set_forkserver_preload(LIBRARIES.split())
    first = FORKS.Process(target=os.getpid)
    first.start()  # whence all others are forked
    first.join()
    del os.environ["LD_PRELOAD"]
