"""The 8x8 digits of scikit-learn: real images without a download."""

from __future__ import annotations

import numpy as np

from gm.core import Event
from gm.data.dataset import Dataset, make
from gm.data.stored import Arrays

NUM_HELD_OUT = 180  # a tenth of 1,797 for each of validation and test


def digits() -> Dataset:
    """1,797 handwritten digits, 8x8 pixels of 17 levels (0 to 16), labels 0 to 9.

    In the order of `numpy.random.RandomState(0).permutation(1797)`, the first 1,437 are for
    training, the next 180 for validation and the last 180 for testing. Independent pixels score
    about 107.3 nats, 2.42 bits/dim, on a random tenth. The source is the test part of UCI
    "Optical Recognition of Handwritten Digits", Alpaydin & Kaynak (1998).
    """
    from sklearn import datasets

    bunch = datasets.load_digits()
    # RandomState is frozen, so this order is the same in every NumPy release.
    order = np.random.RandomState(0).permutation(len(bunch.target))
    x, label = bunch.images.astype(np.uint8)[order], bunch.target.astype(np.int32)[order]
    ends = [len(x) - 2 * NUM_HELD_OUT, len(x) - NUM_HELD_OUT]
    sources = [
        Arrays({"x": part, "label": part_label})
        for part, part_label in zip(np.split(x, ends), np.split(label, ends), strict=True)
    ]
    return make("digits", sources, Event((8, 8), 17), num_labels=10)
