"""Loading the data set of an experiment, with clear errors if it does not fit the model."""

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
    """Loads the data set of the options.

    Args:
      c: the options; in a notebook, `dataset` may be your own `data.Dataset`.
      kind: the kind of data that the model needs, one of KINDS.
      **sizes: window or length, as in `gm.data.load`.

    Raises:
      ValueError: there is no data set of this name, or it is of another kind.
    """
    own = {"binary": c.binary, "label": c.label, "standardize": c.standardize}
    held = isinstance(c.dataset, data.Dataset)
    dataset = c.dataset if held else data.load(c.dataset, **own, **sizes)
    wanted, fits = KINDS[kind]
    if not fits(dataset):
        raise ValueError(
            f"this experiment needs {wanted}; got {dataset}. Data sets that fit: {FITTING[kind]}."
        )
    return dataset


def with_name(c: options.Data) -> options.Data:
    """The options as they are saved, with your own data set replaced by its description."""
    return dataclasses.replace(c, dataset=str(c.dataset))


def labels_of(dataset: data.Dataset) -> Event:
    """The space of the labels, as the context of a conditional model."""
    if dataset.context is None or not dataset.context.discrete:
        raise ValueError(
            f"this experiment needs labels, which {dataset.name} does not have; digits and "
            "mnist_threshold do."
        )
    return dataset.context


def joined(*splits: data.Split) -> data.Split:
    """The concatenated examples of several splits, after their transforms.

    A score of these is that of the transformed examples, not of the stored ones.
    """
    arrays = [split.arrays() for split in splits]
    columns = {name: np.concatenate([a[name] for a in arrays]) for name in arrays[0]}
    return data.Split(stored.Arrays(columns), splits[0].event)
