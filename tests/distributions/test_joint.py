"""Joint distributions against the product of their parts, and KL terms against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import distributions as dist

LOGITS = np.log(np.array([0.2, 0.8], np.float32))


def place(scale, k):
    """N(3 k, scale)."""
    return dist.Normal(3.0 * k.astype(jnp.float32), scale)


P = dist.Joint((dist.Categorical(LOGITS), jax.tree_util.Partial(place, jnp.asarray(0.5))))


def test_a_joint_is_the_product_of_its_parts_given_the_earlier_ones(key):
    z = jnp.array(1), jnp.array(2.0)
    want = np.log(0.8) + stats.norm(3.0, 0.5).logpdf(2.0)
    np.testing.assert_allclose(P.log_prob(z), want, rtol=1e-6)
    k, x = jax.jit(jax.vmap(P.sample))(jax.random.split(key, 4000))
    assert abs(k.mean() - 0.8) < 0.03
    x = np.asarray(x, np.float64)
    assert abs(x.mean() - 2.4) < 0.1  # of variance 0.25 + 9 * 0.16
    assert abs(np.std(x[k == 1]) - 0.5) < 0.03
    with pytest.raises(ValueError, match="a tuple of 2 parts; got 3 of them"):
        P.log_prob((z[0], z[1], z[1]))


def test_every_part_must_be_reparameterized():
    assert not P.reparameterized
    two = dist.Joint((dist.Normal(jnp.zeros(2), jnp.ones(2)), lambda z: dist.Laplace(z, z * z)))
    assert two.reparameterized
    assert not dist.Joint((*two.parts, lambda z, w: dist.Bernoulli(z + w))).reparameterized


def test_a_joint_of_partials_is_a_tree_of_arrays_that_transforms_return(key):
    batch = jax.jit(jax.vmap(lambda s: dist.Joint((P.parts[0], jax.tree_util.Partial(place, s)))))
    many = batch(jnp.array([0.5, 1.0]))
    z = jnp.array([1, 0]), jnp.array([2.0, 1.0])
    got = jax.vmap(lambda p, z: p.log_prob(z))(many, z)
    want = np.log([0.8, 0.2]) + stats.norm([3.0, 0.0], [0.5, 1.0]).logpdf([2.0, 1.0])
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_terms_of_the_kl_are_closed_where_they_can_be_and_given_the_samples_above(key):
    """KL of the clusters by hand; of the places KL(N(2 k, 1) || N(3 k, 1/2)), given k ~ q."""
    uniform = np.zeros(2, np.float32)
    q = dist.Joint((dist.Categorical(uniform), lambda k: dist.Normal(2.0 * k, jnp.ones(()))))
    many = jax.jit(jax.vmap(lambda key: dist.sample_and_kl(key, q, P)))
    (k, _), terms = many(jax.random.split(key, 50))
    first = 0.5 * np.log(0.5 / 0.2) + 0.5 * np.log(0.5 / 0.8)
    second = np.log(0.5) + (1.0 + np.asarray(k) ** 2) / (2 * 0.25) - 0.5
    np.testing.assert_allclose(terms[:, 0], first, rtol=1e-5)
    np.testing.assert_allclose(terms[:, 1], second, rtol=1e-5)
    assert 0.0 < np.mean(k) < 1.0
    # Sampled terms are log q - log p of what was sampled, in all the KL of the joint.
    (k, x), terms = jax.jit(lambda key: dist.sample_and_kl(key, q, P, analytic=False))(key)
    z = (k, x)
    np.testing.assert_allclose(terms.sum(), q.log_prob(z) - P.log_prob(z), rtol=1e-4)


def test_parts_of_the_kl_have_keys_of_their_own(key):
    """With one key for both, the second part would be the first again."""
    normal = dist.Normal(jnp.zeros(()), jnp.ones(()))
    (a, b), terms = dist.sample_and_kl(key, dist.Joint((normal, normal)), dist.Joint((normal,) * 2))
    assert a != b
    np.testing.assert_array_equal(terms, [0.0, 0.0])
    a, b = dist.Joint((normal, normal)).sample(key)
    assert a != b


def test_what_has_other_parts_has_one_sampled_term(key):
    one = dist.Joint((dist.Normal(jnp.zeros(()), jnp.ones(())),))
    q = dist.Joint((dist.Normal(jnp.zeros(()), jnp.ones(())),))
    assert dist.sample_and_kl(key, q, one)[1].shape == (1,)
    normal = dist.Normal(jnp.zeros(2), jnp.ones(2))
    z, terms = dist.sample_and_kl(key, normal, dist.Normal(jnp.ones(2), jnp.ones(2)))
    assert z.shape == (2,)
    np.testing.assert_allclose(terms, [1.0])
