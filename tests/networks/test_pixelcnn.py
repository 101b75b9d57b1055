"""Masked convolutions, PixelCNN and Gated PixelCNN: the papers' equations, and who sees whom."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import (
    DiagonalBiLSTM,
    GatedPixelCNN,
    PixelCNN,
    PixelCNNPlusPlus,
    PixelRNN,
    PixelSNAIL,
    RowLSTM,
)
from tests.references import pixels
from tests.references.faces import influence, passed, random_params, stepped

SMALL = {"channels": 3, "num_layers": 2, "head_channels": 4, "first_size": 5, "pixel_bias": True}
NETWORKS = {
    "PixelCNN": (PixelCNN(**SMALL), pixels.pixelcnn),
    "Gated PixelCNN": (GatedPixelCNN(**SMALL), pixels.gated_pixelcnn),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_both_faces_are_the_equations_of_the_paper(name):
    """Two colours, a vector for a context, a bias for each pixel."""
    network, reference = NETWORKS[name]
    model = CausalModel(Event((4, 5, 2), 3), dist.CategoricalHead(3), network, Event((2,)))
    params, y = random_params(model), np.float32([0.7, -0.4])
    x = np.random.default_rng(1).integers(0, 3, (4, 5, 2)).astype(np.int32)
    f = np.eye(3, dtype=np.float32)[x]
    log_p, raw = passed(model, params, x, f, y)
    want = reference(model.sized_network, params, f, y)
    # float32 against float64; outputs are of size one
    np.testing.assert_allclose(raw, want.reshape(raw.shape), atol=3e-6)
    np.testing.assert_allclose(log_p, pixels.categorical(want, x), rtol=1e-6)
    np.testing.assert_allclose(stepped(model, params, f, y), raw, atol=3e-6)


def influence_of(network, shape):
    """With a head wide enough that some of its ReLUs are open at every pixel."""
    network = network.clone(head_channels=16)
    model = CausalModel(Event(shape), dist.NormalHead(), network)
    return influence(model, random_params(model))


def test_gated_pixelcnn_has_no_blind_spot():
    seen = influence_of(GatedPixelCNN(**SMALL), (3, 3))
    np.testing.assert_array_equal(seen, np.tri(9, 9, -1, dtype=bool))


def test_pixelcnn_has_the_blind_spot_of_its_paper():
    """To the right of a line that goes up by one row for each column."""
    seen = influence_of(PixelCNN(**SMALL | {"first_size": 3}), (3, 5))[2 * 5]
    np.testing.assert_array_equal(
        seen.reshape(3, 5), [[1, 1, 1, 0, 0], [1, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    )


def test_a_missing_or_strange_context_is_said():
    event, network = Event((3, 4), 2), PixelCNN(**SMALL)
    model = CausalModel(event, dist.BernoulliHead(), network, Event((), 4))
    x = np.zeros((3, 4), np.int32)
    with pytest.raises(ValueError, match=r"needs a context of shape \(\), integers < 4; got none"):
        model.log_prob({}, x)
    with pytest.raises(ValueError, match=r"context needs integers in \[0, 4\)"):
        model.log_prob({}, x, jnp.array(4))
    plain = CausalModel(event, dist.BernoulliHead(), network)
    with pytest.raises(ValueError, match="takes no context"):
        plain.log_prob({}, x, jnp.array(1))


@pytest.mark.parametrize("network", [PixelCNN(), GatedPixelCNN(), PixelRNN(), PixelSNAIL()])
@pytest.mark.parametrize("shape", [(5,), (2, 2, 2, 2)])
def test_an_event_that_is_no_image_is_refused_with_what_would_fit(network, shape):
    with pytest.raises(ValueError, match=rf"an event of images.*got \({shape[0]},.*MADE and NADE"):
        CausalModel(Event(shape), dist.NormalHead(), network)


def test_a_scalar_is_refused_as_soon_as_it_can_be_told_from_no_event(key):
    model = CausalModel(Event(()), dist.NormalHead(), PixelCNN())
    with pytest.raises(ValueError, match=r"an event of images.*got \(\)"):
        model.init(key)


@pytest.mark.parametrize(
    "network",
    [
        PixelCNN(**SMALL),
        GatedPixelCNN(**SMALL),
        PixelRNN(layer=RowLSTM, num_layers=1),
        PixelRNN(layer=DiagonalBiLSTM, num_layers=1),
        pytest.param(
            PixelCNNPlusPlus(channels=2, num_blocks=1, num_levels=2), marks=pytest.mark.slow
        ),
        PixelSNAIL(channels=2, num_blocks=1, num_layers=1),
    ],
    ids=lambda network: type(network).__name__ + getattr(network, "layer", str).__name__,
)
def test_all_is_float32_where_jax_has_64_bits_and_never_promotes(network, key):
    model = CausalModel(Event((3, 4), 2), dist.BernoulliHead(), network, Event((2,)))
    x, y = np.zeros((3, 4), np.int32), np.zeros(2, np.float32)
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        params = jax.eval_shape(model.init, key)
        log_p, slopes = jax.eval_shape(jax.value_and_grad(model.log_prob), params, x, y)
        found = jax.eval_shape(model.sample, params, key, y)
    assert {leaf.dtype for leaf in jax.tree.leaves((params, log_p, slopes))} == {np.dtype("f4")}
    assert found.dtype == np.int32
