"""Provenance of a result: the hardware, the revision and the command."""

from __future__ import annotations

import os
import pathlib
import platform
import shlex
import subprocess
import sys

import jax


def hardware() -> str:
    """The hardware: `1 x NVIDIA H200`, or the processor's name and its number of cores."""
    kinds = [device.device_kind for device in jax.devices()]
    if jax.default_backend() != "cpu":
        return f"{len(kinds)} x {kinds[0]}"
    name = platform.machine()
    info = pathlib.Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text().splitlines()
        names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
        name = names[0] if names else name
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count()
    return f"{name}, {cores} core{'s' * (cores != 1)}"


def revision() -> str | None:
    """The commit of the code, with `+dirty` if tracked files differ; None outside git."""
    here = pathlib.Path(__file__).resolve()

    def git(*arguments: str) -> str:
        line = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(line, capture_output=True, text=True, check=True).stdout.strip()

    try:
        # An installed copy may be inside another repository.
        git("ls-files", "--error-unmatch", here.name)
        commit = git("rev-parse", "--short", "HEAD")
        dirty = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + "+dirty" * bool(dirty)


def command() -> str:
    """The command line of this process, with the script relative to the working folder."""
    script = pathlib.Path(sys.argv[0])
    if script.is_absolute():
        inside = script.is_relative_to(pathlib.Path.cwd())
        script = script.relative_to(pathlib.Path.cwd()) if inside else pathlib.Path(script.name)
    return shlex.join(["python", script.as_posix(), *sys.argv[1:]])
