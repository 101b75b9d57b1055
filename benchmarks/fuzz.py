"""What readers do with spoiled files: one clear error for each, or what was written.

    python benchmarks/fuzz.py [--weights 20000] [--manifests 5000] [--pages 5000] [--npz 20000] ...

A case is a file that was written well and then mutated: bytes flipped, cut off, put in, doubled,
and, as only a stranger would, parts of its JSON exchanged and every checksum made right again.
"""

import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import random
import resource
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import tyro

VALUES = (None, True, -1, 0, 2**70, 1e999, "", "x" * 300, "\ud800", [], [[]], {}, {"a": {}}, 0.5)
KEYS = ("", "step", "files", "..", "a/b", "\x1b[2J", "__metadata__")


@dataclasses.dataclass(frozen=True)
class Count:
    """What came of the cases of one kind.

    Attributes:
      cases: how many there were.
      refused: in one error of the kind that the reader promises, which names the file.
      intact: read, and nothing of what was written was other.
      wrong: read, and something was other.
      crashes: any other error, the first few in words.
      peak_mb: by how much the process grew at most.
    """

    cases: int
    refused: int
    intact: int
    wrong: int
    crashes: tuple[str, ...]
    peak_mb: float

    @property
    def good(self) -> bool:
        """Whether no case was read wrongly, and none raised what is not promised."""
        return not self.wrong and not self.crashes


def spoil(data: bytes, rng: random.Random) -> bytes:
    """One to three mutations of bytes."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 3)):
        i = rng.randrange(len(out) + 1)
        match rng.randrange(6):
            case 0 if i < len(out):
                out[i] ^= 1 << rng.randrange(8)
            case 1:
                del out[i:]
            case 2:
                out[i:i] = rng.randbytes(rng.randint(1, 40))
            case 3:
                out[i : i + rng.randint(1, 40)] = b""
            case 4:
                out[i:i] = out[rng.randrange(len(out) + 1) :][: rng.randint(1, 200)]
            case _:
                out[i : i + 8] = rng.choice((b"\0" * 8, b"\xff" * 8, b"[" * 8, b'"' * 8))
    return bytes(out)


def exchange(value: Any, rng: random.Random) -> Any:
    """JSON with one to three of its parts exchanged, left out, renamed or nested deeply."""
    value = json.loads(json.dumps(value))
    for _ in range(rng.randint(1, 3)):
        places = list(_places(value))
        if not places:
            return rng.choice(VALUES)
        holder, key = rng.choice(places)
        match rng.randrange(5):
            case 0 | 1:
                holder[key] = json.loads(json.dumps(rng.choice(VALUES)))
            case 2:
                del holder[key]
            case 3 if isinstance(holder, dict):
                holder[rng.choice(KEYS)] = holder.pop(key)
            case _:
                for _ in range(rng.choice((2, 70, 120))):
                    holder[key] = [holder[key]]
    return value


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in JSON where something could stand instead."""
    waiting = [value]
    while waiting:
        held = waiting.pop()
        if isinstance(held, (dict, list)):
            for key in held if isinstance(held, dict) else range(len(held)):
                yield held, key
                waiting.append(held[key])


def tally(
    count: int,
    seed: int,
    case: Callable[[random.Random], Callable[[], bool]],
    clear: tuple[type[Exception], ...],
    named: str,
) -> Count:
    """Makes and reads every case.

    Args:
      count: cases.
      seed: of all of them.
      case: writes one, and returns what reads it: whether what it holds is what was written.
      clear: the errors that are promised.
      named: what their words must have.
    """
    seen, crashes = {"refused": 0, "intact": 0, "wrong": 0}, []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(count):
        read = case(random.Random(f"{seed} {number}"))
        try:
            seen["intact" if read() else "wrong"] += 1
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            if type(error) in clear and named in str(error):
                seen["refused"] += 1
            else:
                crashes.append(f"case {number}: {type(error).__name__}: {error!s:.200}")
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return Count(count, crashes=tuple(crashes), peak_mb=grown / 1024, **seen)


def weights(count: int, seed: int, folder: pathlib.Path) -> Count:
    """Weights: `gm.train.weights.describe` and `load`; half of the cases have right checksums."""
    from safetensors.numpy import save_file

    from gm import train

    params = {"w": np.arange(24, dtype=np.float32).reshape(4, 6), "b": {"c": np.arange(5)}}
    params["b"]["c"] = params["b"]["c"].astype(np.int8)
    path = train.weights.save(folder / "w.safetensors", params, description={"step": 3})
    whole, page, want = path.read_bytes(), train.weights.describe(path), train.digest(params)
    stored = {"w": params["w"], "b/c": params["b"]["c"]}

    def case(rng: random.Random) -> Callable[[], bool]:
        described = True
        if rng.random() < 0.5:
            path.write_bytes(spoil(whole, rng))
            described = rng.random() < 0.9
        else:
            text = json.dumps(exchange(page, rng))
            sha256 = hashlib.sha256(text.encode()).hexdigest()
            arrays = dict(stored)
            if rng.random() < 0.3:
                name = rng.choice([*arrays])
                arrays[name] = rng.choice((arrays[name][:-1], arrays[name] + 1, np.ones((0, 3))))
            save_file(arrays, path, {"gm": f"{sha256} {text}"})

        def read() -> bool:
            if described:
                train.weights.describe(path)
            got = train.weights.load(path, params, described=described)
            return not described or train.digest(got) == want  # else nothing vouches for values

        return read

    return tally(count, seed, case, (ValueError,), str(path))


