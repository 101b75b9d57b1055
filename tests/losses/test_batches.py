"""What every loss says of a batch that is none."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gm.core import Event
from gm.losses import batches

EVENT = Event((3,), 4)
X = np.zeros((2, 3), np.int32)


class Conditional:
    context = Event((), 10)


def examples(batch, context=None):
    return batches.examples(EVENT, batch, "a loss", Conditional(), context)


def test_what_a_conditional_model_needs_is_found_in_the_batch():
    label = np.array([0, 9])
    x, y = examples({"x": X, "label": label, "else": None}, "label")
    assert x is X
    assert y is label
    assert examples({"x": X, "context": label})[1] is label
    assert examples({"x": X})[1] is None
    several = {"time": label, "place": np.zeros((2, 5))}
    assert batches.examples(EVENT, {"x": X, "context": several}, "a loss")[1] is several


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (X, r'a loss needs a batch \{"x": .*; got a ndarray of shape \(2, 3\). Give \{"x": x\}'),
        ((X, X), r'got a tuple. Give \{"x": x, "context": y\}'),
        ([X], r'got a list. Give \{"x": x\}'),
        ({"x": [[0, 1, 2]]}, "needs an array for 'x'; got a list"),
    ],
    ids=["array", "tuple", "list", "numbers"],
)
def test_what_is_no_mapping_of_arrays_is_refused(batch, message):
    with pytest.raises(TypeError, match=message):
        examples(batch)


@pytest.mark.parametrize(
    ("batch", "context", "message"),
    [
        ({"image": X}, None, "an entry 'x'; got 'image'"),
        ({"x": X[0]}, None, r"\[B, 3\]; got one example of shape \(3,\): give x\[None\]"),
        ({"x": X + 4}, None, r"x needs integers in \[0, 4\); got values from 4 to 4"),
        ({"x": X}, "label", "an entry 'label'; got 'x'"),
        ({"x": X, "label": np.arange(3)}, "label", r"a label for each of 2 .*; got shape \(3,\)"),
        ({"x": X, "label": np.array([0, 10])}, "label", r"label needs .*\[0, 10\); got .* 0 to 10"),
        ({"x": X, "label": np.array([-1, 3])}, "label", r"label needs .*; got values from -1 to 3"),
        ({"x": X, "label": np.array([1, 10])}, "label", r"counted from one: give label - 1"),
    ],
    ids=["no x", "one example", "values", "no y", "lengths", "eleventh", "negative", "from one"],
)
def test_a_batch_of_another_space_is_refused(batch, context, message):
    with pytest.raises(ValueError, match=message):
        examples(batch, context)


def test_under_jit_shapes_are_checked_and_values_are_not():
    @jax.jit
    def length(x, label):
        return len(examples({"x": x, "label": label}, "label")[1])

    assert length(jnp.zeros((2, 3), jnp.int32), jnp.array([1, 10])) == 2
    with pytest.raises(ValueError, match="label needs shape"):
        length(jnp.zeros((2, 3), jnp.int32), jnp.zeros((2, 2), jnp.int32))
