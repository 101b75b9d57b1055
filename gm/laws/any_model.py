"""What holds for every model, and for every model that draws or learns."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm.core import Array, Key, Params
from gm.laws import spaces
from gm.laws.law import LawBroken, compiled, demand
from gm.losses import variational


def model_is_a_value(model: Any, params: Params, key: Key) -> None:
    """A frozen dataclass with hashable fields, whose init is a function of its key."""
    del params
    same = dataclasses.replace(model)
    demand(model == same, "a copy is not equal to it")
    try:
        hash(model)
    except TypeError as error:
        raise LawBroken(f"{error}; make it a frozen dataclass of hashable fields") from None
    demand(hash(model) == hash(same), "a copy has another hash")
    init = compiled(model.init)
    first, second = init(key), init(key)
    demand(spaces.equal(first, second), "two calls of init with one key differ")


def sampling_is_a_function_of_its_key(model: Any, params: Params, key: Key) -> None:
    """Same key, same x, inside the event's space; another key, another x."""
    x = spaces.draws(model, params, key)
    model.event.check(x)
    shape = x.shape[1:]
    demand(shape == model.event.shape, f"x has shape {shape}, not {model.event.shape}")
    demand(spaces.equal(x, spaces.draws(model, params, key)), "one key gave two samples")
    demand(bool(np.any(x != x[:1])), f"{len(x)} keys gave the same sample")


def gradients_reach_every_parameter(model: Any, params: Params, key: Key) -> None:
    """No leaf of the parameters is cut off from what the model computes."""
    keys = jax.random.split(key, 16)

    def output(params: Params) -> Array:
        if isinstance(model, core.Implicit):
            x = jax.vmap(lambda k: model.generate(params, model.prior(params).sample(k)))(keys)
            return jnp.sum(jnp.sin(x))
        x = spaces.points(model, key, 16)
        if isinstance(model, core.Critic):
            return jnp.sum(jnp.sin(jax.vmap(model.score, (None, 0))(params, x)))
        if isinstance(model, core.Density):
            return jnp.sum(jax.vmap(model.log_prob, (None, 0))(params, x))
        weights = jax.vmap(lambda k, x: variational.log_weights(model, params, k, x, 2))
        return jnp.sum(weights(keys, x))

    grads = compiled(jax.grad(output))(params)
    for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
        name = jax.tree_util.keystr(path)
        demand(bool(jnp.all(jnp.isfinite(leaf))), f"the gradient of {name} is not finite")
        demand(bool(jnp.any(leaf != 0.0)), f"no gradient reaches {name}")
