r"""Laws on a zoo of right and of wrong models: nobody is condemned who should not be, and by whom.

    python benchmarks/laws.py [NUM_KEYS] > benchmarks/results/laws.txt

A right model is condemned by chance less than once in a million checks, and by no grid; a wrong one
is named by the law that speaks of its fault. `tests/law_zoo` has the models. About 40 minutes
on two cores for 32 keys, and seconds a key where programs are in JAX's compilation cache.
"""

import importlib
import pathlib
import sys
from collections import Counter

import jax

from gm import laws

ROOT = pathlib.Path(__file__).resolve().parents[1]


def zoo():
    """The package tests.law_zoo."""
    sys.path.insert(0, str(ROOT))
    return importlib.import_module("tests.law_zoo")


def verdict(model, key) -> str:
    """ "holds", "holds, N not checked", or the law that is said to be broken."""
    try:
        verdicts = laws.check(model, key)
    except laws.LawBroken as broken:
        return str(broken).split("breaks the law ")[1].split(": ")[0].strip("'")
    unchecked = sum(not v.startswith("holds") for v in verdicts.values())
    return f"holds, {unchecked} not checked" if unchecked else "holds"


def main(num_keys: int) -> int:
    """Prints a line for each model; returns how many are not as they should be."""
    module, faults = zoo(), 0
    print(f"{num_keys} keys each, jax {jax.__version__}\n\nright models\n")
    for name, model in module.RIGHT.items():
        seen = Counter(verdict(model, jax.random.key(k)) for k in range(num_keys))
        condemned = sum(n for v, n in seen.items() if not v.startswith("holds"))
        faults += condemned > 0
        said = "; ".join(f"{n} {v}" for v, n in seen.most_common())
        print(f"{name:40} condemned {condemned:2} of {num_keys}   {said}", flush=True)
    print("\nwrong models\n")
    for name, (model, law) in module.WRONG.items():
        seen = Counter(verdict(model, jax.random.key(k)) for k in range(num_keys))
        faults += seen[law] < num_keys
        others = "; ".join(f"{n} {v}" for v, n in seen.most_common() if v != law)
        print(
            f"{name:40} named {seen[law]:2} of {num_keys}   {law}   {others}".rstrip(), flush=True
        )
    print(f"\n{faults} models not as they should be")
    return faults


if __name__ == "__main__":
    sys.exit(min(main(int(sys.argv[1]) if len(sys.argv) > 1 else 32), 1))
