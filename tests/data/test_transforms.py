"""What is done to examples: closed forms and frequencies."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import data
from gm.core import Event
from gm.data import DynamicBinarization, MuLaw, Standardize, Threshold, UniformDequantization

LEVELS = np.arange(17, dtype=np.uint8)


@pytest.fixture(scope="module")
def levels():
    """400 examples that show each of the 17 levels once."""
    x = np.tile(LEVELS, (400, 1))
    return data.from_arrays(x, x, x[:50], num_values=17)


def test_threshold_is_a_comparison(key):
    out = Threshold(0.5)(Event((17,), 17), key, jnp.array(LEVELS))
    np.testing.assert_array_equal(out, LEVELS > 8)
    assert out.dtype == jnp.int32
    assert Threshold().event(Event((17,), 17)) == Event((17,), 2)


def test_dynamic_binarization_has_the_right_frequencies(levels):
    dataset = levels.map(DynamicBinarization())
    samples = np.concatenate([dataset.train.batches(400)(step)["x"] for step in range(5)])
    p = LEVELS / 16
    np.testing.assert_array_equal(samples.mean(0)[[0, 16]], [0, 1])
    # Five standard errors of 2,000 Bernoulli samples.
    np.testing.assert_allclose(samples.mean(0), p, atol=5 * np.sqrt(0.25 / len(samples)))


def test_dynamic_binarization_samples_again_in_every_epoch_but_not_for_the_same_step(levels):
    split = levels.map(DynamicBinarization()).train
    batches = split.batches(400, seed=1)
    first, second = batches(0)["x"], batches(1)["x"]
    assert 0.2 < np.mean(np.asarray(first != second)) < 0.45  # 2 p (1 - p) averages 0.31
    np.testing.assert_array_equal(first, split.batches(400, seed=1)(0)["x"])
    assert np.any(np.asarray(split.batches(400, seed=2)(0)["x"] != first))


def test_evaluation_samples_once_whatever_the_batch_size(levels):
    dataset = levels.map(DynamicBinarization())
    for batch_size in (7, 50):
        parts = [np.asarray(batch["x"]) for batch in dataset.test.in_order(batch_size)]
        np.testing.assert_array_equal(np.concatenate(parts), dataset.test.x)
    dataset.event.check(dataset.test.x)
    assert np.any(dataset.validation.x[:50] != dataset.test.x)


def test_dequantization_is_uniform_within_each_level(levels):
    transform = UniformDequantization()
    z = levels.map(transform).train.x
    u = z * 17 - LEVELS
    assert z.min() >= 0.0
    assert z.max() < 1.0
    assert stats.kstest(u.ravel().astype(np.float64), "uniform").pvalue > 1e-3
    assert transform.log_volume(levels.event) == pytest.approx(-17 * np.log(17))


def test_dequantization_stays_below_one_at_the_largest_value(monkeypatch, key):
    """255 + (1 - 2^-24) rounds to 256 in float32."""
    monkeypatch.setattr(
        jax.random, "uniform", lambda key, shape, dtype: jnp.full(shape, 1 - 2.0**-24)
    )
    z = UniformDequantization()(Event((2,), 256), key, jnp.array([255, 0], jnp.uint8))
    assert np.all(np.asarray(z) < 1)


def test_dequantized_bound_holds_and_is_tight_for_a_density_flat_within_levels():
    """p(z) = K P(floor(K z)) gives back P: E log p(z) - log K = log P(x)."""
    p = np.array([0.5, 0.25, 0.25])
    z = np.array([0.1, 0.5, 0.9])
    log_density = np.log(3 * p[np.floor(3 * z).astype(int)])
    volume = UniformDequantization().log_volume(Event((1,), 3))
    np.testing.assert_allclose(log_density + volume, np.log(p))


def test_standardize_gives_mean_zero_and_variance_one():
    x = np.random.default_rng(0).normal([5.0, -2.0, 1.0], [3.0, 0.1, 0.0], (500, 3))
    x = x.astype(np.float32)
    dataset = data.from_arrays(x, x, x)
    with pytest.warns(UserWarning, match=r"1 of 3 elements that never vary \(2\); .* stays 1"):
        transform = Standardize.fit(dataset.train.x)
    z = dataset.map(transform).train.x
    np.testing.assert_allclose(z.mean(0), 0, atol=1e-4)
    np.testing.assert_allclose(z.std(0), [1, 1, 0], atol=1e-4)
    assert transform.log_volume(dataset.event) == pytest.approx(-np.log(x.std(0)[:2]).sum(), 1e-4)
    with pytest.raises(ValueError, match="holds 3 means"):
        transform.event(Event((2,)))
    with pytest.raises(ValueError, match="positive scales"):
        Standardize((0.0,), (0.0,))


def test_the_volume_of_a_split_is_that_of_its_transforms_down_to_the_last_that_loses(levels):
    """Dequantized, then standardized: log |dz/dx| of both; what is lost cannot be scored."""
    dequantized, stored = UniformDequantization(), Event((17,), 17)
    standard = Standardize((0.5,) * 17, (0.25,) * 16 + (2.0,))
    nothing = levels.test
    both = nothing.map(dequantized).map(standard)
    binary = nothing.map(Threshold())
    loud = both.map(MuLaw())
    assert (nothing.log_volume, nothing.bound, nothing.scored_event) == (0.0, False, stored)
    want = -17 * np.log(17) - 16 * np.log(0.25) - np.log(2)
    assert both.log_volume == pytest.approx(want)
    assert (both.bound, both.scored_event) == (True, stored)
    assert (binary.log_volume, binary.bound, binary.scored_event) == (0.0, False, Event((17,), 2))
    after = binary.map(dequantized)
    assert after.log_volume == pytest.approx(-17 * np.log(2))
    assert (after.bound, after.scored_event) == (True, Event((17,), 2))
    assert (loud.log_volume, loud.bound, loud.scored_event) == (0.0, False, Event((17,), 256))


def test_what_a_model_samples_comes_back_in_the_units_of_the_data(levels):
    """Through dequantization and standardization, down to the last transform that loses."""
    dequantized = levels.map(UniformDequantization())
    standard = Standardize.fit(dequantized.train.x)
    for dataset in (dequantized, dequantized.map(standard)):
        found = dataset.to_original(dataset.test.x)
        np.testing.assert_array_equal(found, levels.test.x)
        assert found.dtype == np.int32
    outside = UniformDequantization().undo(Event((1,), 3), np.array([[-0.5], [1.0]]))
    np.testing.assert_array_equal(outside, [[0], [2]])
    binary = levels.map(Threshold()).map(UniformDequantization())
    np.testing.assert_array_equal(binary.to_original(binary.test.x), levels.map(Threshold()).test.x)


def test_the_volume_of_standardized_reals_is_exact_and_gives_the_density_of_what_is_stored():
    x = np.random.default_rng(1).normal([3.0, -1.0], [2.0, 0.5], (200, 2)).astype(np.float32)
    split = data.from_arrays(x, x, x).test
    z = split.map(Standardize.fit(x))
    log_p = stats.norm(0, 1).logpdf(z.x).sum(1) + z.log_volume
    want = stats.norm(x.mean(0, np.float64), x.std(0, np.float64)).logpdf(x).sum(1)
    np.testing.assert_allclose(log_p, want, rtol=1e-5)
    assert (z.bound, z.scored_event) == (False, Event((2,)))


def test_what_never_varies_keeps_its_scale_and_adds_no_volume():
    """The standard deviation of 0.1 repeated is 1.4e-17 in double precision."""
    x = np.stack([np.full(50, 0.1), np.arange(50.0)], 1)
    with pytest.warns(UserWarning, match="1 of 2 elements that never vary"):
        found = Standardize.fit(x)
    assert (found.mean[0], found.scale[0]) == (0.1, 1.0)
    assert found.log_volume(Event((2,))) == pytest.approx(-np.log(np.arange(50).std()))


def test_names_and_phrases_say_what_was_done(levels):
    dynamic = levels.map(DynamicBinarization())
    assert (dynamic.name, dynamic.preprocessing) == ("arrays_dynamic", "dynamic binarization")
    assert levels.map(Threshold(0.25)).preprocessing == "binarized at 0.25"
    both = levels.map(Threshold()).map(UniformDequantization())
    assert both.preprocessing == "binarized at 0.5, uniform dequantization to [0, 1)"
    assert both.event == Event((17,))
    assert set(np.floor(2 * both.test.x).ravel()) == {0, 1}


def test_a_transform_that_does_not_fit_is_refused(levels):
    with pytest.raises(
        ValueError, match=r"Standardize needs real values; .* integers in \[0, 17\)"
    ):
        levels.map(Standardize((0.0,) * 17, (1.0,) * 17))
    for transform in (Threshold(), DynamicBinarization(), UniformDequantization()):
        with pytest.raises(ValueError, match=r"needs integers in \[0, K\)"):
            transform.event(Event((2,)))


@dataclasses.dataclass(frozen=True)
class Stamp:
    """Writes a number of the key into one element."""

    place: int
    suffix = "_stamped"
    describe = "stamped"

    def event(self, event):
        return event

    def __call__(self, event, key, x):
        return x.at[self.place].set(jax.random.uniform(key, (), jnp.float32))


def test_each_transform_example_step_seed_and_split_has_noise_of_its_own():
    """Every number has a key of its own, so no two are equal."""
    x = np.zeros((5, 3), np.float32)
    dataset = data.from_arrays(x, x, x)
    for place in range(3):
        dataset = dataset.map(Stamp(place))
    batches = [dataset.train.batches(5, seed=seed)(step)["x"] for seed in (7, 8) for step in (0, 1)]
    scored = [split.x for split in (dataset.train, dataset.validation, dataset.test)]
    samples = np.stack([np.asarray(part) for part in (*batches, *scored)])
    assert len(np.unique(samples)) == 7 * 5 * 3
