"""Row LSTM and Diagonal BiLSTM: the paper's recurrences, what is seen, and pass = walk."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import expit

from gm import core
from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import DiagonalBiLSTM, PixelRNN, RowLSTM
from gm.networks.pixelrnn import skewed, unskewed

H, W, G, C, FEATURES = 4, 5, 2, 3, 4
LAYERS = {"Row LSTM": RowLSTM, "Diagonal BiLSTM": DiagonalBiLSTM}
both = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


@jax.jit
def randomized(params, key):
    return jax.tree.map(lambda a: a + 0.3 * jax.random.normal(key, a.shape), params)


def layer_and_input(layer, key, colours=G):
    layer = layer(W, C, FEATURES, colours)
    key_x, key_bias, key_params = jax.random.split(key, 3)
    x = jax.random.normal(key_x, (H, W, colours, C))
    bias = jax.random.normal(key_bias, (layer.num_gates * FEATURES,))
    return layer, randomized(jax.jit(layer.init)(key, x), key_params), x, bias


def given_by_the_input(params, x, left, bias):
    """K_is * x + b, [H, W, G, gates h], pixel by pixel, with the mask between colours."""
    kernel = np.asarray(params["params"]["gates"]["kernel"], np.float64)
    kernel = kernel.reshape(left + 1, G, C, G, -1)
    own = np.asarray(params["params"]["gates"]["bias"], np.float64)
    gates = np.zeros((H, W, G, kernel.shape[-1])) + own + np.asarray(bias)
    for r, c, g in np.ndindex(H, W, G):
        for back in range(min(left, c) + 1):
            for of in range(G if back else g + 1):
                gates[r, c, g] += np.asarray(x[r, c - back, of]) @ kernel[left - back, of, :, g]
    return gates


def lstm(gates, c):
    """gates: [G, 4 h], c: [G, h]"""
    o, f, i, g = np.split(gates, 4, -1)
    c = expit(f + 1.0) * c + expit(i) * np.tanh(g)
    return c, expit(o) * np.tanh(c)


def row_lstm(params, x, bias):
    gates = given_by_the_input(params, x, 1, bias)
    kernel = np.asarray(params["params"]["recurrent"], np.float64).reshape(3, G * FEATURES, -1)
    c, h = np.zeros((2, H, W, G, FEATURES))
    for r, column in np.ndindex(H, W):
        sums, before = gates[r, column], np.zeros((G, FEATURES))
        if r > 0:
            before = c[r - 1, column]
            for tap in range(3):
                if 0 <= column + tap - 1 < W:
                    state = h[r - 1, column + tap - 1].reshape(-1)
                    sums = sums + (state @ kernel[tap]).reshape(sums.shape)
        c[r, column], h[r, column] = lstm(sums, before)
    return h


def diagonal_lstm(gates, kernel, side):
    """From the left (side -1) or from the right (side 1)."""
    c, h = np.zeros((2, H, W, G, FEATURES))
    beside, above = kernel.reshape(2, G * FEATURES, -1)
    for r in range(H):
        for column in range(W)[::-side]:
            sums, before = gates[r, column], np.zeros((G, FEATURES))
            if 0 <= column + side < W:
                before = c[r, column + side]
                sums = sums + (h[r, column + side].reshape(-1) @ beside).reshape(sums.shape)
            if r > 0:
                sums = sums + (h[r - 1, column].reshape(-1) @ above).reshape(sums.shape)
            c[r, column], h[r, column] = lstm(sums, before)
    return h


def diagonal_bilstm(params, x, bias):
    left, right = np.split(given_by_the_input(params, x, 0, bias), 2, -1)
    kernels = np.asarray(params["params"]["recurrent"], np.float64)
    y = diagonal_lstm(left, kernels[0], -1)
    y[1:] += diagonal_lstm(right, kernels[1], 1)[:-1]
    return y


@pytest.mark.parametrize(
    ("layer", "oracle"), [(RowLSTM, row_lstm), (DiagonalBiLSTM, diagonal_bilstm)], ids=LAYERS
)
def test_a_pass_is_the_recurrence_of_the_paper_pixel_by_pixel(layer, oracle, key):
    layer, params, x, bias = layer_and_input(layer, key)
    want = oracle(params, x, bias)
    np.testing.assert_allclose(layer.apply(params, x, bias), want, atol=1e-5)  # float32 sums


@both
def test_a_layer_steps_as_it_passes(layer, key):
    layer, params, x, bias = layer_and_input(layer, key)
    elements = x.reshape(-1, C)

    def step(cache, element):
        time, x_i = element
        return layer.apply(params, cache, time, x_i, bias, method="step")

    cache = layer.apply(params, elements[0], bias, method="start")
    _, found = jax.lax.scan(step, cache, (jnp.arange(len(elements)), elements))
    want = layer.apply(params, x, bias)
    np.testing.assert_allclose(found.reshape(want.shape), want, atol=1e-5)  # float32 sums


def influence(layer, key, colours):
    """[H W G, H W G], whether the output of an element (first) moves with another's input."""
    layer, params, x, bias = layer_and_input(layer, key, colours)
    moves = jax.jit(jax.jacrev(lambda x: layer.apply(params, x, bias).sum(-1)))(x)
    return np.asarray(moves != 0).any(-1).reshape(x[..., 0].size, -1)


