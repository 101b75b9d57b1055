import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE, degrees_by_entropy, walk

IMAGE = Event((2, 3), 2)
ORDER = (5, 0, 3, 1, 4, 2)
MODEL = MADE(IMAGE, dist.BernoulliHead(), hidden=(9,), order=ORDER)


def randomized(model, key):
    def move(a):
        return a + 0.3 * jax.random.normal(key, a.shape)

    return jax.jit(lambda key: jax.tree.map(move, model.init(key)))(key)


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        MADE(Event((5,), 4), dist.CategoricalHead(4), hidden=(8, 6)),
        MADE(Event((3,)), dist.MixtureOfNormalsHead(2), hidden=(8,), direct=False),
    ],
    ids=["Bernoulli", "Categorical", "mixture of Normals"],
)
def test_walk_draws_what_the_naive_sampler_draws_from_the_same_key(model, key):
    params, keys = randomized(model, key), jax.random.split(key, 32)
    walked = jax.jit(jax.vmap(lambda k: walk.sample(model, params, k)))(keys)
    naive = jax.jit(jax.vmap(lambda k: walk.sample_by_passes(model, params, k)))(keys)
    np.testing.assert_allclose(walked, naive, atol=1e-4)
    assert walked.shape == (32, *model.event.shape)


def test_elements_are_put_back_where_they_came_from():
    x = jnp.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(walk.in_order(MODEL, x), ORDER)
    np.testing.assert_array_equal(walk.from_order(MODEL, walk.in_order(MODEL, x)), x)


def test_first_element_of_the_order_is_drawn_without_looking(key):
    params = randomized(MODEL, key)
    first = [
        dist.element(MODEL.conditionals(params, x), IMAGE.shape, ORDER[0]).logits
        for x in (jnp.zeros((2, 3), jnp.int32), jnp.ones((2, 3), jnp.int32))
    ]
    assert first[0] == first[1]
    start = MODEL.predict(params, MODEL.start(params)).logits
    np.testing.assert_allclose(start, first[0], rtol=1e-6)


def test_every_later_conditional_depends_on_every_earlier_element(key):
    """Nothing is masked in vain: flipping element i moves all that come after it."""
    params = randomized(MODEL, key)
    x = jax.random.randint(key, (2, 3), 0, 2)
    logits = MODEL.conditionals(params, x).logits.reshape(-1)[jnp.array(ORDER)]
    for i, element in enumerate(ORDER):
        y = x.reshape(-1).at[element].add(1) % 2
        moved = MODEL.conditionals(params, y.reshape(2, 3)).logits.reshape(-1)[jnp.array(ORDER)]
        assert np.all(np.abs(moved - logits)[i + 1 :] > 1e-6)


def test_deep_and_shallow_and_linear_models_have_the_parameters_they_state(key):
    def count(**options):
        params = MADE(Event((10,), 2), dist.BernoulliHead(), **options).init(key)
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    assert count(hidden=(7,), direct=False) == 10 * 7 + 7 + 7 * 10 + 10
    assert count(hidden=(7,), direct=True) == 10 * 7 + 7 + 7 * 10 + 10 + 100
    assert count(hidden=(7, 5), direct=False) == 77 + 7 * 5 + 5 + 5 * 10 + 10
    assert count(hidden=(), direct=True) == 110


def test_an_order_that_is_no_permutation_is_refused():
    with pytest.raises(ValueError, match=r"order that permutes 0\.\.2"):
        MADE(Event((3,), 2), dist.BernoulliHead(), order=(0, 1, 1))


def test_a_conditional_over_other_values_than_the_data_is_refused():
    with pytest.raises(ValueError, match=r"num_values=17.*got BernoulliHead.*head_for"):
        MADE(Event((3,), 17), dist.BernoulliHead())


def test_floats_given_to_bernoulli_and_a_pixel_of_17_are_refused(key):
    with pytest.raises(ValueError, match=r"needs integers in \[0, 2\); got float32"):
        MODEL.log_prob(jax.jit(MODEL.init)(key), jnp.zeros((2, 3)))
    model = MADE(Event((3,), 17), dist.CategoricalHead(17), hidden=(4,))
    with pytest.raises(ValueError, match=r"\[0, 17\); got values from 0 to 17"):
        model.log_prob(jax.jit(model.init)(key), jnp.array([0, 17, 3]))
    # Under jit the value is not known in advance; its probability is zero.
    assert jax.jit(model.log_prob)(jax.jit(model.init)(key), jnp.array([0, 17, 3])) == -jnp.inf


def test_degrees_by_entropy_follow_the_pixels_that_vary_in_the_order_of_the_model():
    x = np.zeros((8, 6), np.uint8)
    x[::2, 1] = x[::2, 3] = 1  # elements 1 and 3 are fair coins, the rest is constant
    assert degrees_by_entropy(x, 2, (4, 2)) == ((1, 1, 3, 3), (1, 3))
    order = (3, 0, 1, 2, 4, 5)
    assert degrees_by_entropy(x, 2, (4,), order) == ((0, 0, 2, 2),)


@pytest.mark.parametrize("degrees", [((0, 1),), ((-1, 0, 2),), ((0, 1, 5),), ((0, 1, 2), (0,))])
def test_degrees_that_do_not_fit_are_refused(degrees):
    with pytest.raises(ValueError, match=r"so many degrees in 0\.\.4"):
        MADE(IMAGE, dist.BernoulliHead(), hidden=(3,), degrees=degrees)
