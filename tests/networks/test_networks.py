"""Dense and convolutional networks against NumPy, alone and in batches of any shape."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import signal

from gm.networks import (
    MLP,
    ConvBlock,
    ConvDecoder,
    ConvEncoder,
    MaskedMLP,
    ResidualBlock,
    ResidualConvNet,
    ResidualMLP,
)


def relu(x):
    return np.maximum(x, 0.0)


def silu(x):
    return x / (1.0 + np.exp(-x))


def dense(p, x):
    return x @ p["kernel"] + p["bias"]


def conv(p, x, stride=1):
    """Zero-padded convolution [H, W, C] by SciPy, one channel to another at a time."""
    size = p["kernel"].shape[0]
    y = np.zeros((*x.shape[:2], p["kernel"].shape[-1])) + p["bias"]
    for c, o in itertools.product(*map(range, p["kernel"].shape[2:])):
        y[..., o] += signal.correlate2d(x[..., c], p["kernel"][..., c, o], "same")
    # "SAME" pads an even side by one less before a stride of two.
    begin = [(side % 2 == 0 and stride == 2 and size > 1) * 1 for side in x.shape[:2]]
    return y[begin[0] :: stride, begin[1] :: stride]


def group_norm(p, x, groups):
    parts = np.split(x, groups, -1)
    y = [(a - a.mean()) / np.sqrt(a.var() + 1e-6) for a in parts]
    return np.concatenate(y, -1) * p["scale"] + p["bias"]


def conv_block(p, x, groups):
    """x + conv(silu(norm(conv(silu(norm(x))))))"""
    h = conv(p["Conv_0"], silu(group_norm(p["GroupNorm_0"], x, groups[0])))
    h = conv(p["Conv_1"], silu(group_norm(p["GroupNorm_1"], h, groups[1])))
    return (conv(p["Conv_2"], x) if "Conv_2" in p else x) + h


def mlp(p, x):
    return dense(p["Dense_2"], relu(dense(p["Dense_1"], relu(dense(p["Dense_0"], x.ravel())))))


def residual_mlp(p, x):
    h = dense(p["Dense_0"], x)
    for block in (p["ResidualBlock_0"], p["ResidualBlock_1"]):
        h = h + dense(block["Dense_1"], relu(dense(block["Dense_0"], relu(h))))
    return np.tanh(dense(p["Dense_1"], relu(h)))


def encoder(p, x):
    for level, groups in enumerate((1, 2)):  # of 4 and of 8 channels
        x = conv_block(p[f"ConvBlock_{level}"], conv(p[f"Conv_{level}"], x, 2), (groups, groups))
    return dense(p["Dense_0"], silu(group_norm(p["GroupNorm_0"], x, 2)).ravel())


def decoder(p, z):
    x = dense(p["Dense_0"], z).reshape(2, 3, 8)
    for level, groups in enumerate((2, 1)):
        x = x.repeat(2, 0).repeat(2, 1)
        x = conv_block(p[f"ConvBlock_{level}"], conv(p[f"Conv_{level}"], x), (groups, groups))
    return conv(p["Conv_2"], silu(group_norm(p["GroupNorm_0"], x[:7, :9], 1)))


def residual_conv_net(p, x):
    h = conv_block(p["ConvBlock_0"], conv(p["Conv_0"], x), (1, 1))
    return conv(p["Conv_1"], silu(group_norm(p["GroupNorm_0"], h, 1)))


CASES = {
    "MLP": (MLP((7, 5), (3, 2), input_ndim=2), (4, 2), mlp),
    "ResidualMLP": (ResidualMLP(6, 2, (3,), output_activation=jnp.tanh), (4,), residual_mlp),
    "ConvBlock": (ConvBlock(8), (5, 4, 3), lambda p, x: conv_block(p, x, (1, 2))),
    "ConvEncoder": (ConvEncoder((4, 8), (3,)), (7, 10, 2), encoder),
    "ResidualConvNet": (ResidualConvNet(4, (4, 5, 3, 2), 1), (4, 5, 2), residual_conv_net),
    "ConvDecoder": (ConvDecoder((8, 4), (7, 9, 2)), (3,), decoder),
}


@pytest.mark.parametrize("name", CASES)
def test_a_network_is_its_formula_alone_and_in_a_batch(name, random_params):
    network, shape, reference = CASES[name]
    x = np.random.default_rng(1).normal(size=(3, *shape)).astype(np.float32)
    params = random_params(network.init, x[0])
    of_batch = jax.eval_shape(network.init, jax.random.key(0), x)
    assert jax.tree.map(jnp.shape, of_batch) == jax.tree.map(jnp.shape, params)

    @jax.jit
    def outputs(params, x):
        return network.apply(params, x[1]), network.apply(params, x[None])[0, 1]

    exact = jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])
    want = reference(exact, x[1].astype(np.float64))
    for y in outputs(params, x):
        # float32 sums, relative to the largest output.
        scale = np.abs(want).max()
        np.testing.assert_allclose(y.ravel(), want.ravel(), rtol=1e-5, atol=1e-5 * scale)


def test_a_masked_network_of_a_batch_is_that_of_each_example(random_params):
    """Its own reference is that of MADE."""
    network, f = MaskedMLP((6,), 2, 3, hidden=(10, 8), direct=True), np.ones((1, 2, 6, 2))
    f = f.astype(np.float32) * np.arange(1, 3, dtype=np.float32)[:, None, None]
    params = random_params(network.init, f[0, 0])
    many, one = jax.jit(lambda f: (network.apply(params, f), network.apply(params, f[0, 1])))(f)
    np.testing.assert_allclose(many[0, 1], one, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["dense", "conv"])
def test_residual_blocks_start_as_the_identity(name, key):
    """What a block adds ends in weights of zero."""
    if name == "dense":
        network, shape, last = ResidualBlock(), (6,), "Dense_1"
    else:
        network, shape, last = ConvBlock(6), (5, 5, 6), "Conv_1"
    init = jax.jit(lambda: network.init(key, jnp.ones(shape))["params"][last])
    assert all(np.all(np.asarray(leaf) == 0.0) for leaf in jax.tree.leaves(init()))


def test_computation_may_be_bfloat16_while_parameters_and_outputs_are_float32(key, random_params):
    for network, shape in (
        (MLP((7,), (3,)), (4,)),
        (ResidualMLP(6, 2, (3,)), (4,)),
        (ConvEncoder((4,), (3,)), (4, 4, 1)),
        (ConvDecoder((4,), (4, 4, 1)), (3,)),
        (MaskedMLP((6,), 1, 1, hidden=(8,)), (6, 1)),
    ):
        low, x = network.clone(dtype=jnp.bfloat16), jnp.ones(shape)
        y, params = jax.eval_shape(low.init_with_output, key, x)
        assert {leaf.dtype for leaf in jax.tree.leaves((y, params))} == {jnp.dtype(jnp.float32)}
    both = jax.jit(lambda params: [n.apply(params, x) for n in (network, low)])
    full, low = both(random_params(network.init, x))
    np.testing.assert_allclose(low, full, rtol=0.1)  # bfloat16 has eight bits of mantissa
    assert not np.array_equal(low, full)


DEEP = {
    "ResidualMLP": (ResidualMLP(16, 6, (4,), activation=jax.nn.silu), (8,)),
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
@pytest.mark.parametrize("name", ["ResidualMLP", "ConvEncoder"])
def test_remat_changes_no_parameter_and_no_value(name, dtype, key, random_params):
    network, shape = DEEP[name]
    if name == "ConvEncoder":  # the decoder has its blocks
        network = network.clone(channels=(4,), num_blocks=1)
    networks = [network.clone(dtype=dtype, remat=remat) for remat in (False, True)]
    x = jnp.asarray(np.random.default_rng(1).normal(size=(5, *shape)), jnp.float32)
    shapes = [jax.eval_shape(n.init, key, x) for n in networks]
    assert shapes[0] == shapes[1]  # one name and one key for each parameter
    params = random_params(network.init, x, scale=0.1)

    def value_and_grad(network):
        def loss(p):
            y = network.apply(p, x)
            return jnp.mean(jnp.sin(y)), y

        return jax.value_and_grad(loss, has_aux=True)(params)

    ((_, y), grads), ((_, z), again) = jax.jit(lambda: [*map(value_and_grad, networks)])()
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


@pytest.mark.parametrize("name", ["ResidualMLP", "ConvDecoder"])
def test_remat_keeps_a_third_of_the_activations_at_most(name):
    """One array for each block in place of all inside it."""
    network, shape = DEEP[name]
    assert kept(network.clone(remat=True), shape) < kept(network, shape) / 3


def test_lists_and_arrays_become_tuples_so_that_networks_hash():
    pairs = (
        (MLP([64, np.int64(3)], [3, 2]), MLP((64, 3), (3, 2))),
        (ConvEncoder([4, 8], [2]), ConvEncoder((4, 8), (2,))),
        (
            MaskedMLP((3,), hidden=[2], degrees=[np.array([0, 1])], order=np.arange(3)),
            MaskedMLP((3,), hidden=(2,), degrees=((0, 1),), order=(0, 1, 2)),
        ),
    )
    for listed, tupled in pairs:
        assert listed == tupled
        assert hash(listed) == hash(tupled)
    with pytest.raises(TypeError, match=r"MLP needs a tuple for hidden, as in \(64,\); got 64"):
        MLP(64, (3,))


@pytest.mark.parametrize(
    ("network", "x"),
    [
        (MLP((3,), (2,), input_ndim=2), (4, 2)),
        (ResidualMLP(3, 1, (2,), input_ndim=2), (4, 2)),
        (ConvEncoder((2,), (2,)), (4, 4, 1)),
        (ConvDecoder((2,), (4, 4, 1)), (3,)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_context_moves_the_output_and_may_be_one_for_each_of_a_batch(network, x, random_params):
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, *x)), jnp.float32)
    y = jnp.array([[1.0, -1.0], [0.5, 2.0]])
    params = random_params(network.init, x[0], y[0])
    apply = jax.jit(network.apply)
    one, other = apply(params, x[0], y[0]), apply(params, x[0], y[1])
    assert np.max(np.abs(one - other)) > 1e-3
    np.testing.assert_allclose(apply(params, x, y)[0], one, rtol=1e-4, atol=1e-5)
