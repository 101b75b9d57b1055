"""Integrals over pytrees of latents, against sums and normalisers known beforehand."""

from types import SimpleNamespace

import jax
import numpy as np
import pytest
from scipy import stats

from gm.laws import integrals, latent
from gm.laws.law import LawBroken

RNG = np.random.default_rng(0)
PLACE = {"k": RNG.integers(0, 3, (64, 2)).astype(np.int32), "z": RNG.normal(size=(64, 1, 2))}


def test_a_space_takes_latents_apart_and_puts_them_together():
    space = integrals.Space.of(PLACE, PLACE)
    reals, discrete = space.split(PLACE)
    assert (reals.shape, discrete.shape) == ((64, 2), (64, 2))
    assert (space.num_reals, space.num_states) == (2, 9.0)
    back = space.join(reals, discrete)
    for name, leaf in PLACE.items():
        np.testing.assert_array_equal(back[name], leaf)
        assert back[name].dtype == leaf.dtype
    assert {tuple(s) for s in space.states()} == {(i, j) for i in range(3) for j in range(3)}


def test_discrete_latents_are_enumerated_from_the_least_to_the_largest_seen():
    k = np.array([[2], [4], [2]])
    space = integrals.Space.of(k)
    total = integrals.exactly(lambda k: np.stack([k[:, 0], k[:, 0] ** 2], 1), space, None)
    np.testing.assert_array_equal(total, [2 + 3 + 4, 4 + 9 + 16])


def test_real_parts_are_integrated_over_for_every_state_and_many_are_left_to_samples():
    space = integrals.Space.of(PLACE)

    def riemann(f):
        x = np.linspace(-8.0, 8.0, 200)
        grid = np.stack(np.meshgrid(x, x), -1).reshape(-1, 2)
        return np.sum(f(grid), axis=0) * (x[1] - x[0]) ** 2

    def density(z):
        weights = np.array([0.5, 0.3, 0.2])
        p = weights[z["k"]].prod(1) * stats.norm.pdf(z["z"], z["k"].sum(1)[:, None, None] / 4)[
            :, 0
        ].prod(1)
        return p[:, None]

    np.testing.assert_allclose(integrals.exactly(density, space, riemann), [1.0], rtol=1e-4)
    wide = integrals.Space.of({"k": RNG.integers(0, 9, (64, 2)), "z": PLACE["z"]})
    assert integrals.exactly(density, wide, riemann) is None
    assert integrals.exactly(density, integrals.Space.of(np.zeros((2, 3))), riemann) is None


def test_samples_of_two_densities_integrate_a_third_within_their_error():
    """The mean of e^z under N(0, 1) is e^(1/2), from samples of N(0, 1) and of N(1, 1/4)."""
    z = RNG.standard_normal(4000), 1.0 + 0.5 * RNG.standard_normal(4000)

    def f(z):
        base = 0.5 * (stats.norm.pdf(z) + stats.norm.pdf(z, 1.0, 0.5))
        return np.stack([np.exp(z) * stats.norm.pdf(z) / base, stats.norm.pdf(z) / base], 1)

    total, error = integrals.by_samples(f, z)
    assert np.all(np.abs(total - (np.exp(0.5), 1.0)) < 5.0 * error)
    # The variance of one value of a half, over its count, for two halves of weight one half.
    want = np.sqrt(sum(np.var(f(half), axis=0) for half in z) / 4000) / 2
    np.testing.assert_allclose(error, want)


def test_states_are_numbered_in_the_order_in_which_they_are_listed():
    space = integrals.Space.of({"k": np.array([[2, -1], [4, 0]])})
    np.testing.assert_array_equal(space.number(space.every()), np.arange(6))
    np.testing.assert_array_equal(space.states()[space.number({"k": np.array([[3, 0]])})], [[3, 0]])


def over_latents(shown, p, both=None):
    """Integrals over one whole number with probabilities p [K], samples of which are given."""

    def integrands(z, sampled=False):
        q = p[z[:, 0]]
        return np.stack([q, q, q, q, q], axis=1)

    trial = SimpleNamespace(model=None, key=jax.random.key(0), run=lambda *args: both)
    return latent._over_latents(trial, None, integrands, shown, 1)


def test_a_value_that_few_samples_miss_is_found_by_more_of_them():
    """And what is missing then was never there: no samples of densities that are none decide."""
    few, many = np.zeros((64, 1), np.int32), np.array([[0], [1]])
    total, error = over_latents((few, few), np.array([0.99, 0.01]), (many, few))
    np.testing.assert_allclose(total, 1.0)
    assert not np.any(error)
    total, error = over_latents((few, few), np.array([0.94, 0.01]), (many, few))
    np.testing.assert_allclose(total, 0.95)
    assert not np.any(error)


def test_samples_of_whole_numbers_are_as_likely_as_their_density_says():
    p = np.array([0.3, 0.3, 0.4])
    z = RNG.choice(3, (2, 1024, 1), p=p)
    total, _ = over_latents(tuple(z), p)
    np.testing.assert_allclose(total, 1.0)
    never = np.where(z == 1, 0, z)
    never[:, 0] = 1  # all but never
    for pair, of in (((never[0], z[1]), "posterior"), ((z[0], never[1]), "prior")):
        with pytest.raises(LawBroken, match=f"samples of the {of} are not as likely as it says"):
            over_latents(pair, p)
