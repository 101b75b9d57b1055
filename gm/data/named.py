"""Published data sets by name: their files, and the same examples as TFDS makes from them."""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import pathlib
import tarfile
import warnings
from collections.abc import Callable, Sequence

import numpy as np

from gm.core import Event
from gm.data import contents, remote, tables, text, values, waves
from gm.data.dataset import Dataset, cut, make
from gm.data.remote import File
from gm.data.stored import Arrays

Columns = dict[str, np.ndarray]
PARTS = ("train", "validation", "test")


def load(name: str, window: int, length: int) -> Dataset | None:
    """Loads a data set by name, downloading it if necessary; None if the name is unknown.

    Raises:
      FileNotFoundError: the data set is not in the cache and cannot be downloaded.
      ValueError: a file differs from the published one.
    """
    if name not in SETS:
        return None
    files, licence, read = SETS[name]
    return read(name, remote.fetch(name, licence, files), window, length)


def in_order(keys: Sequence[str], split: str) -> list[int]:
    """The order in which TFDS stores the examples with these keys: by an MD5 of split and key."""
    hashes = [hashlib.md5(f"{split}{key}".encode()).digest() for key in keys]
    return sorted(range(len(keys)), key=hashes.__getitem__)


def _stored(
    parts: dict[str, Columns], keys: dict[str, Sequence[str]] | None = None
) -> list[Columns]:
    """Train, validation and test as prepared by TFDS and read by `gm.data.load`.

    A missing split is cut from the end of the training examples, the test split first.

    Args:
      parts: the official splits, in the order of their files.
      keys: the keys of their examples; by default their numbers.
    """
    ordered = {}
    for split, columns in parts.items():
        order = in_order((keys or {}).get(split) or range(len(columns["x"])), split)
        ordered[split] = {name: values[order] for name, values in columns.items()}
    for split in ("test", "validation"):
        if split not in ordered:
            size = len(ordered["train"]["x"]) - cut(len(ordered["train"]["x"]))
            ordered[split] = {name: v[size:] for name, v in ordered["train"].items()}
            ordered["train"] = {name: v[:size] for name, v in ordered["train"].items()}
    return [ordered[split] for split in PARTS]


def _images(name: str, paths: list[pathlib.Path], window: int, length: int) -> Dataset:
    """Reads MNIST's four files: a header, then the bytes of images or labels."""
    del window, length
    raw = [np.frombuffer(gzip.decompress(path.read_bytes()), np.uint8) for path in paths]
    parts = {}
    for split, (images, labels) in zip(("train", "test"), (raw[:2], raw[2:]), strict=True):
        parts[split] = {"x": images[16:].reshape(-1, 28, 28), "label": labels[8:].astype(np.int32)}
    return make(
        name, [*map(Arrays, _stored(parts))], Event((28, 28), 256), num_labels=10, made=PARTS[1:2]
    )


def _colour(name: str, paths: list[pathlib.Path], window: int, length: int) -> Dataset:
    """Reads CIFAR-10's archive: per image a label byte, then 32 x 32 red, green and blue bytes."""
    del window, length
    files = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
    parts = {}
    with tarfile.open(paths[0]) as archive:
        for split, names in files.items():
            held = [archive.extractfile(f"cifar-10-batches-bin/{n}").read() for n in names]
            rows = np.frombuffer(b"".join(held), np.uint8).reshape(-1, 1 + 3 * 32 * 32)
            x = np.moveaxis(rows[:, 1:].reshape(-1, 3, 32, 32), 1, -1)
            parts[split] = {"x": x, "label": rows[:, 0].astype(np.int32)}
    return make(
        name,
        [*map(Arrays, _stored(parts))],
        Event((32, 32, 3), 256),
        num_labels=10,
        made=PARTS[1:2],
    )


def _binarized(name: str, paths: list[pathlib.Path], window: int, length: int) -> Dataset:
    """Reads Larochelle's three text files: 784 values 0 or 1 per line, separated by spaces."""
    del window, length
    parts = {}
    for split, path in zip(PARTS, paths, strict=True):
        digits = np.frombuffer(path.read_bytes(), np.uint8)[::2]
        parts[split] = {"x": (digits == ord("1")).astype(np.uint8).reshape(-1, 28, 28)}
    return make(name, [*map(Arrays, _stored(parts))], Event((28, 28), 2))


def _text(name: str, paths: list[pathlib.Path], window: int, length: int) -> Dataset:
    """Reads a text: 90 % for training, 5 % for validation and 5 % for testing."""
    del length
    return text.from_texts(name, paths[0].read_text("utf-8"), window)


def _wine(name: str, paths: list[pathlib.Path], window: int, length: int) -> Dataset:
    """Reads a table of eleven numbers, sorted by name, with the quality as the label."""
    del window, length
    columns = tables.read_csv(paths[0]).columns
    label = columns.pop("quality").astype(np.int32)
    x = np.stack([columns[c].astype(np.float32) for c in sorted(columns)], axis=1)
    parts = _stored({"train": {"x": x, "label": label}})
    values.check_precision([part["x"] for part in parts], name)
    details = {"num_labels": 1 + int(label.max()), "made": PARTS[1:]}
    return make(name, [*map(Arrays, parts)], Event((x.shape[1],)), **details)


