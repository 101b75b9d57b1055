import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE, walk
from gm.models.classical import BayesianNetwork, graphs, product_of_marginals
from gm.models.implicit import Generator
from gm.networks import MLP
from gm.sampling import decoding, jacobi

ORDER = (5, 0, 3, 1, 4, 2)
MODELS = [
    MADE(Event((2, 3), 2), dist.BernoulliHead(), hidden=(9,), order=ORDER),
    MADE(Event((5,), 4), dist.CategoricalHead(4), hidden=(8,)),
    MADE(Event((5,), 9), dist.DiscretizedLogisticMixtureHead(9, 2), hidden=(8,)),
    MADE(Event((3,)), dist.MixtureOfNormalsHead(2), hidden=(8,)),
]
NAMES = ["Bernoulli, an order", "Categorical", "discretised mixture", "mixture of Normals"]


def strong(model, key):
    """Parameters under which elements depend on each other a lot."""

    def move(a):
        return a + jax.random.normal(key, a.shape)

    return jax.jit(lambda key: jax.tree.map(move, model.init(key)))(key)


def draws(one, model, params, keys):
    return jax.jit(jax.vmap(functools.partial(one, model, params)))(keys)


@pytest.mark.parametrize("model", MODELS, ids=NAMES)
def test_jacobi_draws_what_the_walk_draws_from_the_same_key(model, key):
    params, keys = strong(model, key), jax.random.split(key, 64)
    x, num_passes = draws(jacobi.sample, model, params, keys)
    walked = draws(walk.sample, model, params, keys)
    np.testing.assert_allclose(x, walked, atol=1e-4)  # real values, by rounding
    assert x.dtype == walked.dtype == model.event.dtype
    assert np.all((num_passes >= 1) & (num_passes <= model.event.size))
    if model.event.discrete:
        assert len(np.unique(num_passes)) > 1


def test_independent_elements_take_one_pass_and_one_that_sees_no_change(key):
    model = product_of_marginals(Event((12,), 2))
    _, num_passes = jacobi.sample(model, {"logits": jnp.full(12, 3.0)}, key)
    assert num_passes == 2


def copies(size):
    """x_0 is one; every later element copies the one before it."""
    model = BayesianNetwork(Event((size,), 2), graphs.chain(size))
    copy = jnp.array([-jnp.inf, jnp.inf])
    return model, {"logits": jnp.concatenate([jnp.array([jnp.inf]), *[copy] * (size - 1)])}


def test_a_chain_of_copies_takes_every_pass_from_a_bad_guess_and_one_from_the_answer(key):
    model, params = copies(6)
    x, num_passes = jacobi.sample(model, params, key)
    np.testing.assert_array_equal(x, np.ones(6))
    assert num_passes == 6
    x, num_passes = jacobi.sample(model, params, key, x=jnp.ones(6, jnp.int32))
    np.testing.assert_array_equal(x, np.ones(6))
    assert num_passes == 1


def test_lanes_count_their_own_passes(key):
    """Guesses that are right up to element n need 6 - n passes, whatever the others need."""
    model, params = copies(6)
    guesses = jnp.tril(jnp.ones((7, 6), jnp.int32), -1)
    run = jax.vmap(lambda x: jacobi.sample(model, params, key, x=x))
    x, num_passes = jax.jit(run)(guesses)
    np.testing.assert_array_equal(x, np.ones((7, 6)))
    np.testing.assert_array_equal(num_passes, [6, 6, 5, 4, 3, 2, 1])


def test_decoding_and_a_first_guess_give_the_same_sample(key):
    model = MODELS[1]
    params = strong(model, key)
    adjust = decoding.chain(decoding.temperature(0.8), decoding.top_k(2))
    walked = walk.sample(model, params, key, adjust=adjust)
    guess = jnp.full(5, 3, jnp.uint8)
    x, _ = jacobi.sample(model, params, key, x=guess, adjust=adjust)
    np.testing.assert_array_equal(x, walked)


def test_a_model_that_is_not_autoregressive_and_a_guess_of_another_shape_are_refused(key):
    generator = Generator(Event((2,)), MLP((8,), (2,)), latent_dim=3)
    with pytest.raises(TypeError, match=r"jacobi\.sample needs a model with conditionals"):
        jacobi.sample(generator, {}, key)
    model, params = copies(6)
    with pytest.raises(ValueError, match=r"one guess x of shape \(6,\); got \(2, 6\)"):
        jacobi.sample(model, params, key, x=jnp.zeros((2, 6), jnp.int32))
