"""Data sets as batches {"x": ...} that are a pure function of (seed, step).

    digits = data.load("digits")                                       # Dataset
    mnist = data.load("mnist", transform=data.DynamicBinarization())   # mnist_dynamic
    mine = data.from_arrays(x_train, x_validation, x_test)
    wine = data.load("wine.csv", label="quality", standardize=True)     # or .npz, .npy, .mat
    mine = data.load("photos/")                # a folder of images, or of .wav; poems.txt
    mine = data.from_examples(examples)        # any sequence, or a Hugging Face data set

    digits.event                              # Event(shape=(8, 8), num_values=17)
    batches = digits.train.batches(128, seed=0)
    batches(7)                                # step 7: {"x": [128, 8, 8], "label": [128]}
    batches.starting_at(7)                    # steps 7, 8, 9, ...
    digits.train.batches(128, on_device=True)  # the same, made on the device by gm.train
    digits.test.x                             # [180, 8, 8] int32
    digits.test.in_order(64)                  # every test example once
    truncated_bptt_windows(text.train, 64)    # consecutive windows of a text in each batch row
    zipped(labelled=few.batches(16, seed=0), unlabelled=many.batches(112, seed=1))

`toy` has densities in one and two dimensions with an exact log_prob, `targets` those of variational
inference, `sprites` images of known factors, `documents` bags of words.
"""

from gm.data import documents, sprites, targets, toy
from gm.data.arrays import from_arrays
from gm.data.audio import write_wav
from gm.data.batches import Batches
from gm.data.bptt import TruncatedBPTTWindows, truncated_bptt_windows
from gm.data.dataset import Dataset, Split
from gm.data.examples import from_examples
from gm.data.sources import load
from gm.data.text import decode, encode, from_texts
from gm.data.transforms import (
    Decimate,
    DynamicBinarization,
    Lossless,
    MuLaw,
    Standardize,
    Threshold,
    Transform,
    UniformDequantization,
    mu_law_decode,
)
from gm.data.zipped import Zipped, zipped

__all__ = [
    "Batches",
    "Dataset",
    "Decimate",
    "DynamicBinarization",
    "Lossless",
    "MuLaw",
    "Split",
    "Standardize",
    "Threshold",
    "Transform",
    "TruncatedBPTTWindows",
    "UniformDequantization",
    "Zipped",
    "decode",
    "documents",
    "encode",
    "from_arrays",
    "from_examples",
    "from_texts",
    "load",
    "mu_law_decode",
    "sprites",
    "targets",
    "toy",
    "truncated_bptt_windows",
    "write_wav",
    "zipped",
]
