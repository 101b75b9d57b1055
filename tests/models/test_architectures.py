"""Flows of the literature: their parts, their start, and what is refused."""

import jax
import numpy as np
import pytest

from gm import laws
from gm.bijections import Affine, Coupling, Inverse, MaskedAutoregressive, Reshape, transformers
from gm.core import Event
from gm.losses import likelihood
from gm.models import flows
from gm.networks import ResidualConvNet

CUBE = Event((2, 2, 1))


def test_layers_move_every_element_and_differ_in_their_masks():
    flow = flows.realnvp(CUBE, 4, hidden=(3,), context=Event((), 3))
    layers = [part for part in flow.bijection.parts if isinstance(part, Coupling)]
    assert [sum(layer.mask) for layer in layers] == [2, 2, 2, 2]
    assert len({layer.mask for layer in layers}) == 4
    assert {layer.context_dim for layer in layers} == {3}
    assert isinstance(flow.bijection.parts[-1], Reshape)
    with pytest.raises(ValueError, match=r"3 of 5 are kept by all 1, the first at raster index 0"):
        flows.realnvp(Event((5,)), 1)
    for event in (Event((1,)), Event((4,), 2)):
        with pytest.raises(ValueError, match="a real event of at least 2 elements"):
            flows.spline_coupling(event)


@pytest.mark.parametrize("size", [2, 3, 5, 8])
def test_every_element_is_moved_and_is_kept_whatever_their_number(size):
    for num_layers in range(2, 7):
        parts = flows.realnvp(Event((size,)), num_layers).bijection.parts
        masks = np.array([part.mask for part in parts if isinstance(part, Coupling)])
        assert masks.shape == (num_layers, size)
        assert np.all(np.any(~masks, axis=0))
        assert np.all(np.any(masks, axis=0))


def test_integers_are_refused_until_they_are_dequantized(key):
    x, plane = np.arange(20).reshape(10, 2), Event((2,))
    flow = flows.maf(plane, 1, hidden=(2,))
    with pytest.raises(ValueError, match=r"needs real values; got int64\. Dequantize the data"):
        flow.init(key, x)
    with pytest.raises(ValueError, match=r"needs real values; got int64\. Dequantize the data"):
        likelihood.negative_log_likelihood(flow, {}, key, {"x": x})
    for make in (flows.realnvp, flows.spline_coupling, flows.iaf, flows.naf, flows.ffjord):
        with pytest.raises(ValueError, match=r"(?i)a real event.*dequantize.*UniformDequantiz"):
            make(Event((2,), 5))


def test_autoregressive_layers_go_in_both_orders_and_iaf_is_their_inverse():
    maf, iaf = flows.maf(CUBE, 2), flows.iaf(CUBE, 2)
    assert [part.order for part in maf.bijection.parts[:-1]] == [(0, 1, 2, 3), (3, 2, 1, 0)]
    assert [part.bijection for part in iaf.bijection.parts[:-1]] == list(maf.bijection.parts[:-1])
    assert isinstance(iaf.bijection.parts[0], Inverse)
    naf = flows.naf(CUBE).bijection.parts[0]
    assert isinstance(naf, MaskedAutoregressive)
    assert naf.transformer == transformers.Inverse(transformers.DeepSigmoidal(8))


@pytest.mark.matrix
def test_a_flow_started_from_examples_has_standardized_them(key):
    """At first it is the independent Gaussian of the data, whatever their units are."""
    x = (1e3 + 50.0 * np.random.default_rng(0).standard_normal((64, 2, 2, 1))).astype(np.float32)
    flow = flows.coupling_flow(CUBE, transformers.Spline(4), 2, hidden=(3,))
    assert isinstance(flow.bijection.parts[2], Affine)
    params = flow.init(key, x)
    z, _ = jax.jit(jax.vmap(flow.to_noise, (None, 0)))(params, x)
    np.testing.assert_allclose(z.mean(0), 0.0, atol=1e-3)
    np.testing.assert_allclose(z.std(0), 1.0, rtol=1e-3)
    got = jax.jit(jax.vmap(flow.log_prob, (None, 0)))(params, x)
    mean, std = x.mean(0, np.float64), x.std(0, dtype=np.float64)
    want = -0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(got, want.sum((1, 2, 3)), rtol=1e-3)


def test_couplings_from_coarse_to_fine_see_only_what_is_coarser_or_noise(key):
    """The noise of a level's pixels: a Jacobian with the pattern of the order, and its determinant.

    The bottom right pixels of blocks of 2x2 go on to the next level; bottom left, top right, top
    left are the order in which the others are moved.
    """
    image = Event((4, 4))
    network = ResidualConvNet(2, (), 1, output_scale=1.0)
    affine = transformers.Affine(1.0)
    flow = flows.multiscale(
        image, 1, transformer=affine, network=network, hidden=(4,), num_coarse=2
    )
    params = flow.init(key, np.random.default_rng(0).normal(size=(8, 4, 4)).astype(np.float32))
    x = jax.random.normal(key, (4, 4))

    @jax.jit
    def both(x):
        z, log_det = flow.to_noise(params, x)
        jacobian = jax.jacobian(lambda x: flow.to_noise(params, x)[0])(x)
        return log_det, jacobian, flow.to_data(params, z)

    log_det, jacobian, (back, log_det_back) = both(x)
    np.testing.assert_allclose(back, x, atol=1e-5)
    np.testing.assert_allclose(log_det, -log_det_back, rtol=1e-4)
    jacobian = np.asarray(jacobian, np.float64).reshape(16, 16)
    np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], rtol=1e-4)
    # Of the level's noise, [2, 2, 4]: the last four channels are of the coarse image alone.
    of_coarse = jacobian.reshape(2, 2, 4, 4, 4)[:, :, 3]
    seen = np.abs(of_coarse).max((0, 1)) > 0
    np.testing.assert_array_equal(seen, np.outer([0, 1, 0, 1], [0, 1, 0, 1]))
    first = np.abs(jacobian.reshape(2, 2, 4, 4, 4)[0, 0, 2]) > 0  # bottom left: moved first
    assert first[1, 0]
    assert first[0, 0]
    assert not first[1, 2]
    with pytest.raises(ValueError, match="even height and width"):
        flows.multiscale(Event((6, 6)), 2)


@pytest.mark.matrix
def test_glow_keeps_every_law_that_its_dimensions_allow():
    flow = flows.glow(Event((4, 4, 1)), 2, 1, channels=(4,), context=Event((), 3))
    verdicts = laws.check(flow, jax.random.key(1))
    unchecked = {law for law, verdict in verdicts.items() if "no quadrature" in verdict}
    assert unchecked == {"a density sums to one", "samples follow the density"}
    assert all(verdicts[law].startswith("holds") for law in verdicts.keys() - unchecked)
