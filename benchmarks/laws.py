r"""Laws on a zoo of right and of wrong models: nobody is condemned who should not be, and by whom.

    python benchmarks/laws.py [NUM_KEYS] > benchmarks/results/laws.txt

A right model is condemned by chance less than once in a million checks, and by no grid; a wrong one
is named by the law that speaks of its fault. `tests/law_zoo` has the models. Each compiles its
programs once, in a process of its own, and is checked at other parameters with every key. About 20
minutes of one core for 32 keys.
"""

import importlib
import multiprocessing
import os
import pathlib
import sys
from collections import Counter

import jax

from gm import laws
from gm.laws.trial import Trial

ROOT = pathlib.Path(__file__).resolve().parents[1]
WORKERS = min(2, os.cpu_count() or 1)


def zoo():
    """The package tests.law_zoo."""
    sys.path.insert(0, str(ROOT))
    return importlib.import_module("tests.law_zoo")


def verdict(trial: Trial) -> str:
    """ "holds", "holds, N not checked", or the law that is said to be broken."""
    try:
        verdicts = laws.verdicts(trial)
    except laws.LawBroken as broken:
        return str(broken).split("breaks the law ")[1].split(": ")[0].strip("'")
    unchecked = sum(not v.startswith("holds") for v in verdicts.values())
    return f"holds, {unchecked} not checked" if unchecked else "holds"


def seen(name: str, num_keys: int) -> Counter:
    """How often each verdict comes for one model of the zoo."""
    module = zoo()
    model = module.RIGHT[name] if name in module.RIGHT else module.WRONG[name][0]
    first = laws.trial_of(model, jax.random.key(0))
    return Counter(verdict(first.at(jax.random.key(k))) for k in range(num_keys))


def right(name: str, verdicts: Counter) -> tuple[int, str]:
    """How many of a right model's verdicts are not as they should be, and its line."""
    condemned = sum(n for v, n in verdicts.items() if not v.startswith("holds"))
    said = "; ".join(f"{n} {v}" for v, n in verdicts.most_common())
    return condemned, f"{name:40} condemned {condemned:2} of {verdicts.total()}   {said}"


def wrong(name: str, law: str, verdicts: Counter) -> tuple[int, str]:
    """The same for a wrong model."""
    num, named = verdicts.total(), verdicts[law]
    others = "; ".join(f"{n} {v}" for v, n in verdicts.most_common() if v != law)
    return num - named, f"{name:40} named {named:2} of {num}   {law}   {others}".rstrip()


def main(num_keys: int) -> int:
    """Prints a line for each model; returns how many are not as they should be."""
    module, faults = zoo(), 0
    print(f"{num_keys} keys each, jax {jax.__version__}\n\nright models\n")
    # An executor of concurrent.futures may wait for ever once its workers are replaced
    # (github.com/python/cpython/issues/115634).
    with multiprocessing.get_context("forkserver").Pool(WORKERS, maxtasksperchild=4) as pool:
        names = (*module.RIGHT, *module.WRONG)
        futures = {name: pool.apply_async(seen, (name, num_keys)) for name in names}
        for name in module.RIGHT:
            fault, line = right(name, futures[name].get())
            faults += fault > 0
            print(line, flush=True)
        print("\nwrong models\n")
        for name, (_, law) in module.WRONG.items():
            fault, line = wrong(name, law, futures[name].get())
            faults += fault > 0
            print(line, flush=True)
    print(f"\n{faults} models not as they should be")
    return faults


if __name__ == "__main__":
    sys.exit(min(main(int(sys.argv[1]) if len(sys.argv) > 1 else 32), 1))
