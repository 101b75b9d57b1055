"""Attacks on the files of a run: every operation that fails, full disks, signals, two processes.

    python benchmarks/attacks.py [--every 20] [--only signal]

A training of a linear model, which saves, evaluates, plots, writes rows and a board every few of
its steps, is run again and again with one thing wrong, and then to its end with nothing wrong: its
state must have the SHA-256 of a run that was never attacked, and no row may be missing or twice
there. Operations are made to fail by `faults.c`, which is compiled with `cc` and preloaded (Linux).
It also copies the folder at each operation, as a kill would leave it: so all moments are tried, and
processes are killed at one in ten. Runs that go on share a process, which compiles once. By an
estimate half an hour on 2 idle CPU cores, a few minutes with `--every 20`.
"""

import collections
import concurrent.futures
import contextlib
import dataclasses
import functools
import os
import pathlib
import queue
import random
import shutil
import signal
import statistics
import string
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import attacked
import tyro

Row = tuple[str, str]
LONG, SOON = 5.0, 4.0  # seconds of an evaluation or picture; seconds until a run is saved
IDLE: queue.SimpleQueue[attacked.Warm] = queue.SimpleQueue()


@dataclasses.dataclass(frozen=True)
class Config:
    """Which attacks to make; 0 leaves a row out."""

    every: int = 1
    """Of the file operations, every how many-th is attacked."""
    kills: int = 10
    """Every how many-th kills a process; else the files that a kill leaves are copied."""
    disks: int = 100
    """Sizes of full disks."""
    hovering: float = 300.0
    """Seconds of runs on a disk that is nearly full."""
    signals: int = 200
    pairs: int = 50
    """Of processes that start together in one folder."""
    paths: int = 1
    """Of the characters of paths, every how many-th is tried."""
    jobs: int = 2
    """Trainings at a time."""
    seed: int = 0
    only: str = ""
    """A text in the names of the rows."""
    folder: pathlib.Path | None = None
    """Where runs go; a temporary folder by default."""


FEW = Config(every=100, kills=100, disks=5, hovering=10.0, signals=25, pairs=3, paths=20)


@functools.cache
def whole(root: pathlib.Path) -> tuple[str, list[dict], int]:
    """SHA-256, rows and the number of file operations of a run that nothing befell."""
    victim = attacked.Victim(root / "whole")
    if warm(victim):
        raise RuntimeError((victim.aside / "log").read_text())
    return (
        attacked.told(victim)["sha256"],
        attacked.rows(victim.folder),
        attacked.told(victim)["operations"],
    )


def warm(victim: attacked.Victim) -> int | None:
    """As `attacked.run`, in a process that has trained before, where there is one."""
    try:
        process = IDLE.get_nowait()
    except queue.Empty:
        process = attacked.Warm()
    status = process.run(victim)
    if process.alive:
        IDLE.put(process)
    return status


def verdict(victim: attacked.Victim, root: pathlib.Path) -> str:
    """ "same", or what is wrong with a run after it went on, undisturbed, to its end."""
    victim = attacked.Victim(victim.folder)
    status, (sha256, want, _) = warm(victim), whole(root)
    if status is None:
        return "hangs"
    if status:
        return f"does not resume: {attacked.last_line(victim)}"
    if attacked.told(victim)["sha256"] != sha256:
        return "another state"
    found = attacked.rows(victim.folder)
    return "same" if found == want else f"rows {[row['step'] for row in found]}"


def clear(victim: attacked.Victim) -> None:
    """Takes away what a run left."""
    for path in (victim.folder, victim.aside):
        shutil.rmtree(path, ignore_errors=True)


def survives(victim: attacked.Victim, root: pathlib.Path) -> str:
    """Runs with a fault, then without; what came of it, "" where the fault was not met."""
    kills = victim.fault.mode in (attacked.KILL, attacked.HALF)
    status = attacked.run(victim) if kills else warm(victim)
    if not attacked.told(victim).get("met", True):  # a run that ends early tells nothing
        clear(victim)
        return ""
    found = "hangs under attack" if status is None else verdict(victim, root)
    if found == "same":
        clear(victim)
    return found


def summary(found: Iterable[str]) -> str:
    """The number of each outcome, the good one first."""
    counts = collections.Counter(filter(None, found))
    total = sum(counts.values())
    bad = [f"{n} {what}" for what, n in counts.items() if what != "same"]
    return ", ".join([f"{counts['same']} of {total} end in the same SHA-256 and rows", *bad])


def mapped(c: Config, one: Callable[[Any], str], items: Iterable[Any]) -> list[str]:
    """One outcome an item, some at a time; the bad ones are said at once."""

    def said(item: Any) -> str:
        found = one(item)
        if found not in ("same", ""):
            print(f"  {item}: {found}", file=sys.stderr, flush=True)
        return found

    with concurrent.futures.ThreadPoolExecutor(c.jobs) as pool:
        return list(pool.map(said, items))


