"""Active units and the aggregated posterior of Gaussians; MIG and votes on known codes."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.data import sprites
from gm.metrics import disentanglement, latents

RNG = np.random.default_rng(0)
X = np.stack([np.tile([-3.0, 3.0], 40), RNG.normal(size=80)], 1).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Coder:
    """q(z | x) = N((x_0 / 2, 0), (0.1, 1)): the first latent is active, the second is the prior."""

    event: Event = Event((2,))

    def prior(self, params):
        return dist.Normal(jnp.zeros(2), jnp.ones(2))

    def encode(self, params, x):
        loc = jnp.stack([0.5 * x[0], 0.0])
        return dist.Normal(loc, jnp.array([0.1, 1.0]))

    def decode(self, params, z):
        return dist.Normal(z, jnp.ones(2))


class Sampled(Coder):
    """The same posterior in two parts, without a mean."""

    def prior(self, params):
        return dist.Joint((dist.Normal(jnp.zeros(2), jnp.ones(2)),))

    def encode(self, params, x):
        return dist.Joint((super().encode(params, x),))


def test_a_latent_that_follows_x_is_active_and_the_prior_is_not(key):
    """Var(x_0 / 2) = 9/4 80/79; sampling noise of the second latent adds no bias."""
    got = latents.active_units(Coder(), None, key, X)
    np.testing.assert_allclose(got.variance, [2.25 * 80 / 79, 0.0], rtol=1e-6)
    assert (got.active, got.total) == (1, 2)
    (variance,) = latents.active_units(Sampled(), None, key, X, num_samples=64).variance
    # The halves' means have a variance of 1/32; its covariance over 80 x an error of 1/32/9.
    np.testing.assert_allclose(variance, [2.25 * 80 / 79, 0.0], atol=0.02)


def test_the_aggregated_posterior_of_two_clusters(key):
    """q(z_0) is 1/2 N(±3/2, 0.01): x is known up to one bit, and the KL is that less log 2."""
    got = latents.aggregated(Coder(), None, key, X, num_samples=8)
    np.testing.assert_allclose(got.mutual_information.value, np.log(2.0), atol=1e-3)
    kl = 0.5 * (0.01 + 2.25 - 1.0) - np.log(0.1)
    for score, want in ((got.kl, kl), (got.marginal_kl, kl - np.log(2.0))):
        assert abs(score.value - want) < 5 * score.standard_error < 0.2
    np.testing.assert_allclose(latents.kl_per_latent(Coder(), None, X), [kl, 0.0], rtol=1e-5)


def test_codes_that_are_the_factors_have_a_gap_of_one_and_mixed_ones_none():
    factors = sprites.factors()
    noise = 1e-3 * RNG.normal(size=factors.shape)
    clean = disentanglement.mutual_information_gap(factors + noise, factors)
    assert clean == pytest.approx(1.0, abs=0.02)
    table = disentanglement.mutual_information(factors.astype(float), factors)
    np.testing.assert_allclose(table, np.diag(np.log(sprites.SIZES)), atol=1e-9)
    doubled = np.concatenate([factors, factors], axis=1).astype(float)
    assert disentanglement.mutual_information_gap(doubled, factors) == pytest.approx(0.0, abs=1e-9)


def test_votes_name_the_factors_of_clean_codes_and_of_noise_none():
    factors = sprites.factors()
    z = (factors - factors.mean(0)) / factors.std(0)
    clean = disentanglement.factor_accuracy(
        np.concatenate([3.0 * z[:, ::-1], np.zeros((len(z), 1))], 1), factors
    )
    assert clean.value == pytest.approx(100.0)
    chance = disentanglement.factor_accuracy(RNG.normal(size=z.shape), factors)
    assert chance.value < 35.0
    assert chance.unit == "%"


def test_sprites_are_all_combinations_and_factors_move_what_they_say():
    factors, images = sprites.factors(), sprites.images()
    assert images.shape == (1296, 16, 16)
    assert len(np.unique(factors, axis=0)) == 1296
    area = images.sum((1, 2)).astype(float)
    ys, xs = (np.arange(16.0)[:, None], np.arange(16.0)[None, :])
    centre = [(images * c).sum((1, 2)) / area for c in (xs, ys)]
    for column, place in zip((3, 4), centre, strict=True):
        assert np.corrcoef(factors[:, column], place)[0, 1] > 0.98
    means = [area[factors[:, 1] == k].mean() for k in range(3)]
    assert means == sorted(means)
    assert means[0] > 6
    # An ellipse turns: lying and standing differ; edges are free.
    lying, standing = (images[(factors == [1, 2, turn, 2, 2]).all(1)][0] for turn in (0, 2))
    np.testing.assert_array_equal(lying, standing.T)
    assert not np.array_equal(lying, standing)
    assert images[:, [0, -1]].sum() == images[:, :, [0, -1]].sum() == 0


def test_a_data_set_of_sprites_has_factors_as_contexts():
    dataset = sprites.load()
    assert dataset.event == Event((16, 16), 2)
    batch = next(iter(dataset.test.in_order(8)))
    np.testing.assert_array_equal(sprites.render(batch["context"].astype(int)), batch["x"])
    assert [len(s) for s in (dataset.train, dataset.validation, dataset.test)] == [1038, 129, 129]


def test_wrong_calls_are_named(key):
    factors = sprites.factors()
    with pytest.raises(ValueError, match="at least 2 examples; got 1"):
        latents.active_units(Coder(), None, key, X[:1])
    with pytest.raises(ValueError, match="num_samples of at least 1; got 80 and 0"):
        latents.aggregated(Coder(), None, key, X, num_samples=0)
    with pytest.raises(TypeError, match="element_kl needs two distributions of one type"):
        latents.kl_per_latent(Sampled(), None, X)
    with pytest.raises(ValueError, match="integer factors"):
        disentanglement.mutual_information(X, factors)
    with pytest.raises(ValueError, match="a code that varies; got 800 votes and 0 codes"):
        disentanglement.factor_accuracy(np.zeros((1296, 2)), factors)
    with pytest.raises(ValueError, match=r"below \(3, 3, 4, 6, 6\)"):
        sprites.render(np.array([[3, 0, 0, 0, 0]]))
