"""Coupling layers, against their formula and a Jacobian; masks; what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import laws
from gm.bijections import Coupling, Elementwise, alternating, checkerboard, halves, transformers
from gm.core import Event
from gm.networks import MLP, ConvEncoder, MaskedMLP, ResidualMLP

IMAGE = Event((2, 2, 3))


def test_an_affine_coupling_is_real_nvps_for_every_mask_under_vmap(key, random_params):
    """x kept, x exp(s) + t moved; log_det is Σ s and the Jacobian's, one number per example."""
    x = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
    c = np.array([0.3, -0.7], np.float32)
    for mask in (None, alternating(5), (False, False, True, True, False)):
        layer = Coupling(Event((5,)), transformers.Affine(1.5), MLP((6,), ()), mask, context_dim=2)
        params = random_params(layer.init)
        kept = np.array([True, True, True, False, False] if mask is None else mask)

        @jax.jit
        def both(params, x, layer=layer):
            there = jax.vmap(layer.forward, (None, 0, None))(params, x, c)
            back = jax.vmap(layer.inverse, (None, 0, None))(params, there[0], c)
            jacobian = jax.vmap(jax.jacobian(lambda x: layer.forward(params, x, c)[0]))(x)
            return there, back, jacobian

        (y, log_det), (back, log_det_back), jacobian = both(params, x)
        w = jax.tree.map(np.float64, params)["params"]
        h = np.concatenate([x[:, kept], np.broadcast_to(c, (4, 2))], axis=1)
        h = np.maximum(h @ w["Dense_0"]["kernel"] + w["Dense_0"]["bias"], 0.0)
        raw = (h @ w["Dense_1"]["kernel"] + w["Dense_1"]["bias"]).reshape(4, -1, 2)
        s = raw[..., 1] / (1.0 + np.abs(raw[..., 1]) / 1.5)
        want = np.float64(x)
        want[:, ~kept] = x[:, ~kept] * np.exp(s) + raw[..., 0]
        np.testing.assert_allclose(y, want, rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(np.asarray(y)[:, kept], x[:, kept])
        assert log_det.shape == (4,)
        np.testing.assert_allclose(log_det, s.sum(1), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(log_det, np.linalg.slogdet(jacobian)[1], atol=1e-4)
        np.testing.assert_allclose(back, x, atol=1e-5)
        np.testing.assert_allclose(log_det_back, -log_det, atol=1e-5)


def test_a_mask_in_the_shape_of_an_image_shows_the_network_no_moved_pixel(random_params):
    """Kept pixels move the others and stay; others move neither kept ones nor each other."""
    event = Event((2, 3, 1))
    mask = np.array(checkerboard(event.shape)).reshape(-1)
    assert list(mask) == [True, False, True, False, True, False]
    layer = Coupling(event, transformers.Spline(3), ConvEncoder((2,), ()), checkerboard((2, 3, 1)))
    params = random_params(layer.init)
    x = np.linspace(-1.0, 1.0, 6, dtype=np.float32).reshape(event.shape)
    jacobian = jax.jit(jax.jacobian(lambda x: layer.forward(params, x)[0]))(x).reshape(6, 6)
    np.testing.assert_array_equal(jacobian[mask], np.eye(6)[mask])
    inner = np.asarray(jacobian)[~mask][:, ~mask]
    np.testing.assert_array_equal(inner, np.diag(np.diag(inner)))
    assert np.any(np.asarray(jacobian)[~mask][:, mask] != 0.0)


def test_a_coupling_of_channels_keeps_the_laws(key):
    layer = Coupling(IMAGE, transformers.Affine(), ResidualMLP(4, 1, ()), halves(3, keep=False))
    assert set(laws.check(layer, key, event=IMAGE).values()) == {"holds"}


def test_a_new_layer_is_the_identity(key):
    for transformer in (transformers.Affine(), transformers.Spline(4)):
        layer = Coupling(Event((3,)), transformer)
        x = jnp.array([0.5, -2.0, 9.0])
        y, log_det = jax.jit(lambda key, x, f=layer: f.forward(f.init(key), x))(key, x)
        np.testing.assert_allclose(y, x, atol=1e-5)
        np.testing.assert_allclose(log_det, 0.0, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda t: Coupling(Event((1,)), t), ValueError, "at least 2 elements along the last"),
        (lambda t: Coupling(Event(()), t), ValueError, "at least 2 elements along the last"),
        (lambda t: Coupling(Event((2, 2, 1)), t), ValueError, "Give a mask in the shape"),
        (lambda t: Coupling(Event((3,), 2), t), ValueError, "real event.*Dequantize"),
        (lambda t: Coupling(Event((3,)), t, mask=(True,) * 3), ValueError, "keeps all 3"),
        (lambda t: Coupling(Event((3,)), t, mask=(False,) * 3), ValueError, "moves all 3"),
        (lambda t: Coupling(Event((3,)), t, mask=(True, False)), ValueError, r"shape \(3,\)"),
        (lambda t: Coupling(Event((3,)), t, MaskedMLP()), TypeError, "field output_shape"),
        (lambda t: Coupling(Event((3,)), MLP((4,), ())), TypeError, "a transformer with num_p"),
        (lambda t: Coupling(Event((3,)), transformers.Affine), TypeError, "got Affine"),
        (lambda t: Elementwise(Event((3,), 2), t), ValueError, "real event"),
    ],
)
def test_what_is_no_coupling_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make(transformers.Affine())


def test_a_context_of_another_size_is_refused():
    layer = Coupling(Event((2,)), transformers.Affine(), context_dim=3)
    for context in (None, jnp.zeros(2), jnp.zeros((1, 3))):
        with pytest.raises(ValueError, match=r"context vector of shape \(3,\); got"):
            layer.forward({}, jnp.zeros(2), context)
