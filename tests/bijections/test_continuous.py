"""Continuous flows against the matrix exponential, which solves a linear equation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import linalg

from gm import laws
from gm.bijections import Continuous
from gm.core import Event
from gm.models.flows import Flow, Standard
from gm.networks import MLP, MaskedMLP

PLANE = Event((2,))
A = np.array([[0.5, -1.0], [2.0, -0.3]], np.float32)
X = np.random.default_rng(0).standard_normal((64, 2)).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Linear:
    """A x + c, for parameters A and a context (t, c)."""

    output_shape: tuple = ()

    def clone(self, output_shape):
        return Linear(output_shape)

    def init(self, key, x, context):
        return jnp.asarray(A)

    def apply(self, params, x, context):
        return params @ x + context[1:].sum()


@pytest.mark.matrix
def test_a_linear_equation_is_solved_both_ways_with_gradients():
    """y = exp(A) x + ∫ exp(A s) c ds, log_det = tr A; d log_det / dA is the identity."""
    pytest.importorskip("diffrax")
    layer, c = Continuous(PLANE, Linear(), context_dim=1), np.array([0.7], np.float32)

    def around(params, x):
        y, log_det = layer.forward(params, x, c)

        def back(params):
            x, log_det = layer.inverse(params, y, c)
            return log_det, x

        (log_det_back, again), slope = jax.value_and_grad(back, has_aux=True)(params)
        return y, log_det, again, log_det_back, slope

    y, log_det, back, log_det_back, slope = jax.jit(jax.vmap(around, (None, 0)))(A, X)
    grown = linalg.expm(A)
    shift = np.linalg.solve(A, (grown - np.eye(2)) @ np.full(2, c))
    np.testing.assert_allclose(y, X @ grown.T + shift, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(log_det, np.trace(A), atol=1e-4)
    np.testing.assert_allclose(back, X, atol=2e-4)
    np.testing.assert_allclose(log_det_back, -np.trace(A), atol=1e-4)
    np.testing.assert_allclose(slope, np.broadcast_to(-np.eye(2), (64, 2, 2)), atol=1e-3)


@pytest.mark.matrix
def test_hutchinsons_estimate_is_right_in_the_mean_and_differs_between_examples():
    """ε^T A ε is tr A ± (A_01 + A_10) for two elements of ±1."""
    pytest.importorskip("diffrax")
    layer = Continuous(PLANE, Linear(), num_probes=1)
    both = jax.jit(jax.vmap(layer.forward, (None, 0)))
    _, log_det = both(A, X)
    off = np.float64(log_det) - np.trace(A)
    np.testing.assert_allclose(np.abs(off), 1.0, atol=1e-3)
    assert abs(np.mean(off)) < 4.0 / np.sqrt(len(X))
    np.testing.assert_array_equal(both(A, X)[1], log_det)
    many = Continuous(PLANE, Linear(), num_probes=256)
    _, log_det = jax.jit(many.forward)(A, X[0])
    np.testing.assert_allclose(log_det, np.trace(A), atol=4.0 / 16)


@pytest.mark.matrix
def test_a_continuous_flow_keeps_the_laws():
    pytest.importorskip("diffrax")
    layer = Continuous(PLANE, MLP((8,), (), activation=jax.nn.tanh), tolerance=1e-6, context_dim=3)
    flow = Flow(PLANE, Standard(PLANE), layer, Event((), 3))
    assert set(laws.check(flow, jax.random.key(1)).values()) == {"holds"}


def test_what_the_solver_does_not_reach_is_no_number():
    pytest.importorskip("diffrax")
    layer = Continuous(PLANE, Linear(), max_steps=2)
    y, log_det = jax.jit(layer.forward)(50.0 * A, X[0])
    assert np.all(np.isnan(y))
    assert np.isnan(log_det)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Continuous(Event((2,), 2)), ValueError, "real event.*Dequantize"),
        (lambda: Continuous(PLANE, MaskedMLP()), TypeError, "a field output_shape"),
        (lambda: Continuous(PLANE, tolerance=1e-9), ValueError, "above 1e-7"),
    ],
)
def test_what_is_no_equation_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()
