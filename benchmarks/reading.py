"""How long MNIST takes from disk to one array in memory.

    TFDS_DATA_DIR=... python benchmarks/reading.py

Needs the prepared set. The claim: 60,000 images in at most 10 s on 2 CPU cores; a bare loop over
`tfds.data_source`, one image at a time, stands beside it.
"""

import time

import tensorflow_datasets as tfds

from gm import data


def main() -> None:
    """Prints seconds for gm, then for the bare loop over a tenth of the images, times ten."""
    begin = time.perf_counter()
    mnist = data.load("mnist")
    num_x = len(mnist.train) + len(mnist.validation)
    of_gm = time.perf_counter() - begin
    print(f"gm.data.load: all three splits, {num_x + len(mnist.test):,} images, {of_gm:.1f} s")
    begin, tenth = time.perf_counter(), 6000
    source = tfds.data_source("mnist", split="train", download=False)
    for i in range(tenth):
        source[i]["image"]
    of_loop = (time.perf_counter() - begin) * num_x / tenth
    ratio = of_loop / (of_gm * num_x / (num_x + len(mnist.test)))
    print(f"one image at a time: {of_loop:.1f} s for {num_x:,} images, {ratio:.1f} times as long")


if __name__ == "__main__":
    main()
