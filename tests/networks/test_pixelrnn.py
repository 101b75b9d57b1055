"""Row LSTM and Diagonal BiLSTM: the paper's recurrences, and what they see."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import DiagonalBiLSTM, PixelRNN, RowLSTM
from gm.networks.pixelrnn import skewed, unskewed
from tests.references import pixels
from tests.references.faces import influence, passed, random_params, stepped

SMALL = {"channels": 3, "head_channels": 4}
both = pytest.mark.parametrize("layer", [RowLSTM, DiagonalBiLSTM])


@pytest.mark.parametrize(
    ("layer", "shape", "num_layers"),
    [(RowLSTM, (4, 5), 2), (DiagonalBiLSTM, (4, 5, 2), 1)],
    ids=["Row LSTM", "Diagonal BiLSTM, two colours"],
)
def test_both_faces_are_the_equations_of_the_paper(layer, shape, num_layers):
    """A vector for a context."""
    network = PixelRNN(layer=layer, num_layers=num_layers, first_size=3, **SMALL)
    model = CausalModel(Event(shape, 3), dist.CategoricalHead(3), network, Event((2,)))
    params, y = random_params(model), np.float32([0.7, -0.4])
    x = np.random.default_rng(1).integers(0, 3, shape).astype(np.int32)
    f = np.eye(3, dtype=np.float32)[x]
    log_p, raw = passed(model, params, x, f, y)
    want = pixels.pixelrnn(model.sized_network, params, f.reshape(4, 5, -1, 3), y)
    # float32 against float64; outputs are of size one
    np.testing.assert_allclose(raw, want.reshape(raw.shape), atol=3e-6)
    np.testing.assert_allclose(log_p, pixels.categorical(want.reshape(f.shape), x), rtol=1e-6)
    np.testing.assert_allclose(stepped(model, params, f, y), raw, atol=3e-6)


@both
def test_what_one_layer_sees(layer):
    """The diagonal one all before it, where a PixelCNN is blind; the other one a triangle."""
    network = PixelRNN(layer=layer, num_layers=1, first_size=3, **SMALL)
    model = CausalModel(Event((4, 5)), dist.NormalHead(), network)
    seen = influence(model, random_params(model))
    (r, c), pixel = np.indices((4, 5)).reshape(2, -1), np.arange(20)
    up, right = r[:, None] - r, c - c[:, None]
    before = pixel < pixel[:, None]
    if layer is DiagonalBiLSTM:
        # The last pixel of the row above: by mask A, no state of that row has seen it.
        before &= ~((up == 1) & (c == 4) & (right > 1))
    else:
        # The first convolution: one row up and one column to either side, or one to the left. Then
        # one column more on the left, and with every row up one more on either side.
        before &= (right >= -2 - up) & (right <= up)
    np.testing.assert_array_equal(seen, before)


def test_skewing_moves_each_row_by_its_number():
    x = 1 + np.arange(2 * 3 * 4.0, dtype=np.float32).reshape(2, 3, 4)
    y, back = jax.jit(lambda x: (skewed(x), unskewed(skewed(x))))(x)
    want = [[1, 2, 3, 4, 0, 0], [0, 5, 6, 7, 8, 0], [0, 0, 9, 10, 11, 12]]
    np.testing.assert_array_equal(y[0], want)
    np.testing.assert_array_equal(back, x)


@both
def test_every_product_takes_bfloat16_where_asked(layer):
    """In parallel and in a step, by the programs alone, as they are for a GPU."""
    network = PixelRNN(layer=layer, num_layers=1, first_size=3, dtype=jnp.bfloat16, **SMALL)
    model = CausalModel(Event((3, 4), 2), dist.BernoulliHead(), network)
    params = jax.eval_shape(model.init, jax.random.key(0))
    x, carry = np.zeros((3, 4), np.int32), jax.eval_shape(model.start, params)
    for face, given in ((model.conditionals, (x,)), (model.observe, (carry, x[0, 0]))):
        lowered = jax.jit(face).trace(params, *given).lower(lowering_platforms=("cuda",))
        products = re.findall(r"(?:dot_general|convolution).* : (\(.*\)) ->", lowered.as_text())
        assert len(products) >= 5
        assert all(text.count("bf16") == 2 for text in products), products
