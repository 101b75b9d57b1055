"""Masked autoregressive bijections against D forward passes of their network."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.bijections import Inverse, MaskedAutoregressive, transformers
from gm.core import Event

EVENT = Event((2, 3))
ORDER = (4, 0, 2, 5, 1, 3)
LAYER = MaskedAutoregressive(EVENT, transformers.Affine(), (7, 5), order=ORDER, context_dim=2)


def test_one_element_at_a_time_agrees_with_a_forward_pass_for_every_element(random_params):
    """y_o(i) = x_o(i) exp(s) + t of y_o(<i); and the Jacobian is triangular in the order."""
    params = random_params(LAYER.init)
    x = np.random.default_rng(0).standard_normal((3, 2, 3)).astype(np.float32)
    c = np.array([0.5, -1.0], np.float32)

    @jax.jit
    def run(params, x):
        y, log_det = jax.vmap(LAYER.forward, (None, 0, None))(params, x, c)
        back, log_det_back = jax.vmap(LAYER.inverse, (None, 0, None))(params, y, c)
        jacobian = jax.vmap(jax.jacobian(lambda y: LAYER.inverse(params, y, c)[0]))(y)
        return y, log_det, back, log_det_back, jacobian

    y, log_det, back, log_det_back, jacobian = run(params, x)
    raw = jax.jit(jax.vmap(lambda y: LAYER.network.apply(params, y[..., None], c)))
    want, log_scale = np.zeros((3, 6), np.float32), np.zeros((3, 6))
    for i in ORDER:
        shift, a = np.moveaxis(np.asarray(raw(want.reshape(3, 2, 3))).reshape(3, 6, 2)[:, i], 1, 0)
        log_scale[:, i] = a / (1.0 + np.abs(a) / 7.0)
        want[:, i] = x.reshape(3, 6)[:, i] * np.exp(log_scale[:, i]) + shift
    np.testing.assert_allclose(y.reshape(3, 6), want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_det, log_scale.sum(1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(back, x, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_det_back, -log_det, atol=1e-5)
    rows = np.asarray(jacobian).reshape(3, 6, 6)[:, ORDER][:, :, ORDER]
    np.testing.assert_array_equal(rows, np.tril(rows))
    np.testing.assert_allclose(np.linalg.slogdet(rows)[1], log_det_back, atol=1e-4)


def test_gradients_of_the_slow_direction_are_those_of_the_quick_one(random_params):
    """d f/d params = -J^{-1} d f^{-1}/d params, by the implicit function theorem."""
    layer = MaskedAutoregressive(Event((3,)), transformers.Affine(), (4,))
    params, x = random_params(layer.init), jnp.array([0.3, -1.2, 0.8])
    v = jnp.array([1.0, -2.0, 0.5])

    @jax.jit
    def both(params, x):
        y = layer.forward(params, x)[0]
        slow = jax.grad(lambda p: layer.forward(p, x)[0] @ v)(params)
        jacobian = jax.jacobian(lambda y: layer.inverse(params, y)[0])(y)
        u = jnp.linalg.solve(jacobian.T, v)
        quick = jax.grad(lambda p: -layer.inverse(p, y)[0] @ u)(params)
        return slow, quick

    slow, quick = both(params, x)
    for a, b in zip(jax.tree.leaves(slow), jax.tree.leaves(quick), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


def loops(way):
    """Whether a direction takes one element after another."""
    return "scan" in str(
        jax.make_jaxpr(way)(jax.eval_shape(LAYER.init, jax.random.key(0)), *INPUTS)
    )


INPUTS = jnp.zeros(EVENT.shape), jnp.zeros(2)


def test_maf_scores_and_iaf_samples_in_one_forward_pass():
    assert loops(LAYER.forward)
    assert not loops(LAYER.inverse)
    assert not loops(Inverse(LAYER).forward)
    assert loops(Inverse(LAYER).inverse)


def test_events_and_orders_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"real event.*Dequantize"):
        MaskedAutoregressive(Event((3,), 4), transformers.Affine())
    with pytest.raises(ValueError, match=r"permutes 0\.\.2; got \(0, 1, 1\)"):
        MaskedAutoregressive(Event((3,)), transformers.Affine(), order=(0, 1, 1))
    with pytest.raises(TypeError, match="needs a transformer"):
        MaskedAutoregressive(Event((3,)), None)
    with pytest.raises(ValueError, match="needs a context vector"):
        LAYER.inverse({}, jnp.zeros(EVENT.shape))
