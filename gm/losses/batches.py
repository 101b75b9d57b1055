"""Checks of what losses are given: batches, their context, pairs of samples, probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import Array, Batch, Event, PyTree, takes_context


def examples(event: PyTree, batch: Batch, name: str, *models: Any) -> tuple[PyTree, PyTree]:
    """x and what conditional models are given with it, None where no model takes a context.

    `gm.core.given(model, y)` of one example is then a model of x alone. What a labelled data set
    gives as context is left alone by a model of x alone.

    Args:
      event: of x; or a pytree of events, as of pairs (x, z).
      batch: {"x": [B, *event]}, of every leaf of x, and {"context": y} for p(x | y), leaves
        [B, ...].
      name: who asks, for messages.
      models: the field `context` of each, where it has one, is the space of y.

    Raises:
      TypeError: the batch is not a mapping of arrays: bare arrays, a tuple (x, y).
      ValueError: an entry is missing, x or y is not a batch of its space (labels 1..K for one), or
        the two have different lengths.
    """
    x, count = _of_event(event, batch, name)
    conditional = [model for model in models if takes_context(model)]
    if not conditional:
        return x, None
    spaces = [space for model in conditional if (space := getattr(model, "context", None))]
    if "context" not in batch:
        if not spaces:  # its methods may have a default
            return x, None
        raise ValueError(
            f"{name} needs a batch with an entry 'context' for {type(conditional[0]).__name__}, "
            f"which is conditional on {spaces[0]}; got {', '.join(map(repr, batch))}. Data sets of "
            'gm.data with labels give them as context; of your own: {"x": x, "context": y}.'
        )
    y = batch["context"]
    for space in spaces:
        _check_context(space, y, name)
    for leaf in jax.tree.leaves(y):
        if jnp.shape(leaf)[:1] != (count,):
            raise ValueError(
                f"{name} needs a context for each of {count} examples; got shape {jnp.shape(leaf)}."
            )
    return x, y


def size(x: PyTree) -> int:
    """B, of leaves [B, ...]."""
    return jnp.shape(jax.tree.leaves(x)[0])[0]


def _of_event(event: PyTree, batch: Batch, name: str) -> tuple[PyTree, int]:
    """x, leaves [B, *event], and B."""
    if isinstance(event, Event):
        x = entry(batch, "x", name)
        _check_leaf(event, x, name)
        return x, x.shape[0]
    events, tree = jax.tree.flatten(event)
    x = entry(batch, "x", name, of_arrays=True)
    if jax.tree.structure(x) != tree:
        raise ValueError(f"{name} needs x like {event}; got {jax.tree.structure(x)}.")
    for part, leaf in zip(events, jax.tree.leaves(x), strict=True):
        _check_leaf(part, leaf, name)
    sizes = {jnp.shape(leaf)[0] for leaf in jax.tree.leaves(x)}
    if len(sizes) > 1:
        raise ValueError(f"{name} needs x whose parts have one length; got {sorted(sizes)}.")
    return x, sizes.pop()


def _check_leaf(event: Event, x: Array | np.ndarray, name: str) -> None:
    """ValueError unless x is a batch of the event."""
    event.check(x)
    if x.ndim != len(event.shape) + 1:
        raise ValueError(
            f"{name} needs a batch of examples, [{', '.join(map(str, ('B', *event.shape)))}]; got "
            f"one example of shape {x.shape}: give x[None]."
        )


def entry(batch: Batch, wanted: str, name: str, *, of_arrays: bool = False) -> PyTree:
    """batch[wanted], an array, or a pytree `of_arrays`; `name` asks."""
    if not isinstance(batch, Mapping):
        parts = "x, y" if isinstance(batch, tuple | list) and len(batch) > 1 else "x"
        advice = '{"x": x, "context": y}' if parts == "x, y" else '{"x": x}'
        shape = getattr(batch, "shape", None)
        got = type(batch).__name__ + ("" if shape is None else f" of shape {shape}")
        raise TypeError(f'{name} needs a batch {{"x": [B, ...]}}; got a {got}. Give {advice}.')
    if wanted not in batch:
        raise ValueError(
            f"{name} needs a batch with an entry {wanted!r}; got {', '.join(map(repr, batch))}."
        )
    if not of_arrays and not hasattr(batch[wanted], "shape"):
        raise TypeError(
            f"{name} needs an array for {wanted!r}; got a {type(batch[wanted]).__name__}. "
            "numpy.asarray(...) makes one of numbers."
        )
    return batch[wanted]


def _check_context(space: PyTree, y: PyTree, name: str) -> None:
    """ValueError unless y is of the model's context, an event or a pytree of events."""
    events, tree = jax.tree.flatten(space)
    if jax.tree.structure(y) != tree:
        raise ValueError(f"{name} needs a context like {space}; got {jax.tree.structure(y)}.")
    for event, leaf in zip(events, jax.tree.leaves(y), strict=True):
        if isinstance(event, Event):
            _check_values(event, leaf)


def _check_values(event: Event, y: Array | np.ndarray) -> None:
    """ValueError unless y is of the event; labels from 1 to K are named as what they are.

    Values are checked where they are known, that is outside jit.
    """
    known = not isinstance(y, jax.core.Tracer) and y.size > 0
    if known and event.discrete and jnp.issubdtype(y.dtype, jnp.integer):
        low, high = int(np.min(np.asarray(y))), int(np.max(np.asarray(y)))
        if (low, high) == (1, event.num_values):
            raise ValueError(
                f"context needs integers in [0, {high}); got values from 1 to {high}, counted "
                "from one: give label - 1."
            )
    event.check(y, "context")


def two_samples(name: str, x: Array, y: Array, least: int = 1) -> None:
    """ValueError unless x and y are at least `least` examples of one shape; `name` asks."""
    shapes = jnp.shape(x), jnp.shape(y)
    if not all(shapes):
        raise ValueError(f"{name} needs two samples [N, ...] and [M, ...]; got numbers.")
    if shapes[0][1:] != shapes[1][1:]:
        raise ValueError(
            f"{name} needs samples of one dimension, [N, ...] and [M, ...]; got shapes {shapes[0]} "
            f"and {shapes[1]}."
        )
    if min(shapes[0][0], shapes[1][0]) < least:
        raise ValueError(
            f"{name} needs at least {least} example{'s' * (least > 1)} on both sides; got "
            f"{shapes[0][0]} and {shapes[1][0]}."
        )


def normalised(name: str, **log_probs: Array) -> None:
    """ValueError unless log probabilities [K] sum to one, where values are known; `name` asks."""
    for given, log_p in log_probs.items():
        if isinstance(log_p, jax.core.Tracer):
            continue
        total = float(np.exp(np.asarray(log_p, np.float64)).sum())
        if not abs(total - 1.0) <= 1e-3:
            raise ValueError(
                f"{name} needs log probabilities that sum to one; those of {given} sum to "
                f"{total:.4g}. jax.nn.log_softmax makes such of any numbers."
            )


def weights(name: str, values: Array | None, size: int) -> None:
    """ValueError unless weights are `size` numbers of at least 0 with a positive sum."""
    if values is None:
        return
    if jnp.shape(values) != (size,):
        raise ValueError(f"{name} needs a weight for each of {size}; got {jnp.shape(values)}.")
    if isinstance(values, jax.core.Tracer):
        return
    known = np.asarray(values)
    if not (np.all(known >= 0.0) and 0.0 < known.sum() < np.inf):
        raise ValueError(f"{name} needs weights of at least 0 with a positive sum; got {known}.")
