"""All values of a discrete distribution: each once, with probabilities that sum to one."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist

RNG = np.random.default_rng(0)
BITS = dist.Bernoulli(jnp.asarray(RNG.normal(size=3), jnp.float32))
TRITS = dist.Categorical(jnp.asarray(RNG.normal(size=(2, 3)), jnp.float32))
TABLE = jnp.asarray(RNG.normal(size=(2, 2, 2, 4)), jnp.float32)
PAIR = dist.Joint((BITS, lambda bits: dist.Categorical(TABLE[bits[0], bits[1], bits[2]])))


@pytest.mark.parametrize(
    ("of", "sizes"), [(BITS, (2, 2, 2)), (TRITS, (3, 3)), (PAIR, (2, 2, 2, 4))]
)
def test_every_value_comes_once_and_their_probabilities_sum_to_one(of, sizes):
    z = dist.enumerate_support(of)
    columns = [np.asarray(leaf).reshape(len(leaf), -1) for leaf in jax.tree.leaves(z)]
    want = [*itertools.product(*map(range, sizes))]
    np.testing.assert_array_equal(np.concatenate(columns, axis=1), want)
    log_probs = jax.jit(jax.vmap(of.log_prob))(z)
    np.testing.assert_allclose(np.exp(log_probs).sum(), 1.0, rtol=1e-5)
    sampled = jax.eval_shape(of.sample, jax.random.key(0))
    shapes = jax.tree.map(lambda leaf: leaf.shape, sampled)
    assert jax.tree.map(lambda leaf: leaf.shape[1:], z) == shapes


def test_what_has_no_list_of_values_is_refused():
    normal = dist.Normal(jnp.zeros(2), jnp.ones(2))
    for of in (normal, dist.Joint((BITS, lambda bits: normal))):
        with pytest.raises(TypeError, match="or a Joint of them; got Normal"):
            dist.enumerate_support(of)
    for of in (dist.Bernoulli(jnp.zeros(13)), dist.Joint((TRITS,) * 4)):
        with pytest.raises(ValueError, match=r"at most 4,096 values; got (8,192|6,561)"):
            dist.enumerate_support(of)
