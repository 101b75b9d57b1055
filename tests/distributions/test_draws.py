import jax
import jax.numpy as jnp
import numpy as np

from gm import distributions as dist


def test_a_value_is_drawn_from_its_own_part_of_the_randomness(key):
    """As all at once; and a distribution without noise gets keys."""
    logits, rates = jnp.linspace(-2.0, 2.0, 6), jnp.linspace(0.5, 8.0, 6)
    for many in (dist.Bernoulli(logits), dist.Poisson(rates), dist.Normal(logits, rates)):
        one = dist.element(many, (6,), 0)
        random = dist.randomness(one, key, 6)
        drawn = jax.vmap(dist.draw)(many, random)
        if hasattr(many, "noise"):
            np.testing.assert_array_equal(drawn, many.from_noise(random))
        else:
            np.testing.assert_array_equal(drawn[3], many_sample(many, random, 3))


def many_sample(many, keys, i):
    return dist.element(many, (6,), i).sample(keys[i])


def test_randomness_of_an_event_is_made_by_blocks_of_the_key(key):
    one = dist.Categorical(jnp.zeros(3))
    random = dist.randomness_of_event(one, key, 36)
    keys = jax.random.split(key, 6)
    np.testing.assert_array_equal(random[6:12], dist.randomness(one, keys[1], 6))
    assert random.shape == (36, 3)


def test_a_rare_one_keeps_its_probability(key):
    """P(x = 1) = 1e-6, 16 expected of 2^24: steps of 2^-23 would make it 1.2e-6."""
    noise = jax.jit(lambda key: dist.Bernoulli(jnp.zeros(2**24)).noise(key))(key)
    assert noise.max() < 1.0
    assert noise.min() < 2.0**-20
    below = noise[noise < 2.0**-14]
    assert np.any(below % 2.0**-23 != 0.0)
    certain = dist.Bernoulli(jnp.array([-jnp.inf, jnp.inf]))
    for u in (0.0, 1.0 - 2.0**-24):
        np.testing.assert_array_equal(certain.from_noise(jnp.full(2, u)), [0, 1])
