"""How often a killed run resumes exactly, and whether a damaged checkpoint is noticed.

    python benchmarks/reliability.py [--short] [--pythons python3.11 python3.13] [--kills 100]

Kills, stops, damages, poisons and splits real trainings (`victims.py`) and prints one table. With
several interpreters, in which gm is installed, the kills are shared out over them; all attacks on
files, with signals and by a second process (`attacks.py`) and all spoiled files (`fuzz.py`) are
tried in each. About three hours on 2 CPU cores, some ten minutes with --short; a few of each are
run by the tests.
"""

import concurrent.futures
import dataclasses
import functools
import itertools
import logging
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import Any

import attacks
import fuzz
import numpy as np
import tyro

HERE = pathlib.Path(__file__).resolve().parent
KINDS = ("made", "vae", "gan")
Row = tuple[str, str]


@dataclasses.dataclass(frozen=True)
class Config:
    """How often to do what; 0 leaves a row out."""

    pythons: tuple[str, ...] = (sys.executable,)
    """Interpreters of the JAX releases to try; the first also runs what is not a kill."""
    kills: int = 100
    faults: int = 300
    signals: int = 20
    steps: int = 200
    """Of the comparisons between hosts and devices."""
    turns: int = 12
    """Of timing the loop against a bare one."""
    jobs: int = 2
    """Trainings at a time."""
    seed: int = 0
    attack: attacks.Config = attacks.Config()
    """Attacks on files, with signals and by a second process."""
    spoiled: fuzz.Config = fuzz.Config()
    """Spoiled files."""
    short: bool = False
    """A tenth of kills, faults and signals, few attacks and spoiled files, and nothing timed."""
    folder: pathlib.Path | None = None
    """Where runs go; a temporary folder by default."""


def victim(python: str, folder: pathlib.Path, *options: Any, devices: int = 1) -> list[str]:
    """The command of a training."""
    line = ["env", f"XLA_FLAGS=--xla_force_host_platform_device_count={devices}", python]
    return [*line, str(HERE / "victims.py"), "--folder", str(folder), *map(str, options)]


def finish(line: list[str]) -> str:
    """Runs a training to its end; returns the SHA-256 of its state."""
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    found = re.findall(r"sha256 (\w+)", done.stdout)
    if done.returncode or not found:
        raise RuntimeError(f"{' '.join(line)} ended with {done.returncode}:\n{done.stderr}")
    return found[-1]


