"""The command `gm`, also `python -m gm`: laws, inspect, hosts and results.

    gm laws [WHAT...]          checks the laws that apply to models
    gm inspect FOLDER...       reports on a run's folder: contents, damage, how to resume
    gm hosts SCRIPT [ARGS...]  runs the same script on several hosts, or devices of one
    gm results FOLDER PAGE     generates the table of results from result files

`gm COMMAND --help` has details. The exit status is that of the command, or 2 without a command.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

import gm
from gm import commands

COMMANDS = {
    "laws": commands.laws,
    "inspect": commands.inspect,
    "hosts": commands.hosts,
    "results": commands.results,
}


def main_of(command: str) -> Callable[[Sequence[str], str], int]:
    """The function that runs a command, given its arguments and name; imports JAX."""
    if command == "laws":
        from gm.laws import __main__ as module
    elif command == "inspect":
        from gm.train import inspect as module
    elif command == "hosts":
        from gm.train import hosts as module
    else:
        from gm.metrics import results as module
    return module.main


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command; returns its exit status."""
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    if arguments and arguments[0] in COMMANDS:
        command, *rest = arguments  # unparsed: some belong to a script
        name = f"gm {command}"
        COMMANDS[command](name).parse_args(rest)  # --help and errors, without JAX
        return main_of(command)(rest, name)
    teach = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("gm", description=__doc__, formatter_class=teach)
    parser.add_argument("--version", action="version", version=f"gm {gm.__version__}")
    parser.add_argument("command", choices=COMMANDS)
    parser.parse_args(arguments)
    parser.error("options come after the command")


if __name__ == "__main__":
    sys.exit(main())
