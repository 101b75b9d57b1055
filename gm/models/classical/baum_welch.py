r"""Baum-Welch: expectation maximization of a hidden Markov model.

The expected numbers of starts, of transitions and of visits to each state, given the data, are what
the next parameters are frequencies of:

    p(z_t = i, z_t+1 = j | x) ∝ p(z_t = i | x_≤t) exp(A_ij + b_t+1,j) p(x_>t+1 | z_t+1 = j)

They are also the gradient of log p(x) in the logarithms of the parameters.
"""

from __future__ import annotations

import functools
from typing import Any

import jax
import jax.numpy as jnp

from gm.core import Array, Key, Metrics, Params
from gm.models.classical import em, forward_backward, mixture
from gm.numerics import log_softmax, log_sum_exp

CHUNK = 64  # examples whose transitions are counted at once
_LEAST = 1e-6  # visits; the transitions of a state that has fewer stay as they are


def expected(
    log_start: Array, log_transition: Array, log_likelihood: Array, length: Array, parallel: bool
) -> tuple[Array, Array, Array]:
    """log p(x), p(z_t | x) [T, K], zero from `length` on, and expected transitions [K, K].

    Args:
      log_start, log_transition, log_likelihood, parallel: as in `forward_backward.predicted`.
      length: how many times are observed; the log likelihoods of the others are zero.
    """
    times = jnp.arange(len(log_likelihood), dtype=jnp.int32)
    log_p = forward_backward.predicted(log_start, log_transition, log_likelihood, parallel)
    after = forward_backward.backward(log_transition, log_likelihood, parallel)
    visits = jnp.exp(forward_backward.normalized(log_p + log_likelihood + after))
    visits = jnp.where((times < length)[:, None], visits, 0.0)
    arriving = log_likelihood + after
    # p(z_t+1 | x) has the same sum as the pairs that lead there.
    sums = log_sum_exp(log_p + arriving)
    filtered = forward_backward.normalized(log_p + log_likelihood)
    pairs = filtered[:-1, :, None] + log_transition[None] + (arriving - sums[:, None])[1:, None, :]
    counted = (times[1:] < length) & (sums[1:] > -jnp.inf)
    pairs = jnp.where(counted[:, None, None], jnp.exp(pairs), 0.0)
    log_prob = jnp.sum(log_sum_exp(log_p + log_likelihood))
    return log_prob, visits, jnp.sum(pairs, axis=0)


def step(model: Any, params: Params, x: Array, w: Array, lengths: Array) -> tuple[Params, Metrics]:
    """As `HiddenMarkovModel.fit_step`."""
    log_start, log_transition = (
        log_softmax(params[name]) for name in ("log_start", "log_transition")
    )

    def one(inputs: tuple[Array, Array]) -> tuple[Array, Array, Array]:
        x, length = inputs
        log_likelihood = model._log_likelihood(params, x, length)
        return expected(log_start, log_transition, log_likelihood, length, model.parallel)

    log_prob, visits, pairs = jax.lax.map(one, (x, lengths), batch_size=min(CHUNK, len(x)))
    share = (w[:, None, None] * visits).reshape(-1, model.num_states)
    rows = jnp.asarray(x, jnp.float32).reshape(-1, model.emissions.size)
    starts = jnp.tensordot(w, visits[:, 0], 1, precision="highest")
    moves = jnp.tensordot(w, pairs, 1, precision="highest")
    new = {
        "log_start": _frequencies(starts[None], params["log_start"][None], model.smoothing)[0],
        "log_transition": _frequencies(moves, params["log_transition"], model.smoothing),
        "emissions": model.emissions.maximize(params["emissions"], rows, share),
    }
    return new, {"log_prob": jnp.dot(w, log_prob) / jnp.sum(w)}


def _frequencies(counts: Array, log_p: Array, smoothing: float) -> Array:
    """Logarithms of frequencies of rows [..., K]; zeros stay, and rows without counts.

    What becomes impossible by rounding has 1e-30, so that a step has a finite distance.
    """
    total = jnp.sum(counts, axis=-1, keepdims=True)
    counts = jnp.where(log_p > -jnp.inf, counts + smoothing, 0.0)
    p = counts / jnp.maximum(jnp.sum(counts, axis=-1, keepdims=True), 1e-30)
    new = jnp.where(log_p > -jnp.inf, jnp.log(jnp.maximum(p, 1e-30)), -jnp.inf)
    return jnp.where(total + smoothing < _LEAST, log_p, new)


@functools.partial(jax.jit, static_argnames=("model",))
def maximize(
    model: Any,
    key: Key,
    observed: tuple[Array, Array],
    x: Array,
    w: Array,
    lengths: Array,
    num_steps: int,
    tolerance: float,
) -> tuple[Params, Array]:
    """The end of one start, and its mean log-likelihood.

    Args:
      model: a `HiddenMarkovModel`.
      key: of the start.
      observed: [M, D], what is observed at any time of any example, and weights [M].
      x, w, lengths: of the examples, [N, *event] and [N].
      num_steps, tolerance: as in `HiddenMarkovModel.fit`.
    """
    key_centers, key_init = jax.random.split(key)
    rows, weights = observed
    centers = mixture.far_apart(key_centers, rows, weights, model.num_states)
    begun = model.init(key_init) | {"emissions": model.emissions.around(centers, rows)}
    return em.iterate(lambda p: step(model, p, x, w, lengths), begun, num_steps, tolerance)
