"""Numerical inverses: exact to the last bit of float32, and their derivatives."""

import jax
import jax.numpy as jnp
import numpy as np

from gm.bijections import roots


def cubic(a, x):
    return a * x**3 + x


def test_a_root_is_found_at_every_magnitude_and_its_derivatives_are_those_of_an_implicit_function():
    """dx/dy = 1 / (3 a x² + 1), dx/da = -x³ / (3 a x² + 1), d²x/dy² = -6 a x / (3 a x² + 1)³."""
    x = np.array([0.0, 1e-20, -1e-3, 0.5, -7.0, 1e3, -1e6], np.float32)
    a = np.float32(0.3)
    y = np.float32(cubic(np.float64(a), np.float64(x)))

    def solve(a, y):
        return roots.increasing(cubic, a, y)

    def everything(y):
        first = jax.grad(solve, (0, 1))(a, y)
        forward = jax.jvp(solve, (a, y), (1.0, 0.0))[1]
        return solve(a, y), *first, forward, jax.grad(jax.grad(solve, 1), 1)(a, y)

    got, da, dy, forward, second = jax.jit(jax.vmap(everything))(y)
    np.testing.assert_allclose(got, x, rtol=3e-7, atol=2e-38)
    x, slope = np.float64(x), 3 * 0.3 * np.float64(x) ** 2 + 1.0
    np.testing.assert_allclose(dy, 1.0 / slope, rtol=1e-5)
    np.testing.assert_allclose(da, -(x**3) / slope, rtol=1e-5, atol=1e-38)
    np.testing.assert_allclose(forward, da, rtol=1e-6)
    np.testing.assert_allclose(second, -6 * 0.3 * x / slope**3, rtol=1e-5, atol=1e-30)


def test_a_root_beyond_what_is_sought_is_its_end():
    ends = jax.jit(jax.vmap(lambda y: roots.increasing(lambda a, x: jnp.tanh(a * x), 1.0, y)))
    np.testing.assert_array_equal(ends(jnp.array([2.0, -2.0])), [roots.LARGEST, -roots.LARGEST])


def without_gradient(matrix, y):
    return jax.lax.stop_gradient(jnp.linalg.solve(matrix, y))


def test_a_vector_has_the_derivatives_of_an_implicit_function():
    """A x = y, where what finds x is not differentiated."""
    matrix = jnp.array([[2.0, 1.0], [0.0, 3.0]])

    def solve(matrix, y):
        return roots.implicit(jnp.matmul, without_gradient, matrix, y)

    y = jnp.array([1.0, 2.0])
    got = jax.jacobian(solve, (0, 1))(matrix, y)
    want = jax.jacobian(jnp.linalg.solve, (0, 1))(matrix, y)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
