import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE
from gm.models.classical import BayesianNetwork, graphs, product_of_marginals
from gm.models.implicit import Generator
from gm.networks import MLP
from gm.sampling import ancestral, decoding, jacobi

ORDER = (5, 0, 3, 1, 4, 2)
MODELS = {
    "Bernoulli, an order": MADE(Event((2, 3), 2), dist.BernoulliHead(), hidden=(9,), order=ORDER),
    "Normal": MADE(Event((3,)), dist.NormalHead(), hidden=(8,)),
}


@pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)
def test_jacobi_samples_what_incremental_sampling_samples_from_the_same_key(
    model, key, random_params
):
    params, keys = random_params(model.init, scale=1.0), jax.random.split(key, 64)
    both = jax.vmap(lambda k: (jacobi.sample(model, params, k), ancestral.sample(model, params, k)))
    (x, num_forward_passes), incremental = jax.jit(both)(keys)
    np.testing.assert_allclose(x, incremental, atol=1e-4)  # real values, by rounding
    assert x.dtype == incremental.dtype == model.event.dtype
    assert np.all((num_forward_passes >= 1) & (num_forward_passes <= model.event.size))
    if model.event.discrete:
        assert len(np.unique(num_forward_passes)) > 1


def test_independent_elements_take_one_forward_pass_and_one_without_a_change(key):
    model = product_of_marginals(Event((12,), 2))
    _, num_forward_passes = jax.jit(
        lambda: jacobi.sample(model, {"logits": jnp.full(12, 3.0)}, key)
    )()
    assert num_forward_passes == 2


def copies(size):
    """x_0 is one; every later element copies the one before it."""
    model = BayesianNetwork(Event((size,), 2), graphs.chain(size))
    copy = np.array([-np.inf, np.inf], np.float32)
    return model, {"logits": np.concatenate([copy[1:], *[copy] * (size - 1)])}


def test_examples_count_their_own_forward_passes(key):
    """Guesses that are right up to element n need 6 - n forward passes, whatever the others need.

    A chain of copies takes every forward pass from a bad guess, and one from the answer.
    """
    model, params = copies(6)
    guesses = np.tril(np.ones((7, 6), np.int32), -1)
    run = jax.vmap(lambda x: jacobi.sample(model, params, key, x=x))
    x, num_forward_passes = jax.jit(run)(guesses)
    np.testing.assert_array_equal(x, np.ones((7, 6)))
    np.testing.assert_array_equal(num_forward_passes, [6, 6, 5, 4, 3, 2, 1])


def test_without_a_guess_the_first_one_is_zeros(key):
    model, params = copies(6)
    x, num_forward_passes = jax.jit(lambda: jacobi.sample(model, params, key))()
    np.testing.assert_array_equal(x, np.ones(6))
    assert num_forward_passes == 6


def test_decoding_and_a_first_guess_give_the_same_sample(key, random_params):
    model = MADE(Event((5,), 4), dist.CategoricalHead(4), hidden=(8,))
    params = random_params(model.init, scale=1.0)
    logits_processor = decoding.chain(decoding.temperature(0.8), decoding.top_k(2))
    guess = np.full(5, 3, np.uint8)

    @jax.jit
    def both(params):
        x, _ = jacobi.sample(model, params, key, x=guess, logits_processor=logits_processor)
        return x, ancestral.sample(model, params, key, logits_processor=logits_processor)

    np.testing.assert_array_equal(*both(params))


def test_a_model_that_is_not_autoregressive_and_a_guess_of_another_shape_are_refused(key):
    generator = Generator(Event((2,)), MLP((8,), (2,)), latent_dim=3)
    with pytest.raises(TypeError, match=r"jacobi\.sample needs a model with conditionals"):
        jacobi.sample(generator, {}, key)
    model, params = copies(6)
    with pytest.raises(ValueError, match=r"one guess x of shape \(6,\); got \(2, 6\)"):
        jacobi.sample(model, params, key, x=jnp.zeros((2, 6), jnp.int32))
