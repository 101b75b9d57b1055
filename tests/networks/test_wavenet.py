"""WaveNet: what each output sees, and that the pass and the walk are one distribution."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import WaveNet

NETWORK = WaveNet(channels=4, skip_channels=5, dilations=(1, 2, 4, 1))
REAL = NETWORK.clone(shape=(16,), num_features=1, num_params=2)
LABELLED = CausalModel(Event((12,), 3), dist.CategoricalHead(3), NETWORK, Event((), 4))


@jax.jit
def randomized(init, key):
    return jax.tree.map(lambda a: a + 0.3 * jax.random.normal(key, a.shape), init)


def influence(network, key, num_x):
    """[T, T], whether output i moves with input j; in float64-like contrast by large weights."""
    f = jax.random.normal(key, (num_x, 1))
    params = randomized(jax.jit(network.init)(key, f), key)
    jacobian = jax.jacobian(lambda f: network.apply(params, f).sum(-1))(f)[..., 0]
    return np.asarray(jacobian) != 0.0


@pytest.mark.parametrize(
    ("dilations", "size", "want"), [((1, 2, 4, 1), 2, 9), ((1, 2), 3, 7), ((3,), 2, 4)]
)
def test_receptive_field_is_the_stated_one_and_its_far_end_is_seen(dilations, size, want, key):
    network = REAL.clone(dilations=dilations, size=size)
    assert network.receptive_field == want
    sees, (i, j) = influence(network, key, 16), np.indices((16, 16))
    assert not np.any(sees[(j >= i) | (j < i - want)])
    assert np.all(sees[j == i - want])
    assert np.all(sees[j == i - 1])


def test_every_element_of_the_field_is_seen_where_dilations_double(key):
    sees, (i, j) = influence(REAL.clone(dilations=(1, 2, 4)), key, 16), np.indices((16, 16))
    np.testing.assert_array_equal(sees, (j < i) & (j >= i - 8))


def test_the_walk_gives_the_logits_of_the_pass(key):
    x, y = jax.random.randint(key, (12,), 0, 3), jnp.array(2)
    params = randomized(jax.jit(LABELLED.init)(key), key)
    want = LABELLED.conditionals(params, x, y).logits

    def advance(carry, x_i):
        return LABELLED.observe(params, carry, x_i), LABELLED.predict(params, carry).logits

    _, found = jax.lax.scan(advance, LABELLED.start(params, y), x)
    np.testing.assert_allclose(found, want, atol=2e-6)  # float32 sums in another order


def test_every_block_is_given_the_context(key):
    """All but one slice of the context's weights at zero, the outputs still depend on it."""
    x, params = jnp.zeros(12, jnp.int32), randomized(jax.jit(LABELLED.init)(key), key)
    kernel = params["params"]["given"]["dense"]["kernel"]
    assert kernel.shape == (4, 4 * 2 * 4)
    for block in range(4):
        one = jnp.zeros_like(kernel).at[:, 8 * block : 8 * block + 8].set(1.0)
        gain = jnp.arange(4.0)[:, None]  # so that labels differ
        given = {"dense": params["params"]["given"]["dense"] | {"kernel": one * gain}}
        moved = {"params": params["params"] | {"given": given}}
        first, second = (LABELLED.conditionals(moved, x, jnp.array(y)).logits for y in (0, 1))
        assert np.all(np.max(np.abs(first - second), -1) > 1e-4)


def test_parameters_of_one_length_serve_every_other(key):
    """Causal: the first elements of a longer row are scored as those of the shorter one."""
    params = jax.jit(LABELLED.init)(key)
    longer = dataclasses.replace(LABELLED, event=Event((20,), 3))
    x, y = jax.random.randint(key, (20,), 0, 3), jnp.array(1)
    np.testing.assert_allclose(
        longer.conditionals(params, x, y).logits[:12],
        LABELLED.conditionals(params, x[:12], y).logits,
        atol=1e-6,
    )
    assert longer.sample(params, key, y).shape == (20,)


def test_an_image_is_read_as_one_row_of_its_elements(key):
    image = dataclasses.replace(LABELLED, event=Event((3, 4), 3))
    params, x = jax.jit(LABELLED.init)(key), jax.random.randint(key, (12,), 0, 3)
    logits = image.conditionals(params, x.reshape(3, 4), jnp.array(0)).logits
    assert logits.shape == (3, 4, 3)
    np.testing.assert_array_equal(
        logits.reshape(12, 3), LABELLED.conditionals(params, x, jnp.array(0)).logits
    )


def test_the_stream_and_the_skips_start_at_one_scale_whatever_the_depth(key):
    """Gradients of the first block neither vanish nor grow over 30 blocks."""
    f = jax.random.normal(key, (40, 8))
    spread = []
    for depth in (3, 30):
        network = WaveNet(
            channels=16,
            skip_channels=16,
            dilations=(1, 2, 4) * (depth // 3),
            shape=(40,),
            num_features=8,
            num_params=4,
        )
        spread.append(float(jnp.std(network.apply(jax.jit(network.init)(key, f), f))))
    assert 0.5 < spread[0] / spread[1] < 2.0


def test_a_stack_without_blocks_is_refused(key):
    with pytest.raises(ValueError, match="WaveNet needs at least one dilation"):
        REAL.clone(dilations=()).init(key, jnp.zeros((16, 1)))
