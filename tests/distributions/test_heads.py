import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import distributions as dist
from gm.core import Event

HEADS = [
    dist.BernoulliHead(),
    dist.CategoricalHead(5),
    dist.DiscretizedLogisticMixtureHead(256, 4),
    dist.NormalHead(),
    dist.LaplaceHead(min_scale=0.1),
    dist.LogisticHead(),
    dist.MixtureOfNormalsHead(3),
    dist.MixtureOfLaplacesHead(3),
    dist.MixtureOfLogisticsHead(3),
    dist.PoissonHead(),
    dist.NegativeBinomialHead(),
]
every = pytest.mark.parametrize("head", HEADS, ids=lambda head: type(head).__name__)
MIXTURES = [head for head in HEADS if hasattr(head, "num_components")]
SHAPE = (2, 3)


@functools.partial(jax.jit, static_argnums=0)
def score_and_gradient(head, raw, key):
    x = head(raw).sample(key)
    return x, head.features(x), *jax.value_and_grad(lambda raw: head(raw).log_prob(x))(raw)


@every
def test_a_head_keeps_what_it_declares(head, key):
    raw = jax.random.normal(key, (*SHAPE, head.num_params))
    x, features, value, gradient = score_and_gradient(head, raw, key)
    assert x.shape == SHAPE
    assert x.dtype == Event(SHAPE, head.num_values).dtype
    Event(SHAPE, head.num_values).check(x)
    assert features.shape == (*SHAPE, head.num_features)
    assert features.dtype == jnp.float32
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))
    assert np.all(np.any(gradient != 0.0, -1))


@every
def test_a_head_survives_extreme_outputs(head, key):
    """Raw outputs of ±60 give finite scores of samples, and finite gradients."""
    raw = jnp.broadcast_to(jnp.linspace(-1.0, 1.0, head.num_params), (*SHAPE, head.num_params))
    raw = raw * jnp.array([[-60.0], [20.0]])[:, None]
    _, _, value, gradient = score_and_gradient(head, raw, key)
    assert np.isfinite(value)
    assert np.all(np.isfinite(gradient))


@every
def test_heads_are_hashable_and_equal_by_value(head):
    twin = dataclasses.replace(head)
    assert hash(twin) == hash(head)
    assert twin == head


@every
def test_half_precision_outputs_are_scored_in_float32(head):
    raw = jax.ShapeDtypeStruct((*SHAPE, head.num_params), jnp.bfloat16)
    leaves = jax.tree.leaves(jax.eval_shape(head, raw))
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)


@every
def test_a_wrong_number_of_outputs_is_refused(head):
    with pytest.raises(ValueError, match=rf"{type(head).__name__} .*\[\.\.\., {head.num_params}\]"):
        head(jnp.zeros((*SHAPE, head.num_params + 1)))


@pytest.mark.parametrize(
    "head", [h for h in HEADS if h.num_values is not None], ids=lambda h: type(h).__name__
)
def test_floats_given_to_a_discrete_head_are_refused(head):
    with pytest.raises(TypeError, match=rf"{type(head).__name__} needs integers; got float32"):
        head.features(jnp.zeros(SHAPE))


@pytest.mark.parametrize("head", MIXTURES, ids=lambda head: type(head).__name__)
def test_a_mixture_is_not_stuck_in_symmetry_at_zero(head):
    mixture = head(jnp.zeros((1, head.num_params)))
    loc = np.asarray(mixture.components.loc[0])
    m = head.num_components
    np.testing.assert_allclose(loc, (2 * np.arange(m) + 1) / m - 1, atol=1e-6)
    x = jnp.full(1, 17) if head.num_values else jnp.full(1, 0.2)
    gradient = jax.jit(jax.grad(lambda raw: head(raw).log_prob(x)))(jnp.zeros((1, head.num_params)))
    assert len(np.unique(np.asarray(gradient[0, m : 2 * m]))) == m


def test_one_component_sits_at_zero():
    np.testing.assert_array_equal(
        dist.MixtureOfNormalsHead(1)(jnp.zeros((1, 3))).components.loc, np.zeros((1, 1))
    )


def test_scales_start_at_one_above_their_floor_and_never_fall_below_it():
    head = dist.NormalHead(min_scale=0.5)
    scale = head(jnp.array([[0.0, 0.0], [0.0, -1e4], [0.0, 1e4]])).scale
    np.testing.assert_allclose(scale, [1.5, 0.5, 1e4 + 1.0], rtol=1e-4)


@pytest.mark.parametrize("head", MIXTURES, ids=lambda head: type(head).__name__)
def test_scales_of_components_start_at_one_or_share_the_range_of_levels(head):
    """M discretised components over [-1, 1] start with 1/M, or all of them cover all of it."""
    scale = head(np.zeros((1, head.num_params), np.float32)).components.scale
    start = 1.0 / head.num_components if head.num_values else 1.0
    np.testing.assert_allclose(scale, np.full((1, head.num_components), 1e-3 + start), rtol=1e-6)


def test_features_are_what_they_say():
    np.testing.assert_array_equal(
        dist.BernoulliHead().features(jnp.array([0, 1])), np.array([[0.0], [1.0]])
    )
    np.testing.assert_array_equal(
        dist.CategoricalHead(3).features(jnp.array([2, 0])), [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0]]
    )
    np.testing.assert_allclose(
        dist.DiscretizedLogisticMixtureHead(256).features(jnp.array([0, 255], jnp.uint8)),
        [[-1.0], [1.0]],
    )
    np.testing.assert_allclose(
        dist.PoissonHead().features(jnp.array([0, 9])), [[0.0], [np.log(10.0)]], rtol=1e-6
    )
    np.testing.assert_array_equal(dist.NormalHead().features(jnp.array([0.5])), [[0.5]])


def test_head_for_picks_the_usual_head():
    assert dist.head_for(Event((4,), 2)) == dist.BernoulliHead()
    assert dist.head_for(Event((4,), 17), ordered=False) == dist.CategoricalHead(17)
    assert dist.head_for(Event((4,), 17)) == dist.DiscretizedLogisticMixtureHead(17, 10)
    assert dist.head_for(Event((4,)), num_components=5) == dist.MixtureOfNormalsHead(5)
