"""The command line of an experiment file, which is parsed before JAX is imported.

`--help` and misspelt options respond at once, and errors in the user's input print one sentence:

    @dataclasses.dataclass(frozen=True)
    class Config(options.Training): ...

    PRESETS = {"digits": Config(), "mnist": Config(dataset="binarized_mnist")}

    if __name__ == "__main__":
        ASKED = command.parse(PRESETS)
    import jax
    ...
    if __name__ == "__main__":
        command.run(ASKED, build)

suffices for `made.py`, `made.py mnist --hidden 800 --folder runs/made` and, after training,
`made.py sample runs/made`.
"""

from __future__ import annotations

import dataclasses
import linecache
import pathlib
import re
import signal
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

import tyro

import gm
from gm.recipes import after, options

C = TypeVar("C", bound=options.Data)
AFTER: dict[str, type[after.Run]] = {
    "sample": after.Sample,
    "evaluate": after.Evaluate,
    "complete": after.Complete,
    "export": after.Export,
}


def parse(presets: Mapping[str, C], arguments: Sequence[str] | None = None) -> C | after.Run:
    """Parses the command line: a preset with options, or a command on a run's folder.

    Args:
      presets: named options, of which the first is the default. `--help` begins with the docstring
        of the file that defines their class.
      arguments: the arguments; by default those of the process.

    Raises:
      SystemExit: `--help` is given, or the arguments are invalid.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    first, config = next(iter(presets)), type(next(iter(presets.values())))
    name = first
    if arguments and not arguments[0].startswith("-"):
        name, *arguments = arguments
    if name in AFTER:
        return _expanded(tyro.cli(AFTER[name], args=arguments, prog=f"{_script()} {name}"))
    if name not in presets:
        raise SystemExit(
            f"{_script()}: there is no preset {name!r}. Presets: {', '.join(presets)}; for the "
            f"folder of a run: {', '.join(AFTER)}."
        )
    doc = sys.modules[config.__module__].__doc__ or ""
    apart = re.sub(r"\n( +.*)\n(?=\S)", r"\n\1\n\n", doc)  # else tyro joins consecutive presets
    about = f"{apart}\n\nAfter training, with its folder: {', '.join(AFTER)}."
    return _expanded(tyro.cli(config, default=presets[name], args=arguments, description=about))


def run(asked: Any, build: Callable[[Any], Any]) -> None:
    """Executes a command. An error that gm raises prints its message, without a traceback.

    After Ctrl-C a run saves its state and then terminates by the signal, so that a shell loop over
    runs stops too; it would continue after an exit with any status.

    Args:
      asked: the result of `parse`.
      build: `build` of the experiment file: options -> `experiment.Experiment`.
    """
    with_sentences(_do, asked, build)


def with_sentences(main: Callable[..., Any], *arguments: Any) -> None:
    """Calls main, and handles errors and Ctrl-C as described in `run`."""
    try:
        main(*arguments)
    except SystemExit as stop:
        if stop.code == 128 + signal.SIGINT:
            sys.stdout.flush()
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            signal.raise_signal(signal.SIGINT)
        raise
    except (OSError, TypeError, ValueError) as error:
        if not _said(error):
            raise
        raise SystemExit(f"{_script()}: {error}") from None


def _do(asked: Any, build: Callable[[Any], Any]) -> None:
    from gm.recipes import fitting, runs  # import JAX

    if isinstance(asked, after.Run):
        config = sys.modules[build.__module__].Config
        runs.act(asked, build, config)
    else:
        fitting.main(build, asked)


def _script() -> str:
    return pathlib.Path(sys.argv[0]).name


def _expanded(c: Any) -> Any:
    """Options with `~` in paths replaced by the user's home folder."""
    given = {field.name: getattr(c, field.name) for field in dataclasses.fields(c)}
    paths = {k: path.expanduser() for k, path in given.items() if isinstance(path, pathlib.Path)}
    return dataclasses.replace(c, **paths)


def _said(error: Exception) -> bool:
    """Whether gm or an experiment raised the error; those raised elsewhere show a traceback."""
    *_, (frame, line) = traceback.walk_tb(error.__traceback__)
    file = pathlib.Path(frame.f_code.co_filename)
    script = getattr(sys.modules["__main__"], "__file__", None)
    ours = pathlib.Path(gm.__file__).parent in file.parents or str(file) == script
    return ours and linecache.getline(str(file), line).lstrip().startswith("raise ")
