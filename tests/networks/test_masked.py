import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.networks import MaskedDense, MaskedMLP


def randomized(network, key, f):
    def move(a):
        return a + 0.2 * jax.random.normal(key, a.shape)

    return jax.jit(lambda key: jax.tree.map(move, network.init(key, f)))(key)


def walk(network, params, f):
    cache, first = network.apply(params, method="start")

    def step(cache, f_i):
        return network.apply(params, cache, f_i, method="step")

    _, rest = jax.lax.scan(step, cache, f)
    return jnp.concatenate([first[None], rest[:-1]])


@pytest.mark.parametrize(
    ("num_elements", "num_features", "num_params", "hidden", "direct"),
    [
        (1, 1, 1, (5,), True),
        (2, 1, 3, (5,), False),
        (7, 2, 3, (3,), False),
        (10, 3, 2, (35, 20), True),
        (17, 1, 1, (), True),
        (30, 1, 2, (40, 9, 64), True),
    ],
)
def test_walk_gives_what_the_parallel_call_gives(
    num_elements, num_features, num_params, hidden, direct, key
):
    network = MaskedMLP((num_elements,), num_features, num_params, hidden, direct)
    f = jax.random.normal(key, (2, num_elements, num_features))
    params = randomized(network, key, f[0])
    walked = jax.jit(jax.vmap(lambda f: walk(network, params, f)))(f)
    # Sums over the past are taken in another order.
    passed = jax.jit(network.apply)(params, f)
    np.testing.assert_allclose(walked, passed, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("num_elements", [12, 324])  # one group of blocks, six groups
def test_walk_by_blocks_gives_what_the_parallel_call_gives(num_elements, key):
    order = tuple(map(int, jax.random.permutation(key, num_elements)))
    network = MaskedMLP((num_elements,), 2, 3, (35, 20), direct=True, order=order)
    f = jax.random.normal(key, (num_elements, 2))
    params = randomized(network, key, f)

    def step(cache, f_block):
        looked = network.apply(params, cache, f_block, method="look")
        cache, following = network.apply(params, cache, f_block, method="advance")
        return cache, (looked, following)

    @jax.jit
    def walk_by_blocks(f):
        cache, first = network.apply(params, method="start")
        blocks = f[np.array(order)].reshape(-1, network.block, 2)
        _, (looked, following) = jax.lax.scan(step, cache, blocks)
        return jnp.concatenate([first[None], looked.reshape(-1, 3)[:-1]]), looked[:, -1], following

    walked, last, following = walk_by_blocks(f)
    passed = jax.jit(network.apply)(params, f)[np.array(order)]
    np.testing.assert_allclose(walked, passed, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(last, following)
    in_turn = jax.jit(lambda f: walk(network, params, f))(f[np.array(order)])
    np.testing.assert_allclose(in_turn, passed, rtol=1e-4, atol=1e-4)


def test_no_output_depends_on_its_own_or_a_later_element_by_gradient(key):
    """And every output depends on every earlier element, so nothing is masked in vain."""
    network = MaskedMLP((6,), 2, 3, hidden=(12, 11), direct=False, activation=jnp.tanh)
    f = jax.random.normal(key, (6, 2))
    params = randomized(network, key, f)
    jacobian = jax.jit(jax.jacrev(lambda f: network.apply(params, f)))(f)  # [i, P, j, C]
    strength = np.abs(jacobian).max(axis=(1, 3))
    assert np.all(strength[np.triu_indices(6)] == 0.0)
    assert np.all(strength[np.tril_indices(6, -1)] > 0.0)


def test_walk_computes_each_hidden_unit_once(key):
    """Counted by the activations a whole walk evaluates: one lane for each unit, here 3 a step."""
    evaluated = []

    def activation(h):
        evaluated.append(h.size)
        return jnp.tanh(h)

    network = MaskedMLP((9,), 1, 1, hidden=(24,), activation=activation)  # 24 units, 8 degrees
    f = jax.random.normal(key, (9, 1))
    params = jax.jit(network.init)(key, f)
    evaluated.clear()
    jax.eval_shape(lambda f: walk(network, params, f), f)
    assert evaluated == [3]  # traced once, run at each of the 8 degrees: 24 in all


def test_weights_start_at_the_scale_of_their_own_fan_in(key):
    times = np.arange(100)
    layer = MaskedDense(100, 100)
    kernel = jax.jit(layer.init)(key, jnp.zeros(100), times, times)["params"]["kernel"]
    seen = np.tril(np.ones((100, 100)), 0).T
    assert np.all(np.asarray(kernel)[seen == 0.0] == 0.0)
    variance = np.sum(np.asarray(kernel) ** 2, axis=0)  # of outputs, for inputs of variance one
    assert abs(variance[20:].mean() - 1.0) < 0.1
