import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import core
from gm import distributions as dist
from gm.core import Event
from gm.models.autoregressive import MADE
from gm.networks import MLP, ResidualMLP

BITS = Event((2, 3), 2)
REALS = Event((3,))


def test_event_tells_its_size_kind_and_dtype():
    assert (BITS.size, BITS.discrete, BITS.dtype) == (6, True, jnp.int32)
    assert (REALS.size, REALS.discrete, REALS.dtype) == (3, False, jnp.float32)
    assert Event((), 2).size == 1


def test_event_of_one_value_is_refused():
    with pytest.raises(ValueError, match="num_values that are integers of at least 2"):
        Event((3,), 1)


@pytest.mark.parametrize("kind", [np.uint8, np.int8, np.int64, int, np.array])
def test_an_event_computes_in_whole_numbers_whatever_it_is_given(kind):
    """uint8(17) times 16 elements was 16."""
    event = Event([kind(4), kind(4)], kind(17))
    assert event == Event((4, 4), 17)
    assert hash(event) == hash(Event((4, 4), 17))
    assert (event.size, event.vector_size) == (16, 272)
    assert {type(number) for number in (*event.shape, event.num_values)} == {int}


@pytest.mark.parametrize(
    ("shape", "num_values", "message"),
    [
        ((4.0,), 2, r"sizes that are integers of at least 0; got 4\.0"),
        ((True, 4), 2, "got True"),
        ((-1, 4), 2, "got -1"),
        (28, 2, r"a shape like \(28, 28\); got 28"),
        ((4,), 2.0, r"num_values that are integers of at least 2 and at most 2147483648; got 2\.0"),
        ((4,), np.True_, "got np.True_"),
        ((4,), 2**31 + 1, "got 2147483649"),
    ],
)
def test_what_is_no_size_is_refused(shape, num_values, message):
    with pytest.raises(ValueError, match=message):
        Event(shape, num_values)


@pytest.mark.parametrize("x", [np.ones((2, 3), np.uint8), np.zeros((5, 2, 3), bool)])
def test_examples_and_batches_of_integers_in_range_pass(x):
    BITS.check(x)


@pytest.mark.parametrize(
    ("event", "x", "message"),
    [
        (BITS, np.zeros((2, 3)), r"needs integers in \[0, 2\); got float64.*Binarize"),
        (BITS, np.full((2, 3), 2), r"needs integers in \[0, 2\); got values from 2 to 2"),
        (BITS, np.full((2, 3), -1), r"got values from -1 to -1"),
        (Event((1,), 17), np.array([[16], [17]]), r"\[0, 17\); got values from 16 to 17"),
        (BITS, np.zeros((3, 2), int), r"needs shape \(2, 3\) or \[B, 2, 3\]; got \(3, 2\)"),
        (
            Event((), 10),
            np.arange(1, 11),
            r"from 1 to 10\. If they count from 1 to 10, subtract 1\.",
        ),
        (Event((), 10), np.array([0, 10]), r"from 0 to 10\.$"),
        (Event((), 10), np.array([3_000_000_000]), r"got values from 3000000000 to 3000000000"),
        (REALS, np.zeros(3, int), r"needs real values; got int64.*UniformDequantization"),
        (
            REALS,
            np.array([0.0, np.nan, 1.0]),
            r"needs finite values; got 1 of 3 .* first \(nan\) at index \[1\]",
        ),
    ],
)
def test_what_is_not_in_the_event_is_refused_with_what_came(event, x, message):
    with pytest.raises(ValueError, match=message):
        event.check(x)


def test_under_jit_shape_and_dtype_are_still_checked():
    with pytest.raises(ValueError, match="got float32"):
        jax.jit(lambda x: BITS.check(x))(jnp.zeros((2, 3)))
    jax.jit(lambda x: BITS.check(x))(jnp.full((2, 3), 7))


def test_a_known_array_is_checked_inside_jit_too():
    good, bad = jnp.ones((2, 3), jnp.int32), jnp.full((2, 3), 7)
    jax.jit(lambda: BITS.check(good))()
    with pytest.raises(ValueError, match="got values from 7 to 7"):
        jax.jit(lambda: BITS.check(bad))()


