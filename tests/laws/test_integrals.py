"""Integrals over pytrees of latents, against sums and normalisers known beforehand."""

import numpy as np
from scipy import stats

from gm.laws import integrals

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
