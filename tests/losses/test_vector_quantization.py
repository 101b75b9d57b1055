"""Codes by gradient and by moving averages, against the paper's equations in numpy."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import distributions as dist
from gm import train
from gm.core import Event
from gm.losses import vector_quantization as vq
from gm.models.classical import coin
from gm.models.latent import VQVAE, Codebook, FiniteScalar
from gm.networks import MLP

BITS = Event((4,), 2)
MODEL = VQVAE(
    BITS,
    dist.BernoulliHead(),
    MLP((), (2, 3), input_ndim=2),
    MLP((), (4, 1), input_ndim=2),
    Codebook(3, 3),
    (2,),
)
BATCH = {"x": np.random.default_rng(0).integers(0, 2, (8, 4))}


def by_hand(params):
    """Vectors [N, E], their codes, and log p(x | e) of the batch, by numpy."""
    h = np.stack([np.asarray(MODEL.features(params, jnp.asarray(x))) for x in BATCH["x"]])
    codes = np.asarray(params["quantizer"]["codes"])
    index = np.argmin(((h[..., None, :] - codes) ** 2).sum(-1), axis=-1)
    p = [MODEL.decode_vectors(params, jnp.asarray(codes[k])) for k in index]
    log_p = [float(q.log_prob(jnp.asarray(x))) for q, x in zip(p, BATCH["x"], strict=True)]
    return h.reshape(-1, 3), index.reshape(-1), np.array(log_p)


def test_the_loss_is_equation_3_and_its_gradients_go_where_they_should(key):
    params = MODEL.init(key)
    h, index, log_p = by_hand(params)
    codes = np.asarray(params["quantizer"]["codes"])
    squares = ((h - codes[index]) ** 2).sum() / 8
    (loss, metrics), grads = jax.value_and_grad(
        lambda p: vq.by_gradient(MODEL, p, key, BATCH), has_aux=True
    )(params)
    np.testing.assert_allclose(loss, -log_p.mean() + 1.25 * squares, rtol=1e-5)
    np.testing.assert_allclose(metrics["distance"], squares, rtol=1e-5)
    share = np.bincount(index, minlength=3) / len(index)
    entropy = -sum(p * np.log(p) for p in share if p > 0)
    np.testing.assert_allclose(metrics["perplexity"], np.exp(entropy), rtol=1e-5)
    # The codes' gradient is that of the last term alone.
    member = np.eye(3)[index]
    want = 2.0 * (member.sum(0)[:, None] * codes - member.T @ h) / 8
    np.testing.assert_allclose(grads["quantizer"]["codes"], want, rtol=1e-4, atol=1e-5)
    # The encoder's is that of a decoder fed with h + constant, and of the commitment.
    shift = jnp.asarray((codes[index] - h).reshape(8, 2, 3))

    def straight(encoder):
        p = params | {"encoder": encoder}

        def one(x, d):
            e = MODEL.features(p, x)
            log_p = MODEL.decode_vectors(p, e + d).log_prob(x)
            return -log_p + 0.25 * jnp.sum(d * d) - 0.5 * jnp.sum(d * e)

        return jnp.mean(jax.vmap(one)(jnp.asarray(BATCH["x"]), shift))

    want = jax.grad(straight)(params["encoder"])
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), grads["encoder"], want
    )


def test_moving_averages_move_the_codes_there_in_one_step(key):
    """e = m / n of appendix A.1; a dead code starts again at a vector of the batch."""
    params = MODEL.init(key)
    params["quantizer"]["codes"] = params["quantizer"]["codes"].at[2].set(100.0)  # never nearest
    optimizer = vq.optimizer(optax.adam(1e-3))
    memory = vq.averages(params["quantizer"]["codes"])
    memory = memory._replace(count=jnp.array([1.0, 1.0, 0.02]))

    def loss(params, key, batch, memory):
        return vq.by_moving_averages(MODEL, params, key, batch, memory, decay=0.5, threshold=0.05)

    state = train.init(params, optimizer, key, memory, replicated=True)
    state, metrics = train.make_step(loss, optimizer)(state, BATCH)
    h, index, _ = by_hand(params)
    member = np.eye(3)[index]
    count = 0.5 * np.array([1.0, 1.0]) + 0.5 * member.sum(0)[:2]
    total = 0.5 * np.asarray(params["quantizer"]["codes"])[:2] + 0.5 * (member.T @ h)[:2]
    codes = np.asarray(state.params["quantizer"]["codes"])
    np.testing.assert_allclose(codes[:2], total / count[:, None], rtol=1e-4)
    assert float(metrics["revived"]) == 1.0
    assert np.abs(codes[2] - h).sum(1).min() < 1e-4
    np.testing.assert_allclose(state.memory.count[2], 1.0)
    np.testing.assert_allclose(state.memory.count[:2], count, rtol=1e-6)


def test_a_code_that_nothing_uses_keeps_its_place_and_a_finite_gradient(key):
    """One dead code, with values and gradients: its average decays, its ratio stays."""
    old = vq.Averages(jnp.array([1.0, 1e-3]), jnp.array([[2.0], [5e-3]]))
    new = vq.update_averages(old, jnp.array([[3.0], [4.0]]), jnp.array([0, 0]), 0.9)
    np.testing.assert_allclose(new.total[1] / new.count[1], 5.0, rtol=1e-5)
    np.testing.assert_allclose(new.total[0], 0.9 * 2.0 + 0.1 * 7.0, rtol=1e-6)
    grad = jax.grad(lambda p: vq.by_gradient(MODEL, p, key, BATCH)[0])(MODEL.init(key))
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(grad))


def test_a_grid_rounds_each_element_to_its_levels(key):
    """Every code is its own nearest, and vectors are spread evenly over [-1, 1]."""
    grid = FiniteScalar((3, 4))
    k = jnp.arange(12)
    e = np.asarray(grid.vectors({}, k))
    want = np.stack(np.meshgrid([-1, 0, 1], [-1, -1 / 3, 1 / 3, 1], indexing="ij"), -1)
    np.testing.assert_allclose(e, want.reshape(12, 2), atol=1e-6)
    near = np.arctanh(0.9 * e)
    np.testing.assert_array_equal(grid.index({}, jnp.asarray(near, jnp.float32)), k)
    model = dataclasses.replace(MODEL, quantizer=FiniteScalar((2, 2, 2)))
    loss = functools.partial(vq.by_gradient, model, key=key, batch=BATCH, commitment=0.0)
    grad = jax.grad(loss, has_aux=True)(model.init(key))[0]
    assert all(np.any(leaf != 0) for leaf in jax.tree.leaves(grad["encoder"]))


def test_what_does_not_fit_is_refused(key):
    params = MODEL.init(key)
    large = dataclasses.replace(MODEL, quantizer=Codebook(17, 3))
    with pytest.raises(ValueError, match="got 16 vectors and 17 codes"):
        vq.by_gradient(large, large.init(key), key, BATCH)
    with pytest.raises(TypeError, match="by_gradient needs a model with features"):
        vq.by_gradient(coin(), None, key, BATCH)
    with pytest.raises(ValueError, match="at least 2 codes"):
        Codebook(1, 3)
    with pytest.raises(ValueError, match="2 levels for each"):
        FiniteScalar((3, 1))
    with pytest.raises(ValueError, match=r"outputs \(2, 4\).*got \(2, 3\)"):
        dataclasses.replace(MODEL, quantizer=Codebook(3, 4)).features(params, jnp.zeros(4, "i4"))
    with pytest.raises(ValueError, match="density over its codes"):
        dataclasses.replace(MODEL, density=coin())
