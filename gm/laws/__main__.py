"""The command `gm laws`, also `python -m gm.laws`; `commands.LAWS` is its help text."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import pathlib
import sys
import time
import traceback
import types
from collections.abc import Mapping, Sequence
from typing import Any

import jax

from gm import commands, laws

TABLE = "tests/models/test_contract.py"
EXAMPLE = "FILE.py with MODELS = {name: model}, or MODULE:NAME of a model of yours"


class NothingToCheck(Exception):
    """Raised if the argument is not a model, or cannot be found."""


def models_of(what: str) -> dict[str, Any]:
    """{name: model} for an argument of the command.

    Raises:
      NothingToCheck: there is no such file, module or name, or it is not a model or a table.
    """
    source, _, name = what.partition(":")
    module = _module(source)
    found = getattr(module, name or "MODELS", None)
    if found is None:
        raise NothingToCheck(f"{source} has no {name or 'MODELS'}. Give {EXAMPLE}.")
    if isinstance(found, type | types.FunctionType):
        if any(p.default is p.empty for p in _parameters(found)):
            raise NothingToCheck(f"{what} needs arguments. Give {EXAMPLE}: with its sizes set.")
        found = found()
    if isinstance(found, Mapping):
        return {str(key): model for key, model in found.items()}
    return {name or "MODELS": found}


def _parameters(made: type | types.FunctionType) -> list[inspect.Parameter]:
    """The parameters of a function or class, except *args and **kwargs."""
    kinds = inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD
    return [p for p in inspect.signature(made).parameters.values() if p.kind not in kinds]


def _module(source: str) -> types.ModuleType:
    """Imports a module by its name or the path of its file, as `python` would."""
    path, here = pathlib.Path(source), str(pathlib.Path.cwd())
    sys.path[:0] = [] if here in sys.path or "" in sys.path else [here]
    if path.suffix == ".py" and not path.is_file():
        raise NothingToCheck(f"No file {source}. Give {EXAMPLE}.")
    try:
        if path.suffix != ".py":
            return importlib.import_module(source)
        sys.path.append(str(path.resolve().parent))
        spec = importlib.util.spec_from_file_location("models_to_check", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # dataclasses resolve annotations there
        spec.loader.exec_module(module)
    except ModuleNotFoundError as error:
        raise NothingToCheck(
            f"{source} needs the module {error.name}, which is not installed. The modules that the "
            'project\'s own table needs are installed by pip install -e ".[test]".'
        ) from None
    return module


def verdict(model: Any, seed: int) -> tuple[bool, str]:
    """Whether a model keeps all laws, and one line of output."""
    begin = time.perf_counter()
    try:
        verdicts = laws.check(model, jax.random.key(seed))
    except laws.LawBroken as broken:
        return False, f"BROKEN  {broken}"
    except Exception as error:  # the other models are still to be checked
        traceback.print_exc()
        return False, f"FAILED  {type(error).__name__}: {error}"
    held = sum(v.startswith("holds") for v in verdicts.values())
    skipped = "".join(f"; {law} {v}" for law, v in verdicts.items() if not v.startswith("holds"))
    return True, f"ok      {held} laws hold in {time.perf_counter() - begin:.1f} s{skipped}"


def main(arguments: Sequence[str] | None = None, name: str = "python -m gm.laws") -> int:
    """Prints the laws and one line per model; returns the exit status."""
    parser = commands.laws(name)
    options = parser.parse_args(arguments)
    print("The laws:", *(f"  {law.sentence}" for law in laws.LAWS), sep="\n", flush=True)
    if not options.what and not pathlib.Path(TABLE).is_file():
        parser.error(f"nothing to check: give {EXAMPLE}")
    begin = time.perf_counter()
    try:
        tables = [models_of(what) for what in options.what or [TABLE]]
    except NothingToCheck as error:
        parser.error(str(error))
    models = [pair for table in tables for pair in table.items()]
    kept = 0
    for i, (title, model) in enumerate(models):
        print(f"{i + 1:3} of {len(models)}  {title:28} ", end="", flush=True)
        holds, line = verdict(model, options.seed)
        kept += holds
        print(line, flush=True)
    print(f"{kept} of {len(models)} models keep the laws; {time.perf_counter() - begin:.1f} s")
    return int(kept < len(models)) if models else 2


if __name__ == "__main__":
    sys.exit(main())
