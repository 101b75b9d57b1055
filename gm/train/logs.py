"""Logging of a run: rows of metrics.jsonl, and progress on a terminal or in a log.

A row is one JSON object: "step" (updates made), "seconds" (training time so far, over all
resumptions, without compilation), "examples_per_s" since the previous row, "device_gib" (the peak
memory of a device, if available), "learning_rate" if the optimizer's state has it, and the metrics
of that step; for an ensemble each is a list with a number per member. Numbers that are not finite
become null, since strict JSON cannot represent them. Other trackers get the same rows (`trackers`).
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, PyTree
from gm.train import jsons, trackers

SECONDS_BETWEEN_LINES = 20.0
ROW = {"step": int, "seconds": jsons.NUMBER}


def read_metrics(folder: str | os.PathLike) -> list[dict]:
    """The rows of a run's metrics.jsonl, without invalid lines.

    Raises:
      FileNotFoundError: there is no such file.
    """
    path = pathlib.Path(folder).expanduser() / "metrics.jsonl"
    path.stat()
    return [row for _, row in jsons.lines(path, ROW) if row is not None]


class Stderr(io.TextIOBase):
    """The current `sys.stderr`; output is discarded if its terminal or pipe is closed."""

    _gone = OSError, ValueError, AttributeError  # closed by the reader, closed here, or None

    @property
    def encoding(self) -> str:
        """The encoding of the stream."""
        return getattr(sys.stderr, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Writes text, if the stream is open."""
        with contextlib.suppress(*self._gone):
            # While a bar is shown, rich redirects prints to the console, which writes to this.
            getattr(sys.stderr, "rich_proxied_file", sys.stderr).write(text)
        return len(text)

    def flush(self) -> None:
        """Flushes the stream, if it is open."""
        with contextlib.suppress(*self._gone):
            getattr(sys.stderr, "rich_proxied_file", sys.stderr).flush()

    def isatty(self) -> bool:
        """Whether the stream is a terminal."""
        with contextlib.suppress(*self._gone):
            return sys.stderr.isatty()
        return False


class Display:
    """Prints messages, but no progress; the base class of the other displays."""

    def show(self, done: int, text: str) -> None:
        """Shows progress: the step, and a line of text."""

    def say(self, text: str) -> None:
        """Prints a message."""
        print(text, file=Stderr(), flush=True)

    def close(self) -> None:
        """Ends the display."""


class Lines(Display):
    """Plain lines, at most one per twenty seconds, for log files and notebooks."""

    def __init__(self, num_steps: int) -> None:
        self.num_steps = num_steps
        self.next = 0.0

    def show(self, done: int, text: str) -> None:
        """Prints a line if twenty seconds have passed, and at the end."""
        now = time.monotonic()
        if now >= self.next or done >= self.num_steps:
            self.next = now + SECONDS_BETWEEN_LINES
            self.say(f"step {done}/{self.num_steps}  {text}")


class Bar(Display):
    """A rich progress bar with examples/s, time left and the losses."""

    def __init__(self, num_steps: int, start: int) -> None:
        from rich import progress

        self.bar = progress.Progress(
            progress.MofNCompleteColumn(),
            progress.BarColumn(),
            progress.TextColumn("{task.description}"),
            console=_console(),
        )
        self.task = self.bar.add_task("compiling", total=num_steps, completed=start)
        self.bar.start()

    def show(self, done: int, text: str) -> None:
        """Updates the bar."""
        self.bar.update(self.task, completed=done, description=text)

    def say(self, text: str) -> None:
        """Prints above the bar."""
        self.bar.console.print(text, markup=False, highlight=False)

    def close(self) -> None:
        """Stops the bar and leaves it on the screen."""
        self.bar.stop()


def display(progress: bool, num_steps: int, start: int) -> Display:
    """The display that fits the output: a bar, lines, or none."""
    if not progress:
        return Display()
    return Bar(num_steps, start) if _console().is_terminal else Lines(num_steps)


def _console():
    from rich.console import Console

    return Console(file=Stderr())


