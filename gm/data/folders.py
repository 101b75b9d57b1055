"""Data sets from folders of images or sounds, with subfolders for classes and splits.

photos/*.png                       one split, cut into three
photos/cats/*.png photos/dogs/...  classes, numbered in alphabetical order
photos/train/... photos/test/...   splits, each in one of the forms above
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np

from gm.data import arrays, contents, waves
from gm.data.dataset import Dataset

IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
STEMS = {"train": ("train",), "validation": ("validation", "valid", "val"), "test": ("test",)}
Decode = Callable[[pathlib.Path], np.ndarray]


def read(
    path: str | os.PathLike[str], length: int, max_bytes: int = contents.MEMORY, **options: Any
) -> Dataset:
    """Reads a folder of images of one size, or of `.wav` files of one sampling rate.

    Images are [H, W] bytes if all are grey, else [H, W, 3]; a sound is cropped, or padded with
    silence, to `length` samples. Labels number the classes in alphabetical order.

    Args:
      path: the folder.
      length: T of sounds, in samples.
      max_bytes: the largest size of all examples in memory.
      **options: options of `from_arrays`.

    Raises:
      ValueError: the folder contains neither images nor sounds, or both, or they differ in size or
        sampling rate, or need more than `max_bytes`.
    """
    path = pathlib.Path(path)
    inside = {child.name.lower(): child for child in _visible(path) if child.is_dir()}
    parts = {part: _first(inside, stems) for part, stems in STEMS.items()}
    parts = parts if parts["train"] else {"train": path, "validation": None, "test": None}
    listed = {part: _listed(folder) for part, folder in parts.items() if folder}
    classes = [
        sorted({f.parent.name for f in files}) for files, nested in listed.values() if nested
    ]
    if classes and classes != [classes[0]] * len(listed):
        raise ValueError(f"{path} needs the same classes in every split; got {classes!s:.200}.")
    every = [file for files, _ in listed.values() for file in files]
    suffixes = {file.suffix.lower() for file in every}
    if not suffixes or not (suffixes <= set(IMAGES) or suffixes == {".wav"}):
        raise ValueError(
            f"{path} needs images ({', '.join(IMAGES)}) or .wav files, and nothing else, at one "
            f"depth; got {', '.join(sorted(suffixes)) or 'none':.200}."
        )
    sound = suffixes == {".wav"}
    decode, size = _sounds(every, length) if sound else _images(path, every)
    contents.check_size(path, len(every) * size, max_bytes)
    given = {part: np.stack([*map(decode, files)]) for part, (files, _) in listed.items()}
    labels = [None] * 3
    if classes:
        labels = [_labels(listed.get(part), classes[0]) for part in STEMS]
    known = {} if sound else {"num_values": None if options.get("binary") else 256}
    return arrays.from_arrays(**given, labels=labels, **{"name": path.name, **known, **options})


def _first(inside: dict[str, pathlib.Path], stems: tuple[str, ...]) -> pathlib.Path | None:
    return next((inside[stem] for stem in stems if stem in inside), None)


def _visible(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(child for child in folder.iterdir() if not child.name.startswith((".", "_")))


def _listed(folder: pathlib.Path) -> tuple[list[pathlib.Path], bool]:
    """The files of a split, sorted by path, and whether their folders are classes."""
    inside = _visible(folder)
    folders = [child for child in inside if child.is_dir()]
    if not folders:
        return inside, False
    if len(folders) < len(inside):
        strange = next(child for child in inside if not child.is_dir())
        raise ValueError(f"{folder} needs folders of classes or files, not both: {strange.name}.")
    return [file for child in folders for file in _visible(child)], True


def _labels(
    listed: tuple[list[pathlib.Path], bool] | None, classes: list[str]
) -> np.ndarray | None:
    if listed is None:
        return None
    return np.array([classes.index(file.parent.name) for file in listed[0]])


def _images(path: pathlib.Path, files: list[pathlib.Path]) -> tuple[Decode, int]:
    """A function that decodes a file to an image, and the bytes of each; from their headers."""
    from PIL import Image

    sizes, modes = set(), set()
    for file in files:
        try:
            with Image.open(file) as image:
                sizes.add(image.size)
                modes.add(image.mode)
        except Exception as error:  # a damaged image may raise any error
            raise ValueError(f"{file} is not an image, or is damaged: {error!s:.200}.") from error
    if len(sizes) > 1:
        shown = ", ".join(f"{w} x {h}" for w, h in sorted(sizes)[:4])
        raise ValueError(
            f"{path} needs images of one size; got {len(sizes)} sizes ({shown}, ...). Bring them "
            "to one first, for example with PIL: image.resize((32, 32))."
        )
    deep = sorted(mode for mode in modes if mode.startswith(("I", "F")))
    if deep:
        raise ValueError(
            f"{path} needs images of 8 bits; got mode {deep[0]} of PIL. Give their arrays to "
            "gm.data.from_arrays."
        )
    (width, height), mode = sizes.pop(), "L" if modes <= {"1", "L", "LA"} else "RGB"

    def decode(file: pathlib.Path) -> np.ndarray:
        try:
            with Image.open(file) as image:
                return np.asarray(image.convert(mode))
        except Exception as error:
            raise ValueError(f"{file} is not an image, or is damaged: {error!s:.200}.") from error

    return decode, width * height * len(mode)


def _sounds(files: list[pathlib.Path], length: int) -> tuple[Decode, int]:
    """A function that reads the first samples of a file, and their bytes; checks the rates."""
    if length < 1:
        raise ValueError(f"sound needs a length of at least 1 sample; got {length}.")

    def rate_and_sound(file: pathlib.Path, most: int) -> tuple[int, np.ndarray]:
        with open(file, "rb") as content:
            return waves.read(content, str(file), most)

    rates = {rate_and_sound(file, 0)[0]: file for file in files}
    if len(rates) > 1:
        shown = ", ".join(f"{file} {rate}" for rate, file in sorted(rates.items())[:2])
        raise ValueError(f"sounds need one rate in samples per second; got {shown}.")
    return lambda file: waves.fit(rate_and_sound(file, length)[1], length), 4 * length
