"""Markov chains against sums over all paths."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gm import distributions as dist

NUM_TIMES, NUM_STATES = 4, 3
PATHS = np.array(list(itertools.product(range(NUM_STATES), repeat=NUM_TIMES)), np.int32)


@pytest.fixture(scope="module")
def chain():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(NUM_TIMES - 1, NUM_STATES, NUM_STATES)).astype(np.float32)
    rows[1, 2, 0] = -np.inf
    return dist.MarkovChain(
        jnp.asarray(rng.normal(size=NUM_STATES), jnp.float32), jnp.asarray(rows)
    )


@pytest.fixture(scope="module")
def log_p(chain):
    """log p of every path, in numpy."""
    first = special.log_softmax(np.asarray(chain.initial))
    rows = special.log_softmax(np.asarray(chain.transition), axis=-1)
    steps = [rows[t, PATHS[:, t], PATHS[:, t + 1]] for t in range(NUM_TIMES - 1)]
    return first[PATHS[:, 0]] + np.sum(steps, axis=0)


def test_paths_have_the_product_of_their_steps(chain, log_p):
    of = jax.jit(jax.vmap(chain.log_prob))
    found = of(PATHS)
    np.testing.assert_allclose(found, log_p, rtol=1e-5)
    np.testing.assert_allclose(np.sum(np.exp(log_p)), 1.0, rtol=1e-6)
    beyond = np.where(np.arange(len(PATHS))[:, None] == 0, np.array([0, 0, 3, 0]), PATHS)
    assert of(beyond.astype(np.int32))[0] == -np.inf


def test_marginals_are_those_of_all_paths(chain, log_p):
    want = [[np.sum(np.exp(log_p)[PATHS[:, t] == k]) for k in range(3)] for t in range(4)]
    np.testing.assert_allclose(jax.jit(chain.marginals)(), want, atol=1e-6)


def test_the_mode_is_the_likeliest_of_all_paths():
    rng = np.random.default_rng(1)
    first, rows = (rng.normal(size=s).astype(np.float32) for s in ((8, 3), (8, 3, 3, 3)))
    chains = dist.MarkovChain(jnp.asarray(first), jnp.asarray(rows))

    def both(chain):
        return chain.mode(), jax.vmap(chain.log_prob)(jnp.asarray(PATHS))

    modes, log_probs = jax.jit(jax.vmap(both))(chains)
    np.testing.assert_array_equal(modes, PATHS[np.argmax(log_probs, axis=1)])


def test_samples_have_the_frequencies_of_paths(chain, log_p):
    z = jax.jit(jax.vmap(chain.sample))(jax.random.split(jax.random.key(0), 20_000))
    seen = np.bincount(np.asarray(z) @ NUM_STATES ** np.arange(NUM_TIMES)[::-1], minlength=81)
    # Five standard deviations of a count, and no path that is impossible.
    np.testing.assert_array_less(np.abs(seen / 20_000 - np.exp(log_p)), 5 * np.sqrt(0.1 / 20_000))
    assert np.sum(seen[log_p == -np.inf]) == 0
