"""Bounds of log weights: log-normal weights have closed forms, small supports can be enumerated."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm.losses import weighted_bounds as wb

MEAN, SCALE = -3.0, 0.7
# Log weights at quantiles of N(-3, 0.49), so that means over them are expectations.
QUANTILES = jnp.asarray(
    stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000, MEAN, SCALE), jnp.float32
)
LOG_Q = np.log(np.array([0.5, 0.3, 0.2]))
LOG_JOINT = np.array([-1.0, -4.0, -2.0])


@pytest.mark.parametrize("order", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_the_renyi_bound_of_log_normal_weights_is_linear_in_the_order(order):
    """log E w^(1-a) / (1-a) = m + (1 - a) s² / 2: ELBO at 1, log p at 0, above it below 0."""
    got = wb.renyi_bound(QUANTILES, order)
    np.testing.assert_allclose(got, MEAN + (1.0 - order) * SCALE**2 / 2, atol=5e-3)


def test_the_chi_bound_is_above_log_p_by_the_divergence():
    """CUBO_n = m + n s² / 2, and log p = m + s² / 2; n = 1 is log p."""
    log_p = MEAN + SCALE**2 / 2
    np.testing.assert_allclose(wb.chi_upper_bound(QUANTILES, 1.0), log_p, atol=5e-3)
    np.testing.assert_allclose(wb.chi_upper_bound(QUANTILES), log_p + SCALE**2 / 2, atol=5e-3)


def test_miwae_and_ciwae_lie_between_elbo_and_iwae():
    log_w = np.array([0.0, -2.0, 1.0, -5.0, 0.5, 0.0])
    groups = [np.log(np.mean(np.exp(part))) for part in log_w.reshape(3, 2)]
    elbo, iwae = log_w.mean(), np.log(np.mean(np.exp(log_w)))
    log_w = jnp.asarray(log_w, jnp.float32)
    np.testing.assert_allclose(wb.miwae_bound(log_w, 3), np.mean(groups), rtol=1e-5)
    np.testing.assert_allclose(wb.miwae_bound(log_w, 6), elbo, rtol=1e-5)
    np.testing.assert_allclose(wb.miwae_bound(log_w, 1), iwae, rtol=1e-5)
    np.testing.assert_allclose(wb.ciwae_bound(log_w, 0.25), 0.25 * elbo + 0.75 * iwae, rtol=1e-5)


@pytest.mark.parametrize("bound", [wb.iwae_bound, lambda w: wb.renyi_bound(w, 0.5)])
def test_weights_of_zero_count_for_nothing_and_have_no_gradient(bound):
    one = jnp.array([-jnp.inf, 0.0])
    value, grad = jax.value_and_grad(bound)(one)
    np.testing.assert_allclose(value, bound(jnp.zeros(2)) - np.log(2) * (1 if value > -1 else 2))
    np.testing.assert_array_equal(grad, [0.0, 1.0])
    value, grad = jax.value_and_grad(bound)(jnp.full(2, -jnp.inf))
    assert value == -jnp.inf
    np.testing.assert_array_equal(grad, [0.0, 0.0])


def brute_force(log_q, log_joint, num_samples):
    """Over all N^K choices of the samples."""
    log_w = log_joint - log_q
    total = 0.0
    for choice in itertools.product(range(len(log_q)), repeat=num_samples):
        chosen = np.array(choice)
        total += np.exp(log_q[chosen].sum()) * np.log(np.mean(np.exp(log_w[chosen])))
    return total


@pytest.mark.parametrize("num_samples", [1, 2, 5])
def test_the_expected_bound_is_that_of_all_choices(num_samples):
    """And its slope along the logits of q and along log p, by differences in float64."""

    def expected(logits, log_joint):
        return wb.enumerated_iwae(jax.nn.log_softmax(logits), log_joint, num_samples)

    def by_choices(logits, log_joint):
        return brute_force(logits - np.log(np.exp(logits).sum()), log_joint, num_samples)

    at = LOG_Q, LOG_JOINT
    f = jax.value_and_grad(expected, argnums=(0, 1))
    value, grads = f(*(jnp.asarray(x, jnp.float32) for x in at))
    np.testing.assert_allclose(value, by_choices(*at), atol=3e-5)
    for k, i in itertools.product(range(2), range(3)):
        ends = [
            [x + sign * 1e-5 * np.eye(3)[i] * (k == j) for j, x in enumerate(at)]
            for sign in (1, -1)
        ]
        slope = (by_choices(*ends[0]) - by_choices(*ends[1])) / 2e-5
        np.testing.assert_allclose(grads[k][i], slope, atol=1e-4)


def test_the_expected_bound_rises_to_log_p():
    log_q, log_joint = jnp.asarray(LOG_Q, jnp.float32), jnp.asarray(LOG_JOINT, jnp.float32)
    values = [float(wb.enumerated_iwae(log_q, log_joint, k)) for k in (1, 10, 100, 10_000)]
    assert values == sorted(values)
    np.testing.assert_allclose(values[-1], np.log(np.exp(LOG_JOINT).sum()), atol=1e-3)


def test_wrong_orders_groups_and_weights_are_named():
    log_w = jnp.zeros(6)
    with pytest.raises(ValueError, match="finite order; got inf"):
        wb.renyi_bound(log_w, float("inf"))
    with pytest.raises(ValueError, match=r"order of at least 1; got 0\.5"):
        wb.chi_upper_bound(log_w, 0.5)
    with pytest.raises(ValueError, match="divides the 6 samples; got 4"):
        wb.miwae_bound(log_w, 4)
    with pytest.raises(ValueError, match=r"from 0 to 1; got 1\.5"):
        wb.ciwae_bound(log_w, 1.5)
    with pytest.raises(ValueError, match="at least 1; got 0"):
        wb.enumerated_iwae(log_w, log_w, 0)
