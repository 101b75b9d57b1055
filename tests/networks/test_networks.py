import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.networks import (
    MLP,
    Conv,
    ConvBlock,
    ConvDecoder,
    ConvEncoder,
    Dense,
    MaskedMLP,
    ResidualBlock,
    ResidualMLP,
)

CASES = {
    "Dense": (Dense(3), (4,)),
    "Conv": (Conv(3, stride=2), (5, 4, 2)),
    "MLP": (MLP((7, 5), (3, 2)), (4,)),
    "MLP of images to a scalar": (MLP((7,), (), input_ndim=3), (4, 4, 2)),
    "MLP without hidden layers": (MLP((), (3,), output_activation=jnp.tanh), (4,)),
    "ResidualBlock": (ResidualBlock(), (6,)),
    "ResidualMLP": (ResidualMLP(6, 2, (3,)), (4,)),
    "ConvBlock": (ConvBlock(6), (5, 5, 3)),
    "ConvEncoder": (ConvEncoder((4, 6), (3,)), (7, 9, 2)),
    "ConvDecoder": (ConvDecoder((6, 4), (7, 9, 2)), (3,)),
    "MaskedMLP": (MaskedMLP((6,), 2, 3, hidden=(10, 8), direct=True), (6, 2)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_batch_of_one_or_many_is_what_one_example_gives(name, key):
    network, shape = CASES[name]
    init, apply = jax.jit(network.init), jax.jit(network.apply)
    x = jax.random.normal(key, (3, *shape))

    def moved(a):
        return a + 0.1 * jax.random.normal(key, a.shape)

    params = jax.jit(lambda params: jax.tree.map(moved, params))(init(key, x[0]))
    one = apply(params, x[1])
    # Products of other shapes round differently in float32.
    np.testing.assert_allclose(apply(params, x[1:2])[0], one, atol=1e-5)
    np.testing.assert_allclose(apply(params, x)[1], one, atol=1e-5)
    np.testing.assert_allclose(apply(params, x.reshape(1, 3, *shape))[0, 1], one, atol=1e-5)
    of_batch = jax.eval_shape(network.init, key, x)
    assert jax.tree.map(jnp.shape, of_batch) == jax.tree.map(jnp.shape, params)


@pytest.mark.parametrize(
    ("block", "shape"), [(ConvBlock(6), (5, 5, 6)), (ResidualBlock(), (6,))], ids=["conv", "dense"]
)
def test_residual_blocks_start_as_the_identity(block, shape, key):
    x = jax.random.normal(key, shape)
    np.testing.assert_array_equal(block.apply(jax.jit(block.init)(key, x), x), x)


def test_computation_may_be_bfloat16_while_parameters_and_outputs_are_float32(key):
    for network, shape in (
        (MLP((7,), (3,), dtype=jnp.bfloat16), (4,)),
        (ResidualMLP(6, 2, (3,), dtype=jnp.bfloat16), (4,)),
        (ConvEncoder((4,), (3,), dtype=jnp.bfloat16), (4, 4, 1)),
        (ConvDecoder((4,), (4, 4, 1), dtype=jnp.bfloat16), (3,)),
        (MaskedMLP((6,), 1, 1, hidden=(8,), dtype=jnp.bfloat16), (6, 1)),
    ):
        x = jax.random.normal(key, shape)
        params = jax.jit(network.init)(key, x)
        assert {leaf.dtype for leaf in jax.tree.leaves(params)} == {jnp.dtype(jnp.float32)}
        y = jax.jit(network.apply)(params, x)
        assert y.dtype == jnp.float32
        full = jax.jit(network.clone(dtype=jnp.float32).apply)(params, x)
        np.testing.assert_allclose(y, full, atol=0.1)  # bfloat16 has eight bits of mantissa
        assert not np.array_equal(y, full)


DEEP = {
    "ResidualMLP": (ResidualMLP(16, 12, (4,), activation=jax.nn.silu), (8,)),
    "ConvEncoder": (ConvEncoder((8, 4), (4,), num_blocks=3), (8, 8, 2)),
    "ConvDecoder": (ConvDecoder((4, 8), (8, 8, 2), num_blocks=3), (4,)),
}


@pytest.mark.parametrize(
    "dtype",
    [
        pytest.param(jnp.float32, id="float32"),
        pytest.param(jnp.bfloat16, id="bfloat16", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("name", DEEP)
def test_remat_changes_no_parameter_and_no_value(name, dtype, key):
    network, shape = DEEP[name]
    network = network.clone(dtype=dtype)
    x = jax.random.normal(key, (5, *shape))
    params, same = (jax.jit(network.clone(remat=r).init)(key, x) for r in (False, True))
    assert jax.tree.all(jax.tree.map(np.array_equal, params, same))

    def moved(a):
        return a + 0.1 * jax.random.normal(key, a.shape)

    params = jax.jit(lambda params: jax.tree.map(moved, params))(params)

    def value_and_grad(remat):
        apply = network.clone(remat=remat).apply
        loss = jax.value_and_grad(lambda p: (jnp.mean(jnp.sin(y := apply(p, x))), y), has_aux=True)
        return jax.jit(loss)(params)

    (_, y), grads = value_and_grad(False)
    (_, z), again = value_and_grad(True)
    # Other fusions round differently: in float32, and a factor now and then to its neighbour.
    close = 1e-5 if dtype == jnp.float32 else 2**-7
    np.testing.assert_allclose(y, z, rtol=close, atol=close)
    for a, b in zip(jax.tree.leaves(grads), jax.tree.leaves(again), strict=True):
        np.testing.assert_allclose(a, b, rtol=close, atol=close * np.max(np.abs(a)))


def kept(network, shape):
    """Bytes that the forward pass keeps for the backward pass, parameters included."""
    x = jax.ShapeDtypeStruct((256, *shape), jnp.float32)
    params = jax.eval_shape(network.init, jax.random.key(0), x)
    pull = jax.eval_shape(lambda p, x: jax.vjp(lambda p: network.apply(p, x), p)[1], params, x)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pull))


@pytest.mark.parametrize("name", DEEP)
def test_remat_keeps_a_fifth_of_the_activations(name):
    """One array for each block in place of all inside it."""
    network, shape = DEEP[name]
    assert kept(network.clone(remat=True), shape) < kept(network, shape) / 4
