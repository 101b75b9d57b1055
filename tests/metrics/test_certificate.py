"""Bounds on log p(x) in order, against probabilistic PCA, whose log p(x) is known, and bits."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.metrics import annealed, certificate
from gm.models.classical import FactorAnalysis

PARAMS = {
    "mean": jnp.array([0.5, -1.0, 0.0, 2.0]),
    "loading": jnp.asarray(np.random.default_rng(1).normal(size=(4, 2)), jnp.float32),
    "log_scale": jnp.asarray(np.log(0.4), jnp.float32),
}


class Loose(FactorAnalysis):
    """A posterior of the right mean, but round and too wide, so that its bounds are loose."""

    def encode(self, params, x):
        return dist.Normal(self.represent(params, x), jnp.full(2, 0.6))


MODEL = Loose(Event((4,)), 2, isotropic=True)


@pytest.fixture(scope="module")
def found():
    options = {"num_chains": 16, "num_steps": 60, "num_leapfrog": 4}
    return certificate(MODEL, PARAMS, jax.random.key(3), num_examples=48, num_samples=4, **options)


def test_the_bracket_holds_what_is_known(found):
    """log p(x) of simulated x lies between: on average to five standard errors, and narrowly."""
    gaps = found.gaps()
    below, above = gaps["exact - annealed, forward"], gaps["annealed, reverse - exact"]
    for gap in (below, above):
        assert -5 * gap.standard_error < gap.value < 0.1
    assert abs(np.mean(found.exact) + 4.9) < 1.5  # of four pixels, so that a constant shows
    far = found.exact - found.elbo
    assert far.mean() > 0.5  # the elbo of this posterior is far below


def test_the_bounds_are_in_order(found):
    assert list(found.bounds()) == [
        "ELBO",
        "IWAE",
        "annealed, forward",
        "exact",
        "annealed, reverse",
    ]
    assert np.all(found.elbo <= found.iwae + 1e-5)
    gaps = found.gaps()
    assert gaps["annealed, forward - IWAE"].value > 0.0
    assert np.all((found.effective_sample_size > 2.0) & (found.effective_sample_size <= 16.01))
    assert 0.4 < found.acceptance.mean() < 0.95


def test_it_prints_and_plots_every_bound(found):
    text = str(found).splitlines()
    assert len(text) == 6
    assert text[4].startswith("exact")
    index, exact = found.lines()["exact"]
    np.testing.assert_array_equal(exact, np.zeros(48))
    np.testing.assert_array_equal(index, np.arange(48))
    _, elbo = found.lines()["ELBO"]
    np.testing.assert_allclose(elbo, (found.elbo - found.exact)[np.argsort(found.exact)])


@pytest.mark.matrix  # it compiles another program of chains
def test_data_without_exact_posterior_samples_has_no_upper_bound(key):
    """And one temperature is importance sampling: with the posterior itself all bounds agree."""
    model = FactorAnalysis(Event((4,)), 2, isotropic=True)
    x = jax.vmap(model.sample, (None, 0))(PARAMS, jax.random.split(key, 3))
    small = {"num_chains": 2, "num_steps": 1, "num_leapfrog": 1}
    got = certificate(model, PARAMS, key, x, num_samples=2, **small)
    assert got.upper is None
    for bound in (got.elbo, got.iwae, got.lower):
        np.testing.assert_allclose(bound, got.exact, rtol=1e-4)


@dataclasses.dataclass(frozen=True)
class Bits:
    """z of two bits, x ~ N(z, 1)."""

    event: Event = Event((2,))

    def prior(self, params):
        return dist.Bernoulli(params)

    def encode(self, params, x):
        return dist.Bernoulli(x)

    def decode(self, params, z):
        return dist.Normal(z.astype(jnp.float32), jnp.ones(2))


def test_a_discrete_z_of_few_values_is_enumerated(key):
    from scipy import stats

    logits = jnp.array([0.3, -1.0])
    got = certificate(Bits(), logits, key, num_examples=5, num_samples=3)
    assert got.lower is None
    assert got.upper is None
    assert list(got.bounds()) == ["ELBO", "IWAE", "exact"]
    x = np.array([[0.2, -1.0], [1.5, 0.7]], np.float32)
    got = certificate(Bits(), logits, key, x, num_samples=3)
    p = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    want = np.log((1 - p) * stats.norm.pdf(x) + p * stats.norm.pdf(x, 1.0)).sum(1)
    np.testing.assert_allclose(got.exact, want, rtol=1e-5)


def test_wrong_calls_are_named(key, sampler):
    with pytest.raises(TypeError, match="prior, encode, decode; Sampler offers sample"):
        certificate(sampler, PARAMS, key)
    with pytest.raises(ValueError, match="z only with its x; got 64, 16, x=None"):
        certificate(MODEL, PARAMS, key, z=jnp.zeros((1, 2)))
    with pytest.raises(ValueError, match="num_chains of at least 2; got 1"):
        annealed.estimate(MODEL, PARAMS, key, jnp.zeros(4), num_chains=1)
    with pytest.raises(TypeError, match=r"needs real z.*got int32"):
        annealed.estimate(Bits(), jnp.zeros(2), key, jnp.zeros(2))
