"""Bandwidths and bins: closed forms, brute force, and what must follow a change of units."""

import numpy as np
import pytest
from scipy import optimize, special, stats

from gm.models.classical import bandwidth_search, bandwidths, binning, bins

LINE = {
    "silverman": bandwidths.silverman,
    "scott": bandwidths.scott,
    "normal_reference": bandwidths.normal_reference,
    "improved_sheather_jones": bandwidths.improved_sheather_jones,
    "likelihood": bandwidth_search.likelihood,
    "least_squares": bandwidth_search.least_squares,
}
RULES = LINE | {"neighbours": bandwidths.NearestNeighbors(5)}


def claw(num, seed=0):
    rng = np.random.default_rng(seed)
    narrow = rng.integers(0, 5, num) / 2.0 - 1.0 + 0.1 * rng.normal(size=num)
    return np.where(rng.uniform(size=num) < 0.5, rng.normal(size=num), narrow)


@pytest.mark.parametrize("name", RULES)
@pytest.mark.parametrize("num", [100, 1000])
def test_a_bandwidth_follows_a_change_of_unit(name, num):
    x = claw(num)
    h = RULES[name](x)
    for scale, shift in [(0.1, 0.0), (1e-3, 0.0), (1e6, 0.0), (1.0, 1e3), (-2.0, 5.0)]:
        np.testing.assert_allclose(RULES[name](scale * x + shift), abs(scale) * h, rtol=1e-6)


@pytest.mark.parametrize("name", ["scott", "normal_reference", "likelihood", "least_squares"])
def test_each_element_has_its_own_unit(name):
    x = np.random.default_rng(0).normal(size=(60, 3))
    h = LINE[name](x)
    np.testing.assert_allclose(LINE[name](x * [0.1, 1.0, 1e4]), h * [0.1, 1.0, 1e4], rtol=1e-6)


def test_rules_of_thumb_are_those_of_the_books():
    x = np.random.default_rng(0).normal(size=(400, 2))
    x[0, 0] = 30.0  # so that the quartiles are the smaller scale
    s = np.std(x, axis=0, ddof=1)
    np.testing.assert_allclose(bandwidths.scott(x), s * stats.gaussian_kde(x.T).factor)
    factor = stats.gaussian_kde(x.T, "silverman").factor
    np.testing.assert_allclose(bandwidths.normal_reference(x), s * factor)
    ordered = np.sort(x[:, 0])
    iqr = ordered[299] - ordered[99]
    want = 0.9 * min(s[0], iqr / 1.34) * 400**-0.2
    np.testing.assert_allclose(bandwidths.silverman(x[:, 0]), want)
    assert iqr / 1.34 < s[0]


def test_only_ratios_of_weights_matter_and_zero_is_none():
    x, rng = claw(100), np.random.default_rng(1)
    w = rng.uniform(0.1, 1.0, 100)
    np.testing.assert_allclose(
        bandwidths.scott(x, w) / bandwidths.scott(x, 7.0 * w), 1.0, rtol=1e-12
    )
    for rule in LINE.values():
        w[50:] = 0.0
        np.testing.assert_allclose(rule(x, w), rule(x[:50], w[:50]), rtol=1e-9)


