import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from gm import distributions as dist
from gm.core import Event
from gm.models.implicit import Critic, Generator
from gm.models.latent import VAE
from gm.networks import MLP

EVENT = Event((3, 2), 17)


@dataclasses.dataclass(frozen=True)
class Linear:
    """x -> scale x + shift, in another shape; its parameters are the two."""

    shape: tuple[int, ...]
    params: tuple[float, float] = (1.0, 0.0)

    def init(self, key, x):
        return self.params

    def apply(self, params, x):
        scale, shift = params
        return jnp.broadcast_to(scale * x.reshape(-1)[: self.shape[-1]] + shift, self.shape)


@dataclasses.dataclass(frozen=True)
class Unit:
    """N(raw, 1) of each element."""

    num_values = None
    num_params = 1
    num_features = 1

    def __call__(self, raw):
        return dist.Normal(raw[..., 0], jnp.ones(raw.shape[:-1]))

    def features(self, x):
        return x[..., None]


@dataclasses.dataclass(frozen=True)
class Spread(Linear):
    """[1] -> [4, 1]: the same value for each of four elements."""

    def apply(self, params, z):
        return jnp.broadcast_to(params[0] * z, self.shape)


GAUSS = VAE(Event((4,)), Unit(), Linear((2,)), Spread((4, 1)), latent_dim=1)


def test_samples_of_a_vae_have_the_noise_of_z_and_of_x_both_and_apart(key):
    """x_i = 2 z + e_i: variance 5, covariance 4; with one key for both x_0 would be 3 z."""
    params = {"encoder": (1.0, 0.0), "decoder": (2.0, 0.0)}
    sample = jax.jit(jax.vmap(GAUSS.sample, (None, 0)))
    x = np.asarray(sample(params, jax.random.split(key, 20_000)), np.float64)
    want = 4.0 + np.eye(4)
    # Five standard errors of a variance: 5 * 5 * sqrt(2 / N).
    np.testing.assert_allclose(np.cov(x.T), want, atol=0.25)
    np.testing.assert_allclose(x.mean(0), 0.0, atol=0.08)


def test_the_noise_of_x_owes_nothing_to_that_of_z(key):
    """With one element x = 2 z + e and z are as correlated as 2 / sqrt(5); e = z would give 1."""
    one = VAE(Event((1,)), Unit(), Linear((2,)), Spread((1, 1)), latent_dim=1)
    params = {"encoder": (1.0, 0.0), "decoder": (2.0, 0.0)}
    sample = jax.jit(jax.vmap(one.sample, (None, 0)))
    x = np.asarray(sample(params, jax.random.split(key, 20_000)), np.float64)
    assert abs(x.var() - 5.0) < 0.25  # 9 with one key for both, 4 of modes


def test_the_posterior_is_the_encoders_mean_and_softplus_scale(key):
    """The raw scale of 0 is the stated scale, and a floor is added; the prior is standard."""
    vae = dataclasses.replace(GAUSS, encoder=Linear((2,), (0.0, 0.0)), min_scale=0.01)
    params = {"encoder": (0.0, 0.0), "decoder": (1.0, 0.0)}
    q = vae.encode(params, jnp.zeros(4))
    np.testing.assert_allclose(q.loc, [0.0])
    np.testing.assert_allclose(q.scale, [0.1 + 0.01], rtol=1e-5)
    q = vae.encode({"encoder": (1.0, 0.5)}, jnp.array([0.25, 1.0, 9.0, 9.0]))
    np.testing.assert_allclose(q.loc, [0.75])
    raw = 1.5 + np.log(np.expm1(0.1))
    np.testing.assert_allclose(q.scale, [np.log1p(np.exp(raw)) + 0.01], rtol=1e-5)
    z = jnp.array([1.3])
    np.testing.assert_allclose(vae.prior(params).log_prob(z), stats.norm.logpdf(1.3), rtol=1e-6)