def manifests(count: int, seed: int, folder: pathlib.Path) -> Count:
    """Manifests of the newer of two checkpoints: the older one is restored, or it is refused."""
    import jax
    import optax

    from gm import train
    from gm.train import checkpoints

    params, sgd = {"w": np.arange(6, dtype=np.float32)}, optax.sgd(0.1)
    state = train.init(params, sgd, jax.random.key(0))
    want = {}
    for step in (1, 2):
        state = state.replace(step=state.step + 1)
        checkpoints.save(folder, step, state)
        want[step] = train.digest(state)
    path = folder / "checkpoints" / "000000002" / "manifest.json"
    whole = path.read_bytes()
    body = json.loads(whole)["body"]
    body["about"] = {"run": {"loss": {"": "loss", "rate": 0.1}, "releases": {"jax": "0.10"}}}

    def case(rng: random.Random) -> Callable[[], bool]:
        if rng.random() < 0.3:
            path.write_bytes(spoil(whole, rng))
        elif rng.random() < 0.1:
            path.write_bytes(b'{"body": ' + b"[" * rng.choice((50, 500, 10**5)))
        else:
            other = exchange(body, rng)
            text = json.dumps(other, sort_keys=True)
            signed = {"body": other, "sha256": hashlib.sha256(text.encode()).hexdigest()}
            path.write_text(json.dumps(signed if rng.random() < 0.9 else exchange(signed, rng)))

        def read() -> bool:
            got = checkpoints.restore(folder, state)
            return train.digest(got) == want[int(got.step)]

        return read

    return tally(count, seed, case, (ValueError,), str(folder))


def pages(count: int, seed: int, folder: pathlib.Path) -> Count:
    """Other files of a run's folder: what `inspect` says, and what a run would make of them."""
    from gm import train
    from gm.train import checkpoints, folders, identity, inspect, logs

    state, config = {"w": np.arange(3.0)}, {"rate": 0.1, "model": {"width": 3}}
    run = identity.Run({"loss": identity.describe(lambda x, rate=0.1: x * rate)})
    folders.enter(folder, config, run, "auto")
    checkpoints.save(folder, 4, state)
    rows = [{"step": n, "seconds": 0.5 * n, "loss": 1.0 / n, "eval/nats": 2.0} for n in (2, 4)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for event in ("began", "ended"):
        details = {"step": 4, "command": "python x.py", "devices": "cpu", "by": "itself"}
        folders.note(folder, event, **details)
    bad = {"step": 9, "metrics": {"loss": None}, "command": "python x.py"}
    folders.note(folder, "not finite", **bad)
    names = ("config.json", "run.json", "metrics.jsonl", "history.jsonl")
    whole = {name: (folder / name).read_bytes() for name in names}

    def case(rng: random.Random) -> Callable[[], bool]:
        for name in names:  # of the case before
            (folder / name).write_bytes(whole[name])
        name = rng.choice(names)
        data = spoil(whole[name], rng)
        if rng.random() < 0.5:
            lines = whole[name].splitlines() if name.endswith("l") else [whole[name]]
            i = rng.randrange(len(lines))
            lines[i] = json.dumps(exchange(json.loads(lines[i]), rng)).encode()
            data = b"\n".join(lines) + b"\n"
        (folder / name).write_bytes(data)

        def read() -> bool:
            report = inspect.examine(folder)
            assert str(report).isprintable() or "\n" in str(report)
            if str(folder / name) not in "".join(report.broken) and report.status:
                raise AssertionError("inspect does not say which file is broken")
            train.read_metrics(folder)
            logs.Record(folder, 4, 9, progress=False).close()
            try:
                folders.enter(folder, config, run, "auto")
            except ValueError as error:
                raise ValueError(f"{folder / name}" * (name in str(error))) from error
            return True

        return read

    with open(os.devnull, "w") as nobody, contextlib.redirect_stderr(nobody):
        return tally(count, seed, case, (ValueError,), str(folder))


@dataclasses.dataclass(frozen=True)
class Config:
    """How many of each; 0 leaves one out."""

    weights: int = 20_000
    manifests: int = 5_000
    pages: int = 5_000
    npz: int = 20_000
    other_files: int = 4_000
    tfds_folders: int = 1_000
    results: int = 6_000
    seed: int = 0


FEW = Config(*(n // 100 for n in dataclasses.astuple(Config())))

KINDS = {"weights": weights, "manifests": manifests, "pages": pages}


def main(c: Config) -> None:
    """Prints a row for each kind."""
    import fuzz_data

    logging.getLogger("gm.train.checkpoints").setLevel(logging.ERROR)  # it says each going back
    print(
        "| spoiled | cases | refused | intact | wrong | crashes | MB |\n", "|---" * 7, "|", sep=""
    )
    for kind, fuzz in (KINDS | fuzz_data.KINDS).items():
        if count := getattr(c, kind):
            with tempfile.TemporaryDirectory() as folder:
                seen = fuzz(count, c.seed, pathlib.Path(folder))
            numbers = seen.cases, seen.refused, seen.intact, seen.wrong, len(seen.crashes)
            print(f"| {kind} |", *(f"{n} |" for n in numbers), f"{seen.peak_mb:.0f} |", flush=True)
            print(*seen.crashes[:20], sep="\n", end="\n" * bool(seen.crashes))


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main(tyro.cli(Config))
