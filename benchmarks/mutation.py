r"""Mutation score of the test suite: semantic faults put in one at a time, and who notices.

    python benchmarks/mutation.py                       # the whole list
    python benchmarks/mutation.py --files benchmarks/mutants/losses.toml --only iwae

Each mutant of `benchmarks/mutants/*.toml` replaces one piece of gm's source text by another, which
changes what a user would see; it is killed when the test files named beside it fail, and survives
when they pass. The files are run unchanged first, and must pass. Every worker has a copy of the
tree of its own, and nothing here is touched; a run is a fork of a process that has the libraries
imported.

    [[mutant]]
    file = "gm/losses/variational.py"
    what = "the mean of the weights, not of their logarithms"
    kind = "numerics"
    old = "jax.nn.logsumexp(log_weights)"        # stands in the file exactly once
    new = "jnp.mean(log_weights)"
    tests = ["tests/losses/test_variational.py"]
    equivalent = "reason"    # only where no test can see it; it does not count

The exit status is 0 where at least 95 % of the mutants are killed.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import multiprocessing
import os
import pathlib
import queue
import shutil
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
NEEDED = 0.95
LIBRARIES = (
    "jax flax.linen optax numpyro.distributions scipy.stats sklearn.linear_model pytest hypothesis "
    "orbax.checkpoint grain tensorflow_datasets matplotlib.pyplot tyro"
)
FORKS = multiprocessing.get_context("forkserver")
PARTS = ("gm", "tests", "experiments", "benchmarks", "notebooks", "pyproject.toml", "README.md")


@dataclasses.dataclass(frozen=True)
class Mutant:
    """One fault.

    Attributes:
      file: of the source, from the root of the repository.
      what: what is wrong then, in a few words.
      kind: of fault: randomness, gradients, metrics, architecture, ...
      old: the text that is replaced.
      new: what stands there instead.
      tests: files or node ids that should notice, the likeliest first.
      equivalent: why no test can notice; "" for a real fault.
    """

    file: str
    what: str
    kind: str
    old: str
    new: str
    tests: tuple[str, ...]
    equivalent: str = ""

    def source(self, root: pathlib.Path) -> tuple[str, str]:
        """The text of the file, and the same with the fault.

        Raises:
          ValueError: the replaced text does not stand there exactly once, or nothing changes.
        """
        text = (root / self.file).read_text("utf-8")
        if text.count(self.old) != 1 or self.old == self.new:
            raise ValueError(
                f"{self.file}: {self.what!r} needs its old text exactly once in the file, and "
                f"another one in its place; found it {text.count(self.old)} times:\n{self.old}"
            )
        return text, text.replace(self.old, self.new)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of a mutant: "killed", "survived" or "equivalent", by whom, and the seconds."""

    mutant: Mutant
    fate: str
    by: str
    seconds: float


def read(files: list[pathlib.Path], only: str) -> list[Mutant]:
    """The mutants of some lists whose file, kind or description holds a text."""
    found = []
    for path in files:
        for row in tomllib.loads(path.read_text("utf-8"))["mutant"]:
            mutant = Mutant(**row | {"tests": tuple(row["tests"])})
            if only.lower() in f"{mutant.file} {mutant.kind} {mutant.what}".lower():
                mutant.source(ROOT)
                found.append(mutant)
    return found


def copy(folder: pathlib.Path) -> pathlib.Path:
    """A copy of what tests need, in a folder."""
    for part in PARTS:
        source, target = ROOT / part, folder / part
        if source.is_dir():
            ignored = shutil.ignore_patterns("__pycache__", "*.png", ".ipynb_checkpoints")
            shutil.copytree(source, target, ignore=ignored)
        else:
            shutil.copy(source, target)
    return folder


def run(root: pathlib.Path, tests: tuple[str, ...], limit: float) -> tuple[bool, str]:
    """Whether the tests pass in a copy of the tree, and the first that does not."""
    log = root / "log.txt"
    process = FORKS.Process(target=_pytest, args=(root, tests, log))
    process.start()
    process.join(limit)
    if process.exitcode is None:
        process.kill()
        process.join()
        return False, "time"
    lines = log.read_text("utf-8", "replace").splitlines()
    if process.exitcode not in (0, 1, 2):
        raise RuntimeError(f"pytest could not run {' '.join(tests)}:\n" + "\n".join(lines[-40:]))
    failed = [line for line in lines if line.startswith(("FAILED", "ERROR"))]
    return process.exitcode == 0, failed[0].split()[1] if failed else "collection"


def _pytest(root: pathlib.Path, tests: tuple[str, ...], log: pathlib.Path) -> None:
    """Runs tests on the copy in root, in a process that has the libraries imported and not gm."""
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.chdir(root)
    sys.path.insert(0, str(root))
    # No bytecode: two sources of one size, written within a second, would share it.
    os.environ |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    import pytest

    imported = "ignore::pytest.PytestAssertRewriteWarning"  # hypothesis, before pytest could see it
    marks = "not slow"  # variants, which CI runs once, notice too
    code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-W", imported, "-m", marks, *tests])
    sys.stdout.flush()
    os._exit(code)  # no threads of the libraries are waited for


