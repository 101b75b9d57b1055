"""MADE and FVSBN against NumPy, and sampling in blocks."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import FVSBN, MADE, NADE, CausalModel, DeepNADE, degrees_by_entropy
from gm.networks import MaskedMLP
from gm.sampling import ancestral

IMAGE = Event((2, 3), 2)
ORDER = (5, 0, 3, 1, 4, 2)
MODEL = MADE(IMAGE, dist.BernoulliHead(), hidden=(9,), order=ORDER)


def exact(params):
    return jax.tree.map(lambda a: np.asarray(a, np.float64), params["params"])


def mask(ins, outs, strictly):
    """M of Germain et al. (2015), equations 12 and 13, from the degrees of both sides."""
    return np.array([[a < b if strictly else a <= b for b in outs] for a in ins], float)


def made(p, f, order, degrees, y=None):
    """Raw outputs [D, P] of MADE: equations 9 to 13 and section 4.2 (direct connections).

    f: [D, C]; elements count from 1 in the order, a unit of degree d sees elements 1 .. d + 1.
    """
    num_outputs = p[f"layers_{len(degrees)}"]["bias"].size // len(f)
    place = np.argsort(order) + 1
    ins, outs = np.repeat(place, f.shape[1]), np.repeat(place, num_outputs)
    levels = [ins, *(np.array(layer) + 1 for layer in degrees), outs]
    h = x = f.ravel()
    for n, (a, b) in enumerate(itertools.pairwise(levels)):
        last = n == len(degrees)
        layer = p[f"layers_{n}"]
        h = h @ (layer["kernel"] * mask(a, b, strictly=last)) + layer["bias"]
        if y is not None:
            h = h + y @ p[f"contexts_{n}"]["kernel"] + p[f"contexts_{n}"]["bias"]
        h = h if last else np.maximum(h, 0.0)
    if "shortcut" in p:
        h = h + x @ (p["shortcut"]["kernel"] * mask(ins, outs, strictly=True))
    return h.reshape(len(f), num_outputs)


def bernoulli(logits, x):
    return special.log_expit(np.where(x == 1, logits, -logits)).sum()


def test_fvsbn_is_logistic_regressions_on_the_past(random_params):
    model = FVSBN(IMAGE, dist.BernoulliHead(), order=ORDER)
    params, x = random_params(model.init, scale=1.0), np.array([[1, 0, 1], [1, 0, 1]])
    layer, flat = exact(params)["layers_0"], x.ravel()
    logits = layer["bias"].copy()
    for place, i in enumerate(ORDER):
        logits[i] += sum(layer["kernel"][j, i] * flat[j] for j in ORDER[:place])
    got = jax.jit(model.log_prob)(params, x)
    np.testing.assert_allclose(got, bernoulli(logits, flat), rtol=1e-5)


def test_made_of_one_layer_is_that_of_its_paper(random_params):
    """As many units as elements, so that no shape says which way a weight goes."""
    degrees = ((4, 0, 2, 1, 3, 0),)
    model = MADE(IMAGE, dist.BernoulliHead(), (6,), order=ORDER, degrees=degrees, direct=False)
    params, x = random_params(model.init, scale=1.0), np.array([[1, 0, 1], [1, 0, 1]])
    logits = made(exact(params), x.reshape(6, 1), ORDER, degrees)[:, 0]
    got = jax.jit(model.log_prob)(params, x)
    np.testing.assert_allclose(got, bernoulli(logits, x.ravel()), rtol=1e-5)


def test_made_of_two_layers_is_that_of_its_paper(random_params):
    """Of equal widths and unequal degrees, with direct connections, an order and a context."""
    degrees, order = ((0, 2, 1, 0), (1, 0, 0, 2)), (2, 0, 3, 1)
    event, head = Event((4,), 3), dist.CategoricalHead(3)
    model = MADE(event, head, (4, 4), order=order, degrees=degrees, context=Event((2,)))
    params, rng = random_params(model.init, scale=1.0), np.random.default_rng(0)
    assert "shortcut" in params["params"]
    x, y = rng.integers(0, 3, 4), rng.normal(size=2).astype(np.float32)
    logits = made(exact(params), np.eye(3)[x], order, degrees, y)
    want = special.log_softmax(logits, -1)[np.arange(4), x].sum()
    np.testing.assert_allclose(jax.jit(model.log_prob)(params, x, y), want, rtol=1e-5)


def test_degrees_are_evenly_spaced_and_permuted_by_a_seed():
    def degrees(**options):
        return MADE(
            Event((5,), 2), dist.BernoulliHead(), (8, 8), **options
        ).sized_network.ordering()[1:]

    for layer in degrees():
        np.testing.assert_array_equal(layer, [0, 0, 1, 1, 2, 2, 3, 3])
    samples = [tuple(layer) for seed in (0, 1) for layer in degrees(mask_seed=seed)]
    assert {tuple(sorted(layer)) for layer in samples} == {(0, 0, 1, 1, 2, 2, 3, 3)}
    assert len(set(samples)) == 4  # another permutation in each layer, and by each seed


def test_sampling_by_blocks_takes_the_values_of_the_textbook_sampler(random_params):
    """Each fixed point is complete: one forward pass per element gives the same x."""
    order = tuple(map(int, np.random.default_rng(1).permutation(20)))
    model = MADE(Event((20,), 2), dist.BernoulliHead(), (16,), order=order)
    assert model.samples_blocks
    assert model.sized_network.num_blocks > 1
    params, keys = random_params(model.init, scale=1.0), jax.random.split(jax.random.key(0), 64)
    samplers = jax.vmap(
        lambda k: (model.sample(params, k), ancestral.sample_by_forward_passes(model, params, k))
    )
    by_blocks, by_forward_passes = jax.jit(samplers)(keys)
    np.testing.assert_array_equal(by_blocks, by_forward_passes)
    assert len(np.unique(by_forward_passes, axis=0)) > 16


def test_elements_are_put_back_where_they_came_from():
    x = np.arange(6).reshape(2, 3)
    np.testing.assert_array_equal(ancestral.in_order(MODEL, x), ORDER)
    np.testing.assert_array_equal(ancestral.from_order(MODEL, ancestral.in_order(MODEL, x)), x)


def test_deep_and_shallow_and_linear_models_have_the_parameters_they_state():
    def count(**options):
        model = MADE(Event((10,), 2), dist.BernoulliHead(), **options)
        params = jax.eval_shape(model.init, jax.random.key(0))
        return sum(leaf.size for leaf in jax.tree.leaves(params))

    assert count(hidden=(7,), direct=False) == 10 * 7 + 7 + 7 * 10 + 10
    assert count(hidden=(7,), direct=True) == 10 * 7 + 7 + 7 * 10 + 10 + 100
    assert count(hidden=(7, 5), direct=False) == 77 + 7 * 5 + 5 + 5 * 10 + 10
    assert count(hidden=(), direct=True) == 110


def test_lists_and_arrays_serve_as_well_as_tuples():
    listed = MADE(
        IMAGE, dist.BernoulliHead(), [3], order=np.array(ORDER), degrees=[[0, 1, 2]], mask_seed=1
    )
    tupled = MADE(IMAGE, dist.BernoulliHead(), (3,), order=ORDER, degrees=((0, 1, 2),), mask_seed=1)
    assert listed == tupled
    assert hash(listed) == hash(tupled)


def test_an_order_that_is_no_permutation_is_refused():
    with pytest.raises(ValueError, match=r"order that permutes 0\.\.2"):
        MADE(Event((3,), 2), dist.BernoulliHead(), order=(0, 1, 1))


def test_a_conditional_over_other_values_than_the_data_is_refused():
    with pytest.raises(ValueError, match=r"num_values=17.*got BernoulliHead.*head_for"):
        MADE(Event((3,), 17), dist.BernoulliHead())


def test_floats_given_to_bernoulli_and_a_pixel_of_17_are_refused(random_params):
    with pytest.raises(ValueError, match=r"needs integers in \[0, 2\); got float32"):
        MODEL.log_prob(random_params(MODEL.init), jnp.zeros((2, 3)))
    model = MADE(Event((3,), 17), dist.CategoricalHead(17), hidden=(4,))
    params = random_params(model.init)
    with pytest.raises(ValueError, match=r"\[0, 17\); got values from 0 to 17"):
        model.log_prob(params, jnp.array([0, 17, 3]))
    # Under jit the value is not known in advance; its probability is zero.
    assert jax.jit(model.log_prob)(params, jnp.array([0, 17, 3])) == -jnp.inf


def test_degrees_by_entropy_follow_the_pixels_that_vary_in_the_order_of_the_model():
    x = np.zeros((8, 6), np.uint8)
    x[::2, 1] = x[::2, 3] = 1  # elements 1 and 3 are fair coins, the rest is constant
    assert degrees_by_entropy(x, 2, (4, 2)) == ((1, 1, 3, 3), (1, 3))
    order = (3, 1, 0, 2, 4, 5)
    assert degrees_by_entropy(x, 2, (4,), order) == ((0, 0, 1, 1),)


@pytest.mark.parametrize("degrees", [((0, 1),), ((-1, 0, 2),), ((0, 1, 5),), ((0, 1, 2), (0,))])
def test_degrees_that_do_not_fit_are_refused(degrees):
    with pytest.raises(ValueError, match=r"so many degrees in 0\.\.4"):
        MADE(IMAGE, dist.BernoulliHead(), hidden=(3,), degrees=degrees)


@pytest.mark.parametrize("kind", [MADE, FVSBN, NADE, DeepNADE])
def test_a_model_calls_itself_by_its_name(kind):
    model = kind(Event((3,), 2), dist.BernoulliHead(), order=[2, 0, 1])
    assert type(model) is kind
    assert repr(model).startswith(f"{kind.__name__}(event=Event(shape=(3,), num_values=2)")
    with pytest.raises(ValueError, match=rf"{kind.__name__} needs a head over num_values=4"):
        kind(Event((3,), 4), dist.BernoulliHead())
    with pytest.raises(ValueError, match=rf"{kind.__name__} needs an order"):
        kind(Event((3,), 2), dist.BernoulliHead(), order=(0, 0, 1))


def test_fields_are_what_was_given_and_another_event_has_other_sizes():
    """A network is sized in one place, and no field is changed by it."""
    network = MaskedMLP(hidden=(4,))
    model = CausalModel(Event((3,), 2), dist.BernoulliHead(), network)
    assert model.network is network
    assert model.sized_network.shape == (3,)
    longer = dataclasses.replace(model, event=Event((5,), 2))
    assert longer.sized_network.shape == (5,)
    made = MADE(Event((3,), 2), dist.BernoulliHead(), (4,), mask_seed=3)
    assert dataclasses.replace(made) == made
    again = dataclasses.replace(made, mask_seed=4)
    assert again == MADE(Event((3,), 2), dist.BernoulliHead(), (4,), mask_seed=4)
