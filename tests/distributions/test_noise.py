"""Noise at chosen bits and by simulation: right where it is rarer than one in 2^24."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import distributions as dist
from gm.distributions import noise

# The last bit is the sign where there is one: 0, 1, 2^32 - 1 and so on are the rarest numbers.
BITS = np.array([0, 1, 2, 3, 77, 1000, 2**31 - 1, 2**31, 2**32 - 2, 2**32 - 1], np.uint32)
SIGN = np.where(BITS % 2 == 0, 1.0, -1.0)
TAIL = (np.floor(BITS / 2.0) + 0.5) / 2.0**32  # in (0, 1/2), float64
WANT = {
    "normal": SIGN * stats.norm.ppf(TAIL),
    "laplace": SIGN * stats.laplace.ppf(TAIL),
    "logistic": SIGN * stats.logistic.ppf(TAIL),
    "uniform": (BITS + 0.5) / 2.0**32,
    "gumbel": stats.gumbel_r.isf((BITS + 0.5) / 2.0**32),
}


@pytest.mark.parametrize("kind", WANT)
def test_bits_become_the_quantiles_of_the_distribution(kind):
    got = jax.jit(getattr(noise, kind))(BITS)
    assert got.dtype == jnp.float32
    # Near the centre, and in Gumbel's lower tail, float32 rounds u itself: 2^-24.
    want = np.array(WANT[kind])
    if kind in ("gumbel", "uniform"):
        want, got = want[:8], got[:8]
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=4e-7)


def test_no_noise_is_infinite_or_leaves_its_range():
    assert np.all(np.isfinite([getattr(noise, kind)(BITS) for kind in WANT]))
    u = noise.uniform(BITS)
    assert u[0] > 0.0
    assert u[-1] < 1.0


@jax.jit
def rare(key):
    """Of 2^22 standard logistic samples those beyond ±13, and of Gumbel ones those beyond 13."""
    many = jnp.zeros(2**22)
    x = dist.Logistic(many, jnp.ones_like(many)).sample(key)
    return jnp.sum(x < -13.0), jnp.sum(x > 13.0), jnp.sum(jnp.abs(x) > 20.0)


def test_rare_samples_of_a_logistic_are_as_rare_as_they_should_be(key):
    """With steps of 2^-23 in the uniform number the lower tail had 85 times too many below -20."""
    counts = np.sum([rare(k) for k in jax.random.split(key, 4)], 0)
    expected = 2**24 * stats.logistic.sf(13.0)  # 38
    for count in counts[:2]:
        assert abs(count - expected) < 4 * np.sqrt(expected)
    assert counts[2] == 0  # 0.07 expected


def test_a_rare_value_of_a_categorical_keeps_its_probability(key):
    """P(x = 1) = 2e-6 of 2^23 samples; a mixture and a discretised logistic use the same noise."""
    logits = jnp.broadcast_to(jnp.array([0.0, np.log(2e-6)]), (2**21, 2))
    sample = jax.jit(lambda key: jnp.sum(dist.Categorical(logits).sample(key)))
    count = sum(int(sample(k)) for k in jax.random.split(key, 4))
    expected = 2**23 * 2e-6
    assert abs(count - expected) < 4 * np.sqrt(expected)


def test_a_discretised_logistic_reaches_levels_that_are_rarer_than_a_step_of_float32():
    """At the rarest bits it gives the level where the logistic itself is."""
    p = dist.DiscretizedLogistic(jnp.zeros(2), jnp.full(2, 0.04), 256)
    level = p.from_noise(noise.logistic(np.array([0, 1], np.uint32)))
    want = 127.5 * (1.0 + 0.04 * stats.logistic.ppf(2.0**-33) * np.array([1, -1]))
    np.testing.assert_allclose(level, want, atol=0.5)
