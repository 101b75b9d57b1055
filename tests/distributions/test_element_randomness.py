import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist


def test_a_value_is_sampled_from_its_own_part_of_the_randomness(key):
    """As all at once; and a distribution without noise gets keys."""
    logits = jnp.linspace(-2.0, 2.0, 6)
    for many in (dist.Bernoulli(logits), dist.Poisson(logits)):
        random = dist.randomness(dist.element(many, (6,), 0), key, 6)
        bits = random if hasattr(many, "noise") else jax.random.key_data(random)
        assert len(np.unique(bits, axis=0)) == 6  # each element has its own
        sampled = jax.jit(jax.vmap(dist.sample_with))(many, random)
        if hasattr(many, "noise"):
            np.testing.assert_array_equal(sampled, many.from_noise(random))
        else:
            alone = jax.jit(lambda d, key: d.sample(key))(dist.element(many, (6,), 3), random[3])
            np.testing.assert_array_equal(sampled[3], alone)


def test_randomness_of_an_event_is_made_by_blocks_of_the_key(key):
    one = dist.Categorical(jnp.zeros(3))
    random = dist.randomness_of_event(one, key, 36)
    keys = jax.random.split(key, 6)
    np.testing.assert_array_equal(random[6:12], dist.randomness(one, keys[1], 6))
    assert random.shape == (36, 3)


def test_a_certain_bit_is_certain_whatever_the_noise():
    certain = dist.Bernoulli(jnp.array([-jnp.inf, jnp.inf]))
    for u in (0.0, 2.0**-33, 1.0 - 2.0**-24):
        np.testing.assert_array_equal(certain.from_noise(jnp.full(2, u)), [0, 1])
