"""The command line of an experiment, which is read before jax is imported.

`--help` and a misspelt option answer at once, and an error of the user's is one sentence:

    @dataclasses.dataclass(frozen=True)
    class Config(options.Training): ...

    if __name__ == "__main__":
        CONFIG = command.parse(Config)
    import jax
    ...
    if __name__ == "__main__":
        command.run(main, CONFIG)

This file is no script: `python experiments/made.py --help` is one.
"""

import dataclasses
import linecache
import pathlib
import re
import signal
import sys
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import tyro

import gm

C = TypeVar("C")


def parse(config: type[C], arguments: list[str] | None = None) -> C:
    """The options of the command line; `--help` begins with the docstring of the config's file.

    Args:
      config: a dataclass whose fields have docstrings.
      arguments: by default those of the process.
    """
    doc = sys.modules[config.__module__].__doc__
    apart = re.sub(r"\n( +.*)\n(?=\S)", r"\n\1\n\n", doc)  # else tyro joins a preset to the next
    c = tyro.cli(config, args=arguments, description=apart)
    given = {field.name: getattr(c, field.name) for field in dataclasses.fields(c)}
    paths = {k: path.expanduser() for k, path in given.items() if isinstance(path, pathlib.Path)}
    return dataclasses.replace(c, **paths)


def run(main: Callable[[C], Any], config: C) -> None:
    """Runs an experiment. An error that gm raises is a sentence for its reader: no traceback.

    A run that Ctrl-C has stopped dies of the signal once it is saved: a shell goes on with a loop
    over runs that exit, with whatever status.
    """
    try:
        main(config)
    except SystemExit as stop:
        if stop.code == 128 + signal.SIGINT:
            sys.stdout.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        raise
    except (OSError, TypeError, ValueError) as error:
        if not _said(error):
            raise
        raise SystemExit(f"{pathlib.Path(sys.argv[0]).name}: {error}") from None


def _said(error: Exception) -> bool:
    """Whether gm or an experiment has raised it in so many words; what others raise is a fault."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    file = frame.f_code.co_filename
    ours = any(
        pathlib.Path(code).parent in pathlib.Path(file).parents for code in (gm.__file__, __file__)
    )
    return ours and linecache.getline(file, line).lstrip().startswith("raise ")
