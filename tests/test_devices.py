"""The same numbers on one device and on eight, for every kind of model and game."""

import functools

import jax
import numpy as np
import optax
import pytest

from gm import distributions as dist
from gm import train
from gm.core import Event
from gm.losses import adversarial, likelihood, variational
from gm.models.autoregressive import MADE
from gm.models.implicit import Critic, Generator
from gm.models.latent import VAE
from gm.networks import MLP

BITS, PLANE = Event((6,), 2), Event((2,))
MADE_6 = MADE(BITS, dist.BernoulliHead(), hidden=(8,))
VAE_6 = VAE(BITS, dist.BernoulliHead(), MLP((8,), (4,), 2), MLP((8,), (6, 1)), latent_dim=2)
GENERATOR = Generator(PLANE, MLP((8,), (2,)), latent_dim=2)
CRITIC = Critic(PLANE, MLP((8,), ()))


def wasserstein_players():
    losses = adversarial.wasserstein(GENERATOR, CRITIC)
    adam = optax.adam(1e-2)
    return {
        "critic": train.Player(losses["critic"], adam, updates=2),
        "generator": train.Player(losses["generator"], train.with_ema(adam)),
    }


ADAM = optax.adam(1e-2)
CASES = {
    "MADE": (MADE_6, (functools.partial(likelihood.negative_log_likelihood, MADE_6), ADAM)),
    "VAE": (VAE_6, (functools.partial(variational.negative_elbo, VAE_6), ADAM)),
    "GAN": (None, (wasserstein_players(),)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_on_eight_devices_is_a_step_on_one(name, key):
    model, learn = CASES[name]
    if model is None:
        x = jax.random.normal(key, (3, 32, 2))
        params = {"critic": jax.jit(CRITIC.init)(key), "generator": jax.jit(GENERATOR.init)(key)}
    else:
        x = jax.random.randint(key, (3, 32, 6), 0, 2)
        params = jax.jit(model.init)(key)
    ends = []
    for num_devices in (1, 8):
        mesh = train.data_mesh(jax.devices()[:num_devices])
        step, state = train.make_step(*learn, mesh=mesh), train.init(params, learn[-1], key)
        for batch in x:
            state, metrics = step(state, {"x": batch})
        assert metrics["finite"]
        ends.append(jax.device_get((state.params, metrics)))
    # The mean over the batch is summed in another order; Adam divides by its square root.
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5), *ends)
