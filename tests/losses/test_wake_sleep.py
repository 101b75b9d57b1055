"""Phases against sums over all states of a small sigmoid belief network."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.core import Event
from gm.losses import wake_sleep
from gm.models.classical import coin
from gm.models.latent import sigmoid_belief_network

MODEL = sigmoid_belief_network(Event((3,), 2), (2, 1))
X = jnp.array([1, 0, 1])
BATCH = {"x": jnp.tile(X[None], (4000, 1))}
STATES = [
    (jnp.array(h, jnp.int32), jnp.array([t], jnp.int32))
    for *h, t in itertools.product((0, 1), repeat=3)
]


@functools.cache
def params():
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda a: jnp.asarray(rng.normal(size=a.shape), jnp.float32),
        MODEL.init(jax.random.key(0)),
    )


def log_joint(p, x, z):
    return MODEL.prior(p).log_prob(z) + MODEL.decode(p, z).log_prob(x)


def exact(which):
    """Gradients of each phase as sums over all z, and over all x for the sleep phase."""
    held = params()

    def loss(p):
        log_p = jnp.stack([log_joint(p, X, z) for z in STATES])
        log_q = jnp.stack([MODEL.encode(p, X).log_prob(z) for z in STATES])
        if which == "wake":
            q = jnp.exp(jnp.stack([MODEL.encode(held, X).log_prob(z) for z in STATES]))
            return -jnp.sum(q * log_p)
        if which == "reweighted":
            weights = jax.nn.softmax(jnp.stack([log_joint(held, X, z) for z in STATES]))
            return -jax.nn.logsumexp(log_p) - jnp.sum(weights * log_q)
        total = 0.0
        for x in map(jnp.array, itertools.product((0, 1), repeat=3)):
            for z in STATES:
                weight = jnp.exp(log_joint(held, x, z))
                total -= weight * MODEL.encode(p, x).log_prob(z)
        return total

    return jax.jit(jax.grad(loss))(held)


def close(grads, want, part):
    """Within six standard errors of 4,000 examples, whose gradients are within about one."""
    for a, b in zip(jax.tree.leaves(grads[part]), jax.tree.leaves(want[part]), strict=True):
        np.testing.assert_allclose(a, b, atol=6 * 0.6 / np.sqrt(4000))


def test_wake_and_sleep_have_the_gradients_of_their_sums(key):
    loss = functools.partial(wake_sleep.wake_sleep, MODEL, key=key, batch=BATCH)
    grads, metrics = jax.jit(jax.grad(loss, has_aux=True))(params())
    close(grads, exact("wake"), "generation")
    close(grads, exact("sleep"), "inference")
    np.testing.assert_allclose(metrics["elbo"], metrics["iwae"], rtol=1e-6)


def test_reweighted_wake_sleep_has_the_gradient_of_the_likelihood(key):
    """With 50 samples the bias of the normalised weights is below the tolerance."""
    loss = functools.partial(
        wake_sleep.reweighted_wake_sleep, MODEL, key=key, batch=BATCH, num_samples=50
    )
    awake = functools.partial(loss, wake_share=1.0)
    grads, metrics = jax.jit(jax.grad(awake, has_aux=True))(params())
    want = exact("reweighted")
    close(grads, want, "generation")
    close(grads, want, "inference")
    log_p = jax.nn.logsumexp(jnp.stack([log_joint(params(), X, z) for z in STATES]))
    assert metrics["elbo"] < metrics["iwae"] < log_p + 0.01
    np.testing.assert_allclose(metrics["iwae"], log_p, atol=0.03)


def test_weights_are_constants_and_impossible_z_count_for_nothing():
    log_p, log_q = jnp.array([-1.0, -2.0, -50.0]), jnp.array([-1.0, -1.0, -1.0])
    w = np.exp([0.0, -1.0, -49.0])
    w /= w.sum()
    grad = jax.grad(lambda a: wake_sleep.reweighted(a, log_q)[0])(log_p)
    np.testing.assert_allclose(grad, -w, rtol=1e-5)
    grad = jax.grad(lambda b: wake_sleep.reweighted(log_p, b)[1])(log_q)
    np.testing.assert_allclose(grad, -w, rtol=1e-5)


def test_what_does_not_fit_is_refused(key):
    batch = {"x": np.zeros((2, 3), np.int32)}
    with pytest.raises(TypeError, match="wake_sleep needs a model with prior"):
        wake_sleep.wake_sleep(coin(), None, key, batch)
    with pytest.raises(ValueError, match="num_samples of at least 1"):
        wake_sleep.reweighted_wake_sleep(MODEL, params(), key, batch, num_samples=0)
    with pytest.raises(ValueError, match="wake_share between 0 and 1"):
        wake_sleep.reweighted_wake_sleep(MODEL, params(), key, batch, wake_share=2.0)