def kill_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """What a kill leaves at each file operation of a run, or every so many; and kills, at fewer."""
    operations = whole(root)[2]
    victim = attacked.Victim(root / "copied", fault=attacked.Fault(attacked.COPY, c.every))
    if attacked.run(victim):
        raise RuntimeError((victim.aside / "log").read_text())
    for when, name in {"before": "before", "during": "in the middle of"}.items():
        copies = sorted(victim.aside.glob(f"{when}-{'[0-9]' * 6}"))
        found = mapped(c, lambda copy: verdict(attacked.Victim(copy), root), copies)
        kind = "writes" if when == "during" else "file operations"
        yield f"what a kill leaves {name} {_each(c.every)} of the {kind} of a run", summary(found)
    clear(victim)
    for mode, name in {attacked.KILL: "before", attacked.HALF: "in the middle of"}.items():
        found = _attacked(c, root, mode, operations, c.kills)
        yield f"killed {name} {_each(c.kills)} of some {operations} file operations", found


def error_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """Each file operation of a run fails, or every so many."""
    operations = whole(root)[2]
    names = {attacked.FAIL: "an input/output error at", attacked.FULL: "no space for 3 from"}
    for mode, name in names.items():
        found = _attacked(c, root, mode, operations, c.every)
        yield f"{name} {_each(c.every)} of some {operations} file operations", found


def _each(every: int) -> str:
    return f"one in {every}" if every > 1 else "each"


