"""The same numbers on one device and on eight, for a loss and for a game."""

import functools

import jax
import numpy as np
import optax
import pytest

from gm import distributions as dist
from gm import train
from gm.core import Event
from gm.losses import adversarial, variational
from gm.models.implicit import Critic, Generator
from gm.models.latent import VAE
from gm.networks import MLP
from tests.references.faces import random_params

BITS, PLANE = Event((6,), 2), Event((2,))
VAE_6 = VAE(BITS, dist.BernoulliHead(), MLP((8,), (4,), 2), MLP((8,), (6, 1)), latent_dim=2)
GENERATOR = Generator(PLANE, MLP((8,), (2,)), latent_dim=2)
CRITIC = Critic(PLANE, MLP((8,), ()))


def wasserstein_players():
    losses = adversarial.wasserstein(GENERATOR, CRITIC)
    sgd = optax.sgd(0.1)
    return {
        "critic": train.Player(losses["critic"], sgd, updates=2),
        "generator": train.Player(losses["generator"], train.with_ema(sgd)),
    }


CASES = {
    "VAE": (VAE_6, (functools.partial(variational.negative_elbo, VAE_6), optax.sgd(0.1))),
    "GAN": (None, (wasserstein_players(),)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_step_on_eight_devices_is_a_step_on_one(name, key):
    """Where each example has a key of its own, and where a critic sees them all."""
    model, learn = CASES[name]
    rng = np.random.default_rng(0)
    if model is None:
        x = rng.normal(size=(2, 16, 2)).astype(np.float32)
        params = {"critic": random_params(CRITIC), "generator": random_params(GENERATOR)}
    else:
        x, params = rng.integers(0, 2, (2, 16, 6)).astype(np.int32), random_params(model)
    ends = []
    for num_devices in (1, 8):
        mesh = train.data_mesh(jax.devices()[:num_devices])
        step, state = train.make_step(*learn, mesh=mesh), train.init(params, learn[-1], key)
        for batch in x:
            state, metrics = step(state, {"x": batch})
        assert metrics["finite"]
        ends.append(jax.device_get((state.params, metrics)))
    # The mean over the batch is summed in another order.
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), *ends)
