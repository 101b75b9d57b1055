"""Sound: companding against its formula, decimation against sine waves, files by the stdlib."""

import wave

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from gm import data
from gm.core import Event
from gm.data import Decimate, MuLaw

ROW = np.linspace(-1.0, 1.0, 4001, dtype=np.float32)


@pytest.mark.parametrize("num_values", [16, 256])
def test_mu_law_is_the_formula_in_double_precision(num_values, key):
    mu, x = num_values - 1, ROW.astype(np.float64)
    y = np.sign(x) * np.log(1 + mu * np.abs(x)) / np.log(1 + mu)
    want = np.floor((y + 1) / 2 * mu + 0.5).astype(int)
    found = np.asarray(MuLaw(num_values)(Event(ROW.shape), key, jnp.array(ROW)))
    # An edge between two levels may fall to either side in float32.
    assert np.mean(found != want) < 2e-3
    assert np.abs(found - want).max() <= 1
    assert found.dtype == np.int32
    assert (found.min(), found.max()) == (0, num_values - 1)
    assert np.all(np.diff(found) >= 0)


def test_silence_is_one_level_and_what_is_too_loud_is_clipped(key):
    x = jnp.array([0.0, 3.0, -3.0])
    np.testing.assert_array_equal(MuLaw()(Event((3,)), key, x), [128, 255, 0])
    # The smallest level either side of zero, 14 bits below full scale.
    assert abs(float(data.mu_law_decode(jnp.array(128)))) < 2.0**-13


def test_round_trip_is_off_by_half_a_level_at_most(key):
    """|dx| <= dv / 2 * dx/dv, and dx/dv = 2 (1 + mu |x|) log(1 + mu) / mu^2."""
    levels = MuLaw()(Event(ROW.shape), key, jnp.array(ROW))
    back = np.asarray(data.mu_law_decode(levels))
    bound = (1 + 255 * np.abs(ROW)) * np.log(256) / 255**2
    assert np.all(np.abs(back - ROW) <= 1.03 * bound)  # of first order: 2 % between two levels
    again = MuLaw()(Event(ROW.shape), key, jnp.array(back))
    np.testing.assert_array_equal(again, levels)


@pytest.mark.parametrize("factor", [2, 3])
def test_decimation_keeps_slow_waves_and_stops_fast_ones(factor, key):
    t, low_pass = np.arange(2000), Decimate(factor)
    event = Event((2000,))
    assert low_pass.event(event) == Event((-(-2000 // factor),))

    def decimated(cycles):  # per new sample
        x = np.sin(2 * np.pi * cycles / factor * t, dtype=np.float32)
        return np.asarray(low_pass(event, key, jnp.array(x))), x[::factor]

    inside = slice(40, -40)  # away from the ends, where zeros come in
    for cycles in (0.01, 0.2, 0.35):
        y, want = decimated(cycles)
        np.testing.assert_allclose(y[inside], want[inside], atol=4e-3)  # Hamming: -53 dB
    for cycles in (0.6, 0.8):
        y, _ = decimated(cycles)
        assert np.abs(y[inside]).max() < 4e-3


def test_decimation_is_the_filter_of_scipy(key):
    x = np.random.default_rng(0).normal(size=301).astype(np.float32)
    taps = signal.firwin(65, 0.45, window="hamming")
    want = np.convolve(x.astype(np.float64), taps)[32:-32][::2]
    np.testing.assert_allclose(Decimate()(Event((301,)), key, jnp.array(x)), want, atol=1e-5)


def test_names_phrases_and_spaces_say_what_was_done():
    x = np.random.default_rng(0).uniform(-1, 1, (30, 50)).astype(np.float32)
    sound = data.from_arrays(x, x, x).map(Decimate()).map(MuLaw())
    assert sound.name == "arrays_decimated_mulaw"
    assert sound.preprocessing == "decimated by 2, 256 mu-law levels"
    assert sound.event == Event((25,), 256)
    assert sound.test.x.shape == (30, 25)
    sound.event.check(sound.test.x)
    batch = sound.train.batches(4)(0)["x"]
    assert batch.shape == (4, 25)


def test_spoken_digits_are_prepared_by_name(prepared):
    dataset = data.load(prepared("fsdd") + "_decimated_mulaw", length=1024)
    assert dataset.event == Event((512,), 256)
    assert dataset.num_labels == 10
    assert set(dataset.train.y) == set(range(10))


def test_transforms_of_sound_refuse_what_is_none():
    for transform in (MuLaw(), Decimate()):
        with pytest.raises(ValueError, match="needs real values"):
            transform.event(Event((4,), 256))
    with pytest.raises(ValueError, match=r"Decimate needs examples of shape \[T\]"):
        Decimate().event(Event((4, 4)))
    with pytest.raises(ValueError, match="factor of at least 1"):
        Decimate(0)


def test_mu_law_of_what_is_no_number_has_one_clear_error(key):
    x = jnp.array([0.0, jnp.nan])
    with pytest.raises(ValueError, match="MuLaw needs real values; x holds nan"):
        MuLaw()(Event((2,)), key, x)
    inside = jax.jit(lambda x: MuLaw()(Event((2,)), key, x))(x)
    np.testing.assert_array_equal(inside, [128, -1])  # of probability zero: -1 is no level
    for num_values in (1, 0, -3, 2.5, float("nan")):
        for make in (MuLaw, lambda k: data.mu_law_decode(jnp.array([0]), k)):
            with pytest.raises(ValueError, match="num_values of at least 2; got"):
                make(num_values)
    for levels, message in (([0, 256], r"\[0, 256\); got values from 0"), ([0.5], "got float32")):
        with pytest.raises(ValueError, match=message):
            data.mu_law_decode(jnp.array(levels))
    np.testing.assert_array_equal(data.mu_law_decode(jnp.array([0, 1]), 2), [-1, 1])


def test_a_file_holds_the_samples_that_were_written(tmp_path):
    x = np.array([0.0, 0.5, -0.5, 1.0, -1.0, 7.0, 1e-5], np.float32)
    path = data.write_wav(tmp_path / "new" / "sound.wav", x, 8000)
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getsampwidth(), file.getframerate()) == (1, 2, 8000)
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
    np.testing.assert_array_equal(pcm, [0, 16384, -16384, 32767, -32768, 32767, 0])


def test_what_is_not_sound_is_not_written(tmp_path):
    path = tmp_path / "sound.wav"
    with pytest.raises(ValueError, match=r"real values \[T\]; got int32.*mu_law_decode"):
        data.write_wav(path, jnp.zeros(4, jnp.int32), 8000)
    with pytest.raises(ValueError, match=r"shape \(2, 4\)"):
        data.write_wav(path, np.zeros((2, 4)), 8000)
    with pytest.raises(ValueError, match="finite"):
        data.write_wav(path, np.array([0.0, np.nan]), 8000)
    with pytest.raises(ValueError, match="sample_rate of at least 1"):
        data.write_wav(path, np.zeros(4), 0)
    assert not path.exists()


def test_sound_is_the_same_inside_jit(key):
    levels = jax.jit(lambda x: MuLaw()(Event(x.shape), key, x))(jnp.array(ROW))
    np.testing.assert_array_equal(levels, MuLaw()(Event(ROW.shape), key, jnp.array(ROW)))
