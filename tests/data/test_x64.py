"""With 64-bit numbers on, and promotion strict, the same 32-bit batches bit for bit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import data
from gm.data import toy

GREY = np.random.default_rng(0).integers(0, 5, (6, 8))
SOUND = np.random.default_rng(1).uniform(-1, 1, (6, 8))
TEXT = "abcdefgh" * 4


def transformed(x, *transforms):
    dataset = data.from_arrays(x, x, x)
    for transform in transforms:
        dataset = dataset.map(transform)
    return dataset


def host(split):
    """A shuffled batch, and one in order."""
    return [split.batches(4, seed=1)(3), next(split.in_order(4))]


def device(batches):
    columns = jax.tree.map(jnp.asarray, dict(batches.columns))
    return [jax.jit(batches.gather)(columns, batches.indices(5), 5)]


def sampled(density):
    @jax.jit
    def one(key):
        x = density.sample(key)
        return {"x": x, "log_prob": density.log_prob(x)}

    return [one(jax.random.key(0))]


standardize = data.Standardize((0.5,) * 8, (0.25,) * 8)
KINDS = {
    "dequantized, standardized": lambda: host(
        transformed(GREY, data.UniformDequantization(), standardize).train
    ),
    "dynamic": lambda: host(transformed(GREY, data.DynamicBinarization()).train),
    "threshold": lambda: host(transformed(GREY, data.Threshold()).train),
    "sound": lambda: host(transformed(SOUND, data.Decimate(), data.MuLaw(16)).train),
    "stored": lambda: host(transformed(SOUND).train),
    "on the device": lambda: device(transformed(SOUND, standardize).train.batches(4)),
    "truncated BPTT": lambda: device(
        data.truncated_bptt_windows(data.from_texts("letters", [TEXT] * 3, 4).train, 4)
    ),
    "mixture": lambda: sampled(toy.GaussianMixture(((0.0,), (1.0,)), (0.5, 2.0), (0.25, 0.75))),
    "checkerboard": lambda: sampled(toy.CHECKERBOARD),
}


@pytest.mark.parametrize("kind", KINDS)
def test_batches_are_the_same_32_bits(kind):
    want = KINDS[kind]()
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        got = KINDS[kind]()
    for found, expected in zip(got, want, strict=True):
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert found[name].dtype == values.dtype
            np.testing.assert_array_equal(found[name], values)


def test_mu_law_goes_back_in_32_bits():
    want = data.mu_law_decode(jnp.arange(16), 16)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        got = data.mu_law_decode(jnp.arange(16), 16)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, want)