@pytest.mark.parametrize("colours", [1, 2])
def test_one_diagonal_bilstm_sees_every_element_before_and_none_after(colours, key):
    """Each of the pixels to the right in the rows above too, where a PixelCNN is blind."""
    sees = influence(DiagonalBiLSTM, key, colours)
    np.testing.assert_array_equal(sees, np.tril(np.ones_like(sees)))


@pytest.mark.parametrize("colours", [1, 2])
def test_one_row_lstm_sees_its_triangle(colours, key):
    sees = influence(RowLSTM, key, colours)
    r, c, g = (part.reshape(-1) for part in np.indices((H, W, colours)))
    rows, columns = r[:, None] - r, c - c[:, None]  # up, and to the right
    triangle = (rows >= 0) & (columns >= -1 - rows) & (columns <= rows)
    later_colour = (rows == 0) & (columns == 0) & (g > g[:, None])
    np.testing.assert_array_equal(sees, triangle & ~later_colour)


def test_skewing_moves_each_row_by_its_number():
    x = 1 + jnp.arange(2 * 3 * 4.0).reshape(2, 3, 4)
    y = skewed(x)
    want = [[1, 2, 3, 4, 0, 0], [0, 5, 6, 7, 8, 0], [0, 0, 9, 10, 11, 12]]
    np.testing.assert_array_equal(y[0], want)
    np.testing.assert_array_equal(unskewed(y), x)


def model_of(layer, event, context=None):
    network = PixelRNN(layer=layer, channels=4, num_layers=2, first_size=5, head_channels=6)
    return CausalModel(event, dist.head_for(event), network, context)


def walked(model, params, x, context=None):
    """The logits of a walk over a batch, [B, D, ...], in the order of the elements."""

    def one(x, y):
        def advance(carry, x_i):
            return model.observe(params, carry, x_i), model.predict(params, carry).logits

        return jax.lax.scan(advance, model.start(params, y), x.reshape(-1))[1]

    return jax.jit(jax.vmap(one))(x, context)


@pytest.mark.slow
@both
@pytest.mark.parametrize("event", [Event((5, 6), 2), Event((3, 4, 3), 4)], ids=["bits", "colours"])
def test_a_batch_walks_as_it_passes_with_its_labels(layer, event, key):
    model = model_of(layer, event, Event((), 3))
    params, y = randomized(jax.jit(model.init)(key), key), jnp.arange(3)
    x = jax.random.randint(key, (3, *event.shape), 0, event.num_values)
    want = jax.jit(jax.vmap(lambda x, y: model.conditionals(params, x, y).logits))(x, y)
    found = walked(model, params, x, y).reshape(want.shape)
    np.testing.assert_allclose(found, want, atol=2e-5 * np.abs(want).max())  # float32 sums


@pytest.mark.slow
@both
def test_every_layer_is_given_the_context(layer, key):
    model = model_of(layer, Event((2, 3), 2), Event((2,)))
    params, x = randomized(jax.jit(model.init)(key), key), jnp.zeros((2, 3), jnp.int32)
    given = jax.jacrev(lambda p, y: model.conditionals(p, x, y).logits)(params, jnp.ones(2))
    for number in range(2):
        slopes = given["params"][f"contexts_{number}"]["dense"]["kernel"]
        assert (np.abs(slopes).max((0, 1)) > 0).any(1).all()


@both
def test_bfloat16_walks_as_it_passes(layer, key):
    full = model_of(layer, Event((3, 4), 2))
    model = core.in_precision(full, jnp.bfloat16)
    params, x = randomized(jax.jit(full.init)(key), key), jax.random.randint(key, (1, 3, 4), 0, 2)
    want = model.conditionals(params, x[0]).logits
    assert want.dtype == jnp.float32
    assert np.abs(want - full.conditionals(params, x[0]).logits).max() > 1e-4
    found = walked(model, params, x).reshape(want.shape)
    # Sums of states in another order are rounded apart before the next product.
    np.testing.assert_allclose(found, want, atol=2**-6 * np.abs(want).max())
