"""Enumeration of spaces, points in them, and noise on parameters, in numpy without compilation."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Event, Params, PyTree
from gm.laws.law import NotApplicable

MAX_STATES = 2**16
MAX_PROBES = 2**12


def perturb(params: Params, rng: np.random.Generator, size: float = 1.0) -> Params:
    """Adds noise to every parameter, since many laws hold by accident if weights are zero.

    The standard deviation is 0.3 for vectors and scalars, and 0.8 / sqrt(fan-in) for matrices and
    kernels, whose last axis is the output, since a sum over inputs adds the noise of all weights.
    """

    def noisy(leaf: Any) -> np.ndarray:
        leaf = np.asarray(leaf)
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        fan_in = math.prod(leaf.shape[:-1])
        scale = 0.3 if leaf.ndim < 2 else min(0.3, 0.8 / math.sqrt(max(fan_in, 1)))
        return (leaf + size * scale * rng.standard_normal(leaf.shape)).astype(leaf.dtype)

    return jax.tree.map(noisy, params)


def points(event: Event, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Values of the event that are independent of a model: uniform, or standard normal."""
    if event.discrete:
        return rng.integers(0, event.num_values, shape).astype(event.dtype)
    return rng.standard_normal(shape).astype(event.dtype)


def given_one(model: Any, context: PyTree, rng: np.random.Generator) -> Any:
    """A conditional model at one random y of a context, an event or a pytree of them."""
    y = jax.tree.map(lambda event: points(event, rng, event.shape), context)
    return core.given(model, y)


def num_states(event: Event) -> float:
    """The number of possible x; infinity for real ones."""
    return event.num_values**event.size if event.discrete else math.inf


def states(event: Event) -> np.ndarray:
    """All K^D states of a discrete event in lexicographic order, [K^D, *event]."""
    if num_states(event) > MAX_STATES:
        raise NotApplicable(f"more than {MAX_STATES} states; take a smaller model")
    x = np.indices((event.num_values,) * event.size).reshape(event.size, -1).T
    return x.reshape(-1, *event.shape).astype(event.dtype)


def number(event: Event, x: np.ndarray) -> np.ndarray:
    """The index in `states` of every x: [N, *event] -> [N]."""
    return x.reshape(len(x), -1).astype(np.int64) @ event.num_values ** np.arange(event.size)[::-1]


def probes(event: Event, rng: np.random.Generator, num: int = 4) -> np.ndarray:
    """Points, and copies of them with one element changed: [1 + S, D, num, *event].

    The first row contains the points themselves. A discrete element is set to every other value, or
    to some of them if there are many; a real one is moved by small and large amounts.
    """
    shifts = event.num_values - 1 if event.discrete else 3
    shifts = max(1, min(shifts, MAX_PROBES // (num * event.size)))
    x = points(event, rng, (num, event.size))
    y = np.broadcast_to(x, (1 + shifts, event.size, num, event.size)).copy()
    for s in range(1, 1 + shifts):
        moved = (x + s) % event.num_values if event.discrete else x + (0.1, 1.0, -3.0)[s - 1]
        for i in range(event.size):
            y[s, i, :, i] = moved[:, i]
    return y.reshape(1 + shifts, event.size, num, *event.shape)
