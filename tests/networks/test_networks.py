import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.networks import MLP, ConvBlock, ConvDecoder, ConvEncoder, MaskedMLP, ResidualMLP

CASES = {
    "MLP": (MLP((7, 5), (3, 2)), (4,)),
    "MLP of images to a scalar": (MLP((7,), (), input_ndim=3), (4, 4, 2)),
    "MLP without hidden layers": (MLP((), (3,), output_activation=jnp.tanh), (4,)),
    "ResidualMLP": (ResidualMLP(6, 2, (3,)), (4,)),
    "ConvBlock": (ConvBlock(6), (5, 5, 3)),
    "ConvEncoder": (ConvEncoder((4, 6), (3,)), (7, 9, 2)),
    "ConvDecoder": (ConvDecoder((6, 4), (7, 9, 2)), (3,)),
    "MaskedMLP": (MaskedMLP(6, 2, 3, hidden=(10, 8), direct=True), (6, 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_batch_of_one_or_many_is_what_one_example_gives(name, key):
    network, shape = CASES[name]
    x = jax.random.normal(key, (3, *shape))
    params = network.init(key, x[0])
    params = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(key, a.shape), params)
    one = jax.jit(network.apply)(params, x[1])
    # Products of other shapes round differently in float32.
    np.testing.assert_allclose(network.apply(params, x[1:2])[0], one, atol=1e-5)
    np.testing.assert_allclose(network.apply(params, x)[1], one, atol=1e-5)
    np.testing.assert_allclose(network.apply(params, x.reshape(1, 3, *shape))[0, 1], one, atol=1e-5)
    assert jax.tree.map(jnp.shape, network.init(key, x)) == jax.tree.map(jnp.shape, params)


def test_residual_blocks_start_as_the_identity(key):
    x = jax.random.normal(key, (5, 5, 6))
    block = ConvBlock(6)
    np.testing.assert_array_equal(block.apply(block.init(key, x), x), x)


def test_computation_may_be_bfloat16_while_parameters_and_outputs_are_float32(key):
    for network, shape in (
        (MLP((7,), (3,), dtype=jnp.bfloat16), (4,)),
        (ConvEncoder((4,), (3,), dtype=jnp.bfloat16), (4, 4, 1)),
        (MaskedMLP(6, 1, 1, hidden=(8,), dtype=jnp.bfloat16), (6, 1)),
    ):
        x = jax.random.normal(key, shape)
        params = network.init(key, x)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
        y = network.apply(params, x)
        assert y.dtype == jnp.float32
        full = network.clone(dtype=jnp.float32).apply(params, x)
        np.testing.assert_allclose(y, full, atol=0.1)  # bfloat16 has eight bits of mantissa
        assert not np.array_equal(y, full)
