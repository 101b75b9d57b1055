"""The coupled mixture: its conditionals are those of the joint, for any number of colours."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special, stats

from gm import distributions as dist

K, M = 4, 3


def arguments(num_colours, shape=()):
    random = np.random.default_rng(0)
    num_pairs = num_colours * (num_colours - 1) // 2
    shapes = (M,), (num_colours, M), (num_colours, M), (num_pairs, M)
    logits, loc, scale, c = (random.normal(size=(*shape, *of)).astype(np.float32) for of in shapes)
    return 2.0 * logits, loc, np.exp(scale - 1.0), c


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


def test_the_product_of_conditionals_is_the_joint_mixture():
    given = arguments(3)
    states = np.array(list(itertools.product(range(K), repeat=3)), np.int32)
    log_prob = jax.vmap(lambda x: dist.coupled_mixture(*given, x, K).log_prob(x))
    found = np.asarray(jax.jit(log_prob)(states), np.float64)
    np.testing.assert_allclose(found, [joint_log_prob(*given, x) for x in states], atol=2e-5)
    np.testing.assert_allclose(np.exp(found).sum(), 1.0, atol=1e-5)  # in float32


def test_a_colour_is_given_those_before_it_and_no_other():
    given, x = arguments(3, (2,)), np.array([[0, 3, 1], [2, 1, 2]])
    coupled = jax.jit(lambda x: dist.coupled_mixture(*given, x, K))
    here = coupled(x)
    for colour in range(3):
        moved = coupled((x + np.eye(3, dtype=int)[colour]) % K)
        for old, new in zip(jax.tree.leaves(here), jax.tree.leaves(moved), strict=True):
            np.testing.assert_array_equal(old[:, : colour + 1], new[:, : colour + 1])
        if colour < 2:
            assert np.all(np.asarray(here.logits != moved.logits)[:, colour + 1 :])
            assert np.all(np.asarray(here.components.loc != moved.components.loc)[:, colour + 1 :])


def test_gradients_are_finite_where_a_component_gives_nothing():
    logits, loc, _, coefficients = arguments(3)

    def log_prob(logits, loc, scale, coefficients):
        x = jnp.array([0, 3, 0])
        return dist.coupled_mixture(logits, loc, scale, coefficients, x, K).log_prob(x)

    given = (logits, 30.0 + loc, np.full((3, M), 1e-3, np.float32), coefficients)
    value, gradients = jax.jit(jax.value_and_grad(log_prob, (0, 1, 2, 3)))(*given)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(leaf)) for leaf in gradients)


def test_a_value_outside_the_space_has_probability_zero():
    outside = np.array([[K, 0, 0], [0, -1, 0], [0, 0, K]])
    log_prob = jax.vmap(lambda x: dist.coupled_mixture(*arguments(3), x, K).log_prob(x))
    np.testing.assert_array_equal(jax.jit(log_prob)(outside), [-np.inf] * 3)


def test_for_one_colour_the_head_is_the_plain_mixture(key):
    x = np.array([3, 0, 16, 7])[:, None]
    coupled = dist.CoupledLogisticMixtureHead(17, 1, M)
    plain = dist.DiscretizedLogisticMixtureHead(17, M)
    assert coupled.num_params == plain.num_params

    @jax.jit
    def both(raw):
        return coupled(raw, x).log_prob(x), plain(raw).log_prob(x[:, 0])

    np.testing.assert_allclose(*both(jax.random.normal(key, (4, coupled.num_params))), rtol=1e-6)
    np.testing.assert_array_equal(coupled.features(x), plain.features(x[:, 0]))


def test_raw_outputs_of_a_pixel_mean_what_the_paper_says():
    """Weights as they are, locations with offsets, positive scales, tanh of coefficients."""
    random = np.random.default_rng(1)
    head = dist.CoupledLogisticMixtureHead(K, 3, M, min_scale=0.01)
    raw = random.normal(size=(1 + 3 + 3 + 3, M))
    logits, loc, scale, coefficients = np.split(raw, [1, 4, 7])
    loc = loc + (2 * np.arange(M) + 1) / M - 1
    scale = 0.01 + np.log1p(np.exp(scale + np.log(np.e - 1))) / M
    x = np.array([3, 0, 2])
    got = jax.jit(lambda raw: head(raw, x).log_prob(x))(raw.reshape(-1).astype(np.float32))
    want = joint_log_prob(logits[0], loc, scale, np.tanh(coefficients), x)
    np.testing.assert_allclose(got, want, rtol=1e-5)


def test_the_head_has_the_parameters_of_the_paper():
    assert dist.CoupledLogisticMixtureHead(256).num_params == 100
    with pytest.raises(ValueError, match=r"\[\.\.\., 100\]; got \(2, 99\)"):
        dist.CoupledLogisticMixtureHead(256)(jnp.zeros((2, 99)), jnp.zeros((2, 3), jnp.int32))


def test_coefficients_that_do_not_fit_are_refused():
    logits, loc, scale, coefficients = arguments(3)
    with pytest.raises(ValueError, match="needs 3 coefficients for 3 colours"):
        dist.coupled_mixture(logits, loc, scale, coefficients[:1], jnp.zeros(3, jnp.int32), K)