def test_improved_sheather_jones_is_within_a_percent_of_the_papers_program():
    """Values of Botev's fixed point, computed here by its recursion over all frequencies."""
    x = claw(2000)
    width, num = 2.0 * np.ptp(x), 2**12
    low = np.min(x) - 0.25 * width
    counts = np.histogram(x, num, (low, low + width))[0] / len(x)
    k = np.arange(1, num)
    a = np.array([np.sum(counts * np.cos(np.pi * i * (np.arange(num) + 0.5) / num)) for i in k])

    def gap(t):
        f = 2 * np.pi**14 * np.sum(k**14.0 * a**2 * np.exp(-(k**2.0) * np.pi**2 * t))
        for s in range(6, 1, -1):
            odd = np.prod(np.arange(1, 2 * s, 2)) / np.sqrt(2 * np.pi)
            time = (2 * (1 + 0.5 ** (s + 0.5)) / 3 * odd / len(x) / f) ** (2 / (3 + 2 * s))
            f = (
                2
                * np.pi ** (2 * s)
                * np.sum(k ** (2.0 * s) * a**2 * np.exp(-(k**2.0) * np.pi**2 * time))
            )
        return t - (2 * len(x) * np.sqrt(np.pi) * f) ** -0.4

    want = np.sqrt(optimize.brentq(gap, 1e-7, 1e-3)) * width
    np.testing.assert_allclose(bandwidths.improved_sheather_jones(x), want, rtol=0.01)


def leave_one_out(x, h):
    """log f_{-i}(x_i) by all pairs: [N]."""
    log_k = -0.5 * ((x[:, None] - x[None]) / h) ** 2 - np.log(h * np.sqrt(2 * np.pi))
    np.fill_diagonal(log_k, -np.inf)
    return special.logsumexp(log_k, axis=1) - np.log(len(x) - 1)


@pytest.mark.parametrize("num", [150, 400])  # by pairs, by bins
def test_cross_validated_bandwidths_are_the_best_of_brute_force(num):
    x = claw(num)

    def squared_error(h):
        pairs = np.exp(-0.25 * ((x[:, None] - x[None]) / h) ** 2) / (2 * h * np.sqrt(np.pi))
        return np.mean(pairs) - 2.0 * np.mean(np.exp(leave_one_out(x, h)))

    tried = np.geomspace(0.03, 0.6, 25)
    for rule, loss in {
        bandwidth_search.likelihood: lambda h: -np.mean(leave_one_out(x, h)),
        bandwidth_search.least_squares: squared_error,
    }.items():
        best = tried[np.argmin([loss(h) for h in tried])]
        ends = 0.85 * best, 1.15 * best
        want = optimize.minimize_scalar(loss, bounds=ends, method="bounded").x
        np.testing.assert_allclose(rule(x), want, rtol=2e-3)


def test_likelihood_is_exact_for_an_example_that_is_nearly_alone():
    """Binned sums lose it in the rounding of the FFT."""
    x = np.append(claw(400), 60.0)
    h = float(bandwidth_search.likelihood(x)[0])

    def loss(h):
        return -np.mean(leave_one_out(x, h))

    assert loss(h) <= min(loss(0.98 * h), loss(1.02 * h))


def test_neighbours_are_the_distances():
    x = claw(50)
    want = np.sort(np.abs(x[:, None] - x[None]), axis=1)[:, 3]
    np.testing.assert_allclose(bandwidths.NearestNeighbors(3)(x)[:, 0], want, rtol=1e-9)


@pytest.mark.parametrize("name", RULES)
def test_what_has_no_bandwidth_is_refused(name):
    with pytest.raises(ValueError, match=r"differ in every element; element 0 is 3 in all"):
        RULES[name](np.full(20, 3.0))
    with pytest.raises(ValueError, match="at least one of positive weight"):
        RULES[name](np.zeros((0, 1)))
    with pytest.raises(ValueError, match="needs finite examples"):
        RULES[name](np.array([0.0, np.nan] * 10))
    with pytest.raises(ValueError, match="one finite weight"):
        RULES[name](claw(20), np.ones(3))


def test_what_a_rule_cannot_do_is_refused():
    with pytest.raises(ValueError, match="on the line; got 2 dimensions"):
        bandwidths.improved_sheather_jones(np.random.default_rng(0).normal(size=(20, 2)))
    with pytest.raises(ValueError, match="k from 1 to 4"):
        bandwidths.NearestNeighbors(5)(claw(5))
    with pytest.raises(ValueError, match="less than 4 examples at one place"):
        bandwidths.NearestNeighbors(3)(np.append(claw(9), np.zeros(6)))


