"""Masked networks: the forward pass, incremental sampling and its blocks are one function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.networks import MaskedDense, MaskedMLP


def by_elements(network, params, f):
    cache, first = network.apply(params, method="start")

    def step(cache, f_i):
        return network.apply(params, cache, f_i, method="step")

    _, rest = jax.lax.scan(step, cache, f)
    return jnp.concatenate([first[None], rest[:-1]])


def by_blocks(network, params, f):
    """The same by blocks; `block_logits` and `extend_block` agree at the end of each block."""
    cache, first = network.apply(params, method="start")

    def step(cache, f_block):
        looked = network.apply(params, cache, f_block, method="block_logits")
        cache, following = network.apply(params, cache, f_block, method="extend_block")
        return cache, (looked, following)

    _, (looked, following) = jax.lax.scan(step, cache, f.reshape(-1, network.block, f.shape[-1]))
    rest = looked.reshape(-1, looked.shape[-1])
    return jnp.concatenate([first[None], rest[:-1]]), looked[:, -1], following


@pytest.mark.parametrize(
    ("size", "hidden", "blocks"),
    [
        (1, (5,), (1, 1, 1)),
        (20, (30, 8), (5, 4, 5)),  # more units than elements, and fewer
        (198, (250,), (18, 11, 3)),
    ],
)
def test_elements_and_blocks_in_turn_give_what_the_forward_pass_gives(
    size, hidden, blocks, random_params
):
    """At sizes of many blocks and groups, which the laws' small spaces do not have."""
    rng = np.random.default_rng(0)
    order = tuple(map(int, rng.permutation(size)))
    network = MaskedMLP((size,), 2, 3, hidden, direct=True, order=order)
    assert (network.num_blocks, network.block, network.group) == blocks
    f = jnp.asarray(rng.normal(size=(size, 2)), jnp.float32)
    params = random_params(network.init, f, scale=0.1)

    @jax.jit
    def faces(f):
        passed, f = network.apply(params, f)[np.array(order)], f[np.array(order)]
        return passed, by_elements(network, params, f), by_blocks(network, params, f)

    passed, stepped, (blockwise, last, following) = faces(f)
    # Sums over the past are taken in another order.
    np.testing.assert_allclose(stepped, passed, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(blockwise, passed, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(last, following)


def test_incremental_sampling_computes_each_hidden_unit_once():
    """Counted by the activations that all steps evaluate: one per unit, here 3 a step."""
    evaluated = []

    def activation(h):
        evaluated.append(h.size)
        return jnp.tanh(h)

    network = MaskedMLP((9,), 1, 1, hidden=(24,), activation=activation)  # 24 units, 8 degrees
    f = jnp.ones((9, 1))
    params = jax.eval_shape(network.init, jax.random.key(0), f)
    evaluated.clear()
    jax.eval_shape(lambda params, f: by_elements(network, params, f), params, f)
    assert evaluated == [3]  # traced once, run at each of the 8 degrees: 24 in all


def test_weights_start_at_the_scale_of_their_own_fan_in(key):
    """Where the mask may change, every weight starts, at the scale of half the inputs."""
    times = np.arange(100)

    def kernel(**options):
        layer = MaskedDense(100, 100, **options)
        return layer.init(key, jnp.zeros(100), times, times)["params"]["kernel"]

    one, many = map(np.asarray, jax.jit(lambda: (kernel(), kernel(many_masks=True)))())
    assert np.all(one[np.tril_indices(100, -1)] == 0.0)
    variance = np.sum(one**2, axis=0)  # of outputs, for inputs of variance one
    assert abs(variance[20:].mean() - 1.0) < 0.1
    assert np.all(many != 0.0)
    assert abs(np.var(many) * 50 - 1.0) < 0.1


def test_a_logistic_regression_starts_at_zero():
    """Its loss is convex, so no start is better."""
    network = MaskedMLP((5,), hidden=())
    params = network.init(jax.random.key(0), jnp.zeros((5, 1)))
    assert all(np.all(np.asarray(leaf) == 0.0) for leaf in jax.tree.leaves(params))
