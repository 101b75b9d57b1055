"""What every loss says of a batch that is none."""

from typing import ClassVar

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


class Unconditional:
    context = None


class Several:
    context: ClassVar = {"time": Event((), 10), "place": Event((5,))}


class Own:
    """Without the field, but with a method that takes it."""

    def log_prob(self, params, x, context=None):
        return 0.0


def examples(batch, *models):
    return batches.examples(EVENT, batch, "a loss", *(models or [Conditional()]))


def test_what_a_conditional_model_needs_is_found_in_the_batch():
    label = np.array([0, 9])
    x, y = examples({"x": X, "context": label, "else": None})
    assert x is X
    assert y is label
    assert examples({"x": X, "context": label}, Unconditional(), Conditional())[1] is label
    assert examples({"x": X, "context": label}, Own())[1] is label
    assert examples({"x": X}, Own())[1] is None
    several = {"time": label, "place": np.zeros((2, 5), np.float32)}
    assert examples({"x": X, "context": several}, Several())[1] is several


def test_labels_are_no_matter_to_a_model_of_x_alone():
    """A labelled data set trains unconditional models too."""
    for model in (Unconditional(), object()):
        assert examples({"x": X, "context": np.array([0, 90])}, model)[1] is None


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
    ("batch", "message"),
    [
        ({"image": X}, "an entry 'x'; got 'image'"),
        ({"x": X[0]}, r"\[B, 3\]; got one example of shape \(3,\): give x\[None\]"),
        ({"x": X + 4}, r"x needs integers in \[0, 4\); got values from 4 to 4"),
        ({"x": X}, r"'context' for Conditional, which is conditional on Event\(.*; got 'x'. Data"),
        ({"x": X, "context": np.arange(3)}, r"a context for each of 2 .*; got shape \(3,\)"),
        ({"x": X, "context": {"a": X}}, r"needs a context like Event\("),
        ({"x": X, "context": np.array([0, 10])}, r"context needs .*\[0, 10\); got .* 0 to 10"),
        ({"x": X, "context": np.array([-1, 3])}, r"context needs .*; got values from -1 to 3"),
        ({"x": X, "context": np.array([1, 10])}, r"counted from one: give label - 1"),
    ],
    ids=["x", "one example", "values", "no y", "lengths", "tree", "eleventh", "negative", "one"],
)
def test_a_batch_of_another_space_is_refused(batch, message):
    with pytest.raises(ValueError, match=message):
        examples(batch)


def test_under_jit_shapes_are_checked_and_values_are_not():
    @jax.jit
    def length(x, label):
        return len(examples({"x": x, "context": label})[1])

    assert length(jnp.zeros((2, 3), jnp.int32), jnp.array([1, 10])) == 2
    with pytest.raises(ValueError, match="context needs shape"):
        length(jnp.zeros((2, 3), jnp.int32), jnp.zeros((2, 2), jnp.int32))
