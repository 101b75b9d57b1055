import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.implicit import Critic, Generator
from gm.models.latent import VAE
from gm.networks import MLP

EVENT = Event((3, 2), 17)
VAE_17 = VAE(
    EVENT,
    dist.CategoricalHead(17),
    MLP((8,), (4,), input_ndim=3),
    MLP((8,), (3, 2, 17)),
    latent_dim=2,
)


def test_posterior_starts_at_the_stated_scale():
    """Where the encoder says zero: here with all its weights at zero."""
    params = jax.tree.map(jnp.zeros_like, VAE_17.init(jax.random.key(0)))
    q = VAE_17.encode(params, jnp.zeros((3, 2), jnp.int32))
    np.testing.assert_allclose(q.loc, [0.0, 0.0])
    np.testing.assert_allclose(q.scale, 0.1 + 1e-4, rtol=1e-5)


def test_a_vae_draws_integers_of_its_event(key):
    params = jax.jit(VAE_17.init)(key)
    x = jax.vmap(VAE_17.sample, (None, 0))(params, jax.random.split(key, 20))
    EVENT.check(x)
    assert x.shape == (20, 3, 2)


def test_a_likelihood_over_other_values_than_the_data_is_refused():
    with pytest.raises(ValueError, match=r"num_values=17.*got BernoulliHead"):
        VAE(EVENT, dist.BernoulliHead(), VAE_17.encoder, VAE_17.decoder, latent_dim=2)


def test_generator_is_a_function_of_its_noise(key):
    model = Generator(Event((2,)), MLP((8,), (2,), output_activation=jnp.tanh), latent_dim=3)
    params = jax.jit(model.init)(key)
    z = model.prior(params).sample(key)
    np.testing.assert_array_equal(model.sample(params, key), model.generate(params, z))
    assert np.all(np.abs(model.generate(params, 100 * z)) <= 1.0)


def test_critic_of_packs_scores_several_draws_at_once(key):
    critic = Critic(Event((2,)), MLP((8,), (), input_ndim=2), pack=3)
    assert critic.score(jax.jit(critic.init)(key), jnp.ones((3, 2))).shape == ()
