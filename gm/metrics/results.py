"""Result files, `result.json`, and the table generated from them.

    gm results experiments/results experiments/README.md [--check]

writes a table of all result files in the first path between the markers
`<!-- results:begin -->` and `<!-- results:end -->` of the second. With `--check` it writes nothing
and exits with 1 if the table is out of date. `python -m gm.metrics.results` does the same.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax

from gm import commands
from gm.metrics import provenance
from gm.metrics.score import KINDS, Score

LONGEST, LARGEST = 1000, 10**15  # limits of texts, in characters, and of numbers
LARGEST_FILE = 2**24  # bytes
TYPES: dict[str, tuple[str, str, Callable[[object], bool]]] = {
    "str": (
        "a str",
        f"printable, of at most {LONGEST:,} characters",
        lambda value: isinstance(value, str) and len(value) <= LONGEST and _printable(value),
    ),
    "int": (
        "an int",
        f"from 0 to {LARGEST:.0e}",
        lambda value: type(value) is int and 0 <= value <= LARGEST,
    ),
    "float": (
        "a finite float",
        f"of at most {LARGEST:.0e}",
        lambda value: type(value) in (int, float) and -LARGEST <= value <= LARGEST,
    ),
}
MARKUP = re.compile(r"[\\`*\[\]|~$]|(?<!\w)_|_(?!\w)")  # an underscore inside a word is not markup
BEGIN, END = "<!-- results:begin -->", "<!-- results:end -->"


@dataclasses.dataclass(frozen=True)
class Result:
    """The result of one experiment; the fields are the keys of `result.json`.

    Attributes:
      experiment: the name of the experiment file without its suffix: "made".
      model: the model with its size: "MADE, 1 x 500".
      principle: the learning principle: "maximum likelihood".
      dataset: the data set: "binarized_mnist" is the fixed one, "mnist_dynamic" the dynamic one.
      split: the split: "test".
      preprocessing: "none", "uniform dequantization, 256 levels", ...
      metric: "negative log-likelihood", "C2ST accuracy", ...
      unit: "nats", "bits/dim", "nats/char", "%", ...
      value: the number, in `unit`.
      standard_error: the standard error, in `unit`; None if it is unknown.
      count: the number of examples.
      kind: "exact", "bound" or "estimate".
      num_samples: Monte Carlo samples per example; None for exact values.
      steps: the number of training steps.
      seconds: the duration of training.
      hardware: the hardware of the run.
      jax: the version of jax.
      revision: the commit of the code, with "+dirty" if it was modified; None outside git.
      command: the command that reproduces this result.
      published: the number in the literature, in `unit`; None if there is none.
      published_source: the source of that number.
    """

    experiment: str
    model: str
    principle: str
    dataset: str
    split: str
    preprocessing: str
    metric: str
    unit: str
    value: float
    standard_error: float | None
    count: int
    kind: str
    num_samples: int | None
    steps: int
    seconds: float
    hardware: str
    jax: str
    revision: str | None
    command: str
    published: float | None = None
    published_source: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(
                f"Result needs a kind among {', '.join(KINDS)}; got {_short(self.kind)}."
            )
        for field in dataclasses.fields(self):
            base, _, optional = field.type.partition(" | ")
            want, more, holds = TYPES[base]
            value = getattr(self, field.name)
            if not (optional and value is None) and not holds(value):
                raise ValueError(
                    f"Result needs {want} for {field.name}; got {_short(value)} ({more})."
                )
        if (self.standard_error or 0) < 0 or self.seconds < 0:
            raise ValueError(
                f"Result needs a standard_error and seconds of at least 0; got "
                f"{self.standard_error} and {self.seconds}."
            )

    @property
    def score(self) -> Score:
        """The value as a Score."""
        return Score(
            self.value, self.standard_error, self.count, self.unit, self.kind, self.num_samples
        )


def _printable(text: str) -> bool:
    """Whether a text has no hidden characters: no control or bidirectional formatting ones."""
    return all(c.isprintable() or c.isspace() for c in text)


def _short(value: object) -> str:
    """A value as shown in an error."""
    return f"{value!a:.100}"


FIELDS = tuple(field.name for field in dataclasses.fields(Result))


def record(score: Score, *, seconds: float, command: str | None = None, **fields: Any) -> Result:
    """Makes a Result of this process from a score; adds the hardware, jax version and revision.

    Args:
      score: the source of value, standard_error, count, unit, kind and num_samples.
      seconds: the duration of training.
      command: the command; by default the command line of this process.
      **fields: the other fields of Result, except hardware, jax and revision.
    """
    return Result(
        value=float(score.value),
        standard_error=None if score.standard_error is None else float(score.standard_error),
        count=int(score.count),
        unit=score.unit,
        kind=score.kind,
        num_samples=score.num_samples,
        seconds=round(seconds, 1),
        hardware=provenance.hardware(),
        jax=jax.__version__,
        revision=provenance.revision(),
        command=provenance.command() if command is None else command,
        **fields,
    )


def record_all(
    scores: Mapping[str, Score],
    dataset: Any,
    *,
    split: str = "test",
    published: Mapping[str, tuple[float, str]] | None = None,
    **fields: Any,
) -> list[Result]:
    """Makes the Results of several metrics of one run.

    Args:
      scores: {metric: score}.
      dataset: the data set, whose `name` and `preprocessing` are recorded.
      split: the name of the split.
      published: {metric: (value, source)}.
      **fields: as in `record`.
    """
    rows = []
    for metric, score in scores.items():
        value, source = (published or {}).get(metric, (None, None))
        literature = {"published": value, "published_source": source}
        own = {"dataset": dataset.name, "preprocessing": dataset.preprocessing, "split": split}
        rows.append(record(score, metric=metric, **own, **literature, **fields))
    return rows


def write(folder: str | os.PathLike, result: Result | Sequence[Result]) -> pathlib.Path:
    """Writes one result, or a list of them, to `result.json` in the folder, atomically."""
    if isinstance(result, Result):
        content = dataclasses.asdict(result)
    else:
        content = [dataclasses.asdict(r) for r in result]
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    path = pathlib.Path(folder).expanduser() / "result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".result.json.{os.getpid()}")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
    return path


def read(path: str | os.PathLike) -> list[Result]:
    """Reads the results in one file, strictly.

    Raises:
      ValueError: the file is not JSON (which excludes NaN), or has missing or unknown keys or
        invalid values; the message names the file.
    """

    path = pathlib.Path(path).expanduser()
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise ValueError(f"it has more than {LARGEST_FILE:,} bytes.")
        text = path.read_text("utf-8")
        content = json.loads(text, parse_constant=_refuse, object_pairs_hook=_once)
        entries = content if isinstance(content, list) else [content]
        return [_result(entry) for entry in entries]
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is not a result file: {error!s:.500}") from error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise ValueError("a key is repeated.")
    return dict(pairs)


def _result(entry: object) -> Result:
    """A Result from the object of a result file."""
    if not isinstance(entry, dict):
        raise ValueError(f"a result is an object of {len(FIELDS)} keys; got {_short(entry)}.")
    missing = [name for name in FIELDS if name not in entry]
    unknown = [name for name in entry if name not in FIELDS]
    if missing or unknown:
        raise ValueError(
            f"missing keys: {', '.join(missing) or 'none'}; "
            f"unknown keys: {_short(', '.join(unknown))[1:-1] or 'none'}."
        )
    return Result(**entry)


def table(results: Sequence[Result]) -> str:
    """Markdown: one table per data set, split and preprocessing, with our and published values."""

    def group(r: Result) -> tuple[str, str, str]:
        return r.dataset, r.split, r.preprocessing

    def place(r: Result) -> tuple:
        return *group(r), r.metric, r.unit, r.model, r.principle, r.num_samples or 0, r.command

    if not results:
        return "No results yet."
    header = ("Model", "Principle", "Metric", "gm", "Published", "Training", "Command")
    parts = []
    ordered = sorted(results, key=place)
    for (dataset, split, preprocessing), rows in itertools.groupby(ordered, group):
        heading = (
            f"**{_text(dataset)}**, {_text(split)} split, preprocessing: {_text(preprocessing)}"
        )
        parts += [heading, ""]
        parts += [_row(header), _row(["---"] * len(header))]
        parts += [_row(_cells(r)) for r in rows]
        parts.append("")
    return "\n".join(parts).rstrip()


def _cells(r: Result) -> tuple[str, ...]:
    """One row of the table, in Markdown."""
    source = f" ({r.published_source})" if r.published_source else ""
    published = "-" if r.published is None else f"{r.published:g} {r.unit}{source}"
    training = f"{r.steps:,} steps, {r.seconds:,.0f} s, {r.hardware}"
    cells = (r.model, r.principle, r.metric, str(r.score), published, training)
    return *map(_text, cells), _code(r.command)


def _text(text: str) -> str:
    """A text on one line, escaped for Markdown and HTML."""
    escaped = MARKUP.sub(r"\\\g<0>", " ".join(text.split()))
    escaped = re.sub(r"&(?=#?\w+;)", "&amp;", escaped)
    return escaped.replace("<", "&lt;").replace(">", "&gt;")


def _code(command: str) -> str:
    """A command as code on one line; in HTML if a Markdown cell cannot contain it."""
    command = " ".join(command.split())
    if command and not set(command) & set("`|\\<>&"):
        return f"`{command}`"
    safe = (c if c.isalnum() or c in " -./" else f"&#{ord(c)};" for c in command)
    return f"<code>{''.join(safe)}</code>"


def _row(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def updated(text: str, results: Sequence[Result]) -> str:
    """The text with the table between its markers replaced."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"a page of results needs the markers {BEGIN} and {END}, in this order.")
    return f"{before}{BEGIN}\n\n{table(results)}\n\n{END}{after}"


def main(arguments: Sequence[str] | None = None, name: str = "python -m gm.metrics.results") -> int:
    """Runs the command and returns its exit status."""
    parser = commands.results(name)
    options = parser.parse_args(arguments)
    try:
        results = [r for path in sorted(options.folder.rglob("*.json")) for r in read(path)]
        text = options.page.read_text("utf-8")
        new = updated(text, results)
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    if options.check and new != text:
        print(
            f"The table in {options.page} is stale; update it with\n"
            f"  {name} {options.folder} {options.page}",
            file=sys.stderr,
        )
        return 1
    if not options.check:
        options.page.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