class Record:
    """Times a run and writes its rows.

    The loop calls `row`, and the thread that evaluates calls `write`.

    Args:
      folder: the folder of metrics.jsonl; None to write none.
      start: the step from which the run starts; later rows are removed and will be repeated.
      num_steps: the last step.
      progress: whether to show progress.
      on_row: a function that gets every row, as in `run`.
    """

    def __init__(
        self,
        folder: pathlib.Path | None,
        start: int,
        num_steps: int,
        progress: bool,
        on_row: trackers.Tracker | None = None,
    ) -> None:
        _fill_streams()
        self.path = None if folder is None else folder / "metrics.jsonl"
        kept, broken = _drop_after(self.path, start) if self.path else ([], 0)
        self.before = kept[-1]["seconds"] if kept else 0.0
        self.num_steps = num_steps
        self.last_step, self.last_seconds = start, 0.0
        self.paused_seconds, self.compile_seconds = 0.0, None
        self.progress, self.display = progress, display(progress, num_steps, start)
        if broken:
            self.display.say(f"{self.path}: {broken} broken lines, which are ignored")
        self.followers = trackers.followers(folder, start, self.display.say, on_row)
        self.began = time.perf_counter()

    def say(self, text: str) -> None:
        """Prints a message, if progress is shown."""
        if self.progress:
            self.display.say(text)

    def compiled(self, seconds: float) -> None:
        """Starts the clock after the first step is compiled; the next row has the duration."""
        self.compile_seconds = seconds
        self.began = time.perf_counter()
        self.display.show(self.last_step, f"compiled in {seconds:.1f} s")

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """Excludes the time in this context from the training time."""
        began = time.perf_counter()
        try:
            yield
        finally:
            self.paused_seconds += time.perf_counter() - began

    def row(self, step: int, batch_size: int) -> dict[str, float]:
        """The first entries of a row: the step, the times and the memory."""
        seconds = time.perf_counter() - self.began - self.paused_seconds
        elapsed, steps = seconds - self.last_seconds, step - self.last_step
        self.last_seconds, self.last_step = seconds, step
        rate = steps / max(elapsed, 1e-9)
        row = {"step": step, "seconds": round(self.before + seconds, 6)}
        row["examples_per_s"] = round(rate * batch_size, 1)
        if (held := device_gib()) is not None:
            row["device_gib"] = round(held, 3)
        if self.compile_seconds is not None:
            row["compile_seconds"] = round(self.compile_seconds, 3)
            self.compile_seconds = None
        return row

    def write(self, row: Mapping, batch_size: int, metrics: Mapping, evaluation: Mapping) -> None:
        """Writes and shows one row."""
        numbers = {name: _plain(x) for name, x in metrics.items()}
        numbers |= {name: _plain(x) for name, x in evaluation.items()}
        if self.path:
            jsons.append(self.path, to_json({**row, **numbers}))
        for follower in self.followers:
            follower({**row, **numbers})
        step, speed = row["step"], row["examples_per_s"]
        left = _clock((self.num_steps - step) * batch_size / max(speed, 1e-9))
        shown = [
            f"{k} {np.nanmean(v):.4g}"
            for k, v in numbers.items()
            if k.split("/")[-1] == "loss" or k.startswith("eval/")
            if np.isfinite(v).any()
        ]
        memory = [f"{row['device_gib']:.2f} GiB"] if "device_gib" in row else []
        line = [f"{speed:.3g} examples/s", f"{left} left", *memory, *shown]
        self.display.show(step, "  ".join(line))

    def picture(self, step: int, path: pathlib.Path) -> None:
        """Passes a picture to the trackers."""
        for follower in self.followers:
            if follower.pictures:
                follower({"step": step, "samples": path})

    def close(self) -> None:
        """Closes the trackers and the display."""
        for follower in self.followers:
            follower.close()
        self.display.close()


def learning_rates(opt_state: Mapping[str, PyTree]) -> dict[str, Array]:
    """The learning rates of the last step, if optimizers keep them (`optax.inject_hyperparams`).

    Args:
      opt_state: the opt_state of a `State`, which the next step will consume.

    Returns:
      Copies by name: "learning_rate", or "critic/learning_rate" for a player; for several
      optimizers in one, as in `optax.multi_transform`, "embedding/learning_rate".
    """
    rates = {}
    for path, x in jax.tree_util.tree_leaves_with_path(opt_state, is_leaf=_tells):
        if _tells(x) and "learning_rate" in x.hyperparams:
            names = [str(entry.key) for entry in path if isinstance(entry, jax.tree_util.DictKey)]
            names = names[1:] if names[0] == "all" else names
            rates["/".join([*names, "learning_rate"])] = jnp.copy(x.hyperparams["learning_rate"])
    return rates


def _tells(x: PyTree) -> bool:
    return hasattr(x, "hyperparams")


def device_gib() -> float | None:
    """The peak memory of a device of this host, in GiB; None if it is not available."""
    stats = [device.memory_stats() or {} for device in jax.local_devices()]
    peaks = [s["peak_bytes_in_use"] for s in stats if "peak_bytes_in_use" in s]
    return max(peaks) / 2**30 if peaks else None


def _plain(x: Any) -> float | list[float]:
    """A number, or for an ensemble a list of numbers, one per member."""
    return np.asarray(x).tolist()


def to_json(row: Mapping) -> str:
    """One line of strict JSON; numbers that are not finite become null."""

    def plain(value: Any) -> Any:
        if isinstance(value, list):
            return [plain(x) for x in value]
        value = value.item() if hasattr(value, "item") else value
        return None if isinstance(value, float) and not math.isfinite(value) else value

    return json.dumps({name: plain(value) for name, value in row.items()}, allow_nan=False)


def _drop_after(path: pathlib.Path, step: int) -> tuple[list[dict], int]:
    """Removes rows after a step; returns the others and the number of broken lines."""
    found = jsons.lines(path, ROW)
    broken = sum(row is None for _, row in found)
    kept = [(line, row) for line, row in found if row is not None and row["step"] <= step]
    if len(kept) < len(found):
        jsons.replace(path, b"".join(line + b"\n" for line, _ in kept))
    return [row for _, row in kept], broken


def _fill_streams() -> None:
    """Opens closed standard streams: else a file may get their descriptor and the printed text."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free


def _clock(seconds: float) -> str:
    """3725 -> "1:02:05" """
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
