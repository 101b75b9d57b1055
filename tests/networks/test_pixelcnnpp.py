"""PixelCNN++: the paper's equations, who sees whom, and colours that come one by one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import CausalModel, PixelModel
from gm.networks import PixelCNN, PixelCNNPlusPlus
from tests.references import pixels
from tests.references.faces import influence, passed, random_params, stepped

SMALL = PixelCNNPlusPlus(channels=2, num_blocks=1)


@pytest.mark.parametrize(
    ("shape", "num_levels"),
    [((3, 5, 3), 2), pytest.param((6, 5, 3), 3, marks=pytest.mark.slow)],
    ids=["two levels", "three levels"],
)
def test_both_faces_are_the_equations_of_the_paper(shape, num_levels):
    """Sides that are not even, so that the coarse image is cut; a vector for a context."""
    model = PixelModel(Event(shape, 4), SMALL.clone(num_levels=num_levels), 2, Event((2,)))
    params, y = random_params(model), np.float32([0.7, -0.4])
    x = np.random.default_rng(1).integers(0, 4, shape).astype(np.int32)
    f = (2 * x / 3 - 1).astype(np.float32)
    log_p, raw = passed(model, params, x, f, y)
    want = pixels.pixelcnnpp(model.sized_network, params, f[:, :, None], y)
    # float32 against float64; outputs are of size one
    np.testing.assert_allclose(raw, want.reshape(raw.shape), atol=5e-6)
    np.testing.assert_allclose(log_p, pixels.coupled_logistics(want, x, 4, 2), rtol=2e-6)
    np.testing.assert_allclose(stepped(model, params, f, y), raw, atol=5e-6)


@pytest.mark.slow
def test_every_pixel_sees_all_before_it_and_none_after():
    """At odd and even sizes; no blind spot, and nothing leaks from coarse pixels."""
    model = CausalModel(Event((5, 6)), dist.NormalHead(), SMALL.clone(channels=3, num_levels=2))
    seen = influence(model, random_params(model))
    np.testing.assert_array_equal(seen, np.tri(30, 30, -1, dtype=bool))


def test_colours_come_one_by_one_from_one_step_of_any_network():
    """The conditionals of single elements add up to the paper's mixture of whole pixels."""
    network = PixelCNN(channels=2, num_layers=1, first_size=3, head_channels=3)
    model = PixelModel(Event((2, 2, 3), 4), network, 2)
    params = random_params(model)
    x = np.random.default_rng(1).integers(0, 4, (2, 2, 3)).astype(np.int32)

    @jax.jit
    def program(params, x):
        def step(carry, x_i):
            log_p = model.predict(params, carry).log_prob(x_i)
            return model.observe(params, carry, x_i), log_p

        _, log_p = jax.lax.scan(step, model.start(params), x.reshape(-1))
        return log_p.sum(), model.sized_network.apply(params, model.head.features(x))

    log_p, raw = program(params, x)
    want = pixels.coupled_logistics(np.asarray(raw, np.float64), x, 4, 2)
    np.testing.assert_allclose(log_p, want, rtol=2e-6)  # float32 against float64


def test_the_network_works_for_a_pixel_once():
    """Three colours, one step: work is done in one branch of a condition on the colour alone."""
    model = PixelModel(Event((2, 2, 3), 4), SMALL.clone(num_levels=1), 2)
    params = jax.eval_shape(model.init, jax.random.key(0))
    carry = jax.eval_shape(model.start, params)
    batch = jax.tree.map(lambda a: jax.ShapeDtypeStruct((7, *a.shape), a.dtype), carry)
    batch, axes = batch.replace(time=carry.time), jax.tree.map(lambda a: 0, carry)
    axes = axes.replace(time=None)
    batch = batch.replace(cache=batch.cache | {"time": carry.cache["time"]})
    axes = axes.replace(cache=axes.cache | {"time": None})
    observe = jax.vmap(model.observe, (None, axes, 0), axes)
    program = jax.make_jaxpr(observe)(params, batch, jax.ShapeDtypeStruct((7,), jnp.int32))
    names = {str(equation.primitive) for equation in program.eqns}
    assert "cond" in names
    assert "dot_general" not in names


def test_an_event_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"event of pixels, \[H, W\]; got \(2, 2, 3\).*PixelModel"):
        CausalModel(Event((2, 2, 3), 2), dist.BernoulliHead(), SMALL)
    with pytest.raises(ValueError, match=r"event of pixels, \[H, W\]; got \(4,\).*MADE and NADE"):
        CausalModel(Event((4,), 2), dist.BernoulliHead(), SMALL)
    for event in (Event((4,), 2), Event((2, 2))):
        with pytest.raises(ValueError, match=r"integers \[H, W\] or \[H, W, G\].*MADE and NADE"):
            PixelModel(event, SMALL)