def test_linear_binning_keeps_sums_of_linear_functions():
    rng = np.random.default_rng(0)
    x, w = rng.uniform(0, 1, (50, 2)), rng.uniform(size=50)
    grids = [np.linspace(-0.5, 1.5, 9), np.linspace(0, 1, 5)]
    held = binning.product_counts(x, w, grids)
    np.testing.assert_allclose(held.sum(), w.sum())
    np.testing.assert_allclose(np.sum(held * np.outer(*grids)), np.sum(w * x[:, 0] * x[:, 1]))
    one = binning.counts(x[:, 0], w, grids[0])
    np.testing.assert_allclose(held.sum(axis=1), one)
    assert binning.counts(np.array([-9.0, 0.0, 9.0]), None, grids[0]).sum() == 1.0


def test_bins_are_those_of_numpy():
    x = claw(500)
    for rule, name in [(bins.sturges, "sturges"), (bins.scott, "scott")]:
        want = np.histogram_bin_edges(x, name)
        assert abs(len(rule(x)) - len(want)) <= 1  # scott's s has n degrees of freedom there
    quartiles = np.quantile(x, (0.25, 0.75), method="inverted_cdf")
    width = 2.0 * np.ptp(quartiles) * 500 ** (-1 / 3)
    assert len(bins.freedman_diaconis(x)) == 1 + int(np.ceil(np.ptp(x) / width))
    np.testing.assert_allclose(bins.equal_width(x, num=7), np.linspace(x.min(), x.max(), 8))


def test_cross_validated_bins_are_the_best_of_brute_force():
    """The shortcut is minus twice the leave-one-out mean, plus the integral of the square."""
    x = claw(300)

    def loss(num):
        counts, edges = np.histogram(x, num)
        width = edges[1] - edges[0]
        return np.sum(counts**2) / (300**2 * width) - 2 * np.sum(counts * (counts - 1)) / (
            300 * 299 * width
        )

    best = min(range(1, 65), key=loss)
    assert len(bins.cross_validated(x)) == best + 1


def test_bayesian_blocks_are_the_best_of_all_divisions():
    x = np.sort(np.random.default_rng(2).exponential(size=9))
    edges = np.concatenate([x[:1], (x[1:] + x[:-1]) / 2, x[-1:]])
    price = 4 - np.log(73.53 * 0.05 * 9**-0.478)

    def fitness(kept):
        found = edges[np.r_[True, kept, True]]
        counts, _ = np.histogram(x, found)
        return np.sum(counts * np.log(counts / np.diff(found))) - price * len(counts)

    kept = max((np.array(list(f"{i:08b}")) == "1" for i in range(256)), key=fitness)
    np.testing.assert_allclose(bins.bayesian_blocks(x), edges[np.r_[True, kept, True]])


def test_bayesian_blocks_find_the_edges_of_steps():
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.uniform(0, 1, 400), rng.uniform(1, 5, 100)])
    edges = bins.bayesian_blocks(x)
    assert len(edges) == 3
    np.testing.assert_allclose(edges[1], 1.0, atol=0.05)
    twice = bins.bayesian_blocks(x, 2.0 * np.ones(500))  # only ratios matter
    np.testing.assert_allclose(twice, edges)


def test_what_has_no_bins_is_refused():
    for rule in (bins.sturges, bins.freedman_diaconis, bins.bayesian_blocks, bins.cross_validated):
        with pytest.raises(ValueError, match="element 0 is 3 in all"):
            rule(np.full(20, 3.0))
    with pytest.raises(ValueError, match="from 1 to 4096 bins; got 0"):
        bins.equal_width(claw(9), num=0)
    with pytest.raises(ValueError, match="false_positives in"):
        bins.bayesian_blocks(claw(9), false_positives=0.0)
    with pytest.raises(ValueError, match="at most 20,000 different values"):
        bins.bayesian_blocks(np.arange(20_001.0))