def killed(line: list[str], folder: pathlib.Path, rng: random.Random) -> str:
    """Starts a training and kills it; returns when: at birth, in a save, or between two rows.

    A third of the kills each: at any moment of its first seconds, when files of an unfinished
    checkpoint are there, and at any moment once it trains.
    """
    when = rng.choice(["starting", "saving", "training"])
    rows, saves = folder / "metrics.jsonl", folder / "checkpoints"
    process = subprocess.Popen(line, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    before = rows.stat().st_size if rows.exists() else 0
    if when == "starting":
        time.sleep(rng.uniform(0.0, 3.0))
    else:
        while process.poll() is None and not (rows.exists() and rows.stat().st_size > before):
            time.sleep(0.002)
        time.sleep(rng.uniform(0.0, 0.5))
        while when == "saving" and process.poll() is None and not [*saves.glob("partial-*")]:
            time.sleep(0.0005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    return when if process.returncode == -signal.SIGKILL else "ended first"


def kill_runs(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """SIGKILL, restart, run to the end; the SHA-256 against that of an uninterrupted run."""
    kinds = list(itertools.islice(itertools.cycle(itertools.product(c.pythons, KINDS)), c.kills))
    whole = {}
    for i, (python, kind) in enumerate(dict.fromkeys(kinds)):
        whole[python, kind] = finish(victim(python, root / f"whole{i}", "--kind", kind))

    def one(number: int) -> tuple[str, bool]:
        python, kind = kinds[number]
        rng, folder = random.Random(f"{c.seed} {number}"), root / f"kill{number}"
        line = victim(python, folder, "--kind", kind)
        when = killed(line, folder, rng)
        while when == "ended first":  # it was quicker than the kill
            shutil.rmtree(folder)
            when = killed(line, folder, rng)
        same = finish(line) == whole[python, kind]
        shutil.rmtree(folder)
        return when, same

    with concurrent.futures.ThreadPoolExecutor(c.jobs) as pool:
        ends = list(pool.map(one, range(c.kills)))
    times = [when for when, _ in ends]
    counts = ", ".join(f"{times.count(w)} {w}" for w in ("starting", "training", "saving"))
    worlds = f"{len(c.pythons)} Python" + "s" * (len(c.pythons) > 1)
    yield (
        f"SIGKILL at random moments ({counts}), restart, run to the end; MADE, VAE, GAN; {worlds}",
        f"{c.kills} kills, {sum(same for _, same in ends)} identical SHA-256 of the whole state",
    )


def flip(path: pathlib.Path, rng: random.Random) -> None:
    """One bit of one file."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def truncate(path: pathlib.Path, rng: random.Random) -> None:
    """Any shorter length."""
    os.truncate(path, rng.randrange(path.stat().st_size))


def remove(path: pathlib.Path, rng: random.Random) -> None:
    """The whole file."""
    del rng
    path.unlink()


def garble(path: pathlib.Path, rng: random.Random) -> None:
    """Random bytes of the same length."""
    path.write_bytes(rng.randbytes(path.stat().st_size))


def fault_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """Damages the newest of two checkpoints in one file, and restores."""
    import jax
    import optax

    from gm import train
    from gm.train import checkpoints

    params = {"w": np.random.default_rng(0).normal(size=(64, 200)).astype(np.float32)}
    old = train.init(params, train.with_ema(optax.adam(1e-3)), jax.random.key(0))
    new = old.replace(step=old.step + 1, params={"w": old.params["w"] + 1.0})
    checkpoints.save(root / "intact", 1, old)
    checkpoints.save(root / "intact", 2, new)
    want, noticed, restored = train.digest(old), 0, 0
    for number in range(c.faults):
        rng, folder = random.Random(f"{c.seed} {number}"), root / "damaged"
        shutil.copytree(root / "intact", folder)
        files = sorted(f for f in (folder / "checkpoints" / "000000002").rglob("*") if f.is_file())
        full = [f for f in files if f.stat().st_size]
        (flip, truncate, remove, garble)[number % 4](rng.choice(full), rng)
        try:
            checkpoints.verify(folder, 2)
        except checkpoints.DamagedCheckpoint:
            noticed += 1
        restored += train.digest(checkpoints.restore(folder, old)) == want
        shutil.rmtree(folder)
    yield (
        "flipped bits, truncations, missing files, garbage in the newest checkpoint",
        f"{c.faults} faults, {noticed} noticed, {restored} restored from the newest intact step",
    )


def signal_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """SIGTERM at a random moment: exit status 0, and the checkpoint of the step that it met."""
    from gm.train import checkpoints

    def one(number: int) -> bool:
        rng, folder = random.Random(f"{c.seed} {number}"), root / f"signal{number}"
        options = ("--signal-after", rng.uniform(0.5, 3.0), "--num-steps", 10**6)
        line = victim(c.pythons[number % len(c.pythons)], folder, *options)
        done = subprocess.run(line, capture_output=True, text=True, check=False)
        (met,) = map(int, re.findall(r"signalled while training step (\d+)", done.stdout))
        saved = checkpoints.steps(folder)[-1]
        checkpoints.verify(folder, saved)
        shutil.rmtree(folder)
        return done.returncode == 0 and 0 <= saved - met <= 1 and "To resume: " in done.stderr

    with concurrent.futures.ThreadPoolExecutor(c.jobs) as pool:
        good = sum(pool.map(one, range(c.signals)))
    yield (
        "SIGTERM to clean exit with an intact checkpoint",
        f"within one step, {good} of {c.signals}",
    )


def losses(folder: pathlib.Path) -> np.ndarray:
    """The loss of every step of a run that logged each."""
    from gm import train

    return np.array([row["loss"] for row in train.read_metrics(folder)])


def differs(a: np.ndarray, b: np.ndarray) -> float:
    """The largest relative difference."""
    return float(np.max(np.abs(a - b) / np.abs(b)))


def device_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """One device against eight, with and without the state shared out."""
    every = ("--log-every", 1, "--num-steps", c.steps)
    one = root / "one"
    subprocess.run(victim(c.pythons[0], one, *every), check=True, stdout=subprocess.DEVNULL)
    found = []
    for name, options in {"whole": (), "fsdp": ("--fsdp",)}.items():
        line = victim(c.pythons[0], root / name, *every, *options, devices=8)
        subprocess.run(line, check=True, stdout=subprocess.DEVNULL)
        found.append(f"{differs(losses(root / name), losses(one)):.1e} ({name})")
    yield (
        f"1 against 8 devices, losses of {c.steps} steps",
        f"same, to {' and '.join(found)}, relative",
    )


def host_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """Two processes against one; then one of the two is killed, and the pair resumes."""
    every = ("--log-every", 1, "--num-steps", c.steps)
    plain = victim(c.pythons[0], root / "single", *every)
    subprocess.run(plain, check=True, stdout=subprocess.DEVNULL)

    def pair(folder: pathlib.Path) -> list[str]:
        line = victim(c.pythons[0], folder, *every)
        return [*line[:3], "-m", "gm.train.hosts", "--local", "2", *line[3:]]

    want = finish(pair(root / "pair"))
    found = differs(losses(root / "pair"), losses(root / "single"))
    yield f"two hosts against one, losses of {c.steps} steps", f"same, to {found:.1e}, relative"
    outcomes = []
    for host in (0, 1):
        folder = root / f"lost{host}"
        process = subprocess.Popen(pair(folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        while len([*(folder / "checkpoints").glob("0*")]) < 2:
            time.sleep(0.01)
        begin = time.perf_counter()
        subprocess.run(["pkill", "-KILL", "-f", rf"worker.*--host {host} .*{folder}"], check=True)
        _, errors = process.communicate()
        seconds, clear = time.perf_counter() - begin, b"To resume: " in errors
        same = finish(pair(folder)) == want
        outcomes.append(
            f"host {host} lost: the other ends in {seconds:.0f} s with status "
            f"{process.returncode}, {'a' if clear else 'NO'} clear error; the pair resumes to "
            f"{'the same' if same else 'ANOTHER'} SHA-256"
        )
    yield "one of two hosts is killed", "; ".join(outcomes)


def finite_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """A step whose loss is NaN: stops before its update, and the printed command meets it again."""
    folder, bad = root / "bad", 137
    line = victim(c.pythons[0], folder, "--nan-at", bad)
    first = subprocess.run(line, capture_output=True, text=True, check=False)
    (command,) = re.findall(r"Replay it with: (.*)", first.stderr)
    again = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    stops = [f"step {bad} (after {bad} updates) is not finite" in r.stderr for r in (first, again)]
    healed = finish(victim(c.pythons[0], folder))
    same = healed == finish(victim(c.pythons[0], root / "good"))
    yield (
        f"NaN at step {bad}",
        f"{'stops before its update' if stops[0] and same else 'NOT STOPPED'}; the replay command "
        f"{'meets it again' if stops[1] else 'DOES NOT'}; without it the run ends as if never met: "
        f"{same}",
    )


def timed_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """What the loop adds to a bare jitted step, and what many steps in one dispatch save."""
    import timing

    del root
    settings = timing.Config(repeats=c.turns)
    yield timing.overhead(settings)
    yield from timing.dispatch(settings)


def printed(python: str, script: str, options: Any) -> Iterator[list[str]]:
    """The cells of the rows that another benchmark prints; what else it says goes to stderr."""
    asked = dataclasses.asdict(options).items()
    words = [word for name, x in asked if x is not None for word in (f"--{name}", str(x))]
    line = [python, "-u", str(HERE / script), *words]
    with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as process:
        for text in process.stdout:
            cells = text.strip().strip("|").split(" | ")
            if not text.startswith("|"):
                print(text, end="", file=sys.stderr, flush=True)
            elif "---" not in text and cells[0].strip() not in ("what", "spoiled"):
                yield [cell.strip() for cell in cells]
    if process.returncode:
        raise RuntimeError(f"{' '.join(line)} ended with {process.returncode}")


def release(python: str) -> str:
    """`jax 0.10.2`"""
    ask = "from importlib import metadata; print('jax', metadata.version('jax'))"
    return subprocess.check_output([python, "-c", ask], text=True).strip()


def attack_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """What `attacks.py` does."""
    for i, python in enumerate(c.pythons):
        options = dataclasses.replace(c.attack, folder=root / f"attacks{i}")
        for what, seen in printed(python, "attacks.py", options):
            yield f"{what}; {release(python)}", seen


def fuzz_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """What `fuzz.py` does."""
    del root
    for python in c.pythons:
        for kind, cases, refused, intact, wrong, crashes, mb in printed(
            python, "fuzz.py", c.spoiled
        ):
            yield (
                f"spoiled files, {kind.replace('_', ' ')}; {release(python)}",
                f"{int(cases):,}: {refused} refused in one clear error, {intact} read as they were "
                f"written, {wrong} read wrongly, {crashes} other errors; {mb} MB more at most",
            )


def main(c: Config) -> None:
    """Prints the table, a row as soon as it is known."""
    if c.short:
        few = {"kills": 10, "faults": 30, "signals": 2, "steps": 60, "turns": 0}
        c = dataclasses.replace(c, **few, attack=attacks.FEW, spoiled=fuzz.FEW)
    table: dict[Callable, int] = {
        kill_runs: c.kills,
        fault_rows: c.faults,
        signal_rows: c.signals,
        host_rows: c.steps,
        device_rows: c.steps,
        finite_rows: c.steps,
        timed_rows: c.turns,
        attack_rows: 1,
        fuzz_rows: 1,
    }
    logging.getLogger("gm.train.checkpoints").setLevel(logging.ERROR)  # 300 faults are expected
    print("| what | seen |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        root = c.folder or pathlib.Path(temporary)
        for rows in (functools.partial(f, c, root) for f, asked in table.items() if asked):
            for what, seen in rows():
                print(f"| {what} | {seen} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
