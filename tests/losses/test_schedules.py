"""Options that are functions of the step, carried as memory; free nats of each latent."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gm import distributions as dist
from gm import train
from gm.losses import schedules, variational
from tests.losses.test_variational import BATCH, MODEL, SHIFTED, LinearGaussian


def test_a_warm_up_reaches_the_loss_step_by_step(key):
    """Without learning, the loss at step n is likelihood less beta_n KL."""
    loss = schedules.scheduled(
        functools.partial(variational.negative_elbo, MODEL),
        beta=optax.linear_schedule(0.0, 1.0, 4),
    )
    step = train.make_step(loss, optax.sgd(0.0), mesh=train.data_mesh(jax.devices()[:1]))
    memory = {"memory": schedules.start(), "replicated": True}
    state = train.init(SHIFTED, optax.sgd(0.0), key, **memory)
    betas = []
    for _ in range(6):
        state, metrics = step(state, {"x": BATCH["x"][::64]})
        betas.append(float(metrics["beta"]))
        want = metrics["log_likelihood"] - metrics["beta"] * metrics["kl"]
        np.testing.assert_allclose(metrics["loss"], -want, rtol=1e-5)
    np.testing.assert_allclose(betas, [0.0, 0.25, 0.5, 0.75, 1.0, 1.0])
    assert int(state.memory) == 6


def test_options_that_are_no_schedules_are_refused():
    loss = functools.partial(variational.negative_elbo, MODEL)
    with pytest.raises(TypeError, match=r"functions of the step.*got beta=0\.5"):
        schedules.scheduled(loss, beta=0.5)
    with pytest.raises(TypeError, match="got none"):
        schedules.scheduled(loss)


class Plane(LinearGaussian):
    """The same of two latents of which x is the sum; q shifts them by params and half of x."""

    def prior(self, params):
        return dist.Normal(jnp.zeros(2), jnp.ones(2))

    def encode(self, params, x):
        return dist.Normal(params + x * jnp.array([0.5, 0.0]), jnp.array([0.6, 1.0]))

    def decode(self, params, z):
        return dist.Normal(jnp.sum(z)[None], jnp.ones(1))


def test_free_nats_of_each_latent_and_of_the_batch(key):
    """KL_1 = (0.36 - 1 - log 0.36 + (x / 2 + a)²) / 2 differs between x, KL_2 = b² / 2 does not."""
    params, x = jnp.array([0.2, 1.0]), BATCH["x"][::16]
    first = 0.5 * (0.36 - 1.0 - np.log(0.36) + (x[:, 0] / 2 + 0.2) ** 2)
    loss = functools.partial(variational.negative_elbo, Plane(), params, key, {"x": x})
    options = (
        {"free_nats": 0.7},
        {"free_nats": 0.7, "free_nats_of_batch": True},
        {"beta": (2.0, 0.0)},
    )
    found = jax.jit(lambda: [loss(per_latent=True, **option) for option in options])()
    value, metrics = found[0]
    assert set(metrics) == {"elbo", "kl", "log_likelihood"}
    np.testing.assert_allclose(metrics["kl"], first.mean() + 0.5, rtol=1e-5)
    want = metrics["log_likelihood"] - np.maximum(first, 0.7).mean() - 0.7
    np.testing.assert_allclose(value, -want, rtol=1e-5)
    value, metrics = found[1]
    assert first.min() < 0.7 - 0.2
    want = metrics["log_likelihood"] - max(first.mean(), 0.7) - 0.7
    np.testing.assert_allclose(value, -want, rtol=1e-5)
    value, _ = found[2]
    want = metrics["log_likelihood"] - 2.0 * first.mean()
    np.testing.assert_allclose(value, -want, rtol=1e-5)


def test_a_kl_without_elements_is_refused(key):
    q, p = (dist.Dirichlet(jnp.array([1.0, 2.0 + i])) for i in range(2))
    with pytest.raises(TypeError, match=r"independent elements and a closed form.*got Dirichlet"):
        dist.element_kl(q, p)


def test_terms_of_a_categorical_are_of_its_elements():
    logits = np.random.default_rng(0).normal(size=(2, 2, 3, 4)).astype(np.float32)
    q, p = dist.Categorical(jnp.asarray(logits[0])), dist.Categorical(jnp.asarray(logits[1]))
    log_q, log_p = (x - np.log(np.exp(x).sum(-1, keepdims=True)) for x in logits)
    want = np.sum(np.exp(log_q) * (log_q - log_p), -1)
    np.testing.assert_allclose(dist.element_kl(q, p), want, rtol=1e-4)
    np.testing.assert_allclose(dist.kl_divergence(q, p), want.sum(), rtol=1e-5)
