"""The data that an experiment is asked for, or one sentence that says why they do not fit."""

import dataclasses

import numpy as np

from gm import data
from gm.core import Event
from gm.data import stored
from gm.recipes import options

KINDS = {
    "any": ("", lambda dataset: True),
    "images": ("images, [H, W] or [H, W, C]", lambda dataset: len(dataset.event.shape) in (2, 3)),
    "integers": ("integers", lambda dataset: dataset.event.discrete),
    "vectors": ("vectors of real numbers", lambda dataset: not dataset.event.discrete),
    "text": ("a text", lambda dataset: bool(dataset.vocabulary)),
}
FITTING = {
    "images": "digits and mnist",
    "integers": "digits and binarized_mnist",
    "vectors": "claw and wine_quality/red",
    "text": "python_docs and tiny_shakespeare",
}


def load(c: options.Data, kind: str = "any", **sizes: int) -> data.Dataset:
    """The data set of the options.

    Args:
      c: what was asked; its `dataset` may be a `data.Dataset` of one's own, in a notebook.
      kind: of KINDS, what the model needs.
      sizes: window or length, as in `gm.data.load`.

    Raises:
      ValueError: there is none of this name, or it is of another kind.
    """
    own = {"binary": c.binary, "label": c.label, "standardize": c.standardize}
    held = isinstance(c.dataset, data.Dataset)
    dataset = c.dataset if held else data.load(c.dataset, **own, **sizes)
    wanted, fits = KINDS[kind]
    if not fits(dataset):
        raise ValueError(
            f"this experiment needs {wanted}; got {dataset}. {FITTING[kind]} are such sets."
        )
    return dataset


def with_name(c: options.Data) -> options.Data:
    """The options as they are saved, a data set of one's own by its sentence."""
    return dataclasses.replace(c, dataset=str(c.dataset))


def labels_of(dataset: data.Dataset) -> Event:
    """The space of the labels, as the context of a conditional model."""
    if dataset.context is None or not dataset.context.discrete:
        raise ValueError(
            f"this experiment needs labels, which {dataset.name} has not; digits and "
            "mnist_threshold have."
        )
    return dataset.context


def joined(*splits: data.Split) -> data.Split:
    """The examples of several splits one after the other, as models see them.

    Transforms have been made: a score of theirs is not that of what was stored.
    """
    arrays = [split.arrays() for split in splits]
    columns = {name: np.concatenate([a[name] for a in arrays]) for name in arrays[0]}
    return data.Split(stored.Arrays(columns), splits[0].event)
