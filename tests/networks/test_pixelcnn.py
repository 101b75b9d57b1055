"""Masked convolutions, PixelCNN and Gated PixelCNN: who sees whom, and both faces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel, walk
from gm.networks import GatedPixelCNN, MaskedConv, PixelCNN, RowConv

SMALL = {"channels": 3, "num_layers": 3, "head_channels": 4}
NETWORKS = {
    "PixelCNN": PixelCNN(**SMALL, first_size=5),
    "PixelCNN, even reach": PixelCNN(**SMALL, first_size=7, size=5, places=True),
    "Gated PixelCNN": GatedPixelCNN(**SMALL, first_size=3),
    "Gated PixelCNN, wide": GatedPixelCNN(**SMALL, first_size=7, size=5, places=True),
}


def randomized(model, key):
    def move(a):
        return a + 0.3 * jax.random.normal(key, a.shape)

    return jax.jit(lambda key: jax.tree.map(move, model.init(key)))(key)


def built(name, shape, key):
    """The sized network and parameters that are nowhere zero."""
    model = CausalModel(Event(shape), dist.NormalHead(), NETWORKS[name])
    params = randomized(model, key)
    return model, params


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 2)])
@pytest.mark.parametrize("name", NETWORKS)
def test_walk_gives_what_the_pass_gives(name, shape, key):
    model, params = built(name, shape, key)
    x = jax.random.normal(key, shape)

    def step(carry, x_i):
        return model.observe(params, carry, x_i), carry.raw

    @jax.jit
    def walked(x):
        return jax.lax.scan(step, model.start(params), x.reshape(-1))[1]

    raw = model.network.apply(params, x[..., None]).reshape(x.size, -1)
    np.testing.assert_allclose(walked(x), raw, rtol=1e-4, atol=1e-4)


def strengths(model, params, key):
    """|d raw_i / d x_j|, the largest over random x: [i, j]."""
    x = jax.random.normal(key, (4, *model.event.shape))

    def raw(x):
        return model.network.apply(params, x[..., None])

    jacobian = jax.jit(jax.vmap(jax.jacrev(raw)))(x)
    size = model.event.size
    return np.abs(np.asarray(jacobian)).reshape(4, size, -1, size).max(axis=(0, 2))


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 2)])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_element_sees_itself_or_a_later_one_by_gradient(name, shape, key):
    seen = strengths(*built(name, shape, key), key)
    assert np.all(seen[np.triu_indices(len(seen))] == 0.0)


@pytest.mark.parametrize("shape", [(5, 6), (3, 4, 2)])
def test_gated_pixelcnn_sees_every_earlier_pixel(shape, key):
    """No blind spot."""
    seen = strengths(*built("Gated PixelCNN, wide", shape, key), key)
    assert np.all(seen[np.tril_indices(len(seen), -1)] > 0.0)


def test_pixelcnn_has_the_blind_spot_of_its_paper(key):
    """And the test above sees what it looks for."""
    model = CausalModel(
        Event((5, 6)), dist.NormalHead(), PixelCNN(**SMALL | {"num_layers": 6}, first_size=3)
    )
    params = randomized(model, key)
    seen = strengths(model, params, key)[4 * 6 + 0].reshape(5, 6)  # the first pixel of the last row
    assert seen[3, 1] > 0.0
    assert seen[3, 2] == 0.0  # one row up, two columns to the right


@pytest.mark.parametrize("strict", [False, True])
def test_a_masked_convolution_is_a_convolution_with_a_masked_kernel(strict, key):
    """Against XLA's convolution of whole kernels, with zeros where the mask is."""
    layer = MaskedConv(5, 2, 3, above=1, left=1, right=1, strict=strict)
    x = jax.random.normal(key, (4, 5, 1, 2))
    params = jax.jit(layer.init)(key, x)
    params = jax.tree.map(lambda a: a + 0.1, params)
    taps = np.asarray(params["params"]["kernel"]).reshape(-1, 2 + strict, 3)
    kernel = np.zeros((3, 3, 2 + strict, 3), np.float32)
    kernel[0] = taps[:3]
    kernel[1, 0] = taps[3]
    if not strict:
        kernel[1, 1] = taps[4]
    image = x[:, :, 0]
    if strict:
        image = jnp.concatenate([image, jnp.ones((4, 5, 1))], -1)
    want = jax.lax.conv_general_dilated(
        image[None], kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )[0] + params["params"]["bias"].reshape(1, 1, 3)
    np.testing.assert_allclose(layer.apply(params, x)[:, :, 0], want, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("strict", [False, True])
def test_rows_by_steps_are_rows_in_one_pass(strict, key):
    layer = RowConv(2, 3, above=2, reach=1, strict=strict)
    x = jax.random.normal(key, (6, 4, 2))
    params = jax.jit(layer.init)(key, x)
    given = jnp.concatenate([jnp.zeros((1, 4, 2)), x[:-1]]) if strict else x
    ring = layer.apply(params, x[0], method="start")
    rows = []
    for time, row in enumerate(given):
        ring, y = layer.apply(params, ring, jnp.array(time), row, method="step")
        rows.append(y)
    np.testing.assert_allclose(jnp.stack(rows), layer.apply(params, x), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("context", [Event((), 4), Event((3,))], ids=["label", "embedding"])
def test_context_reaches_every_layer_and_every_pixel(context, key):
    event = Event((3, 4), 2)
    model = CausalModel(event, dist.BernoulliHead(), NETWORKS["Gated PixelCNN"], context)
    params = randomized(model, key)
    x = jnp.zeros((3, 4), jnp.int32)
    one, other = (jnp.array(0), jnp.array(3)) if context.discrete else (jnp.ones(3), jnp.zeros(3))
    logits = [model.conditionals(params, x, y).logits for y in (one, other)]
    assert np.all(logits[0] != logits[1])
    keys = jax.random.split(key, 8)
    draws = jax.jit(jax.vmap(lambda k: model.sample(params, k, one)))(keys)
    naive = jax.jit(jax.vmap(lambda k: walk.sample_by_passes(model, params, k, one)))(keys)
    np.testing.assert_array_equal(draws, naive)


def test_a_missing_or_strange_context_is_said(key):
    event = Event((3, 4), 2)
    model = CausalModel(event, dist.BernoulliHead(), NETWORKS["PixelCNN"], Event((), 4))
    params, x = jax.jit(model.init)(key), jnp.zeros((3, 4), jnp.int32)
    with pytest.raises(ValueError, match=r"needs a context of shape \(\), integers < 4; got none"):
        model.log_prob(params, x)
    with pytest.raises(ValueError, match=r"context needs integers in \[0, 4\)"):
        model.log_prob(params, x, jnp.array(4))
    plain = CausalModel(event, dist.BernoulliHead(), NETWORKS["PixelCNN"])
    with pytest.raises(ValueError, match="takes no context"):
        plain.log_prob(jax.jit(plain.init)(key), x, jnp.array(1))