def test_require_names_who_needs_what_and_what_came():
    class Sampler:
        event = REALS

        def sample(self, params, key):
            return jnp.zeros(3)

    core.require(Sampler(), core.Samplable, "anyone")
    with pytest.raises(
        TypeError,
        match=r"elbo needs a model with prior, encode, decode; Sampler offers sample "
        r"\(missing: prior, encode, decode\)\.",
    ):
        core.require(Sampler(), core.Latent, "elbo")
    with pytest.raises(TypeError, match="int offers none of gm's capabilities"):
        core.require(3, core.Density, "nll")


def test_require_says_when_only_a_field_is_missing():
    class Scorer:
        def log_prob(self, params, x):
            return 0.0

    with pytest.raises(TypeError, match=r"missing: event"):
        core.require(Scorer(), core.Density, "nll")

    class Unordered:
        event = REALS
        conditionals = start = predict = observe = Scorer.log_prob

    with pytest.raises(TypeError, match=r"missing: order"):
        core.require(Unordered(), core.Autoregressive, "sample")


def test_fields_of_a_frozen_dataclass_are_capabilities_and_are_not_computed():
    @dataclasses.dataclass(frozen=True)
    class Frozen:
        event: Event

        def log_prob(self, params, x):
            return 0.0

        @property
        def network(self):
            raise AssertionError("computed")

    assert isinstance(Frozen(REALS), core.Density)
    core.require(Frozen(REALS), core.Density, "nll")
    assert not isinstance(Frozen(REALS), core.Samplable)


class Conditional:
    context = Event((2,), 300)


def test_a_context_is_one_hot_whatever_its_integers_are():
    for y in ([0, 255], np.array([0, 255], np.uint8), jnp.array([0, 255])):
        vector = np.asarray(core.context_vector(Conditional(), y))
        np.testing.assert_array_equal(np.flatnonzero(vector), [0, 555])
    with pytest.raises(ValueError, match=r"one context of shape \(2,\); got \(3, 2\)"):
        core.context_vector(Conditional(), np.zeros((3, 2), int))
    with jax.enable_x64(True):
        assert core.context_vector(Conditional(), np.array([0, 255])).dtype == np.float32


@pytest.mark.parametrize("label", [300, -1, np.int64(2**40)])
def test_a_label_outside_the_space_is_refused_where_it_is_known_and_nan_where_it_is_not(label):
    """A one-hot of zeros was a label of its own, and scored without a word."""
    with pytest.raises(ValueError, match=rf"context needs integers in \[0, 300\).* {label}"):
        core.context_vector(Conditional(), np.array([0, label]))
    if abs(label) < 2**31:
        unknown = jax.jit(lambda y: core.context_vector(Conditional(), y))(jnp.array([7, label]))
        assert np.all(np.isfinite(unknown[:300]))
        assert np.all(np.isnan(unknown[300:]))


def test_a_conditional_model_scores_an_impossible_label_as_nan_under_jit(key):
    model = MADE(Event((3,), 2), dist.BernoulliHead(), hidden=(4,), context=Event((), 10))
    params = jax.jit(model.init)(key)
    x, labels = jnp.zeros((4, 3), jnp.int32), jnp.array([9, 10, 11, -1])
    log_prob = jax.jit(jax.vmap(model.log_prob, (None, 0, 0)))(params, x, labels)
    np.testing.assert_array_equal(np.isfinite(log_prob), [True, False, False, False])
    with pytest.raises(ValueError, match=r"context needs integers in \[0, 10\)"):
        model.log_prob(params, x[0], labels[1])


def test_lists_in_a_configuration_become_tuples():
    network = MLP([8, 8], [2, 3])
    assert network == MLP((8, 8), (2, 3))
    assert hash(network) == hash(MLP((8, 8), (2, 3)))
    assert hash(ResidualMLP(8, 2, [3])) == hash(ResidualMLP(8, 2, (3,)))


@dataclasses.dataclass(frozen=True)
class Part:
    name: str
    dtype: type = jnp.float32


class Pair(NamedTuple):
    left: Part
    right: int


@dataclasses.dataclass(frozen=True)
class Whole:
    event: Event
    part: Part
    parts: tuple[Part, ...] = ()
    pair: Pair | None = None
    scale: float = 1.0


WHOLE = Whole(REALS, Part("a"), (Part("b"), Part("c")), Pair(Part("d"), 3))


