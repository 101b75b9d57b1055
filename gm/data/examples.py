"""Data sets from any sequence of examples: arrays, pairs, dicts, or Hugging Face data sets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from gm.data import arrays, text
from gm.data.dataset import Dataset

X = ("x", "image", "img", "images", "pixel_values", "audio", "text", "features", "data")
LABELS = ("label", "labels", "y", "target", "fine_label")
STEMS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}


def from_examples(
    train: Any,
    validation: Any = None,
    test: Any = None,
    *,
    x: str | None = None,
    label: str | None = None,
    window: int = 128,
    name: str = "examples",
    **options: Any,
) -> Dataset:
    """Makes a data set from examples that can be iterated over or indexed.

        from_examples([image_0, image_1, ...])
        from_examples([(image_0, 3), (image_1, 0), ...])
        from_examples(datasets.load_dataset("mnist"))           # Hugging Face, with its splits
        from_examples(dataset, x="pixels", label="class")       # dicts, by their entries

    PIL images become arrays of bytes, and Hugging Face audio its "array"; texts are joined by
    newlines and cut into windows. Missing splits are cut from train as by `from_arrays`.

    Args:
      train: the examples: arrays, (array, label) pairs, dicts, or texts; or a mapping from the
        names of splits to these.
      validation: the same for validation, or None.
      test: the same for testing, or None.
      x: the key of the example in a dict; by default one of "x", "image", "text", ...
      label: the key of the label, an integer; by default "label" or similar; "" for none.
      window: T of texts, in characters.
      name: the name of the data set.
      **options: options of `from_arrays`.

    Raises:
      ValueError: there are no examples, their shapes differ, or they lack the given key.
    """
    if isinstance(train, Mapping):
        if validation is not None or test is not None:
            raise ValueError(f"{name} has splits in its first argument and beside it; give one.")
        splits = {str(key).lower(): value for key, value in train.items()}
        train, validation, test = (
            next((splits[stem] for stem in stems if stem in splits), None)
            for stems in STEMS.values()
        )
        if train is None:
            raise ValueError(f"{name} needs a split 'train'; got {', '.join(splits):.200}.")
    given = dict(zip(STEMS, (train, validation, test), strict=True))
    parts = {
        part: None if held is None else _columns(held, x, label, f"{name} {part}")
        for part, held in given.items()
    }
    if isinstance(parts["train"][0][0], str):
        texts = [None if part is None else "\n".join(part[0]) for part in parts.values()]
        return text.from_texts(name, texts[0] if None in texts else texts, window)
    stacked = {p: None if v is None else _stacked(v[0], f"{name} {p}") for p, v in parts.items()}
    ys = [None if v is None or v[1] is None else np.asarray(v[1]) for v in parts.values()]
    return arrays.from_arrays(**stacked, labels=ys, name=name, **options)


def _columns(
    held: Iterable[Any], x: str | None, label: str | None, where: str
) -> tuple[list[Any], list[Any] | None]:
    """The examples of a split, and their labels if there are any."""
    try:
        examples = list(held)
    except TypeError as error:
        raise ValueError(
            f"{where} needs a sequence of examples; got {type(held).__name__}."
        ) from error
    if not examples:
        raise ValueError(f"{where} needs at least one example.")
    first = examples[0]
    if isinstance(first, Mapping):
        key = _entry(first, x, X, where)
        label = label if label is not None else next((k for k in LABELS if k in first), "")
        ys = [e[_entry(e, label, (), where)] for e in examples] if label else None
        return [_value(e[_entry(e, key, (), where)]) for e in examples], ys
    if x is not None:
        raise ValueError(f"{where} has no entries by name, such as {x!r}; got {_kind(first)}.")
    if isinstance(first, tuple):
        if any(not isinstance(e, tuple) or len(e) != 2 for e in examples):
            raise ValueError(f"{where} needs pairs of an example and a label, all of them.")
        return [_value(e) for e, _ in examples], [y for _, y in examples]
    return [_value(e) for e in examples], None


def _entry(
    example: Mapping[str, Any], asked: str | None, usual: tuple[str, ...], where: str
) -> str:
    """The key of an entry: the given one, or the first of the usual ones that exists."""
    found = asked if asked is not None else next((k for k in usual if k in example), None)
    if found is None or found not in example:
        raise ValueError(
            f"{where} needs an entry {found or 'x'!r} in every example; they have "
            f"{', '.join(map(str, example)):.200}. Say which: x='...', label='...'."
        )
    return found


def _value(value: Any) -> Any:
    """An array, or a text."""
    if isinstance(value, Mapping) and "array" in value:  # Hugging Face audio
        value = value["array"]
    return value if isinstance(value, str) else np.asarray(value)


def _stacked(found: list[Any], where: str) -> np.ndarray:
    kinds = {_kind(x) for x in found}
    if len({getattr(x, "shape", None) for x in found}) > 1 or any(
        isinstance(x, str) for x in found
    ):
        raise ValueError(
            f"{where} needs examples of one shape; got {', '.join(sorted(kinds)[:4])}, ... "
            "Crop, pad or resize them first."
        )
    return np.stack(found)


def _kind(value: Any) -> str:
    shape = getattr(value, "shape", None)
    return type(value).__name__ if shape is None else f"{value.dtype} {tuple(shape)}"
