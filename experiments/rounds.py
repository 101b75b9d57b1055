"""Training on small data as one program: rounds of updates, and the best of validation kept.

This file is no script: the experiments beside it call it.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import options

from gm import train
from gm.core import Key, Params
from gm.losses import likelihood, order_agnostic
from gm.models.autoregressive import Ensemble

STEPS = 200  # of a round


@functools.partial(jax.jit, static_argnames=("c", "scored"))
def fit(c: options.Rounds, scored: Any, key: Key, x: np.ndarray, validation: np.ndarray) -> Params:
    """The parameters that, of those after each round, score best on the validation examples."""
    many, one = order_agnostic.order_agnostic_nll, likelihood.negative_log_likelihood
    model, loss = (scored.model, many) if isinstance(scored, Ensemble) else (scored, one)
    schedule = optax.cosine_decay_schedule(c.learning_rate, c.num_rounds * STEPS)
    optimizer = train.with_ema(optax.adamw(schedule, weight_decay=c.weight_decay), 0.99)

    def step(state, key):
        params, opt_state = state
        key_batch, key_loss = jax.random.split(key)
        batch = {"x": x[jax.random.randint(key_batch, (c.batch_size,), 0, len(x))]}
        grads = jax.grad(lambda p: loss(model, p, key_loss, batch)[0])(params)
        updates, opt_state = optimizer.update(grads, opt_state, params)
        return (optax.apply_updates(params, updates), opt_state), None

    def one_round(carry, key):
        state, best, least = carry
        state, _ = jax.lax.scan(step, state, jax.random.split(key, STEPS))
        averaged = train.averaging.averaged(*state)
        nats = -jnp.mean(jax.vmap(scored.log_prob, (None, 0))(averaged, validation))
        best = jax.tree.map(lambda new, old: jnp.where(nats < least, new, old), averaged, best)
        return (state, best, jnp.minimum(nats, least)), nats

    key_init, key_train = jax.random.split(key)
    params = model.init(key_init)
    carry = (params, optimizer.init(params)), params, jnp.array(jnp.inf)
    return jax.lax.scan(one_round, carry, jax.random.split(key_train, c.num_rounds))[0][1]
