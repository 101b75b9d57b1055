import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE
from gm.models.implicit import Generator
from gm.networks import MLP
from gm.sampling import decoding
from gm.tasks import completion

BITS = Event((4,), 2)
MODEL = MADE(BITS, dist.BernoulliHead(), hidden=(8,), order=(2, 0, 3, 1))
STATES = np.array(list(itertools.product(range(2), repeat=4)), np.int32)
NUM_DRAWS = 8192


@pytest.fixture
def params(key):
    def move(a):
        return a + jax.random.normal(key, a.shape)

    return jax.jit(lambda key: jax.tree.map(move, MODEL.init(key)))(key)


def posterior(params, x, known):
    """p(x | x_known) of all 16 states, and p(x_known), by brute force."""
    p = np.exp(np.asarray(jax.vmap(MODEL.log_prob, (None, 0))(params, STATES), np.float64))
    p = np.where(np.all((x == STATES) | ~known, axis=1), p, 0.0)
    return p / p.sum(), p.sum()


def frequencies(x, weight=None):
    counts = np.bincount(np.asarray(x) @ [8, 4, 2, 1], weight, minlength=16)
    return counts / counts.sum()


def test_with_nothing_known_it_is_a_sample_and_with_all_known_it_is_x(params, key):
    nothing = jnp.zeros(4, jnp.bool_)
    x = completion.complete(MODEL, params, key, jnp.zeros(4, jnp.int32), nothing)
    np.testing.assert_array_equal(x, MODEL.sample(params, key))
    x = completion.complete(MODEL, params, key, jnp.array([1, 0, 1, 1]), ~nothing)
    np.testing.assert_array_equal(x, [1, 0, 1, 1])


def test_elements_known_first_in_the_order_give_exact_conditional_samples(params, key):
    x, known = np.array([1, 0, 0, 0]), np.array([True, False, True, False])
    complete = jax.jit(jax.vmap(lambda k: completion.complete(MODEL, params, k, x, known)))
    drawn = complete(jax.random.split(key, NUM_DRAWS))
    want, _ = posterior(params, x, known)
    # Five standard errors of a frequency.
    tolerance = 5 * np.sqrt(want * (1 - want) / NUM_DRAWS)
    assert np.all(np.abs(frequencies(drawn) - want) <= tolerance)


def test_weights_make_up_for_elements_known_late_in_the_order(params, key):
    x, known = np.array([0, 1, 0, 1]), np.array([False, True, False, True])
    weigh = jax.jit(jax.vmap(lambda k: completion.complete_weighted(MODEL, params, k, x, known)))
    drawn, log_weight = weigh(jax.random.split(key, NUM_DRAWS))
    want, evidence = posterior(params, x, known)
    weight = np.exp(np.asarray(log_weight, np.float64))
    error = weight.std() / np.sqrt(NUM_DRAWS)
    assert abs(weight.mean() - evidence) < 5 * error
    np.testing.assert_allclose(frequencies(drawn, weight), want, atol=0.03)  # 5 errors of 1 / 8192
    np.testing.assert_array_equal(drawn[:, known], np.tile(x[known], (NUM_DRAWS, 1)))


def test_weights_of_elements_known_first_are_the_evidence_with_certainty(params, key):
    x, known = np.array([1, 0, 0, 0]), np.array([True, False, True, False])
    _, log_weight = completion.complete_weighted(MODEL, params, key, x, known)
    np.testing.assert_allclose(np.exp(log_weight), posterior(params, x, known)[1], rtol=1e-5)


def test_a_prefix_is_the_first_elements_of_the_order(params, key):
    got = completion.continue_from(MODEL, params, key, jnp.array([1, 0]))
    x, known = jnp.array([0, 9, 1, 9]), jnp.array([True, False, True, False])
    want = completion.complete(MODEL, params, key, x, known)
    np.testing.assert_array_equal(got, want)
    assert got[2] == 1
    assert got[0] == 0
    empty = completion.continue_from(MODEL, params, key, jnp.zeros(0, jnp.int32))
    np.testing.assert_array_equal(empty, MODEL.sample(params, key))


def test_decoding_changes_the_draws_alone(params, key):
    x, known = jnp.array([0, 1, 0, 0]), jnp.array([False, True, False, False])
    got = completion.complete(MODEL, params, key, x, known, adjust=decoding.greedy)
    assert got[1] == 1
    mode = MODEL.conditionals(params, got).mode()
    np.testing.assert_array_equal(jnp.where(known, mode, got), mode)


def test_real_values_keep_marks_of_what_is_missing_out(key):
    model = MADE(Event((3,)), dist.MixtureOfNormalsHead(2), hidden=(8,))
    x, known = jnp.array([0.5, jnp.nan, jnp.nan]), jnp.array([True, False, False])
    got, log_weight = completion.complete_weighted(model, jax.jit(model.init)(key), key, x, known)
    assert got[0] == 0.5
    assert np.all(np.isfinite(got))
    assert np.isfinite(log_weight)


def test_wrong_shapes_and_types_say_what_would_do(params, key):
    x, known = jnp.zeros(4, jnp.int32), jnp.ones(4, jnp.bool_)
    with pytest.raises(
        ValueError, match=r"complete needs one x of shape \(4,\); got \(2, 4\).*vmap"
    ):
        completion.complete(MODEL, params, key, jnp.zeros((2, 4), jnp.int32), known)
    with pytest.raises(ValueError, match=r"one known of shape \(4,\); got \(3,\)"):
        completion.complete(MODEL, params, key, x, known[:3])
    with pytest.raises(ValueError, match=r"known as bools.*got int32"):
        completion.complete(MODEL, params, key, x, x)
    with pytest.raises(ValueError, match=r"integers in \[0, 2\); got float32"):
        completion.complete(MODEL, params, key, jnp.zeros(4), known)
    with pytest.raises(ValueError, match=r"got values from 0 to 2"):
        completion.complete(MODEL, params, key, jnp.array([0, 0, 2, 0]), known)
    with pytest.raises(ValueError, match=r"prefix of shape \[n\], n <= 4; got \(5,\)"):
        completion.continue_from(MODEL, params, key, jnp.zeros(5, jnp.int32))
    generator = Generator(Event((2,)), MLP((8,), (2,)), latent_dim=3)
    with pytest.raises(TypeError, match=r"complete needs a model with conditionals"):
        completion.complete(generator, {}, key, jnp.zeros(2), jnp.ones(2, jnp.bool_))
