"""The coupled mixture: its conditionals are those of the joint, for any number of colours."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gm import distributions as dist

K, M = 4, 3


def arguments(key, num_colours, shape=()):
    keys = jax.random.split(key, 4)
    num_pairs = num_colours * (num_colours - 1) // 2
    logits = 2.0 * jax.random.normal(keys[0], (*shape, M))
    loc = jax.random.normal(keys[1], (*shape, num_colours, M))
    scale = jnp.exp(jax.random.normal(keys[2], (*shape, num_colours, M)) - 1.0)
    return logits, loc, scale, jax.random.normal(keys[3], (*shape, num_pairs, M))


def joint_log_prob(logits, loc, scale, coefficients, x):
    """log Σ_m π_m Π_g P_m(x_g | x_<g) in float64, from scipy's logistic."""
    v = 2.0 * np.asarray(x) / (K - 1) - 1.0
    log_p, pair = special.log_softmax(np.asarray(logits, np.float64)), 0
    for g, x_g in enumerate(x):
        mean = np.asarray(loc[g], np.float64)
        for h in range(g):
            mean, pair = mean + np.asarray(coefficients[pair]) * v[h], pair + 1
        logistic = stats.logistic(mean, np.asarray(scale[g], np.float64))
        above = 1.0 if x_g == K - 1 else logistic.cdf(v[g] + 1.0 / (K - 1))
        below = 0.0 if x_g == 0 else logistic.cdf(v[g] - 1.0 / (K - 1))
        log_p = log_p + np.log(above - below)
    return special.logsumexp(log_p)


@pytest.mark.parametrize("num_colours", [1, 2, 3, 4])
def test_the_product_of_conditionals_is_the_joint_mixture(num_colours, key):
    given = arguments(key, num_colours)
    states = np.array(list(itertools.product(range(K), repeat=num_colours)), np.int32)
    log_prob = jax.vmap(lambda x: dist.coupled_mixture(*given, x, K).log_prob(x))
    found = np.asarray(jax.jit(log_prob)(states), np.float64)
    np.testing.assert_allclose(found, [joint_log_prob(*given, x) for x in states], atol=2e-5)
    np.testing.assert_allclose(np.exp(found).sum(), 1.0, atol=1e-5)  # in float32


def test_a_colour_is_given_those_before_it_and_no_other(key):
    given, x = arguments(key, 3, (2,)), jnp.array([[0, 3, 1], [2, 1, 2]])
    here = dist.coupled_mixture(*given, x, K)
    for colour in range(3):
        moved = dist.coupled_mixture(*given, x.at[:, colour].add(1) % K, K)
        for old, new in zip(jax.tree.leaves(here), jax.tree.leaves(moved), strict=True):
            np.testing.assert_array_equal(old[:, : colour + 1], new[:, : colour + 1])
        if colour < 2:
            assert np.all(np.asarray(here.logits != moved.logits)[:, colour + 1 :])
            assert np.all(np.asarray(here.components.loc != moved.components.loc)[:, colour + 1 :])


def test_gradients_are_finite_where_a_component_gives_nothing(key):
    logits, loc, _, coefficients = arguments(key, 3)

    def log_prob(logits, loc, scale, coefficients):
        x = jnp.array([0, 3, 0])
        return dist.coupled_mixture(logits, loc, scale, coefficients, x, K).log_prob(x)

    given = (logits, 30.0 + loc, jnp.full((3, M), 1e-3), coefficients)
    value, gradients = jax.value_and_grad(log_prob, (0, 1, 2, 3))(*given)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(leaf)) for leaf in gradients)


def test_a_value_outside_the_space_has_probability_zero(key):
    given = arguments(key, 3)
    for x in ([K, 0, 0], [0, -1, 0], [0, 0, K]):
        x = jnp.array(x)
        assert dist.coupled_mixture(*given, x, K).log_prob(x) == -jnp.inf


def test_for_one_colour_the_head_is_the_plain_mixture(key):
    x = jnp.array([3, 0, 16, 7])[:, None]
    coupled = dist.CoupledLogisticMixtureHead(17, 1, M)
    plain = dist.DiscretizedLogisticMixtureHead(17, M)
    raw = jax.random.normal(key, (4, coupled.num_params))
    assert coupled.num_params == plain.num_params
    np.testing.assert_allclose(coupled(raw, x).log_prob(x), plain(raw).log_prob(x[:, 0]), rtol=1e-6)
    np.testing.assert_array_equal(coupled.features(x), plain.features(x[:, 0]))


def test_the_head_has_the_parameters_of_the_paper():
    assert dist.CoupledLogisticMixtureHead(256).num_params == 100
    with pytest.raises(ValueError, match=r"\[\.\.\., 100\]; got \(2, 99\)"):
        dist.CoupledLogisticMixtureHead(256)(jnp.zeros((2, 99)), jnp.zeros((2, 3), jnp.int32))


def test_coefficients_that_do_not_fit_are_refused(key):
    logits, loc, scale, coefficients = arguments(key, 3)
    with pytest.raises(ValueError, match="needs 3 coefficients for 3 colours"):
        dist.coupled_mixture(logits, loc, scale, coefficients[:1], jnp.zeros(3, jnp.int32), K)
