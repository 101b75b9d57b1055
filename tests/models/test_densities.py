"""Histograms, neighbours, polynomials, copulas: closed forms, brute force, scipy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, special, stats

from gm.core import Event
from gm.models.classical import (
    Bernstein,
    Empirical,
    GaussianCopula,
    Histogram,
    Independent,
    IntervalNearestNeighbors,
    NearestNeighbors,
)

LINE, PLANE, BITS = Event(()), Event((2,)), Event((2, 2), 2)


def normals(num, *size, seed=0):
    return np.random.default_rng(seed).normal(size=(num, *size)).astype(np.float32)


def log_probs(model, params, x):
    return np.asarray(jax.jit(jax.vmap(model.log_prob, (None, 0)))(params, x), np.float64)


def test_a_histogram_is_counts_over_volumes_as_scipys():
    x, w = normals(200, 2), np.random.default_rng(1).uniform(size=200)
    model = Histogram(PLANE, 5)
    params = model.fit(x, weights=w)
    counts, edges = np.histogramdd(x.astype(np.float64), 5, weights=w)
    volume = np.multiply.outer(*map(np.diff, edges))
    i = [np.clip(np.searchsorted(e, x[:, d], "right") - 1, 0, 4) for d, e in enumerate(edges)]
    want = (counts / counts.sum() / volume)[tuple(i)]
    np.testing.assert_allclose(np.exp(log_probs(model, params, x)), want, rtol=1e-4)
    assert log_probs(model, params, np.full((1, 2), 9.0, np.float32))[0] == -np.inf
    smooth = model.fit(x, smoothing=2.0)
    counts = np.histogramdd(x.astype(np.float64), 5)[0]
    np.testing.assert_allclose(np.exp(smooth["logits"]), (counts + 2.0) / 250.0, rtol=1e-5)


def test_quantiles_of_a_histogram_and_of_neighbours_invert_their_distribution_functions():
    x = normals(60)
    u = np.linspace(0.01, 0.99, 25, dtype=np.float32)
    for model in (Histogram(LINE), IntervalNearestNeighbors(LINE, 4, -4.0, 4.0)):
        params = model.fit(x)
        cdf = jax.jit(jax.vmap(model.cdf, (None, 0)))
        at = jax.jit(jax.vmap(model.icdf, (None, 0)))(params, u)
        np.testing.assert_allclose(cdf(params, at), u, atol=1e-5)
        grid = np.linspace(-4.0, 4.0, 8001, dtype=np.float32)
        p = np.exp(log_probs(model, params, grid))
        below = integrate.cumulative_trapezoid(p, grid, initial=0.0)[::500]
        np.testing.assert_allclose(cdf(params, grid[::500]), below, atol=3e-3)


def test_neighbours_are_the_formula_and_weights_are_copies():
    x, queries = normals(40, 3), normals(9, 3, seed=1)
    copies = np.random.default_rng(2).integers(1, 3, 40)
    model = NearestNeighbors(Event((3,)), 4)
    found = model.log_scores(model.fit(x, weights=copies), queries)
    many = np.repeat(x, copies, axis=0)
    r = np.sort(np.linalg.norm(queries[:, None] - many[None], axis=-1), axis=1)[:, 3]
    want = np.log(4 / len(many)) - np.log(4 / 3 * np.pi * r**3)
    np.testing.assert_allclose(found, want, rtol=1e-4)
    np.testing.assert_allclose(model.log_scores(model.fit(many), queries), want, rtol=1e-4)


def test_the_neighbours_among_many_are_those_of_a_sort():
    x = np.round(normals(2003, 1), 2)  # some are equal
    model = NearestNeighbors(Event((1,)), 7)
    at = jax.jit(jax.vmap(model.distance, (None, 0)))(model.fit(x), x[:50])
    want = np.sort(np.abs(x[:50] - x[None, :, 0]), axis=1)[:, 6]
    np.testing.assert_allclose(at, want, atol=1e-6)


def test_neighbours_on_an_interval_are_the_formula_normalised():
    x, copies = normals(30), np.random.default_rng(2).integers(1, 3, 30)
    model = IntervalNearestNeighbors(LINE, 4, -4.0, 5.0)
    params = model.fit(x, weights=copies)
    grid = np.linspace(-4.0, 5.0, 4001)
    many = np.repeat(x, copies).astype(np.float64)
    r = np.sort(np.abs(grid[:, None] - many[None]), axis=1)[:, 3]
    want = 1.0 / r / np.trapezoid(1.0 / r, grid)
    found = np.exp(log_probs(model, params, grid.astype(np.float32)))
    np.testing.assert_allclose(found, want, rtol=2e-3)
    assert log_probs(model, params, np.array([-4.1, 5.1], np.float32)).max() == -np.inf


def test_an_empirical_distribution_is_its_counts():
    x = np.random.default_rng(0).integers(0, 2, (20, 2, 2))
    w = np.arange(20.0)
    model = Empirical(BITS)
    params = model.fit(x, weights=w)
    for one in (x[3], x[11], 1 - x[0]):
        want = w[np.all(x == one, axis=(1, 2))].sum() / w.sum()
        found = jnp.exp(model.log_prob(params, jnp.asarray(one, jnp.int32)))
        np.testing.assert_allclose(found, want, atol=1e-6)


def test_a_bernstein_polynomial_is_a_mixture_of_beta_densities():
    x = np.random.default_rng(0).beta(2, 5, 300).astype(np.float32) * 3.0 - 1.0
    model = Bernstein(LINE, 6, -1.0, 2.0)
    shares = model.fit(x, num_steps=0)
    np.testing.assert_allclose(
        np.exp(shares["logits"]), np.histogram(x, 7, (-1.0, 2.0))[0] / 300, atol=1e-6
    )
    fitted = model.fit(x)
    share = special.softmax(np.asarray(fitted["logits"], np.float64))
    at = np.array([-1.0, -0.5, 0.3, 2.0], np.float32)
    parts = [stats.beta(k + 1, 7 - k, -1.0, 3.0) for k in range(7)]
    want = sum(w * part.pdf(at) for w, part in zip(share, parts, strict=True))
    np.testing.assert_allclose(np.exp(log_probs(model, fitted, at)), want, rtol=1e-4, atol=1e-9)
    below = sum(w * part.cdf(at) for w, part in zip(share, parts, strict=True))
    cdf = jax.jit(jax.vmap(model.cdf, (None, 0)))(fitted, at)
    np.testing.assert_allclose(cdf, below, atol=1e-5)
    median = jax.jit(model.icdf)(fitted, jnp.float32(0.5))
    np.testing.assert_allclose(model.cdf(fitted, median), 0.5, atol=1e-5)
    # A maximum of a concave function: no term is worth more, and those in use are worth one.
    t = np.stack([part.pdf(x) for part in parts], 1)
    worth = np.mean(t / (t @ share)[:, None], axis=0)
    assert worth.max() < 1.01
    np.testing.assert_allclose(share @ worth, 1.0, rtol=1e-6)


@dataclasses.dataclass(frozen=True)
class NormalMarginal:
    """N(0, s^2): {"scale": s}."""

    event: Event = LINE

    def log_prob(self, params, x):
        return jax.scipy.stats.norm.logpdf(x, 0.0, params["scale"])

    def cdf(self, params, x):
        return jax.scipy.stats.norm.cdf(x, 0.0, params["scale"])


def test_a_copula_of_normals_is_their_joint_density():
    model = GaussianCopula(PLANE, NormalMarginal())
    scales = np.array([2.0, 0.5], np.float32)
    marginals = tuple({"scale": s} for s in scales)
    params = {"marginals": marginals, "lower": jnp.array([-0.75], jnp.float32)}
    cov = np.array([[1.0, -0.6], [-0.6, 1.0]])
    np.testing.assert_allclose(model.correlation(params), cov, rtol=1e-6)
    x = np.array([1.5, -0.6], np.float32)
    want = stats.multivariate_normal([0, 0], cov * np.outer(scales, scales)).logpdf(x)
    np.testing.assert_allclose(model.log_prob(params, x), want, rtol=1e-5)


@pytest.mark.matrix
def test_a_gaussian_copula_is_the_density_of_transformed_gaussians():
    cov = np.array([[1.0, 0.7], [0.7, 1.0]])
    z = np.random.default_rng(0).multivariate_normal([0, 0], cov, 600)
    model = GaussianCopula(PLANE, Bernstein(LINE, 30, -5.0, 5.0))
    params = model.fit(np.float32(z))
    np.testing.assert_allclose(model.correlation(params), cov, atol=0.06)
    one = model.correlation(params)
    at = np.array([[0.3, -0.2], [1.0, 1.5]], np.float32)
    independent = Independent(PLANE, Bernstein(LINE, 30, -5.0, 5.0))
    alone = log_probs(independent, {"marginals": params["marginals"]}, at)
    cdf = jax.jit(jax.vmap(model.marginals[0].cdf, (None, 0)))
    u = [cdf(of, at[:, d]) for d, of in enumerate(params["marginals"])]
    score = special.ndtri(np.array(u, np.float64).T)
    joint = stats.multivariate_normal([0, 0], np.asarray(one, np.float64)).logpdf(score)
    want = alone + joint - stats.norm.logpdf(score).sum(axis=1)
    np.testing.assert_allclose(log_probs(model, params, at), want, atol=2e-3)


def test_what_cannot_be_is_refused():
    x = normals(9)
    cases = {
        "real values; got": lambda: Histogram(Event((2,), 2)),
        "at least one bin": lambda: Histogram(LINE, 0),
        "at most 4,194,304 cells": lambda: Histogram(Event((8,)), 10).fit(normals(9, 8)),
        "smoothing of at least 0": lambda: Histogram(LINE).fit(x, smoothing=-1.0),
        "element 0 is 1 in all 9": lambda: Histogram(LINE).fit(np.ones(9, np.float32)),
        "whole k of at least 1": lambda: NearestNeighbors(LINE, 0),
        "weight of at least k = 20": lambda: NearestNeighbors(LINE, 20).fit(x),
        "k of at least 2": lambda: IntervalNearestNeighbors(LINE, 1),
        "less than k = 3 examples at one place": lambda: IntervalNearestNeighbors(LINE, 3).fit(
            np.full(5, 0.5, np.float32)
        ),
        r"examples in \[0.0, 1.0\]": lambda: IntervalNearestNeighbors(LINE, 2).fit(x),
        "one real element": lambda: IntervalNearestNeighbors(PLANE, 2),
        "discrete values": lambda: Empirical(LINE),
        "of positive weight": lambda: Empirical(BITS).fit(np.zeros((0, 2, 2), np.int32)),
        "degree of at least 0": lambda: Bernstein(LINE, -1),
        r"needs examples in \[0.0, 1.0\]; got": lambda: Bernstein(LINE).fit(x),
        "one marginal of one element": lambda: Independent(PLANE, (Histogram(LINE),)),
        "marginal of one element for each of 2; got 2 of": lambda: GaussianCopula(
            PLANE, Histogram(PLANE)
        ),
    }
    for message, case in cases.items():
        with pytest.raises(ValueError, match=message):
            case()
