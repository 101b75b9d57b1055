"""Tables: named columns of a DataFrame, a structured array or a `.csv` file.

pandas is not imported: an object with `columns` and `dtypes` is taken to be a DataFrame.
"""

from __future__ import annotations

import csv
import dataclasses
import os
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

LABEL = "label"  # the default name of the column of labels


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Columns [N] by their names."""

    columns: dict[str, np.ndarray]


def as_table(x: Any) -> Table | None:
    """The table of a DataFrame or a structured array; None for anything else."""
    if isinstance(x, Table):
        return x
    if hasattr(x, "columns") and hasattr(x, "dtypes"):
        names = list(map(str, x.columns))
        if len(set(names)) < len(names):
            raise ValueError(f"a table needs columns of different names; got {', '.join(names)}.")
        return Table({str(name): np.asarray(x[name]) for name in x.columns})
    names = getattr(getattr(x, "dtype", None), "names", None)
    return Table({name: x[name] for name in names}) if names else None


def split(
    table: Table, label: str | None, name: str
) -> tuple[np.ndarray, np.ndarray | None, tuple[str, ...]]:
    """Splits a table into x: [N, D], the labels [N] or None, and the names of the D columns of x.

    Args:
      table: the table to split.
      label: the column of labels; None for the one named "label", if any; "" for none.
      name: the name of the data set, for messages.

    Raises:
      ValueError: there is no such column, a column contains text, or the table mixes integer and
        real columns and no label is given.
    """
    columns = dict(table.columns)
    if label and label not in columns:
        raise ValueError(f"{name} has no column {label!r} for labels, only {', '.join(columns)}.")
    for column, values in columns.items():
        if values.dtype.kind not in "iubf":
            raise ValueError(
                f"{name} needs numbers in every column; {column!r} holds {values.dtype}. Encode "
                "it as integers (pandas.factorize), or leave it out."
            )
    label = LABEL if label is None and LABEL in columns else label
    y = columns.pop(label) if label else None
    if not columns:
        raise ValueError(f"{name} needs columns beside the labels; it has none.")
    if y is not None and y.dtype.kind == "f" and np.array_equal(y, np.rint(y)):
        y = y.astype(np.int64)
    whole = [column for column, values in columns.items() if values.dtype.kind != "f"]
    if label is None and whole and len(whole) < len(columns):
        raise ValueError(
            f"{name} mixes real columns with columns of integers: {', '.join(whole)}. Name the "
            f"column of labels, such as label={whole[-1]!r}, which is then not part of x; or use "
            'label="" if there is none: the integers are then real values.'
        )
    return np.stack(list(columns.values()), axis=1), y, tuple(columns)


def read_csv(path: str | os.PathLike[str]) -> Table:
    """Reads a table of numbers from a `.csv` file: commas, semicolons or tabs, a header or none.

    Without a header the columns are named 0, 1, ...; a first line 0,1,2,... is also a header. A
    column has integers if all its values are integers.

    Raises:
      ValueError: the file contains something other than numbers, or no rows.
    """
    delimiter, names = _first_line(path)
    header = _is_header(names)
    if header and not names[0].strip():
        raise ValueError(
            f"{path} has a first column without a name, probably an index, which is not part of "
            "x. Leave it out: pandas.DataFrame.to_csv(path, index=False)."
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # no rows: raised below
            rows = np.loadtxt(
                path,
                delimiter=delimiter,
                skiprows=int(header),
                ndmin=2,
                quotechar='"',
                comments=None,
                encoding="utf-8-sig",
            )
    except ValueError as error:
        raise ValueError(
            f"{path} needs numbers in every row and column, as many in each; {error!s:.200}"
        ) from error
    if not rows.size:
        raise ValueError(f"{path} needs rows of numbers; it holds none.")
    names = [name.strip() for name in names] if header else list(map(str, range(rows.shape[1])))
    if not len(set(names)) == len(names) == rows.shape[1]:
        raise ValueError(
            f"{path} needs a different name for each column, {rows.shape[1]} of them; got "
            f"{', '.join(names):.200}."
        )
    return Table({name: _integers(column) for name, column in zip(names, rows.T, strict=True)})


def _first_line(path: str | os.PathLike[str]) -> tuple[str, list[str]]:
    """The separator of the columns, and the entries of the first line."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            first = file.readline()
        delimiter = max(",;\t", key=first.count)
        return delimiter, next(csv.reader([first], delimiter=delimiter), [])
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{path} is not a table of numbers in UTF-8: {error!s:.200}.") from error


def _is_header(names: Sequence[str]) -> bool:
    try:
        numbers = list(map(float, names))
    except ValueError:
        return True
    return len(numbers) > 2 and numbers == list(range(len(numbers)))


def _integers(column: np.ndarray) -> np.ndarray:
    """The column as integers, if all its values are."""
    whole = np.isfinite(column).all() and (np.abs(column) < 2**53).all()
    return column.astype(np.int64) if whole and (column == np.rint(column)).all() else column


def split_all(
    parts: Sequence[Any], labels: Sequence[Any], label: str | None, name: str
) -> tuple[list[np.ndarray | None], list[np.ndarray | None], tuple[str, ...] | None]:
    """Arrays and labels of every split, and the names of the columns if the splits are tables.

    Raises:
      ValueError: as in `split`, or the columns of the splits differ, or labels are given twice.
    """
    tables = [as_table(x) for x in parts]
    if not any(tables):
        if label is not None:
            raise ValueError(
                f"{name} has no columns with names, so label={label!r} names none of them: give "
                "labels=[y], or a DataFrame."
            )
        arrays = [None if x is None else _array(x, name) for x in parts]
        return arrays, [None if y is None else np.asarray(y) for y in labels], None
    found = [None if t is None else split(t, label, name) for t in tables]
    if any(x is not None and t is None for x, t in zip(parts, tables, strict=True)):
        raise ValueError(f"{name} needs a table in every split that is given, or in none.")
    columns = {f[2] for f in found if f is not None}
    if len(columns) > 1:
        raise ValueError(f"{name} needs the same columns in every split; got {columns}.")
    ys = [None if f is None else f[1] for f in found]
    given = [None if y is None else np.asarray(y) for y in labels]
    if any(y is not None for y in ys) and any(y is not None for y in given):
        raise ValueError(f"{name} has labels twice: in a column and in labels=.")
    ys = [y if y is not None else other for y, other in zip(ys, given, strict=True)]
    return [None if f is None else f[0] for f in found], ys, columns.pop()


def _array(x: Any, name: str) -> np.ndarray:
    if isinstance(x, tuple):
        raise ValueError(
            f"{name} needs one array for each split; got a tuple of {len(x)}. Give "
            "from_arrays(x_train, x_validation, x_test), and labels as labels=[y_train, ...]."
        )
    return np.asarray(x)
