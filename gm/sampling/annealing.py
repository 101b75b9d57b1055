r"""Annealed importance sampling: the ratio of two normalisers by a path of densities between them.

With unnormalised densities f_0, ..., f_T and kernels that leave them invariant,

    z_0 ~ f_0,  z_t ~ kernel_t(z_{t-1}),    log w = Σ_t log f_t(z_{t-1}) - log f_{t-1}(z_{t-1})
    E w = Z_T / Z_0,    E log w <= log Z_T / Z_0

Neal (2001), "Annealed importance sampling", arXiv:physics/9803008. From an exact sample of f_T the
same chain in reverse has E 1/w = Z_0 / Z_T, so that E log w >= log Z_T / Z_0: bidirectional Monte
Carlo, Grosse, Ghahramani & Adams (2015), arXiv:1511.02543. In expectation the two bracket
the truth.

`forward` and `reverse` take any kernel: Gibbs sampling for a Boltzmann machine, `hmc_kernel` for
real z. Both are for one chain; `jax.vmap` over keys makes many, `log_mean` and `log_harmonic_mean`
are their bounds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

from gm.core import Array, Key, PyTree
from gm.numerics import log_mean_exp
from gm.sampling import hamiltonian

LogDensity = Callable[[PyTree, Array], Array]  # (z, beta) -> log f_beta(z), nats
Kernel = Callable[[Key, PyTree, Array], tuple[PyTree, Array]]  # (key, z, t) -> z, statistic


class Chain(NamedTuple):
    """What one chain gives.

    Attributes:
      z: the last state.
      log_weight: log w, nats.
      statistic: [T], what the kernel says of each transition, such as its acceptance.
    """

    z: PyTree
    log_weight: Array
    statistic: Array


def linear_path(log_start: Callable, log_end: Callable) -> LogDensity:
    """log f_beta = (1 - beta) log f_0 + beta log f_T: the geometric path."""

    def log_density(z: PyTree, beta: Array) -> Array:
        return (1.0 - beta) * log_start(z) + beta * log_end(z)

    return log_density


def sigmoid_schedule(num_steps: int, sharpness: float = 4.0) -> Array:
    """beta_0 = 0, ..., beta_T = 1, dense at both ends: [T + 1].

    Grosse et al. (2015), arXiv:1511.02543, section 6: sigmoid(s (2 t / T - 1)), scaled to [0, 1].

    Args:
      num_steps: T >= 1.
      sharpness: s > 0.

    Raises:
      ValueError: T is below 1.
    """
    if num_steps < 1:
        raise ValueError(f"sigmoid_schedule needs num_steps of at least 1; got {num_steps}.")
    raw = jax.nn.sigmoid(sharpness * jnp.linspace(-1.0, 1.0, num_steps + 1, dtype=jnp.float32))
    return (raw - raw[0]) / (raw[-1] - raw[0])


def hmc_kernel(
    log_density: LogDensity, betas: Array, step_sizes: Array, num_leapfrog: int = 10
) -> Kernel:
    """Hamiltonian Monte Carlo at f_t with its own step size: step_sizes [T], of t = 1, ..., T."""

    def kernel(key: Key, z: PyTree, t: Array) -> tuple[PyTree, Array]:
        def log_f(z: PyTree) -> Array:
            return log_density(z, betas[t])

        return hamiltonian.hmc(key, z, log_f, step_sizes[t - 1], num_leapfrog)

    return kernel


def forward(key: Key, z: PyTree, log_density: LogDensity, betas: Array, kernel: Kernel) -> Chain:
    """The chain from a sample z of f_0 to f_T.

    Args:
      key: one key.
      z: a sample of f_0.
      log_density: (z, beta) -> log f_beta(z).
      betas: [T + 1], from 0 to 1.
      kernel: (key, z, t) -> (z, a statistic), leaves f_t invariant, t = 1, ..., T.
    """
    chex.assert_rank(betas, 1)

    def step(carry: tuple[PyTree, Array], t: Array) -> tuple[tuple[PyTree, Array], Array]:
        z, log_weight = carry
        log_weight = log_weight + log_density(z, betas[t]) - log_density(z, betas[t - 1])
        z, statistic = kernel(jax.random.fold_in(key, t), z, t)
        return (z, log_weight), statistic

    return _run(step, z, log_density, betas, jnp.arange(1, len(betas)))


def reverse(key: Key, z: PyTree, log_density: LogDensity, betas: Array, kernel: Kernel) -> Chain:
    """The chain from an exact sample z of f_T to f_0; each kernel must be reversible.

    The log weight has the sign of the forward chain's: its mean is at least log Z_T / Z_0.
    Arguments are those of `forward`, z apart.
    """
    chex.assert_rank(betas, 1)

    def step(carry: tuple[PyTree, Array], t: Array) -> tuple[tuple[PyTree, Array], Array]:
        z, log_weight = carry
        z, statistic = kernel(jax.random.fold_in(key, t), z, t)
        log_weight = log_weight + log_density(z, betas[t]) - log_density(z, betas[t - 1])
        return (z, log_weight), statistic

    return _run(step, z, log_density, betas, jnp.arange(len(betas) - 1, 0, -1))


def _run(step: Callable, z: PyTree, log_density: LogDensity, betas: Array, order: Array) -> Chain:
    """A chain over the temperatures in their order."""
    zero = jnp.zeros((), jax.eval_shape(log_density, z, betas[0]).dtype)
    (z, log_weight), statistic = jax.lax.scan(step, (z, zero), order)
    return Chain(z, log_weight, statistic)


def tune(
    key: Key,
    z: PyTree,
    log_density: LogDensity,
    betas: Array,
    *,
    num_leapfrog: int = 10,
    start: float = 0.1,
    target: float = 0.65,
    rate: float = 0.1,
) -> Array:
    """Step sizes of Hamiltonian Monte Carlo for each temperature, from chains of their own: [T].

    At each temperature the chains make one transition and the step size is multiplied by
    exp(rate (mean acceptance - target)), then kept between 1e-4 and 10 for the next. The bounds of
    a later run with these step sizes hold, because they do not depend on its chains.

    Args:
      key: one key, not that of the later run.
      z: [C, ...] samples of f_0, one for each chain.
      log_density, betas: as in `forward`.
      num_leapfrog: as in the later run.
      start: the first step size.
      target: the mean acceptance aimed at: 0.65 is best in high dimensions (Neal, 2011).
      rate: of the change.
    """
    hamiltonian.require_real(z, "tune")
    num_chains = len(jax.tree.leaves(z)[0])

    def step(carry: tuple[PyTree, Array], t: Array) -> tuple[tuple[PyTree, Array], Array]:
        z, size = carry
        keys = jax.random.split(jax.random.fold_in(key, t), num_chains)

        def move(key: Key, z: PyTree) -> hamiltonian.Move:
            return hamiltonian.hmc(key, z, lambda z: log_density(z, betas[t]), size, num_leapfrog)

        z, acceptance = jax.vmap(move)(keys, z)
        new = size * jnp.exp(rate * (jnp.mean(acceptance) - target))
        return (z, jnp.clip(new, 1e-4, 10.0)), size

    first = jnp.asarray(start, jnp.float32)
    return jax.lax.scan(step, (z, first), jnp.arange(1, len(betas)))[1]


def log_mean(log_weights: Array) -> Array:
    """log (1/C) Σ_c w_c of forward chains: at most log Z_T / Z_0 in expectation. [C] -> scalar."""
    return log_mean_exp(log_weights)


def log_harmonic_mean(log_weights: Array) -> Array:
    """-log (1/C) Σ_c 1 / w_c of reverse chains: at least log Z_T / Z_0 in expectation.

    Chains that start at one exact sample of f_T, and not at one each, give a valid bound too.
    """
    return -log_mean_exp(-log_weights)
