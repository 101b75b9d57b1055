"""PixelSNAIL: the paper's equations, and what attention adds to convolutions."""

import jax
import numpy as np

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import PixelSNAIL
from tests.references import pixels
from tests.references.faces import influence, passed, random_params, stepped

SMALL = PixelSNAIL(channels=4, num_blocks=1, num_layers=1, key_channels=4, value_channels=6)


def test_both_faces_are_the_equations_of_the_paper():
    """Two colours one after the other, two heads, a vector for a context."""
    network = SMALL.clone(num_layers=2, num_heads=2)
    model = CausalModel(Event((3, 4, 2), 3), dist.CategoricalHead(3), network, Event((2,)))
    params, y = random_params(model), np.float32([0.7, -0.4])
    x = np.random.default_rng(1).integers(0, 3, (3, 4, 2)).astype(np.int32)
    f = np.eye(3, dtype=np.float32)[x]
    log_p, raw = passed(model, params, x, f, y)
    want = pixels.pixelsnail(model.sized_network, params, f, y)
    # float32 against float64; outputs are of size one
    np.testing.assert_allclose(raw, want.reshape(raw.shape), atol=5e-6)
    np.testing.assert_allclose(log_p, pixels.categorical(want, x), rtol=1e-6)
    np.testing.assert_allclose(stepped(model, params, f, y), raw, atol=5e-6)


def test_one_block_sees_all_before_it_by_attention_and_its_neighbours_without():
    model = CausalModel(Event((5, 6)), dist.NormalHead(), SMALL)
    params = random_params(model)
    np.testing.assert_array_equal(influence(model, params), np.tri(30, 30, -1, dtype=bool))

    layers = params["params"]
    read = jax.tree.map(np.zeros_like, layers["attentions_0"]["read"])
    blind = {"params": layers | {"attentions_0": layers["attentions_0"] | {"read": read}}}
    i, j = np.indices((30, 30))
    back, side = i // 6 - j // 6, j % 6 - i % 6
    # The first convolution, one row up and one column to either side, then two more of 2 x 2.
    near = (back <= 3) & (side >= -3) & (side <= 1) & (j < i)
    assert not np.any(influence(model, blind) & ~near)