def _attacked(c: Config, root: pathlib.Path, mode: int, operations: int, every: int) -> str:
    """What comes of attacks of one mode. Runs differ in length; what is not met is not counted."""

    def one(n: int) -> str:
        fault = attacked.Fault(mode, n, 3 if mode == attacked.FULL else 1)
        return survives(attacked.Victim(root / f"op{mode}-{n}", fault=fault), root)

    return summary(mapped(c, one, range(1 + every // 2, operations + operations // 10 + 2, every)))


def disk_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """Disks of all sizes that are too small, and one that hovers at full."""
    whole(root)  # whose files say how much room a run takes
    size = sum(f.stat().st_size for f in (root / "whole").rglob("*") if f.is_file())

    def small(n: int) -> str:
        fault = attacked.Fault(attacked.DISK, size * n // c.disks)
        return survives(attacked.Victim(root / f"disk{n}", fault=fault), root)

    found = mapped(c, small, range(c.disks))
    yield f"disks that are full after {c.disks} numbers of bytes, then have room", summary(found)
    begin = time.monotonic()

    def hover(n: int) -> str:
        if time.monotonic() - begin > c.hovering:
            return ""
        fault = attacked.Fault(
            attacked.NEARLY, 10**6, random.Random(f"{c.seed} {n}").randrange(40), n
        )
        return survives(attacked.Victim(root / f"hover{n}", fault=fault), root)

    found = mapped(c, hover, range(max(1, int(c.hovering))))
    yield f"a third of all writes finds no space, {c.hovering:.0f} s of runs", summary(found)


def wait_for(victim: attacked.Victim, process: Any, what: str) -> bool:
    """Waits until a run is where it is said to be."""
    path, begin = victim.aside / "where", time.monotonic()
    while process.exitcode is None and time.monotonic() - begin < attacked.LIMIT:
        if what == "saving" and any((victim.folder / "checkpoints").glob("partial-*")):
            return True
        if path.exists() and what in path.read_text():
            return True
        time.sleep(0.002)
    return False


def newest(folder: pathlib.Path) -> str:
    """The name of the newest checkpoint, or "" where there is none."""
    return max((f.name for f in (folder / "checkpoints").glob("0*")), default="")


PLACES = {
    "training": {},
    "compiling": {"compilation_takes": 1.0},
    "evaluating": {"evaluation_takes": LONG},
    "plotting": {"picture_takes": LONG},
    "saving": {},
}


def signalled(process: Any, kind: int, gap: float | None) -> None:
    """Sends a signal once, or again after a while; at 0 s to the group, as `timeout` does."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(process.pid, kind)
        if gap == 0.0:
            os.killpg(process.pid, kind)
            os.killpg(process.pid, signal.SIGCONT)
        elif gap is not None:
            time.sleep(gap)
            os.kill(process.pid, kind)


def signal_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """Signals that come twice, while a run does this or that."""
    whole(root)
    kinds = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGUSR1)
    gaps = (None, 0.0, 0.001, 0.01, 0.1)
    saving: list[float] = []
    ending: list[float] = []

    def one(n: int) -> str:
        place, gap, kind = [*PLACES][n % 5], gaps[n // 5 % 5], kinds[n // 25 % 4]
        options = {"step_takes": 0.02, "busy": n % 2} | PLACES[place]
        victim = attacked.Victim(root / f"signal{n}", **options)
        process = attacked.start(victim)
        if not wait_for(victim, process, place):
            return f"was never {place}"
        before, begin = newest(victim.folder), time.monotonic()
        signalled(process, kind, gap)
        while process.is_alive() and newest(victim.folder) == before:
            time.sleep(0.002)
        saved = time.monotonic() - begin
        saving.append(saved)
        status = attacked.end(process)
        ending.append(time.monotonic() - begin)
        if status != (130 if kind == signal.SIGINT else 0):
            return f"{kind.name} while {place}, again after {gap} s: status {status}"
        if saved > SOON:
            print(f"  {n}: saved after {saved:.1f} s, {place}", file=sys.stderr, flush=True)
        found = verdict(victim, root)
        if found == "same":
            clear(victim)
        return found

    found = mapped(c, one, range(c.signals))
    yield (
        "SIGTERM, SIGHUP, SIGINT, SIGUSR1, once, or again 0 (as `timeout`), 1, 10, 100 ms later, "
        "while training, compiling, evaluating, plotting, saving; half beside a busy thread",
        f"{summary(found)}; {sum(x <= SOON for x in saving)} of {len(saving)} saved within "
        f"{SOON:.0f} s, half within {statistics.median(saving):.1f} s, where evaluations and "
        f"pictures take {LONG:.0f} s; all ended within {max(ending):.1f} s",
    )


def pair_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """Two processes that start together in one folder; the one that trains may be killed."""
    whole(root)

    def one(n: int) -> str:
        rng = random.Random(f"{c.seed} {n}")
        one = attacked.Victim(root / f"pair{n}", step_takes=0.15)
        process, other = attacked.start(one), None
        other = attacked.FORKS.Process(target=attacked.train_it, args=(one,))
        other.start()
        begin = time.monotonic()
        while process.exitcode is None and other.exitcode is None:
            if time.monotonic() - begin > attacked.LIMIT:
                return "both go on"
            time.sleep(0.01)
        refused, trains = (process, other) if process.exitcode is not None else (other, process)
        said = (one.aside / "log").read_text()
        if refused.exitcode == 0 or str(trains.pid) not in said:
            return f"the second ended with {refused.exitcode}, and did not name the first"
        if rng.random() < 0.5:
            time.sleep(rng.uniform(0.0, 1.2))
            trains.kill()
        attacked.end(trains)
        found = verdict(attacked.Victim(one.folder), root)
        if found == "same":
            clear(one)
        return found

    found = mapped(dataclasses.replace(c, jobs=1), one, range(c.pairs))
    yield (
        f"two processes start together in one folder, {c.pairs} times; half of those that train "
        "are killed",
        f"one is refused and names the other; {summary(found)}",
    )


def path_rows(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """Folders of any name: trains for a while, moves every other one, and resumes."""
    whole(root)
    characters = [x for x in string.printable if x not in "/\t\n\r\x0b\x0c"][:: c.paths]
    others = ["[16]", "a**b", "ünï çödé", "模型 🙂", "x" * 200, " ", "~"]
    others += [f"{x}{x}" for x in "[*?{\\"]
    names = [f"made{x}16" for x in characters] + others[:: 1 + c.paths // 30]

    def one(item: tuple[int, str]) -> str:
        number, name = item
        folder = root / "paths" / f"{number}" / name
        folder.parent.mkdir(parents=True)
        if warm(attacked.Victim(folder, steps=attacked.SAVES)):
            return "refused before step 1" if not folder.exists() else "fails"
        if number % 2:
            folder = folder.rename(folder.with_name(f"{name}[7]"))
        return verdict(attacked.Victim(folder), root)

    found = mapped(c, one, enumerate(names))
    which = f"every {c.paths}th" if c.paths > 1 else "each"
    what = f"folders with {len(names)} names, {which} printable character among them, half renamed"
    yield what, summary(found)


def table(c: Config, root: pathlib.Path) -> Iterator[Row]:
    """The rows that are asked for, each as soon as it is known."""
    asked = {
        kill_rows: c.kills,
        error_rows: c.every,
        disk_rows: c.disks,
        signal_rows: c.signals,
        pair_rows: c.pairs,
        path_rows: c.paths,
    }
    root.mkdir(parents=True, exist_ok=True)
    attacked.arm(root)
    for attack, number in asked.items():
        if number and c.only in attack.__name__:
            yield from attack(c, root)


def main(c: Config) -> None:
    """Prints the table."""
    print("| what | seen |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        for what, seen in table(c, (c.folder or pathlib.Path(temporary)).absolute()):
            print(f"| {what} | {seen} |", flush=True)


if __name__ == "__main__":
    main(tyro.cli(Config))
