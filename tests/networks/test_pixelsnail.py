"""PixelSNAIL: who sees whom, both faces, and what attention adds to convolutions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel, PixelModel
from gm.networks import PixelSNAIL

SMALL = PixelSNAIL(channels=4, num_blocks=1, num_layers=1, key_channels=4, value_channels=4)
DEEP = SMALL.clone(num_blocks=2, num_layers=2, num_heads=2)


def built(network, shape, key):
    model = CausalModel(Event(shape), dist.NormalHead(), network)

    def move(a):
        return a + 0.1 * jax.random.normal(key, a.shape)

    return model, jax.jit(lambda key: jax.tree.map(move, model.init(key)))(key)


def strengths(network, shape, key, change=lambda params: params):
    """|d raw_i / d x_j|, the largest over random x: [i, j]."""
    model, params = built(network, shape, key)
    params, x = change(params), jax.random.normal(key, (4, *shape))

    def raw(x):
        return model.network.apply(params, x[..., None])

    jacobian = jax.jit(jax.vmap(jax.jacrev(raw)))(x)
    size = model.event.size
    return np.abs(np.asarray(jacobian)).reshape(4, size, -1, size).max(axis=(0, 2))


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 2)])
def test_every_element_sees_all_before_it_and_none_after(shape, key):
    """One block is enough: by attention, however far."""
    seen = strengths(SMALL, shape, key)
    assert np.all(seen[np.triu_indices(len(seen))] == 0.0)
    assert np.all(seen[np.tril_indices(len(seen), -1)] > 0.0)


def test_without_attention_one_block_sees_its_neighbours_only(key):
    """And the test above sees what it looks for."""

    def blind(params):
        layers = params["params"]
        zeros = jax.tree.map(jnp.zeros_like, layers["attentions_0"]["read"])
        return {"params": layers | {"attentions_0": layers["attentions_0"] | {"read": zeros}}}

    seen = strengths(SMALL, (5, 6), key, blind)
    (i, j) = np.indices((30, 30))
    back, side = i // 6 - j // 6, j % 6 - i % 6
    # The first convolution, one row up and one column to either side, then two more of 2 x 2.
    near = (back <= 3) & (side >= -3) & (side <= 1) & (j < i)
    assert np.all(seen[~near] == 0.0)
    assert np.any(seen[near] > 0.0)


@pytest.mark.parametrize("network", [SMALL, DEEP], ids=["small", "deep"])
@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 2)])
def test_the_walk_gives_what_the_pass_gives(network, shape, key):
    model, params = built(network, shape, key)
    x = jax.random.normal(key, shape)

    @jax.jit
    def both(x):
        def step(carry, x_i):
            return model.observe(params, carry, x_i), carry.raw

        _, walked = jax.lax.scan(step, model.start(params), x.reshape(-1))
        return walked, model.network.apply(params, x[..., None]).reshape(x.size, -1)

    walked, passed = both(x)
    # float32 sums in another order
    np.testing.assert_allclose(walked, passed, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_every_convolutional_block_is_given_the_context(key):
    model = PixelModel(Event((2, 3, 3), 4), DEEP, 2, Event((), 3))
    params = jax.jit(model.init)(key)
    params = jax.tree.map(lambda a: a + 0.1 * jax.random.normal(key, a.shape), params)
    x = jax.random.randint(key, model.event.shape, 0, 4)
    kernel = params["params"]["given"]["dense"]["kernel"]
    assert kernel.shape == (3, 4 * 2 * 4)
    for block in range(4):
        one = jnp.zeros_like(kernel).at[:, 8 * block : 8 * block + 8].set(1.0)
        one = {"kernel": one * jnp.arange(3.0)[:, None], "bias": jnp.zeros(32)}
        moved = {"params": params["params"] | {"given": {"dense": one}}}
        first, second = (model.conditionals(moved, x, jnp.array(y)) for y in (0, 1))
        assert np.max(np.abs(first.components.loc - second.components.loc)) > 1e-5


def test_places_tell_equal_pixels_apart(key):
    """On an image of one value, far from its edges, only attention and places can differ."""
    model, params = built(SMALL, (6, 7), key)
    raw = np.asarray(model.network.apply(params, jnp.ones((6, 7, 1))))
    inner = raw[4:, 3:6].reshape(6, -1)
    assert len(np.unique(inner[:, 0])) == 6
