r"""What the latents of a model are worth: active units, aggregated posterior, mutual information.

    active_units       Var_x E_q[z_k | x], and how many exceed a threshold
    aggregated         KL(q(z) || p(z)) and I_q(x; z), with q(z) = (1/N) Σ_n q(z | x_n)

    (1/N) Σ_n KL(q(z | x_n) || p(z)) = I_q(x; z) + KL(q(z) || p(z))

Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519, appendix C (active units); Hoffman & Johnson
(2016), "ELBO surgery". `gm.metrics.disentanglement` compares codes with known factors.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm import distributions as dist
from gm.core import Array, Key, Params, PyTree
from gm.metrics.score import Score


class ActiveUnits(NamedTuple):
    """How much the posterior's mean of each latent moves with x.

    Attributes:
      variance: Var_x E_q[z_k | x] of each latent: a pytree like z, float64.
      active: the number of latents whose variance exceeds the threshold, in each leaf of z.
      total: latents in each leaf of z.
    """

    variance: PyTree
    active: PyTree
    total: PyTree


class Aggregated(NamedTuple):
    """The posterior averaged over the data.

    Attributes:
      marginal_kl: KL(q(z) || p(z)), nats, kind "estimate".
      mutual_information: I_q(x; z), nats, at most log N.
      kl: their sum, the mean over x of KL(q(z | x) || p(z)), nats.
    """

    marginal_kl: Score
    mutual_information: Score
    kl: Score


def active_units(
    model: Any,
    params: Params,
    key: Key,
    x: Array,
    *,
    threshold: float = 0.01,
    num_samples: int = 32,
) -> ActiveUnits:
    """Counts latents whose posterior mean varies over the data; the others are collapsed.

    Posteriors without a method `mean` (a `dist.Joint`'s deeper layers, flows) are averaged over
    samples in two halves, whose covariance over x has no bias of the sampling noise.

    Args:
      model: a `core.Latent`; hashable.
      params: its parameters.
      key: one key, for posteriors without a `mean`.
      x: [N, *event], N >= 2.
      threshold: of the variance; 0.01 in Burda et al.
      num_samples: samples for each x, even, where they are needed.

    Raises:
      TypeError: the model lacks prior, encode or decode.
      ValueError: fewer than two examples.
    """
    core.require(model, core.Latent, "active_units")
    if len(x) < 2:
        raise ValueError(f"active_units needs at least 2 examples; got {len(x)}.")
    keys = jax.random.split(key, len(x))
    halves = _posterior_means(model, params, keys, jnp.asarray(x), num_samples)

    def variance(first: Array, second: Array) -> np.ndarray:
        a, b = (np.asarray(half, np.float64) for half in (first, second))
        return np.sum((a - a.mean(0)) * (b - b.mean(0)), axis=0) / (len(a) - 1)

    found = jax.tree.map(variance, *halves)
    active = jax.tree.map(lambda v: int(np.sum(v > threshold)), found)
    return ActiveUnits(found, active, jax.tree.map(lambda v: int(v.size), found))


@functools.partial(jax.jit, static_argnames=("model", "num_samples"))
def _posterior_means(
    model: Any, params: Params, keys: Key, x: Array, num_samples: int
) -> tuple[PyTree, PyTree]:
    """Two estimates of E_q[z | x] with independent errors, which are none if it is known."""

    def one(key: Key, x: Array) -> tuple[PyTree, PyTree]:
        q = model.encode(params, x)
        if hasattr(q, "mean"):
            return q.mean(), q.mean()
        z = jax.vmap(q.sample)(jax.random.split(key, num_samples))
        half = num_samples // 2
        return tuple(
            jax.tree.map(lambda leaf, part=part: jnp.mean(leaf[part].astype(jnp.float32), 0), z)
            for part in (slice(0, half), slice(half, 2 * half))
        )

    return jax.vmap(one)(keys, x)


def aggregated(
    model: Any, params: Params, key: Key, x: Array, *, num_samples: int = 1
) -> Aggregated:
    """KL of the aggregated posterior from the prior, and the information that z has of x.

    The N posteriors are mixed exactly: N² S values of log q(z | x). Of the N given examples as they
    are: as estimates of the data distribution's, KL is too high and information too low (at most
    log N). Standard errors are over the z of each x.

    Args:
      model: a `core.Latent`; hashable.
      params: its parameters.
      key: one key.
      x: [N, *event], N >= 2.
      num_samples: S, samples of z for each x.

    Raises:
      TypeError: the model lacks prior, encode or decode.
      ValueError: fewer than two examples, or S is below 1.
    """
    core.require(model, core.Latent, "aggregated")
    if len(x) < 2 or num_samples < 1:
        raise ValueError(
            "aggregated needs at least 2 examples and num_samples of at least 1; got "
            f"{len(x)} and {num_samples}."
        )
    keys = jax.random.split(key, len(x))
    terms = _aggregated_terms(model, params, keys, jnp.asarray(x), num_samples)
    log_q, log_mixture, log_p = (np.asarray(term, np.float64) for term in terms)
    mean = functools.partial(Score.mean, kind="estimate", num_samples=num_samples)
    return Aggregated(
        mean((log_mixture - log_p).mean(1)),
        mean((log_q - log_mixture).mean(1)),
        mean((log_q - log_p).mean(1)),
    )


@functools.partial(jax.jit, static_argnames=("model", "num_samples"))
def _aggregated_terms(
    model: Any, params: Params, keys: Key, x: Array, num_samples: int
) -> tuple[Array, Array, Array]:
    """log q(z | x_n), log q(z) and log p(z) of samples z of each q(. | x_n): [N, S] each."""
    p = model.prior(params)

    def one(inputs: tuple[Key, Array]) -> tuple[Array, Array, Array]:
        key, x_n = inputs
        q = model.encode(params, x_n)
        z = jax.vmap(q.sample)(jax.random.split(key, num_samples))

        def mixture(z: PyTree) -> Array:
            each = jax.vmap(lambda other: model.encode(params, other).log_prob(z))(x)
            return jax.nn.logsumexp(each) - jnp.log(len(x))

        return jax.vmap(q.log_prob)(z), jax.vmap(mixture)(z), jax.vmap(p.log_prob)(z)

    return jax.lax.map(one, (keys, x))


def kl_per_latent(model: Any, params: Params, x: Array) -> Array:
    """Mean over x of KL(q(z_k | x) || p(z_k)) of every latent, nats, in closed form: like z.

    Args:
      model: a `core.Latent` whose prior and posterior have independent elements of one type.
      params: its parameters.
      x: [N, *event].

    Raises:
      TypeError: the model lacks prior, encode or decode, or there is no closed form by elements.
    """
    core.require(model, core.Latent, "kl_per_latent")
    p = model.prior(params)
    return jnp.mean(jax.vmap(lambda x: dist.element_kl(model.encode(params, x), p))(x), axis=0)
