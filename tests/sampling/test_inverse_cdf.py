"""Inverse distribution functions, held to scipy's, and integrals that do not converge."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gm.sampling import inverse_cdf

# A log density up to a constant, its edges, its distribution function, its integral.
KNOWN = {
    "Student, half a degree": (
        lambda x: -0.75 * jnp.log1p(2.0 * x * x),
        {},
        stats.t(0.5).cdf,
        1.0 / stats.t(0.5).pdf(0.0),
    ),
    "gamma, a pole at 0": (
        lambda x: -0.5 * jnp.log(x) - x,
        {"low": 0.0},
        stats.gamma(0.5).cdf,
        special.gamma(0.5),
    ),
    "exponential, downwards": (lambda x: x, {"high": 1.0}, lambda x: np.exp(x - 1.0), np.e),
    "a pole at 0 of an interval": (
        lambda x: -0.5 * jnp.log(x),
        {"low": 0.0, "high": 4.0},
        lambda x: np.sqrt(x / 4.0),
        4.0,
    ),
}


@pytest.mark.parametrize("name", KNOWN)
def test_a_table_is_the_density_to_its_stated_error(name):
    log_density, ends, cdf, integral = KNOWN[name]
    table = inverse_cdf.tabulate(log_density, **ends)
    assert table.error < 1e-4
    np.testing.assert_allclose(table.log_total, np.log(integral), atol=2e-4)
    u = np.linspace(0.02, 0.9, 45, dtype=np.float32)
    x = jax.vmap(table.icdf)(u)
    np.testing.assert_allclose(cdf(np.asarray(x, np.float64)), u, atol=1e-5 + float(table.error))
    np.testing.assert_allclose(jax.vmap(table.cdf)(x), u, atol=5e-6)
    log_p = jax.vmap(table.log_prob)(x)
    want = jax.vmap(log_density)(x) - np.log(integral)
    np.testing.assert_allclose(log_p, want, atol=2e-3)


def test_samples_follow_a_density_far_from_zero():
    table = inverse_cdf.tabulate(lambda x: -jnp.abs(x - 50.0) * 20.0, loc=50.0)
    x = jax.vmap(table.sample)(jax.random.split(jax.random.key(0), 4000))
    assert stats.kstest(np.asarray(x), stats.laplace(50.0, 0.05).cdf).pvalue > 1e-4
    assert float(table.log_prob(jnp.float32(1e30))) < -1e3


def test_bisection_finds_the_quantile():
    x = inverse_cdf.bisect(jax.scipy.special.ndtr, jnp.float32(0.2), -8.0, 8.0)
    np.testing.assert_allclose(x, stats.norm.ppf(0.2), rtol=1e-5)


def test_an_integral_that_does_not_converge_is_refused():
    cases = {
        "does not converge at its lower end": (lambda x: 0.0 * x, {}),
        "does not converge at its lower end: the last": (lambda x: -jnp.log(x), {"low": 0.0}),
        "does not converge at its upper end": (lambda x: -0.5 * jnp.log(x), {"low": 1.0}),
        "(x = 0.3.*a pole is allowed)|(does not converge near x = 0.3)": (
            lambda x: -jnp.log(jnp.abs(x - 0.3000001)),
            {"low": 0.0, "high": 1.0},
        ),
        "an edge .* where a pole is allowed": (lambda x: -jnp.log(jnp.abs(x)), {}),
        "found no mass": (lambda x: jnp.where(jnp.abs(x - 1e30) < 1.0, 0.0, -jnp.inf), {}),
        "needs low < high": (lambda x: x, {"low": 1.0, "high": 0.0}),
    }
    for message, (log_density, ends) in cases.items():
        with pytest.raises(ValueError, match=message):
            inverse_cdf.tabulate(log_density, **ends)
