"""Whole spaces, points in them, and the statistics the laws are checked with."""

from __future__ import annotations

import functools
import inspect
import itertools
import types
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm.core import CAPABILITIES, Array, Event, Key, Params, PyTree, members
from gm.laws.law import NotApplicable, compiled

MAX_STATES = 2**16
NUM_DRAWS = 4096
REACH = 40.0  # quadrature ends here; heavier tails than exp(-|x|) would show


def perturb(params: Params, key: Key) -> Params:
    """Noise on every parameter: many laws hold by accident where weights are zero."""
    leaves, tree = jax.tree.flatten(params)
    # All of it drawn at once: one draw for each leaf takes seconds to compile.
    noise = 0.3 * jax.random.normal(key, (sum(leaf.size for leaf in leaves),))
    ends = np.cumsum([0, *(leaf.size for leaf in leaves)])
    noisy = [
        leaf + noise[first:last].reshape(leaf.shape).astype(leaf.dtype)
        if jnp.issubdtype(leaf.dtype, jnp.floating)
        else leaf
        for leaf, (first, last) in zip(leaves, itertools.pairwise(ends), strict=True)
    ]
    return jax.tree.unflatten(tree, noisy)


def equal(a: PyTree, b: PyTree) -> bool:
    """Whether two trees of arrays are the same, bit for bit."""
    return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool(jnp.array_equal(x, y)), a, b)))


def points(model: Any, key: Key, num: int) -> Array:
    """Points of the event's space that owe nothing to the model, [num, *event]."""
    shape = (num, *getattr(model, "input_shape", model.event.shape))
    if model.event.discrete:
        return jax.random.randint(key, shape, 0, model.event.num_values)
    return jax.random.normal(key, shape)


def given_one(model: Any, key: Key) -> Any:
    """A conditional model at one random y, as a model of x alone; any other model as it is."""
    event = getattr(model, "context", None)
    if event is None:
        return model
    if event.discrete:
        y = jax.random.randint(key, event.shape, 0, event.num_values)
    else:
        y = jax.random.normal(key, event.shape)
    held = {name: getattr(model, name) for name in ("event", "order") if hasattr(model, name)}
    for name in {"init", *(name for c in CAPABILITIES for name in members(c))}:
        method = getattr(model, name, None)
        if callable(method):
            takes_y = "context" in inspect.signature(method).parameters
            held[name] = functools.partial(method, context=y) if takes_y else method
    return _OfX(**held)


class _OfX(types.SimpleNamespace):
    """p(x | y) at one y; hashable, by identity."""

    __hash__ = object.__hash__


def space(event: Event) -> tuple[np.ndarray, np.ndarray]:
    """Every x of a small event, [N, *event], and its weight in a sum, [N].

    All K^D states of a discrete event, in counting order; a quadrature grid for one or two real
    dimensions, fine near zero and reaching far out.
    """
    if event.discrete:
        if event.num_values**event.size > MAX_STATES:
            raise NotApplicable(f"more than {MAX_STATES} states; take a smaller model")
        states = np.indices((event.num_values,) * event.size).reshape(event.size, -1).T
        return states.reshape(-1, *event.shape).astype(np.int32), np.ones(len(states))
    x, weight = grid(event.size)
    return x.reshape(-1, *event.shape), weight


def grid(num_dims: int) -> tuple[np.ndarray, np.ndarray]:
    """A quadrature grid over R or R^2: points [N, num_dims] and weights [N]."""
    if num_dims > 2:
        raise NotApplicable(f"no quadrature in {num_dims} real dimensions; take one or two")
    u = np.linspace(-1.0, 1.0, 4001 if num_dims == 1 else 501)
    bend = 4.0
    x = REACH * np.sinh(bend * u) / np.sinh(bend)
    weight = REACH * bend * np.cosh(bend * u) / np.sinh(bend) * (u[1] - u[0])
    axes = np.stack(np.meshgrid(*[x] * num_dims, indexing="ij"), -1).reshape(-1, num_dims)
    weights = np.prod(np.stack(np.meshgrid(*[weight] * num_dims, indexing="ij"), -1), -1)
    return axes.astype(np.float32), weights.reshape(-1)


@functools.lru_cache(maxsize=4)
def scorer(model: Any) -> Callable[[Params, Array], Array]:
    """log p(x) of a batch, compiled once for all the laws of one model."""
    return compiled(jax.vmap(model.log_prob, (None, 0)))


@functools.lru_cache(maxsize=4)
def sampler(model: Any) -> Callable[[Params, Key], Array]:
    """Samples of a batch of keys, compiled once for all the laws of one model."""
    return compiled(jax.vmap(model.sample, (None, 0)))


def log_probs(model: Any, params: Params, x: np.ndarray) -> np.ndarray:
    """log p(x) at every point, in float64."""
    return np.asarray(scorer(model)(params, x), np.float64)


def draws(model: Any, params: Params, key: Key) -> np.ndarray:
    """NUM_DRAWS samples, [NUM_DRAWS, *event]."""
    return np.asarray(sampler(model)(params, jax.random.split(key, NUM_DRAWS)))


def exact_bounds(model: Any, params: Params, x: Array) -> tuple[float, float]:
    """log p(x) = log ∫ p(x, z) dz and its ELBO ∫ q log (p(x, z) / q) dz, by quadrature over z."""
    shape = jax.eval_shape(lambda p: model.prior(p).sample(jax.random.key(0)), params)
    if not isinstance(shape, jax.ShapeDtypeStruct) or len(shape.shape) != 1:
        raise NotApplicable("the latent is not a vector")
    z, weight = grid(shape.shape[0])

    def log_densities(z: Array) -> tuple[Array, Array]:
        log_joint = model.prior(params).log_prob(z) + model.decode(params, z).log_prob(x)
        return log_joint, model.encode(params, x).log_prob(z)

    log_joint, log_q = (np.asarray(v, np.float64) for v in compiled(jax.vmap(log_densities))(z))
    top = np.max(log_joint)
    log_p = np.log(np.sum(np.exp(log_joint - top) * weight)) + top
    q = np.exp(log_q) * weight
    where = q > 0.0
    return float(log_p), float(np.sum(q[where] * (log_joint - log_q)[where]))


def quantile_edges(x: np.ndarray, mass: np.ndarray, num_cells: int = 8) -> np.ndarray:
    """Edges of cells that hold about the same mass, for a marginal known on a grid."""
    values, place = np.unique(x, return_inverse=True)
    cumulative = np.cumsum(np.bincount(place, weights=mass))
    inner = np.searchsorted(cumulative, np.arange(1, num_cells) / num_cells * cumulative[-1])
    middle = 0.5 * (values[inner] + values[np.minimum(inner + 1, len(values) - 1)])
    return np.concatenate([[-np.inf], np.unique(middle), [np.inf]])


def chi_squared(seen: np.ndarray, expected: np.ndarray) -> tuple[float, int]:
    """Pearson's statistic and its degrees of freedom; cells that expect less than 8 are merged."""
    small = expected < 8.0
    seen = np.append(seen[~small], seen[small].sum())
    expected = np.append(expected[~small], max(expected[small].sum(), 1e-9))
    if expected[-1] < 8.0 and seen[-1] <= 30:  # too few to count as a cell of its own
        seen, expected = seen[:-1], expected[:-1]
    return float(np.sum((seen - expected) ** 2 / expected)), max(len(expected) - 1, 1)
