"""Bernoulli and Categorical against scipy (values) and numpyro (gradients)."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as numpyro
import pytest
from scipy import special, stats

from gm import distributions as dist

LOGITS = np.array([-1e4, -100.0, -3.0, 0.0, 0.5, 20.0, 1e4], np.float32)
VALUES = np.array([0, 1], np.int32)


def batched(log_prob):
    """Values and gradients with respect to the parameters, for a batch of both arguments."""
    return jax.jit(jax.vmap(jax.value_and_grad(log_prob)))


bernoulli = batched(lambda logits, x: dist.Bernoulli(logits).log_prob(x))
categorical = batched(lambda logits, x: dist.Categorical(logits).log_prob(x))
entropy = jax.jit(jax.value_and_grad(lambda p: p.entropy()))


def test_bernoulli_equals_scipy_and_numpyro_at_any_logits():
    logits, x = (a.reshape(-1) for a in np.meshgrid(LOGITS, VALUES))
    value, grad = bernoulli(logits, x)
    want = special.log_expit(np.where(x == 1, logits, -logits).astype(float))
    np.testing.assert_allclose(value, want, rtol=1e-6, atol=1e-38)
    np.testing.assert_allclose(grad, x - special.expit(logits), rtol=1e-6, atol=1e-7)
    _, want = batched(lambda a, x: numpyro.BernoulliLogits(a).log_prob(x))(logits, x)
    kinked = logits == 0.0  # where numpyro's |logits| has a subgradient of its own
    np.testing.assert_allclose(grad[~kinked], want[~kinked], rtol=1e-6, atol=1e-7)


def test_bernoulli_may_be_certain():
    logits = np.array([np.inf, np.inf, -np.inf, -np.inf], np.float32)
    x = np.array([1, 0, 1, 0], np.int32)
    value, grad = bernoulli(logits, x)
    np.testing.assert_array_equal(value, [0.0, -np.inf, -np.inf, 0.0])
    np.testing.assert_array_equal(grad, [0.0, -1.0, 1.0, 0.0])
    p = dist.Bernoulli(jnp.asarray(logits))
    np.testing.assert_array_equal(p.sample(jax.random.key(0)), [1, 1, 0, 0])
    value, grad = entropy(p)
    assert value == 0.0
    np.testing.assert_array_equal(grad.logits, np.zeros(4))


def test_bernoulli_is_impossible_outside_its_support_with_gradient_zero():
    value, grad = bernoulli(np.full(3, 0.3, np.float32), np.array([-1, 2, 255]))
    np.testing.assert_array_equal(value, np.full(3, -np.inf))
    np.testing.assert_array_equal(grad, np.zeros(3))


def test_bernoulli_moments_equal_scipy():
    p, want = dist.Bernoulli(jnp.asarray(LOGITS)), stats.bernoulli(special.expit(LOGITS[1:-1]))
    inner = dist.Bernoulli(jnp.asarray(LOGITS[1:-1]))
    np.testing.assert_allclose(p.mean(), special.expit(LOGITS), rtol=1e-6, atol=1e-38)
    np.testing.assert_array_equal(p.mode(), [0, 0, 0, 0, 1, 1, 1])
    np.testing.assert_allclose(inner.entropy(), want.entropy().sum(), rtol=1e-6)
    for x in (-1, 0, 1, 2):
        got = inner.cdf(jnp.full(5, x))
        # scipy holds p = expit(20) itself, not its complement.
        np.testing.assert_allclose(got, want.cdf(x), rtol=1e-6, atol=1e-8)


def test_bernoulli_entropy_is_accurate_for_rare_events():
    logits = np.array([-80.0, -20.0, 20.0, 60.0], np.float32)
    a = -np.abs(logits.astype(float))
    want = np.log1p(np.exp(a)) - a * special.expit(a)
    got, slope = jax.vmap(entropy)(dist.Bernoulli(logits))
    np.testing.assert_allclose(got, want, rtol=1e-5)
    want = -logits * special.expit(a) * special.expit(-a)
    np.testing.assert_allclose(slope.logits, want, rtol=1e-5, atol=1e-37)


def test_bernoulli_samples_ones_at_their_rate(key):
    rate = jnp.mean(dist.Bernoulli(jnp.full(20000, -1.0)).sample(key).astype(jnp.float32))
    p = special.expit(-1.0)
    assert abs(rate - p) < 3 * np.sqrt(p * (1 - p) / 20000)


def test_categorical_equals_numpyro_in_value_and_gradient():
    logits = np.array([[0.3, -2.0, 1e4, 0.0], [-1e4, 0.0, 1.0, -30.0]], np.float32)
    rows, x = (a.reshape(-1) for a in np.meshgrid([0, 1], np.arange(4)))
    got = categorical(logits[rows], x)
    want = batched(lambda a, x: numpyro.CategoricalLogits(a).log_prob(x))(logits[rows], x)
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-6, atol=1e-7)


def test_categorical_may_forbid_values():
    logits = np.array([0.0, -np.inf, np.log(3.0)], np.float32)
    value, grad = categorical(np.tile(logits, (3, 1)), np.arange(3))
    np.testing.assert_allclose(jnp.exp(value), [0.25, 0.0, 0.75], rtol=1e-6)
    np.testing.assert_allclose(
        grad, [[0.75, 0.0, -0.75], [-0.25, 1.0, -0.75], [-0.25, 0.0, 0.25]], rtol=1e-6
    )
    value, grad = entropy(dist.Categorical(logits))
    np.testing.assert_allclose(value, stats.entropy([0.25, 0.75]), rtol=1e-6)
    assert np.all(np.isfinite(grad.logits))
    samples = jax.vmap(dist.Categorical(logits).sample)(jax.random.split(jax.random.key(0), 500))
    assert not np.any(np.asarray(samples) == 1)


def test_categorical_may_be_certain():
    """The limit of large logits: softmax of inf is nan. Values that share a +inf are alike."""
    logits = np.array([[np.inf, 0.0, 3.0], [np.inf, -np.inf, np.inf]], np.float32)
    rows, x = (a.reshape(-1) for a in np.meshgrid([0, 1], np.arange(3), indexing="ij"))
    value, grad = categorical(logits[rows], x)
    half = np.log(0.5)
    np.testing.assert_allclose(value, [0.0, -np.inf, -np.inf, half, -np.inf, half], rtol=1e-6)
    probs = np.array([[1.0, 0.0, 0.0], [0.5, 0.0, 0.5]])
    np.testing.assert_allclose(grad, np.eye(3)[x] - probs[rows], atol=1e-7)
    p = dist.Categorical(jnp.asarray(logits))
    value, grad = entropy(p)
    np.testing.assert_allclose(value, np.log(2.0), rtol=1e-6)
    assert np.all(np.isfinite(grad.logits))
    np.testing.assert_allclose(p.mean(), [0.0, 1.0])
    np.testing.assert_allclose(p.cdf(jnp.array([0, 1])), [1.0, 0.5])
    samples = jax.jit(jax.vmap(p.sample))(jax.random.split(jax.random.key(0), 64))
    assert not np.any(samples[:, 0])
    assert set(np.unique(samples[:, 1])) == {0, 2}
    kl = jax.jit(dist.kl_divergence)(p, dist.Categorical(jnp.zeros((2, 3))))
    np.testing.assert_allclose(kl, np.log(3.0) + np.log(1.5), rtol=1e-6)


def test_categorical_is_impossible_outside_its_support_with_gradient_zero():
    logits = np.linspace(-1.0, 1.0, 17, dtype=np.float32)
    value, grad = categorical(np.tile(logits, (3, 1)), np.array([-1, 17, 2**31 - 1]))
    np.testing.assert_array_equal(value, np.full(3, -np.inf))
    np.testing.assert_array_equal(grad, np.zeros((3, 17)))


def test_categorical_probabilities_sum_to_one_and_shift_invariantly():
    logits = np.linspace(-5.0, 5.0, 17, dtype=np.float32)
    p = np.exp(categorical(np.tile(logits + 1000.0, (17, 1)), np.arange(17))[0])
    # logits + 1000 are rounded to 6e-5.
    np.testing.assert_allclose(p, special.softmax(logits.astype(float)), rtol=2e-4)
    np.testing.assert_allclose(p.sum(), 1.0, rtol=1e-6)


def test_categorical_moments_equal_scipy():
    logits = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]], np.float32))
    p = dist.Categorical(jnp.asarray(logits))
    wants = [stats.rv_discrete(values=(np.arange(3), np.exp(row))) for row in logits.astype(float)]
    np.testing.assert_allclose(p.mean(), [w.mean() for w in wants], rtol=1e-6)
    np.testing.assert_allclose(p.entropy(), sum(w.entropy() for w in wants), rtol=1e-6)
    np.testing.assert_array_equal(p.mode(), [2, 0])
    for x in (-1, 0, 1, 2, 3):
        np.testing.assert_allclose(p.cdf(jnp.full(2, x)), [w.cdf(x) for w in wants], rtol=1e-6)


def test_categorical_samples_values_at_their_rates(key):
    probs = np.array([0.1, 0.0, 0.6, 0.3])
    logits = jnp.array([0.0, -jnp.inf, np.log(6.0), np.log(3.0)])
    x = dist.Categorical(jnp.broadcast_to(logits, (5000, 4))).sample(key)
    counts = np.bincount(x, minlength=4)
    assert counts[1] == 0
    keep = probs > 0
    assert stats.chisquare(counts[keep], 5000 * probs[keep]).pvalue > 0.01


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int8, np.int32])
def test_any_integer_dtype_is_scored(dtype):
    logits = np.zeros((2, 256), np.float32)
    got = dist.Categorical(logits).log_prob(np.array([0, 1], dtype))
    np.testing.assert_allclose(got, -2 * np.log(256.0), rtol=1e-6)
    got = dist.Bernoulli(np.array([2.0, 2.0], np.float32)).log_prob(np.array([0, 1], dtype))
    np.testing.assert_allclose(got, special.log_expit([-2.0, 2.0]).sum(), rtol=1e-6)
