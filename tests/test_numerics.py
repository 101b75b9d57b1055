import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import numerics


def test_log1mexp_is_accurate_at_both_ends():
    x = np.array([1e-30, 1e-6, 0.1, 0.7, 5.0, 50.0, 100.0], np.float32)
    near, far = x[:4].astype(float), x[4:].astype(float)
    want = np.concatenate([np.log(-np.expm1(-near)), np.log1p(-np.exp(-far))])
    # exp(-100) is below the smallest normal float32, which XLA flushes to zero.
    np.testing.assert_allclose(numerics.log1mexp(x), want, rtol=1e-6, atol=1e-37)
    assert numerics.log1mexp(jnp.zeros(())) == -jnp.inf


def test_log1mexp_has_the_gradient_of_its_formula():
    x = np.array([1e-30, 1e-6, 0.1, 0.69, 0.7, 5.0, 80.0, 1e4], np.float32)
    got = jax.jit(jax.vmap(jax.grad(numerics.log1mexp)))(x)
    with np.errstate(over="ignore"):
        want = 1.0 / np.expm1(x.astype(float))
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-38)


def test_log_sum_exp_of_impossible_terms_is_impossible_with_gradient_zero():
    x = jnp.array([[-jnp.inf, -jnp.inf], [-jnp.inf, 2.0], [1e4, 1e4]])
    want = [-np.inf, 2.0, 1e4 + np.log(2.0)]
    np.testing.assert_allclose(numerics.log_sum_exp(x), want, rtol=1e-6)
    grads = jax.vmap(jax.grad(numerics.log_sum_exp))(x)
    np.testing.assert_allclose(grads, [[0.0, 0.0], [0.0, 1.0], [0.5, 0.5]])


def test_log_mean_exp_is_the_log_of_the_mean():
    x = np.linspace(-3.0, 3.0, 12, dtype=np.float32).reshape(3, 4)
    np.testing.assert_allclose(
        numerics.log_mean_exp(x, axis=1), np.log(np.exp(x).mean(1)), rtol=1e-5
    )


@pytest.mark.parametrize("x", [0.0, 3.0, np.inf, -np.inf])
def test_exp_times_lets_an_impossible_event_count_for_nothing(x):
    value, grads = jax.value_and_grad(numerics.exp_times, (0, 1))(-jnp.inf, x)
    assert value == 0.0
    assert grads == (0.0, 0.0)


def test_exp_times_is_a_weighted_value():
    value, grads = jax.value_and_grad(numerics.exp_times, (0, 1))(jnp.log(0.25), 8.0)
    np.testing.assert_allclose([value, *grads], [2.0, 2.0, 0.25], rtol=1e-6)


def test_safe_norm_has_gradient_zero_at_the_origin():
    np.testing.assert_allclose(jax.grad(numerics.safe_norm)(jnp.zeros((2, 2))), np.zeros((2, 2)))
    np.testing.assert_allclose(numerics.safe_norm(jnp.array([3.0, 4.0])), 5.0, rtol=1e-6)


def test_sorting_is_numpys_with_a_slope_that_follows_the_values():
    """Known values and traced ones, infinities, both zeros and nan; in 32 bits and in 64."""
    x = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    x[0, :5] = np.inf, -np.inf, 0.0, -0.0, np.nan
    want = np.sort(x)
    with jax.enable_x64(True):
        for dtype in (np.float32, np.float64):
            for of in (numerics.sort, jax.jit(numerics.sort), jax.jit(jax.vmap(numerics.sort))):
                np.testing.assert_array_equal(of(jnp.asarray(x, dtype)), want.astype(dtype))
    weights = np.arange(50.0, dtype=np.float32)
    slope = jax.grad(lambda y: jnp.sum(weights * numerics.sort(y)))(x[1])
    np.testing.assert_array_equal(slope[np.argsort(x[1])], weights)
