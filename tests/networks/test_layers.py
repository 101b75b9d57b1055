import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.networks import Conv, Dense
from gm.networks.layers import product


@pytest.mark.parametrize(
    ("ours", "linens", "shape"),
    [
        (Dense(3), nn.Dense(3), (2, 5)),
        (Conv(4, stride=2), nn.Conv(4, (3, 3), strides=2), (1, 2, 7, 5, 3)),
        (Conv(4, size=1), nn.Conv(4, (1, 1)), (6, 5, 3)),
    ],
)
def test_in_float32_a_layer_is_that_of_linen_parameters_and_values(ours, linens, shape, key):
    x = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    params, want = jax.jit(lambda: (ours.init(key, x), linens.init(key, x)))()
    assert jax.tree.all(jax.tree.map(np.array_equal, params, want))
    params = jax.tree.map(lambda a: np.asarray(a) + np.float32(0.1), params)
    got, want = jax.jit(lambda params: (ours.apply(params, x), linens.apply(params, x)))(params)
    np.testing.assert_array_equal(got, want)


def halves(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.bfloat16)


@pytest.mark.parametrize(("left", "right"), [((7,), (7, 4)), ((2, 3, 7), (7, 4)), ((4, 7), (7,))])
def test_products_of_half_precision_are_summed_in_full(left, right):
    x, w = halves(0, *left), halves(1, *right)
    y = jax.eval_shape(product, x, w)
    g = halves(2, *y.shape).astype(jnp.float32)

    @jax.jit
    def both(x, w):
        y, pull = jax.vjp(product, x, w)
        full = jax.vjp(jnp.matmul, x.astype(jnp.float32), w.astype(jnp.float32))[1]
        return y, pull(g), full(g)

    y, grads, want = both(x, w)
    exact_x, exact_w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    assert y.dtype == jnp.float32
    np.testing.assert_allclose(y, exact_x @ exact_w, rtol=1e-5, atol=1e-5)  # sums in float32
    for grad, exact in zip(grads, want, strict=True):  # rounded once, to eight bits
        grad = np.asarray(grad).astype(np.float32)
        np.testing.assert_allclose(grad, exact, rtol=2**-8, atol=1e-5)


def test_a_product_is_differentiable_forward_and_twice():
    x, w = halves(0, 3, 5), halves(1, 5, 2)
    y, dy = jax.jit(lambda x, w: jax.jvp(product, (x, w), (x, w)))(x, w)
    np.testing.assert_allclose(dy, 2.0 * y, rtol=0.05, atol=0.05)  # eight bits

    def square(v):
        return jnp.sum(product(v.astype(jnp.bfloat16), w) ** 2)

    curvature = jax.jit(jax.hessian(square))(jnp.ones(5))
    exact = 2.0 * np.asarray(w, np.float64) @ np.asarray(w, np.float64).T
    np.testing.assert_allclose(curvature, exact, rtol=0.05, atol=0.05)


@pytest.mark.parametrize("layer", [Dense(1, jnp.bfloat16), Conv(1, dtype=jnp.bfloat16)])
def test_a_gradient_is_a_whole_sum_over_the_batch(layer, random_params):
    """One by one in bfloat16 ones stop adding up at 256, where the next number is 258."""
    x = jnp.ones((1000, 1, 1, 1))
    params = random_params(layer.init, x)
    total = jax.grad(lambda p: jnp.sum(jax.vmap(lambda x: layer.apply(p, x))(x)))
    grads = jax.jit(total)(params)["params"]
    np.testing.assert_array_equal(grads["bias"], [1000.0])
    assert grads["kernel"].max() == 1000.0
