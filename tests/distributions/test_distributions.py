"""What every distribution promises, over a table of all of them."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import bijections
from gm import distributions as dist
from gm.core import Event
from gm.distributions import pathwise

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
}
ELEMENTWISE = DISCRETE | REAL
every = pytest.mark.parametrize("name", ELEMENTWISE)


@jax.jit
def sample_and_score(p, key):
    """A sample, its score, its score by element, and by distributions taken out one by one."""
    x, log_prob = p.sample_and_log_prob(key)
    single = jax.vmap(lambda i: dist.element(p, SHAPE, i).log_prob(x.reshape(-1)[i]))
    return x, log_prob, dist.element_log_probs(p, x), single(jnp.arange(x.size))


@jax.jit
@functools.partial(jax.grad, has_aux=True)
def through_samples(table, key):
    """Gradients of one number that every element of every sample moves; the samples."""
    samples = {name: p.sample(key) for name, p in table.items()}
    moved = [jnp.vdot(x, 1.0 + jnp.arange(x.size).reshape(x.shape)) for x in samples.values()]
    return sum(moved), samples


@every
def test_one_sample_is_one_event_scored_by_the_sum_of_its_elements(name, key):
    p = ELEMENTWISE[name]
    x, log_prob, log_probs, singles = sample_and_score(p, key)
    assert x.shape == log_probs.shape == SHAPE
    assert x.dtype == (jnp.int32 if name in DISCRETE else jnp.float32)
    assert log_prob.shape == ()
    assert np.isfinite(log_prob)
    np.testing.assert_allclose(log_probs.sum(), log_prob, rtol=1e-5)
    np.testing.assert_allclose(singles, log_probs.reshape(-1), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(x, sample_and_score(p, jax.random.key(0))[0])
    assert np.any(x != sample_and_score(p, jax.random.key(4))[0])


@jax.jit
def together_and_apart(p, key):
    """`sample_and_log_prob`, and `sample` with `log_prob` of that."""
    x = p.sample(key)
    return p.sample_and_log_prob(key), (x, p.log_prob(x))


def affine(p):
    """What an affine map with noise on all parameters makes of p."""
    bijection = bijections.Affine(Event(SHAPE), "triangular")
    params = jax.tree.map(lambda leaf: leaf + 0.3, bijection.init(jax.random.key(0)))
    return dist.Transformed(p, bijection, params)


OF_PARTS = {
    "Transformed": affine(dist.Laplace(A, B)),
    "Joint": dist.Joint(
        (affine(dist.Normal(A, B)), jax.tree_util.Partial(lambda a, z: dist.Normal(z + a, B), A))
    ),
}


@pytest.mark.parametrize("name", OF_PARTS)
def test_a_sample_and_its_score_are_those_of_the_two_methods(name, key):
    together, apart = together_and_apart(OF_PARTS[name], key)
    for one, other in zip(jax.tree.leaves(together), jax.tree.leaves(apart), strict=True):
        np.testing.assert_allclose(one, other, rtol=2e-5, atol=1e-5)
    assert OF_PARTS[name].reparameterized


def test_other_distributions_sample_and_then_score():
    for p in (*ELEMENTWISE.values(), dist.Dirichlet(B[0])):
        assert type(p).sample_and_log_prob is pathwise.Scored.sample_and_log_prob
    told = Other(3.0)
    assert dist.sample_and_log_prob(told, None) == (3.0, 0.0)


def test_samples_are_reparameterized_where_gradients_reach_every_parameter(key):
    table = REAL | {"Dirichlet": dist.Dirichlet(B[0])}
    gradients, samples = through_samples(table, key)
    for name, p in table.items():
        reached = all(np.any(leaf != 0.0) for leaf in jax.tree.leaves(gradients[name]))
        assert reached == p.reparameterized == dist.is_reparameterized(p), name
        if name in REAL:  # the score that comes with a sample belongs to it
            # One program rounds where another one fuses.
            np.testing.assert_allclose(samples[name], sample_and_score(p, key)[0], rtol=1e-6)
    assert not any(dist.is_reparameterized(p) or p.reparameterized for p in DISCRETE.values())


@pytest.mark.parametrize("name", ["Categorical", "Mixture of Normal"])
def test_a_vmapped_batch_equals_one_at_a_time(name, key):
    """Nothing here knows its batch; the mixture gathers, which is where an axis could be lost."""
    p = ELEMENTWISE[name]
    batch = jax.tree.map(lambda leaf: np.stack([leaf, leaf[::-1]]), p)
    keys = jax.random.split(key)
    got = jax.jit(jax.vmap(sample_and_score))(batch, keys)
    for b in range(2):
        want = sample_and_score(jax.tree.map(lambda leaf, b=b: leaf[b], batch), keys[b])
        for g, w in zip(got, want, strict=True):
            np.testing.assert_allclose(g[b], w, rtol=1e-5, atol=1e-6)


@every
@pytest.mark.parametrize(("bits", "dtype"), [(32, "float32"), (64, "float32"), (64, "float64")])
def test_no_dtype_is_promoted_with_or_without_64_bits(name, bits, dtype, key):
    """Samples, scores, gradients and moments have the width of the parameters; counts are int32."""

    def all_of(p, key):
        x = p.sample(key)
        moments = [p.mean(), p.cdf(x), p.mode() if hasattr(p, "mode") else x]
        kl = dist.kl_divergence(p, p) if dist.has_kl(p, p) else p.log_prob(x)
        scores = p.log_prob(x), dist.element_log_probs(p, x), kl
        return x, moments, scores, jax.grad(lambda p: p.log_prob(x))(p)

    with jax.enable_x64(bits == 64), jax.numpy_dtype_promotion("strict"):
        p = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), ELEMENTWISE[name])
        x, moments, scores, gradient = jax.eval_shape(all_of, p, key)
    leaves = [*jax.tree.leaves(scores), *jax.tree.leaves(gradient), *moments[:2]]
    assert {leaf.dtype for leaf in leaves} == {np.dtype(dtype)}
    assert {x.dtype, moments[2].dtype} == {np.dtype(np.int32 if name in DISCRETE else dtype)}
    assert jax.tree.structure(gradient) == jax.tree.structure(p)


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


def test_samples_of_a_distribution_of_ones_own_are_checked_by_their_dtype():
    assert dist.is_reparameterized(Other(jnp.zeros(3)))
    assert not dist.is_reparameterized(Other(jnp.zeros(3, jnp.int32)))
    assert not dist.is_reparameterized(Other((jnp.zeros(2), jnp.zeros((), jnp.bool_))))
    says_no = Other(jnp.zeros(3))
    says_no.reparameterized = False
    assert not dist.is_reparameterized(says_no)


def test_integers_that_int32_cannot_hold_are_refused_where_they_are_known():
    with pytest.raises(ValueError, match=r"Poisson needs integers that int32 holds; got .* 10995"):
        dist.Poisson(np.zeros(2, np.float32)).log_prob(np.array([1, 2**40]))