def attempt(mutant: Mutant, copies: queue.Queue, limit: float) -> Outcome:
    """Puts the fault into a free copy, runs its tests, and takes the fault out again."""
    if mutant.equivalent:
        return Outcome(mutant, "equivalent", mutant.equivalent, 0.0)
    root, begin = copies.get(), time.monotonic()
    try:
        sound, faulty = mutant.source(root)
        (root / mutant.file).write_text(faulty, "utf-8")
        try:
            passed, by = run(root, mutant.tests, limit)
        finally:
            (root / mutant.file).write_text(sound, "utf-8")
    finally:
        copies.put(root)
    return Outcome(mutant, "survived" if passed else "killed", by, time.monotonic() - begin)


def check(mutants: list[Mutant], copies: queue.Queue, limit: float) -> None:
    """Raises unless the tests pass where nothing is wrong."""
    root = copies.get()
    try:
        passed, by = run(root, tuple({test: None for m in mutants for test in m.tests}), limit)
    finally:
        copies.put(root)
    if not passed:
        log = (root / "log.txt").read_text("utf-8", "replace")[-4000:]
        raise RuntimeError(f"{log}\nthe tests must pass on the sources as they are; {by} does not.")


def table(outcomes: list[Outcome]) -> str:
    """The score, by kind; then every survivor, and every equivalent with its reason."""
    counts = collections.defaultdict(collections.Counter)
    for outcome in outcomes:
        counts[outcome.mutant.kind][outcome.fate] += 1
        counts["all"][outcome.fate] += 1
    lines = ["| kind of fault | mutants | killed | survived |", "|---|---|---|---|"]
    for kind in (*sorted(counts.keys() - {"all"}), "all"):
        killed, survived = counts[kind]["killed"], counts[kind]["survived"]
        lines.append(f"| {kind} | {killed + survived} | {killed} | {survived} |")
    lines += ["", f"Score: {100.0 * score(outcomes):.1f} %."]
    for fate in ("survived", "equivalent"):
        some = [outcome for outcome in outcomes if outcome.fate == fate]
        lines += ["", f"{fate.capitalize()}: {len(some)}."] if some else []
        for outcome in some:
            reason = f" ({outcome.by})" if fate == "equivalent" else ""
            lines.append(f"- `{outcome.mutant.file}`: {outcome.mutant.what}{reason}")
    return "\n".join(lines)


def score(outcomes: list[Outcome]) -> float:
    """The share of mutants that are killed, those that no test can see left out."""
    fates = [outcome.fate for outcome in outcomes if outcome.fate != "equivalent"]
    return fates.count("killed") / max(1, len(fates))


def main() -> int:
    """Runs the list and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", nargs="+", type=pathlib.Path, help="lists; by default all")
    parser.add_argument("--only", default="", help="a text in the file, kind or description")
    parser.add_argument("--workers", type=int, default=2, help="runs at the same time; default 2")
    parser.add_argument("--limit", type=float, default=600.0, help="seconds of a run; default 600")
    parser.add_argument("--unchecked", action="store_true", help="do not run the tests unchanged")
    parser.add_argument("--write", type=pathlib.Path, help="a file for the table")
    c = parser.parse_args()
    files = c.files or sorted((ROOT / "benchmarks" / "mutants").glob("*.toml"))
    mutants = read(files, c.only)
    if not mutants:
        parser.error(f"no mutants in {', '.join(map(str, files))} with {c.only!r}")
    # The mutants of one set of tests follow each other: what one compiled the next one reads.
    mutants.sort(key=lambda mutant: (mutant.tests, mutant.file))
    outcomes, copies = [], queue.Queue()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    FORKS.set_forkserver_preload(LIBRARIES.split())
    with (
        tempfile.TemporaryDirectory() as folder,
        concurrent.futures.ThreadPoolExecutor(c.workers) as pool,
    ):
        for i in range(c.workers):
            copies.put(copy(pathlib.Path(folder) / f"copy{i}"))
        if not c.unchecked:
            check([mutant for mutant in mutants if not mutant.equivalent], copies, 6 * c.limit)
        for outcome in pool.map(lambda mutant: attempt(mutant, copies, c.limit), mutants):
            outcomes.append(outcome)
            m, seconds = outcome.mutant, outcome.seconds
            print(f"{outcome.fate:10} {seconds:5.0f} s  {m.file}: {m.what}  [{outcome.by}]")
            sys.stdout.flush()
    printed = table(outcomes)
    print(f"\n{printed}")
    if c.write:
        c.write.write_text(f"`python benchmarks/mutation.py`\n\n{printed}\n", "utf-8")
    return 0 if score(outcomes) >= NEEDED else 1


if __name__ == "__main__":
    raise SystemExit(main())
