r"""log p(x) of a latent-variable model between two bounds, by annealed importance sampling.

    E log (1/C) Σ_c w_c  <=  log p(x)  <=  E -log (1/C) Σ_c 1 / w'_c

with C chains w from q(z | x) to p(x, z) by Hamiltonian Monte Carlo, and C chains w' back from an
exact sample of p(z | x): bidirectional Monte Carlo (Grosse, Ghahramani & Adams, 2015,
arXiv:1511.02543; Wu et al., 2017, arXiv:1611.04273, on decoders). An exact sample comes with an x
that the model itself sampled (its z), or from an exact posterior; without one there is no upper
bound. Without intermediate temperatures (num_steps=1) the lower bound is IWAE's.

Step sizes come from `annealing.tune`, with chains of their own, so that both bounds hold as they
would with any fixed step sizes. z is a pytree of real arrays on all of R^D.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from gm import core
from gm.core import Array, Distribution, Key, Params, PyTree
from gm.sampling import annealing, hamiltonian

Start = Callable[[Any, Params, Array], Distribution]  # (model, params, x) -> f_0


class Bracket(NamedTuple):
    """Two stochastic bounds on log p(x) of one example.

    Attributes:
      lower: log (1/C) Σ w, nats.
      upper: -log (1/C) Σ 1 / w' of the reverse chains, nats; None without an exact sample.
      lower_error: standard error of the lower bound as an estimate of log p(x), by the delta
        method, sqrt((C / ESS - 1) / (C - 1)); too small where a few weights have most of the sum.
      effective_sample_size: (Σ w)² / Σ w² of the forward chains, from 1 to C.
      acceptance: mean acceptance probability of the forward chains.
    """

    lower: Array
    upper: Array | None
    lower_error: Array
    effective_sample_size: Array
    acceptance: Array


def from_posterior(model: Any, params: Params, x: Array) -> Distribution:
    """q(z | x): chains start near where they end."""
    return model.encode(params, x)


def from_prior(model: Any, params: Params, x: Array) -> Distribution:
    """p(z): chains start wherever the posterior may be, for a q that misses a part of it."""
    del x
    return model.prior(params)


def estimate(
    model: Any,
    params: Params,
    key: Key,
    x: Array,
    z: PyTree = None,
    *,
    start: Start = from_posterior,
    num_chains: int = 16,
    num_steps: int = 200,
    num_leapfrog: int = 10,
    step_size: float = 0.1,
) -> Bracket:
    """Brackets log p(x) of one example.

    Costs about 2 C T (L + 1) gradients of log p(x, z), or 3 C T (L + 1) with reverse chains; double
    the number of steps until the bracket is as narrow as needed.

    Args:
      model: a `core.Latent` with real z.
      params: its parameters.
      key: one key.
      x: one example.
      z: a sample of p(z | x), such as the z that x was sampled with; None for no upper bound.
      start: (model, params, x) -> the distribution that chains start from.
      num_chains: C, at least 2.
      num_steps: T, temperatures after the first (`annealing.sigmoid_schedule`).
      num_leapfrog: L.
      step_size: the first step size of the tuning run.

    Raises:
      TypeError: the model lacks prior, encode or decode, or z is not real.
      ValueError: fewer than 2 chains, or num_steps or num_leapfrog is below 1.
    """
    core.require(model, core.Latent, "annealed importance sampling")
    if num_chains < 2:
        raise ValueError(
            f"annealed importance sampling needs num_chains of at least 2; got {num_chains}."
        )
    base, prior = start(model, params, x), model.prior(params)
    shapes = jax.eval_shape(base.sample, key)
    hamiltonian.require_real(shapes, "annealed importance sampling")

    def log_joint(z: PyTree) -> Array:
        return prior.log_prob(z) + model.decode(params, z).log_prob(x)

    log_f = annealing.linear_path(base.log_prob, log_joint)
    betas = annealing.sigmoid_schedule(num_steps)
    key_start, key_tune, key_forward, key_reverse = jax.random.split(key, 4)
    firsts = jax.vmap(base.sample)(jax.random.split(key_start, 2 * num_chains))
    of_tuning, of_run = (
        jax.tree.map(lambda leaf, part=part: leaf[part::2], firsts) for part in range(2)
    )
    options = {"num_leapfrog": num_leapfrog}
    sizes = annealing.tune(key_tune, of_tuning, log_f, betas, start=step_size, **options)
    kernel = annealing.hmc_kernel(log_f, betas, sizes, **options)
    chains = jax.vmap(lambda k, z: annealing.forward(k, z, log_f, betas, kernel))(
        jax.random.split(key_forward, num_chains), of_run
    )
    upper = None
    if z is not None:
        back = jax.vmap(lambda k: annealing.reverse(k, z, log_f, betas, kernel).log_weight)
        upper = annealing.log_harmonic_mean(back(jax.random.split(key_reverse, num_chains)))
    return _bracket(chains, upper)


def _bracket(chains: annealing.Chain, upper: Array | None) -> Bracket:
    log_w = chains.log_weight
    count = len(log_w)
    sums = [jax.nn.logsumexp(power * log_w) for power in (1.0, 2.0)]
    size = jnp.exp(2.0 * sums[0] - sums[1])
    error = jnp.sqrt(jnp.maximum(count / size - 1.0, 0.0) / (count - 1))
    return Bracket(annealing.log_mean(log_w), upper, error, size, jnp.mean(chains.statistic))
