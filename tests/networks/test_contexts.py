"""What causal networks are given: a pytree, and a part of it for each element."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel
from gm.networks import (
    GRU,
    LSTM,
    NADE,
    GatedPixelCNN,
    MaskedMLP,
    PixelCNN,
    RecurrentNetwork,
    Transformer,
    WaveNet,
)
from tests.references import faces

SEQUENCES = {
    "WaveNet": WaveNet(channels=3, skip_channels=4, dilations=(1, 2)),
    "LSTM": RecurrentNetwork(LSTM, (3, 4)),
    "GRU": RecurrentNetwork(GRU, (3,)),
    "Transformer": Transformer(4, 1, 2),
}
KINDS = SEQUENCES | {
    "MADE": MaskedMLP((5,)),
    "NADE": NADE((5,)),
    "PixelCNN": PixelCNN(num_layers=1, channels=4),
    "gated PixelCNN": GatedPixelCNN(num_layers=1, channels=4),
}
SEVERAL = {"label": Event((), 3), "time": Event(())}


def model_of(network, shape, context):
    return CausalModel(Event(shape, 2), dist.BernoulliHead(), network, context)


@pytest.mark.parametrize("name", KINDS)
def test_a_pytree_of_contexts_is_their_vectors_side_by_side(name):
    shape = (4,) if name in SEQUENCES else (2, 2)
    several = model_of(KINDS[name], shape, SEVERAL)
    joined = model_of(KINDS[name], shape, Event((4,)))
    params, x = faces.random_params(several), np.array([1, 0, 1, 1]).reshape(shape)
    y = {"label": np.int32(1), "time": np.float32(0.3)}
    vector = np.array([0.0, 1.0, 0.0, 0.3], np.float32)

    @jax.jit
    def scores(params, x, y, vector):
        other = several.log_prob(params, x, {**y, "time": y["time"] + 1.0})
        return several.log_prob(params, x, y), joined.log_prob(params, x, vector), other

    found, want, other = scores(params, x, y, vector)
    np.testing.assert_allclose(found, want, rtol=1e-6)
    assert abs(other - found) > 1e-4  # it is not ignored
    if name == "WaveNet":
        for wrong in (None, {"label": y["label"]}, vector):
            with pytest.raises(ValueError, match=r"needs a context of shape \(\), integers < 3, "):
                several.log_prob(params, x, wrong)


@pytest.mark.parametrize("name", SEQUENCES)
def test_the_part_of_an_element_moves_its_output_and_none_before_it(name):
    """In both modes, which agree; [i, j]: output i sees the context of the elements j up to i."""
    network = SEQUENCES[name].clone(local=True)
    model = model_of(network, (5,), Event((5, 2)))
    params, rng = faces.random_params(model), np.random.default_rng(0)
    x, y = rng.integers(0, 2, 5), rng.normal(size=(5, 2)).astype(np.float32)
    f = model.head.features(jnp.asarray(x))
    _, raw = faces.passed(model, params, x, f, y)
    np.testing.assert_allclose(faces.stepped(model, params, f, y), raw, rtol=1e-4, atol=1e-5)

    @jax.jit
    def jacobian(y):
        return jax.jacobian(lambda y: model.sized_network.apply(params, f, y.reshape(-1)))(y)

    sees = np.any(np.asarray(jacobian(y)) != 0.0, axis=(1, 3))
    assert not np.any(sees[np.triu_indices(5, 1)])
    assert np.all(np.diagonal(sees))
    assert name == "WaveNet" or np.all(sees[np.tril_indices(5)])
    longer = model_of(network, (7,), Event((7, 2)))
    if name != "Transformer":  # whose positions are learned
        assert jax.tree.structure(faces.random_params(longer)) == jax.tree.structure(params)
    with pytest.raises(ValueError, match=r"a part of it for each element, context=Event\(\(5, 'E"):
        model_of(network, (5,), Event((2,)))
