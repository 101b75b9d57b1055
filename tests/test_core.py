import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm import core
from gm.core import Event

BITS = Event((2, 3), 2)
REALS = Event((3,))


def test_event_tells_its_size_kind_and_dtype():
    assert (BITS.size, BITS.discrete, BITS.dtype) == (6, True, jnp.int32)
    assert (REALS.size, REALS.discrete, REALS.dtype) == (3, False, jnp.float32)
    assert Event((), 2).size == 1


def test_event_of_one_value_is_refused():
    with pytest.raises(ValueError, match="num_values of at least 2"):
        Event((3,), 1)


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
        (REALS, np.zeros(3, int), r"needs real values; got int64.*UniformDequantization"),
        (REALS, np.array([0.0, np.nan, 1.0]), r"needs finite values"),
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


def test_require_says_when_only_the_event_is_missing():
    class Scorer:
        def log_prob(self, params, x):
            return 0.0

    with pytest.raises(TypeError, match=r"missing: event"):
        core.require(Scorer(), core.Density, "nll")


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