def test_a_vae_samples_integers_of_its_event(key):
    vae = VAE(
        EVENT,
        dist.CategoricalHead(17),
        MLP((8,), (4,), input_ndim=3),
        MLP((8,), (3, 2, 17)),
        latent_dim=2,
    )

    def sample(key):
        return jax.vmap(vae.sample, (None, 0))(vae.init(key), jax.random.split(key, 20))

    x = jax.jit(sample)(key)
    EVENT.check(x)
    assert x.shape == (20, 3, 2)
    assert len(np.unique(x)) > 2
    with pytest.raises(ValueError, match=r"num_values=17.*got BernoulliHead"):
        dataclasses.replace(vae, head=dist.BernoulliHead())


@dataclasses.dataclass(frozen=True)
class Plus:
    """x and y -> x + y, in another shape."""

    shape: tuple[int, ...]

    def init(self, key, x, y):
        return y

    def apply(self, params, x, y):
        return jnp.broadcast_to(x.reshape(-1)[: self.shape[-1]] + y, self.shape)


def test_every_part_of_a_conditional_model_is_given_the_context_as_a_vector(key):
    y = jnp.array([10.0])
    options = {"context": Event((1,))}
    vae = VAE(Event((4,)), Unit(), Plus((2,)), Plus((4, 1)), latent_dim=1, **options)
    params = vae.init(key)
    assert jax.tree.map(jnp.shape, params) == {"encoder": (1,), "decoder": (1,)}
    np.testing.assert_allclose(vae.encode(params, jnp.ones(4), y).loc, [11.0])
    np.testing.assert_allclose(vae.decode(params, jnp.ones(1), y).loc, np.full(4, 11.0))
    assert abs(vae.sample(params, key, y).mean() - 10.0) < 5.0
    generator = Generator(Event((1,)), Plus((1,)), 1, **options)
    noise = generator.prior(None).sample(key)
    np.testing.assert_allclose(generator.sample(None, key, y), noise + 10.0)
    critic = Critic(Event((1,)), Plus((1,)), **options)
    np.testing.assert_allclose(critic.score(None, jnp.ones(1), y), [11.0])
    with pytest.raises(ValueError, match="VAE needs a context of shape"):
        vae.encode(params, jnp.ones(4))


def test_generator_is_a_function_of_standard_normal_noise(key):
    """2 z + 1 is N(1, 4)."""
    model = Generator(Event((2,)), Linear((2,), (2.0, 1.0)), latent_dim=2)
    params = model.init(key)
    np.testing.assert_array_equal(model.generate(params, jnp.array([0.5, -1.0])), [2.0, -1.0])
    sample = jax.jit(jax.vmap(model.sample, (None, 0)))
    x = np.asarray(sample(params, jax.random.split(key, 20_000)), np.float64)
    np.testing.assert_allclose(x.mean(0), 1.0, atol=0.08)
    np.testing.assert_allclose(np.cov(x.T), 4.0 * np.eye(2), atol=0.25)


def test_critic_of_packs_scores_several_samples_at_once(key):
    critic = Critic(Event((2,)), MLP((8,), (), input_ndim=2), pack=3)
    params = jax.jit(critic.init)(key)
    first = jnp.ones((3, 2))
    score = jax.jit(critic.score)
    assert score(params, first).shape == ()
    for i in range(3):
        assert score(params, first.at[i].add(1.0)) != score(params, first)


@pytest.mark.parametrize("pack", [1, 2])
def test_critic_of_several_parts_sees_their_vectors_in_one(pack):
    """Integers as one-hot; each sample of a pack in its row."""
    critic = Critic((Event((2,)), Event((1,), 3)), Linear((5 * pack,)), pack=pack)
    x, label = np.array([[4.0, 5.0], [6.0, 7.0]], np.float32), np.array([[2], [0]])
    pair = (x, label) if pack == 2 else (x[0], label[0])
    seen = critic.score(critic.init(jax.random.key(0)), pair)
    np.testing.assert_array_equal(seen, [4, 5, 0, 0, 1, 6, 7, 1, 0, 0][: 5 * pack])