def _spoken(name: str, paths: list[pathlib.Path], window: int, length: int) -> Dataset:
    """Reads the first samples of the archive's recordings, `<digit>_<speaker>_<number>.wav`."""
    del window
    sounds = {}
    with tarfile.open(paths[0]) as archive:
        for member in archive:
            stem = pathlib.PurePosixPath(member.name)
            if member.isfile() and stem.suffix == ".wav" and stem.parent.name == "recordings":
                wave = io.BytesIO(archive.extractfile(member).read())
                sounds[stem.stem] = waves.read(wave, member.name)[1]
    keys = sorted(sounds)
    x = np.stack([waves.fit(sounds[key], length) for key in keys])
    label = np.array([int(key[0]) for key in keys], np.int32)
    parts = _stored({"train": {"x": x, "label": label}}, {"train": keys})
    details = {"preprocessing": f"the first {length} samples, padded with silence"}
    details |= {"num_labels": 10, "made": PARTS[1:]}
    return make(name, [*map(Arrays, parts)], Event((length,)), **details)


@dataclasses.dataclass(frozen=True)
class Binary:
    """Reads a binary data set of the MADE paper: arrays of 0 and 1 for three splits.

    Attributes:
      sha256: the SHA-256 of the concatenated bytes of all splits.
    """

    sha256: str

    def __call__(self, name: str, paths: list[pathlib.Path], window: int, length: int) -> Dataset:
        """Reads the `.npz` file and verifies its examples."""
        del window, length
        with open(paths[0], "rb") as file:
            held = contents.of(paths[0], file)
            own = "train_data" if "train_data" in held.names else "train"
            names = [own.replace("train", split) for split in ("train", "valid", "test")]
            found = contents.read(paths[0], held, names, contents.MEMORY)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of casting nan: the examples are verified below
            parts = [np.ascontiguousarray(found[name].astype(np.uint8)) for name in names]
        digest = hashlib.sha256(b"".join(x.tobytes() for x in parts)).hexdigest()
        if digest != self.sha256:
            raise ValueError(
                f"{paths[0]} does not hold the published examples: their SHA-256 is "
                f"{self.sha256}; got {digest}. Delete it to have it downloaded."
            )
        return make(name, [Arrays({"x": x}) for x in parts], Event(parts[0].shape[1:], 2))


MADE = "https://raw.githubusercontent.com/mgermain/MADE/ace8010eb56461b7ac5104d4baf4ffc171665ebc"
UCI = "https://archive.ics.uci.edu/ml/machine-learning-databases/wine-quality"


def _files(base: str, listed: str) -> tuple[File, ...]:
    """Files from lines of SHA-256, size and name, the same as in TFDS where TFDS has the set."""
    lines = [line.split() for line in listed.strip().splitlines()]
    return tuple(File(f"{base}/{name}", int(size), sha256) for sha256, size, name in lines)


MNIST = _files(
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    """
440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609 9912422 train-images-idx3-ubyte.gz
3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c 28881 train-labels-idx1-ubyte.gz
8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6 1648877 t10k-images-idx3-ubyte.gz
f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6 4542 t10k-labels-idx1-ubyte.gz
""",
)
FASHION = _files(
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
    """
3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84 26421880 train-images-idx3-ubyte.gz
a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845 29515 train-labels-idx1-ubyte.gz
346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073 4422102 t10k-images-idx3-ubyte.gz
67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5 5148 t10k-labels-idx1-ubyte.gz
""",
)
CIFAR10 = _files(
    "https://www.cs.toronto.edu/~kriz",
    """
c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd 170052171 cifar-10-binary.tar.gz
""",
)
BINARIZED = _files(
    "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist",
    """
ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d 78400000 binarized_mnist_train.amat
1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2 15680000 binarized_mnist_valid.amat
e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c 15680000 binarized_mnist_test.amat
""",
)
SHAKESPEARE = _files(
    "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare",
    "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed 1115394 input.txt",
)
SPOKEN = _files(
    "https://github.com/Jakobovski/free-spoken-digit-dataset/archive",
    "8bc44cde129d505cbbb6b365c09f80c663f2aa77578afc634e6141a2f87100c0 11975353 v1.0.9.tar.gz",
)
RED = _files(
    UCI,
    "4a402cf041b025d4566d954c3b9ba8635a3a8a01e039005d97d6a710278cf05e 84199 winequality-red.csv",
)
WHITE = _files(
    UCI,
    "76c3f809815c17c07212622f776311faeb31e87610d52c26d87d6e361b169836 264426 winequality-white.csv",
)
SETS: dict[str, tuple[tuple[File, ...], str, Callable[..., Dataset]]] = {
    "mnist": (MNIST, "CC BY-SA 3.0", _images),
    "fashion_mnist": (FASHION, "MIT licence", _images),
    "cifar10": (CIFAR10, "no licence stated", _colour),
    "binarized_mnist": (BINARIZED, "no licence stated", _binarized),
    "tiny_shakespeare": (SHAKESPEARE, "MIT licence", _text),
    "fsdd": (SPOKEN, "CC BY-SA 4.0", _spoken),
    "wine_quality/red": (RED, "CC BY 4.0", _wine),
    "wine_quality/white": (WHITE, "CC BY 4.0", _wine),
    "dna": (
        (File(f"{MADE}/datasets/dna.npz", 2**25),),
        "no licence stated",
        Binary("8f65d8ffdfff0d7fbd88c69e5fb90b05e0a671fbac59900c4fe607a8be3c1b41"),
    ),
    "mushrooms": (
        (File(f"{MADE}/datasets/mushrooms.npz", 2**25),),
        "no licence stated",
        Binary("c129bab9732f4a35900d99cfc0c259e2cc6efd950292a4eaa193bbc88cc7c092"),
    ),
}
