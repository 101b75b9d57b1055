"""What every distribution promises, over a table of all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist

SHAPE = (2, 3)
A = jnp.linspace(-1.0, 1.0, 6).reshape(SHAPE)
B = jnp.exp(jnp.linspace(-1.0, 1.0, 6)[::-1].reshape(SHAPE))
AM, BM = (jnp.stack([a, 2.0 * a, 0.5 - a], -1) for a in (A, B))
BM = jnp.abs(BM) + 0.1

DISCRETE = {
    "Bernoulli": dist.Bernoulli(A),
    "Categorical": dist.Categorical(AM),
    "DiscretizedLogistic": dist.DiscretizedLogistic(A, B, 17),
    "Poisson": dist.Poisson(A),
    "NegativeBinomial": dist.NegativeBinomial(A, A[::-1]),
    "Mixture of DiscretizedLogistic": dist.Mixture(AM, dist.DiscretizedLogistic(AM, BM, 17)),
}
REAL = {
    "Normal": dist.Normal(A, B),
    "Laplace": dist.Laplace(A, B),
    "Logistic": dist.Logistic(A, B),
    "Uniform": dist.Uniform(A, A + B),
    "Mixture of Normal": dist.Mixture(AM, dist.Normal(AM, BM)),
    "Mixture of Logistic": dist.Mixture(AM, dist.Logistic(AM, BM)),
}
ELEMENTWISE = DISCRETE | REAL
every = pytest.mark.parametrize("name", ELEMENTWISE)


@jax.jit
def draw_and_score(p, key):
    """A draw, its score, its score by element, and by distributions taken out one by one."""
    x = p.sample(key)
    single = jax.vmap(lambda i: dist.element(p, SHAPE, i).log_prob(x.reshape(-1)[i]))
    return x, p.log_prob(x), dist.element_log_probs(p, x), single(jnp.arange(x.size))


@every
def test_one_draw_is_one_event_and_a_function_of_its_key(name, key):
    x, log_prob, *_ = draw_and_score(ELEMENTWISE[name], key)
    again, other = (
        draw_and_score(ELEMENTWISE[name], k)[0] for k in (jax.random.key(0), jax.random.key(4))
    )
    assert x.shape == SHAPE
    assert x.dtype == (jnp.int32 if name in DISCRETE else jnp.float32)
    assert log_prob.shape == ()
    assert np.isfinite(log_prob)
    np.testing.assert_array_equal(x, again)
    assert np.any(x != other)


@every
def test_log_prob_is_the_sum_of_its_elements(name, key):
    _, log_prob, log_probs, singles = draw_and_score(ELEMENTWISE[name], key)
    assert log_probs.shape == SHAPE
    np.testing.assert_allclose(log_probs.sum(), log_prob, rtol=1e-5)
    np.testing.assert_allclose(singles, log_probs.reshape(-1), rtol=1e-5, atol=1e-6)


@every
def test_a_vmapped_batch_equals_one_at_a_time(name, key):
    p = ELEMENTWISE[name]
    batch = jax.tree.map(lambda leaf: np.stack([leaf, leaf[::-1]]), p)
    keys = jax.random.split(key)
    got = jax.jit(jax.vmap(draw_and_score))(batch, keys)
    for b in range(2):
        want = draw_and_score(jax.tree.map(lambda leaf, b=b: leaf[b], batch), keys[b])
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g[b], w, rtol=1e-5, atol=1e-6)


@every
def test_no_dtype_is_promoted_on_the_way(name, key):
    with jax.numpy_dtype_promotion("strict"):
        x, log_prob, *_ = jax.eval_shape(draw_and_score, ELEMENTWISE[name], key)
        gradient = jax.eval_shape(jax.grad(lambda p, x: p.log_prob(x)), ELEMENTWISE[name], x)
    assert log_prob.dtype == jnp.float32
    assert jax.tree.structure(gradient) == jax.tree.structure(ELEMENTWISE[name])


@every
def test_a_sample_with_its_score_is_what_both_give_one_after_the_other(name, key):
    x, log_prob, *_ = draw_and_score(ELEMENTWISE[name], key)
    together = jax.jit(lambda p, key: p.sample_and_log_prob(key))(ELEMENTWISE[name], key)
    np.testing.assert_array_equal(together[0], x)
    np.testing.assert_allclose(together[1], log_prob, rtol=1e-6)


@pytest.mark.parametrize("name", [*ELEMENTWISE, "Dirichlet"])
def test_samples_are_reparameterized_where_gradients_reach_every_parameter(name, key):
    p = (ELEMENTWISE | {"Dirichlet": dist.Dirichlet(B[0])})[name]

    def total(p):
        x = p.sample(key).astype(jnp.float32)
        return jnp.sum(x * jnp.arange(x.size, dtype=jnp.float32).reshape(x.shape))

    reached = all(np.any(leaf != 0.0) for leaf in jax.tree.leaves(jax.jit(jax.grad(total))(p)))
    assert reached == p.reparameterized == dist.is_reparameterized(p)


@pytest.mark.parametrize("name", DISCRETE)
def test_floats_given_to_a_discrete_distribution_are_refused_at_trace_time(name):
    p = DISCRETE[name]
    kind = name.removeprefix("Mixture of ")
    with pytest.raises(TypeError, match=rf"{kind} needs integers; got float32.*Dequantization"):
        jax.eval_shape(p.log_prob, jax.ShapeDtypeStruct(SHAPE, jnp.float32))


@every
def test_a_batch_given_to_one_event_is_refused(name):
    dtype = jnp.int32 if name in DISCRETE else jnp.float32
    kind = name.split()[0]
    with pytest.raises(ValueError, match=rf"{kind} needs x .*jax.vmap"):
        jax.eval_shape(ELEMENTWISE[name].log_prob, jax.ShapeDtypeStruct((8, *SHAPE), dtype))


def test_parameters_of_unequal_shape_are_refused():
    with pytest.raises(ValueError, match=r"\(3,\), \(\)"):
        dist.Normal(jnp.zeros(3), 1.0).log_prob(jnp.zeros(3))


class Other:
    """A distribution of a user's own, which says nothing of its samples."""

    def __init__(self, value):
        self.value = value

    def sample(self, key):
        return self.value

    def log_prob(self, x):
        return jnp.zeros(())


def test_samples_of_a_distribution_of_ones_own_are_judged_by_their_dtype():
    assert dist.is_reparameterized(Other(jnp.zeros(3)))
    assert not dist.is_reparameterized(Other(jnp.zeros(3, jnp.int32)))
    assert not dist.is_reparameterized(Other((jnp.zeros(2), jnp.zeros((), jnp.bool_))))
    says_no = Other(jnp.zeros(3))
    says_no.reparameterized = False
    assert not dist.is_reparameterized(says_no)
