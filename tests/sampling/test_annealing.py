"""Annealed importance sampling on a Boltzmann machine of 32 states and on Gaussians."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import distributions as dist
from gm.sampling import annealing, hamiltonian

RNG = np.random.default_rng(0)
WEIGHTS = jnp.asarray(1.5 * RNG.normal(size=(3, 2)), jnp.float32)
BIAS = jnp.array([0.5, -1.0, 0.2])
STATES = np.indices((2,) * 3).reshape(3, -1).T


def free(v, beta):
    """log Σ_h exp(beta vᵀ W h + b v), v: [3]"""
    inputs = beta * v.astype(jnp.float32) @ WEIGHTS
    return jnp.sum(jax.nn.softplus(inputs)) + v.astype(jnp.float32) @ BIAS


def gibbs(betas, key, v, t):
    key_h, key_v = jax.random.split(key)
    h = dist.Bernoulli(betas[t] * v.astype(jnp.float32) @ WEIGHTS).sample(key_h)
    v = dist.Bernoulli(betas[t] * WEIGHTS @ h.astype(jnp.float32) + BIAS).sample(key_v)
    return v, jnp.sum(v)


def test_weights_of_any_kernel_bracket_the_partition_function(key):
    """E w = Z_T / Z_0 and E 1 / w' = Z_0 / Z_T to five standard errors, exactly by enumeration."""
    betas = annealing.sigmoid_schedule(6)
    f = jax.vmap(free, (0, None))
    log_p, log_p0 = (np.asarray(f(jnp.asarray(STATES), b), np.float64) for b in (1.0, 0.0))
    truth = np.log(np.exp(log_p).sum() / np.exp(log_p0).sum())
    posterior = jnp.asarray(log_p, jnp.float32)
    kernel = functools.partial(gibbs, betas)

    def one(key):
        keys = jax.random.split(key, 4)
        first = dist.Bernoulli(BIAS).sample(keys[0])
        last = jnp.asarray(STATES)[dist.Categorical(posterior).sample(keys[1])]
        there = annealing.forward(keys[2], first, free, betas, kernel)
        back = annealing.reverse(keys[3], last, free, betas, kernel)
        return there.log_weight, back.log_weight

    there, back = (
        np.asarray(w, np.float64) for w in jax.jit(jax.vmap(one))(jax.random.split(key, 20_000))
    )
    for ratio in (np.exp(there - truth), np.exp(truth - back)):
        assert abs(ratio.mean() - 1.0) < 5 * stats.sem(ratio) < 0.05
    assert there.mean() + 5 * stats.sem(there) < truth < back.mean() - 5 * stats.sem(back)
    bounds = annealing.log_mean(jnp.asarray(there)), annealing.log_harmonic_mean(jnp.asarray(back))
    np.testing.assert_allclose(bounds, truth, atol=0.03)


def test_hamiltonian_steps_keep_a_density_and_reach_it(key):
    """From exact samples of N(1, diag(0.5, 2)²) the law stays; from one point it is reached."""
    p = dist.Normal(jnp.array([1.0, 1.0]), jnp.array([0.5, 2.0]))

    def chain(key, start):
        def step(z, key):
            move = hamiltonian.hmc(key, z, lambda z: p.log_prob(z["z"]), 0.6, 3)
            return move.z, move.acceptance

        return jax.lax.scan(step, {"z": start}, jax.random.split(key, 25))

    key_p, key_chain = jax.random.split(key)
    keys = jax.random.split(key_chain, 3000)
    exact = jax.vmap(p.sample)(jax.random.split(key_p, 3000))
    for start in (exact, jnp.zeros((3000, 2))):
        z, acceptance = jax.jit(jax.vmap(chain))(keys, start)
        for k, scale in enumerate((0.5, 2.0)):
            assert stats.kstest(np.asarray(z["z"][:, k]), stats.norm(1.0, scale).cdf).pvalue > 1e-4
    assert 0.6 < np.mean(acceptance) < 0.98  # steps that are seldom refused would prove little


def test_tuned_step_sizes_follow_the_scale_of_the_density(key):
    """A density that narrows from 1 to 0.05 wants step sizes that fall by about as much."""
    betas = jnp.linspace(0.0, 1.0, 300)

    def log_f(z, beta):
        scale = jnp.exp(np.log(0.05) * beta)
        return dist.Normal(jnp.zeros(2), scale * jnp.ones(2)).log_prob(z)

    z = jax.random.normal(key, (16, 2))
    sizes = jax.jit(lambda k: annealing.tune(k, z, log_f, betas, num_leapfrog=3))(key)
    assert sizes.shape == (299,)
    late, early = np.mean(sizes[-20:]), np.mean(sizes[60:80])
    assert 0.02 < late / early < 0.3
    assert 0.03 < late < 0.12  # of the order of the scale: with 3 leapfrog steps about 1.6 of it


def test_the_schedule_starts_at_zero_ends_at_one_and_is_dense_there():
    betas = np.asarray(annealing.sigmoid_schedule(100))
    np.testing.assert_allclose(betas[[0, 50, 100]], [0.0, 0.5, 1.0], atol=1e-6)
    steps = np.diff(betas)
    assert np.all(steps > 0.0)
    assert steps[50] > 5 * steps[0]


def test_discrete_states_and_empty_schedules_are_refused(key):
    with pytest.raises(TypeError, match=r"hmc needs real z.*got int32"):
        hamiltonian.hmc(key, jnp.zeros(2, jnp.int32), lambda z: 0.0, 0.1)
    with pytest.raises(ValueError, match="num_leapfrog of at least 1; got 0"):
        hamiltonian.hmc(key, jnp.zeros(2), jnp.sum, 0.1, 0)
    with pytest.raises(ValueError, match="num_steps of at least 1; got 0"):
        annealing.sigmoid_schedule(0)


def test_nothing_is_accepted_where_the_density_is_not_finite(key):
    move = hamiltonian.hmc(key, jnp.ones(2), lambda z: jnp.where(z[0] == 1.0, 0.0, jnp.nan), 0.5)
    np.testing.assert_array_equal(move.z, 1.0)
    assert move.acceptance == 0.0
