"""Kernel densities, held to scipy, scikit-learn, quadrature and brute force."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate, stats
from sklearn import neighbors

from gm.core import Event
from gm.models.classical import KernelDensity, bandwidths, kernel_grid, kernels, supports

LINE, PLANE = Event(()), Event((2,))
KERNELS = {
    "gaussian": kernels.Gaussian(),
    "box": kernels.box(),
    "epanechnikov": kernels.epanechnikov(),
    "biweight": kernels.biweight(),
    "triweight": kernels.triweight(),
    "triangular": kernels.Triangular(),
    "cosine": kernels.Cosine(),
    "logistic": kernels.Logistic(),
}
HALF, UNIT = (0.0, np.inf), (0.0, 1.0)


def normals(num, size=1, seed=0):
    return np.random.default_rng(seed).normal(size=(num, size)).astype(np.float32)


@pytest.mark.parametrize("name", KERNELS)
def test_a_kernel_has_mean_zero_and_variance_one_and_its_cdf_and_samples(name):
    kernel = KERNELS[name]
    end = min(kernel.reach, 30.0) if name != "logistic" else 30.0
    u = np.linspace(-end, end, 20001).astype(np.float32)
    p = np.exp(np.asarray(kernel.log_density(u), np.float64))
    for power, want in [(0, 1.0), (1, 0.0), (2, 1.0)]:
        np.testing.assert_allclose(np.trapezoid(p * u**power, u), want, atol=1e-3)
    below = integrate.cumulative_trapezoid(p, u, initial=0.0)
    np.testing.assert_allclose(kernel.cdf(u), below, atol=1e-3)
    x = np.asarray(kernel.sample(jax.random.key(0), (4000,)))
    assert stats.kstest(x, lambda x: np.interp(x, u, below)).pvalue > 1e-4
    if name not in ("gaussian", "logistic"):
        assert float(kernel.log_density(jnp.float32(kernel.reach * 1.001))) == -np.inf
    gradient = jax.grad(kernel.log_density)(jnp.float32(2.0 * kernel.reach))
    assert np.isfinite(gradient)


def test_a_gaussian_density_is_that_of_scipy():
    x, queries = normals(300), normals(50, seed=1)
    w = np.random.default_rng(2).uniform(size=300)
    other = stats.gaussian_kde(x[:, 0].astype(np.float64), "scott", weights=w)
    model = KernelDensity(Event((1,)), bandwidths.scott)
    params = model.fit(x, weights=w)
    np.testing.assert_allclose(model.log_probs(params, queries), other.logpdf(queries.T), rtol=2e-4)
    far = model.log_prob(params, jnp.full(1, 40.0))  # where scipy's sum of float64 still has it
    np.testing.assert_allclose(far, other.logpdf([40.0])[0], rtol=1e-4)


@pytest.mark.parametrize("name", ["epanechnikov", "box", "cosine"])
def test_other_kernels_are_those_of_scikit_learn(name):
    x, queries = normals(200), normals(50, seed=1)
    kernel = {"box": "tophat"}.get(name, name)
    other = neighbors.KernelDensity(kernel=kernel, bandwidth=0.5 * KERNELS[name].reach).fit(x)
    model = KernelDensity(Event((1,)), 0.5, KERNELS[name])
    found = np.exp(model.log_probs(model.fit(x), queries))
    np.testing.assert_allclose(found, np.exp(other.score_samples(queries)), atol=1e-4)


def test_examples_are_summed_in_blocks(monkeypatch):
    """More of them than a block, a part of one at the end, and bandwidths of each."""
    x, queries = normals(90, 2), normals(7, 2, seed=1)
    for rule in (0.7, bandwidths.NearestNeighbors(4)):
        model = KernelDensity(PLANE, rule)
        params = model.fit(x)
        whole = jax.jit(jax.vmap(model.log_prob, (None, 0)))(params, queries)
        monkeypatch.setattr("gm.models.classical.kernel_density.BLOCK", 32)
        found = jax.jit(jax.vmap(model.log_prob, (None, 0)))(params, queries)
        np.testing.assert_allclose(found, whole, rtol=1e-5)
        monkeypatch.undo()


def test_neighbours_and_adaptive_bandwidths_are_those_of_the_papers():
    x = normals(60)
    at = np.linspace(-3, 3, 11, dtype=np.float32)[:, None]
    first = stats.norm(0, 0.4).pdf(x - x.T).mean(axis=1)
    each = 0.4 * np.sqrt(np.exp(np.mean(np.log(first))) / first)
    nearest = np.sort(np.abs(x - x.T), axis=1)[:, 3]
    cases = {
        KernelDensity(Event((1,)), 0.4, adaptive=0.5): each,
        KernelDensity(Event((1,)), bandwidths.NearestNeighbors(3)): nearest,
    }
    for model, h in cases.items():
        want = stats.norm(x[:, 0], h).pdf(at).mean(axis=1)
        np.testing.assert_allclose(np.exp(model.log_probs(model.fit(x), at)), want, rtol=1e-4)


def test_a_first_estimate_of_many_examples_is_binned(monkeypatch):
    x = normals(400)[:, 0]
    model = KernelDensity(LINE, 0.3, adaptive=0.5)
    exact = model.fit(x)
    monkeypatch.setattr("gm.models.classical.kernel_density.FEW", 100)
    np.testing.assert_allclose(model.fit(x)["log_bandwidth"], exact["log_bandwidth"], atol=0.01)


@pytest.mark.parametrize("name", ["gaussian", "triangular"])
@pytest.mark.parametrize("support", [HALF, (-np.inf, 1.0), UNIT], ids=["low", "high", "both"])
def test_a_density_with_edges_integrates_to_one_between_them(name, support):
    x = np.random.default_rng(0).uniform(0.0, 1.0, 40).astype(np.float32)
    model = KernelDensity(LINE, 0.4, KERNELS[name], support)
    params = model.fit(x)
    low, high = max(support[0], -4.0), min(support[1], 4.0)
    at = np.linspace(low, high, 2001, dtype=np.float32)
    p = np.exp(model.log_probs(params, at))
    np.testing.assert_allclose(np.trapezoid(p, at), 1.0, atol=1e-3)
    cdf = jax.jit(jax.vmap(model.cdf, (None, 0)))(params, at[::100])
    below = integrate.cumulative_trapezoid(p, at, initial=0.0)[::100]
    np.testing.assert_allclose(cdf, below, atol=1e-3)
    outside = jnp.float32(support[0] - 0.1 if np.isfinite(support[0]) else support[1] + 0.1)
    assert float(model.log_prob(params, outside)) == -np.inf
    grid = model.on_grid(params, low, high, 2001)
    np.testing.assert_allclose(grid, p, atol=2e-3)


def test_reflection_is_the_sum_of_mirrored_kernels():
    model = KernelDensity(LINE, 0.3, support=HALF)
    params = model.fit(np.array([0.2, 1.0], np.float32))
    at = 0.1
    want = sum(stats.norm(c, 0.3).pdf(at) for c in (0.2, -0.2, 1.0, -1.0)) / 2.0
    np.testing.assert_allclose(np.exp(model.log_prob(params, jnp.float32(at))), want, rtol=1e-5)
    folded = supports.folded(jnp.array([-0.3, 1.2, 2.4]), ((0.0, np.inf), (0.0, 1.0), (0.0, 1.0)))
    np.testing.assert_allclose(folded, [0.3, 0.8, 0.4], rtol=1e-5)


@pytest.mark.parametrize("name", ["gaussian", "epanechnikov", "logistic"])
def test_a_density_on_a_grid_is_the_exact_one(name):
    x = normals(500).astype(np.float32)
    w = np.random.default_rng(1).uniform(size=500)
    model = KernelDensity(Event((1,)), 0.2, KERNELS[name])
    for weights in (None, w):
        params = model.fit(x, weights=weights)
        grid = np.linspace(-1.0, 2.0, 151, dtype=np.float32)  # examples lie beyond it
        exact = np.exp(model.log_probs(params, grid[:, None]))
        np.testing.assert_allclose(model.on_grid(params, -1.0, 2.0, 151), exact, atol=4e-3)


def test_a_product_grid_is_the_exact_density():
    x = normals(300, 2)
    model = KernelDensity(PLANE, (0.4, 0.8), support=((-np.inf, np.inf), (-5.0, np.inf)))
    params = model.fit(x)
    found = model.on_grid(params, (-2.0, -5.5), (2.0, 1.0), (41, 52))
    a, b = np.meshgrid(np.linspace(-2, 2, 41), np.linspace(-5.5, 1.0, 52), indexing="ij")
    at = np.stack([a, b], -1).reshape(-1, 2).astype(np.float32)
    exact = np.exp(model.log_probs(params, at)).reshape(41, 52)
    np.testing.assert_allclose(found, exact, atol=2e-3 * exact.max() + 1e-4)
    assert np.all(found[:, 0] == 0.0)


def test_quantiles_invert_the_distribution_function():
    u = jnp.array([0.01, 0.3, 0.5, 0.99], jnp.float32)
    for support in (None, (-4.0, 6.0)):
        model = KernelDensity(LINE, 0.5, support=support)
        params = model.fit(normals(20)[:, 0])
        x = jax.jit(jax.vmap(model.icdf, (None, 0)))(params, u)
        back = jax.jit(jax.vmap(model.cdf, (None, 0)))(params, x)
        np.testing.assert_allclose(back, u, atol=1e-5)


def test_what_cannot_be_is_refused():
    model = KernelDensity(LINE)
    with pytest.raises(ValueError, match="a bandwidth above zero"):
        KernelDensity(LINE, 0.0)
    with pytest.raises(ValueError, match="a bandwidth above zero"):
        KernelDensity(PLANE, (1.0, -1.0))
    with pytest.raises(ValueError, match="its rule gave"):
        KernelDensity(LINE, lambda x, w: np.zeros(1)).fit(np.ones(3, np.float32))
    with pytest.raises(ValueError, match="real values"):
        KernelDensity(Event((2,), 2))
    with pytest.raises(ValueError, match="batch of at least one example"):
        model.fit(np.zeros(0, np.float32))
    with pytest.raises(ValueError, match="x needs shape"):
        KernelDensity(PLANE).fit(normals(5, 3))
    with pytest.raises(ValueError, match="differ in every element"):
        model.fit(np.full(9, 2.0, np.float32))
    with pytest.raises(ValueError, match="an example of positive weight"):
        model.fit(np.ones(2, np.float32), weights=np.zeros(2))
    with pytest.raises(ValueError, match="inside its support"):
        KernelDensity(LINE, 0.1, support=UNIT).fit(np.array([0.5, 1.5], np.float32))
    with pytest.raises(ValueError, match="half the width of its support"):
        KernelDensity(LINE, 0.6, support=UNIT).fit(np.array([0.5, 0.6], np.float32))
    with pytest.raises(ValueError, match="low < high"):
        KernelDensity(LINE, support=(1.0, 0.0))
    adaptive = KernelDensity(LINE, 0.5, adaptive=0.5)
    params = adaptive.fit(normals(9)[:, 0])
    with pytest.raises(ValueError, match="adaptive: use log_probs"):
        adaptive.on_grid(params, -1, 1, 20)
    with pytest.raises(ValueError, match="steps of at most the bandwidth"):
        kernel_grid.density(normals(9), [0.01], -3.0, 3.0, 10)
    with pytest.raises(ValueError, match="one real element"):
        KernelDensity(PLANE).cdf(KernelDensity(PLANE).fit(normals(9, 2)), jnp.zeros(2))
