"""Spectral normalization against numpy's singular values."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.networks import MLP, ConvEncoder, SpectralNorm, spectral_norm

RNG = np.random.default_rng(0)


def test_the_norm_and_its_gradient_are_those_of_the_largest_singular_value():
    kernel = RNG.normal(size=(3, 2, 5)).astype(np.float32)
    value, grad = jax.jit(jax.value_and_grad(lambda k: spectral_norm(k, 60)))(kernel)
    u, s, vt = np.linalg.svd(kernel.reshape(6, 5))
    np.testing.assert_allclose(value, s[0], rtol=1e-5)
    np.testing.assert_allclose(grad.reshape(6, 5), np.outer(u[:, 0], vt[0]), atol=1e-3)


def test_a_normalised_critic_is_lipschitz_whatever_its_parameters(random_params):
    network = SpectralNorm(MLP((16, 16), (), activation=jax.nn.leaky_relu), 0.9, iterations=60)
    params = random_params(network.init, jnp.zeros(4), scale=3.0)
    x = RNG.normal(size=(64, 4)).astype(np.float32)
    slopes = jax.jit(jax.vmap(jax.grad(network.apply, 1), (None, 0)))(params, x)
    assert np.linalg.norm(slopes, axis=1).max() < 0.9**3 * 1.001
    for name, layer in network.normalized(params)["params"].items():
        top = np.linalg.svd(layer["kernel"], compute_uv=False)[0]
        np.testing.assert_allclose(top, 0.9, rtol=1e-3)
        np.testing.assert_array_equal(layer["bias"], params["params"][name]["bias"])


def test_a_kernel_of_zeros_stays_zero_with_a_finite_gradient():
    value, grad = jax.value_and_grad(lambda k: jnp.sum(k / (1.0 + spectral_norm(k))))(
        jnp.zeros((3, 2))
    )
    assert value == 0.0
    assert np.all(np.isfinite(grad))


def test_convolutions_are_normalised_as_matrices(random_params):
    network = SpectralNorm(ConvEncoder((4,), (2,)), iterations=60)
    params = random_params(network.init, jnp.zeros((8, 8, 1)))
    for path, leaf in jax.tree.leaves_with_path(network.normalized(params)):
        if path[-1].key == "kernel":
            top = np.linalg.svd(np.reshape(leaf, (-1, leaf.shape[-1])), compute_uv=False)[0]
            np.testing.assert_allclose(top, 1.0, rtol=1e-2)


def test_what_has_no_norm_is_refused():
    with pytest.raises(ValueError, match=r"two axes .*\(3,\)"):
        spectral_norm(jnp.ones(3))
    with pytest.raises(ValueError, match="positive coefficient; got 0"):
        SpectralNorm(MLP((2,), ()), 0.0)
