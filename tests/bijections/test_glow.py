"""The parts of Glow against numpy, and the start of activation normalization from data."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import train
from gm.bijections import ActNorm, Affine, Inverse, InvertibleConv, MultiScale, Reshape, Squeeze
from gm.core import Event
from gm.losses import likelihood
from gm.models import flows
from gm.models.flows import Flow, Standard

EVENT = Event((2, 4, 3))
X = np.random.default_rng(0).standard_normal((5, *EVENT.shape)).astype(np.float32)


def test_a_squeeze_puts_each_block_of_pixels_into_channels():
    squeeze = Squeeze(Event((4, 4, 2)))
    x = jnp.arange(32.0).reshape(4, 4, 2)
    y, log_det = squeeze.forward({}, x)
    np.testing.assert_array_equal(y[0, 1], [4, 5, 6, 7, 12, 13, 14, 15])
    np.testing.assert_array_equal(squeeze.inverse({}, y)[0], x)
    assert log_det == 0.0
    for shape in ((3, 4, 1), (4, 5, 1), (4, 4)):
        with pytest.raises(ValueError, match="even height and width"):
            Squeeze(Event(shape))


def test_a_convolution_is_one_matrix_that_starts_as_a_rotation(random_params):
    """x = W y at every position, log |det| times the positions; W^{-1} the other way."""
    layer = InvertibleConv(EVENT, seed=3)

    @jax.jit
    def both(params, y):
        back = jax.vmap(layer.inverse, (None, 0))(params, y)
        return back, jax.vmap(layer.forward, (None, 0))(params, back[0])

    def matrix(params):
        rows = both(params, jnp.eye(3).reshape(3, 1, 1, 3) * jnp.ones((3, *EVENT.shape)))[0][0]
        return np.float64(rows[:, 0, 0]).T

    rotation = matrix(layer.init(jax.random.key(0)))
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-5)
    other = InvertibleConv(EVENT, seed=4).init(jax.random.key(0))
    assert not np.allclose(other["lower"], layer.init(jax.random.key(0))["lower"])
    params = random_params(layer.init)
    w = matrix(params)
    (x, log_det), (again, log_det_back) = both(params, X)
    np.testing.assert_allclose(x, X @ w.T, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(log_det, 8 * np.linalg.slogdet(w)[1], rtol=1e-4)
    np.testing.assert_allclose(again, X, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(log_det_back, -log_det, rtol=1e-6)


def test_activation_normalization_starts_from_the_statistics_of_channels(key):
    data = np.concatenate([X * (1.0, 10.0, 0.1) + (5.0, 0.0, -300.0)] * 2).astype(np.float32)
    data[..., 2] = 7.0  # a channel without any variance keeps its scale
    layer = ActNorm(EVENT)
    params = layer.init_from(key, data)
    x, log_det = jax.jit(jax.vmap(layer.inverse, (None, 0)))(params, data)
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0.0, atol=1e-5)
    np.testing.assert_allclose(x.std((0, 1, 2)), [1.0, 1.0, 0.0], atol=1e-5)
    want = -8 * np.log(data.reshape(-1, 3)[:, :2].std(0, dtype=np.float64)).sum()
    np.testing.assert_allclose(log_det, want, rtol=1e-5)
    identity = layer.forward(layer.init(key), X[0])
    np.testing.assert_array_equal(identity[0], X[0])


def test_a_resumed_run_starts_activation_normalization_from_no_data_again(tmp_path, key):
    """Restored parameters are those that were saved, whatever batch the second start saw."""
    event = Event((1, 2, 2))
    flow = Flow(event, Standard(event), ActNorm(event))
    optimizer = optax.sgd(1e-3)
    step = train.make_step(functools.partial(likelihood.negative_log_likelihood, flow), optimizer)
    x = (3.0 + np.concatenate([X, X])[:8, :1, :2, :2]).astype(np.float32)

    def start(batch):
        return train.init(flow.init(key, batch), optimizer, key)

    def run(batch, num_steps):
        batches = [{"x": x}] * num_steps
        return train.run(step, start(batch), batches, num_steps=num_steps, folder=tmp_path)

    first = run(x, 2)
    resumed = run(100.0 * x, 2)
    for a, b in zip(jax.tree.leaves(first.params), jax.tree.leaves(resumed.params), strict=True):
        np.testing.assert_array_equal(a, b)


def test_half_of_the_channels_are_factored_out(random_params):
    half = Event((2, 4, 2))
    layer = MultiScale(EVENT, Affine(half))
    params = random_params(layer.init)
    y, log_det = layer.forward(params, X[0])
    np.testing.assert_array_equal(y[..., :1], X[0][..., :1])
    scale = np.exp(params["log_scale"]).reshape(half.shape)
    np.testing.assert_allclose(y[..., 1:], X[0][..., 1:] * scale + params["shift"], rtol=1e-5)
    np.testing.assert_allclose(log_det, params["log_scale"].sum(), rtol=1e-5)
    with pytest.raises(ValueError, match=r"a rest that maps \(2, 4, 2\) to itself"):
        MultiScale(EVENT, Squeeze(half)).forward({}, X[0])
    with pytest.raises(ValueError, match="at least 2 channels"):
        MultiScale(Event((2, 2, 1)), Affine(Event((2, 2, 1))))


def test_glow_starts_class_conditional_from_examples_and_their_labels(key):
    """Every activation is of mean 0 at the start, at both scales; each pixel becomes noise."""
    event = Event((4, 4, 1))
    flow = flows.glow(event, 2, 1, channels=(3,), logit_margin=0.05, context=Event((), 3))
    squeezed = [part for part in flow.bijection.parts if isinstance(part, MultiScale)]
    assert [part.event.shape for part in squeezed] == [(2, 2, 4)]
    inner = squeezed[0].rest.parts
    assert isinstance(inner[-1], Inverse)
    assert isinstance(inner[0], Reshape)
    x = np.random.default_rng(1).uniform(0.0, 1.0, (16, 4, 4, 1)).astype(np.float32)
    y = np.arange(16) % 3
    params = flow.init(key, x, y)
    z, log_det = jax.jit(jax.vmap(flow.to_noise, (None, 0, 0)))(params, x, y)
    # Channels of the coarse scale: last normalized, then rotated and not moved by new couplings.
    assert np.all(np.isfinite(log_det))
    np.testing.assert_allclose(np.mean(z), 0.0, atol=1e-3)
    assert 0.9 < np.std(z) < 1.1
    with pytest.raises(ValueError, match="needs their contexts too"):
        flow.init(key, x)
    with pytest.raises(ValueError, match="even height and width"):
        flows.glow(Event((6, 6, 1)), 2)
    grey = flows.glow(Event((4, 4)), 1, 1, channels=(2,))
    assert jax.eval_shape(grey.sample, jax.eval_shape(grey.init, key), key).shape == (4, 4)


@pytest.mark.parametrize(
    "make", [ActNorm, InvertibleConv, lambda e: MultiScale(e, Reshape((), ()))]
)
def test_integers_are_no_channels(make):
    for event in (Event((2, 2), 4), Event(())):
        with pytest.raises(ValueError, match=r"a real event with channels.*Dequantize"):
            make(event)