def test_in_precision_sets_every_dtype_and_nothing_else():
    half = jnp.bfloat16
    want = Whole(
        REALS, Part("a", half), (Part("b", half), Part("c", half)), Pair(Part("d", half), 3)
    )
    got = core.in_precision(WHOLE, half)
    assert got == want
    assert got.event is REALS
    assert type(got.pair) is Pair
    assert WHOLE.part.dtype == jnp.float32  # the model itself is as it was


@pytest.mark.parametrize("dtype", [jnp.bfloat16, "bfloat16", jnp.dtype(jnp.bfloat16)])
def test_in_precision_hashes_by_value_however_the_dtype_is_said(dtype):
    half = core.in_precision(WHOLE, dtype)
    assert len({half, core.in_precision(WHOLE, jnp.bfloat16), WHOLE}) == 2
    assert {core.in_precision(half, np.float32)} == {WHOLE}


def test_in_precision_says_when_nothing_in_a_model_has_a_dtype():
    with pytest.raises(TypeError, match=r"some part of it; Whole has none\. Networks of gm\.netw"):
        core.in_precision(Whole(REALS, part=None), jnp.bfloat16)
    with pytest.raises(TypeError, match="int has none"):
        core.in_precision(3, jnp.bfloat16)


def test_in_precision_refuses_integers():
    with pytest.raises(ValueError, match=r"needs a floating dtype; got int8\. jnp\.bfloat16"):
        core.in_precision(WHOLE, jnp.int8)


def test_jit_tells_pytrees_of_one_shape_by_their_class():
    """With structures that compare equal, a fifth of these calls ran another class's program."""

    @jax.jit
    def value(tree):
        return tree.plus()

    def make(i):
        name, field = f"Tree{i}", {"x": jax.Array}
        plus = {"__annotations__": field, "plus": lambda self: self.x + i}
        return core.pytree(type(name, (), plus))

    trees = [make(i)(jnp.zeros(())) for i in range(60)]
    structures = {jax.tree.structure(tree) for tree in trees}
    assert len(structures) == 60
    assert all(a is b or a != b for a in structures for b in structures)
    assert [int(value(tree)) for tree in trees for _ in range(2)] == [i // 2 for i in range(120)]


def test_a_pytree_is_frozen_keeps_what_is_static_and_is_replaced():
    @core.pytree
    class Pair:
        x: jax.Array
        size: int = core.static(default=3)

    pair = Pair(jnp.ones(2))
    assert jax.tree.leaves_with_path(pair)[0][0] == (jax.tree_util.GetAttrKey("x"),)
    assert jax.tree.map(lambda x: 2 * x, pair).size == 3
    assert pair.replace(size=4).size == 4
    assert jax.tree.structure(pair) != jax.tree.structure(pair.replace(size=4))
    with pytest.raises(AttributeError):
        pair.x = 0


@dataclasses.dataclass(frozen=True)
class Shifted:
    """log p(x | y) = -(x - y)^2, and a method that takes no y."""

    event: Event = Event(())
    network: MLP = MLP((2,), ())

    def log_prob(self, params, x, context=None):
        return -((x - (0.0 if context is None else context["shift"])) ** 2)

    def sample(self, params, key):
        return 3.0


def test_a_model_given_a_context_is_a_model_of_x_alone():
    model = Shifted()
    assert core.given(model, None) is model
    one = core.given(model, {"shift": 2.0})
    assert one.log_prob(None, 5.0) == -9.0
    assert one.sample(None, None) == 3.0
    assert one.network is model.network  # which is called with a context of its own
    assert isinstance(one, core.Density)
    assert isinstance(one, core.Samplable)
    assert not isinstance(one, core.Latent)
    with pytest.raises(TypeError, match=r"needs a model with score; Shifted offers sample, log_p"):
        core.require(one, core.Critic, "a test")
    with pytest.raises(TypeError, match="Idle takes no context"):
        core.given(Idle(), 1)


class Idle:
    def sample(self, params, key):
        return 0.0


def test_networks_of_an_unconditional_model_take_no_context():
    assert core.context_inputs(Idle(), None) == ()
    (y,) = core.context_inputs(Labelled(), jnp.array(1))
    np.testing.assert_array_equal(y, [0.0, 1.0, 0.0])
    assert core.example_context(Idle()) is None
    assert core.example_context(Labelled()).dtype == jnp.int32


class Labelled:
    context = Event((), 3)
