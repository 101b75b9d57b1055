"""Prints the laws, and checks every model of a table against them."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import time
from collections.abc import Mapping
from typing import Any

import jax

from gm import laws

TABLE = "tests/models/test_contract.py"


def models_of(path: str) -> Mapping[str, Any]:
    """The table `MODELS` of a Python file: {name: model}."""
    if not pathlib.Path(path).is_file():
        raise SystemExit(
            f"No file {path}. Give a Python file with MODELS = {{name: model}}, or run from "
            f"the root of a checkout, where {TABLE} has one."
        )
    spec = importlib.util.spec_from_file_location("models_to_check", path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise SystemExit(
            f'{path} imports {error.name}, which is not installed; pip install -e ".[test]" brings '
            "what the project's own table needs."
        ) from None
    if not isinstance(getattr(module, "MODELS", None), Mapping):
        raise SystemExit(f"{path} has no table MODELS = {{name: model}}.")
    return module.MODELS


def main(path: str) -> int:
    """Prints one line per law, then one per model; returns 1 if a law is broken."""
    for law in laws.LAWS:
        print(f"  {law.sentence}")
    failures = 0
    for name, model in models_of(path).items():
        begin = time.perf_counter()
        try:
            verdicts = laws.check(model, jax.random.key(0))
        except laws.LawBroken as broken:
            failures += 1
            print(f"BROKEN  {name:28} {broken}", flush=True)
            continue
        held = sum(verdict.startswith("holds") for verdict in verdicts.values())
        skipped = "".join(
            f"; {law} {v}" for law, v in verdicts.items() if not v.startswith("holds")
        )
        seconds = time.perf_counter() - begin
        print(f"ok      {name:28} {held} laws hold in {seconds:.1f} s{skipped}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else TABLE))
