r"""Decoding: logits processors that change the distribution of an element before it is sampled.

    temperature(t)   p_t(k) ∝ p(k)^(1 / t)
    top_k(k)         p restricted to its k likeliest values
    nucleus(p)       p restricted to the smallest set of likeliest values that holds mass p
    greedy           all mass on the mode

Each is a pure function Distribution -> Distribution, so that they compose (`chain`) and any
ancestral sampler can take one:

    sharper = decoding.chain(decoding.temperature(0.8), decoding.nucleus(0.95))
    x = ancestral.sample(model, params, key, logits_processor=sharper)

A Bernoulli stays a Bernoulli; Categorical, DiscretizedLogistic and mixtures become a Categorical of
normalised log probabilities. All work elementwise on an event of any shape, under `jit` and `vmap`.
Where nothing changes (`temperature(1.0)`, `nucleus(1.0)`, `top_k` of all K values) the distribution
is returned unchanged, with the same samples. The product of processed conditionals is in general
not p(x)^(1/t) of the whole x, because each element is normalised by itself.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm import distributions as dist
from gm.core import Array, Distribution

LogitsProcessor = Callable[[Distribution], Distribution]


def greedy(d: Distribution) -> Distribution:
    """All mass on the likeliest value, the smallest on a tie.

    Args:
      d: over finitely many values.

    Raises:
      TypeError: d is over real values or over all counts.
    """
    return _restrict(d, lambda log_p: _rank(log_p) == 0, "greedy")


def temperature(t: float) -> LogitsProcessor:
    """p_t(k) ∝ p(k)^(1 / t): sharper below 1, flatter above, greedy at 0.

    Args:
      t: the temperature, not negative.

    Returns:
      Distribution -> Distribution, which raises TypeError for real values.

    Raises:
      ValueError: t is negative or not finite.
    """
    if not 0.0 <= t < float("inf"):
        raise ValueError(f"temperature needs a finite t of at least 0 (0 is greedy); got {t}.")
    if t == 0.0:
        return greedy

    def process(d: Distribution) -> Distribution:
        table = _table(d, "temperature")
        if t == 1.0:
            return d
        if isinstance(d, dist.Bernoulli):
            return dist.Bernoulli(d.logits / t)
        # From the largest down, so that a tiny t leaves the mode finite.
        below = table - jnp.max(table, axis=-1, keepdims=True)
        return dist.Categorical(jax.nn.log_softmax(below / t))

    return process


def top_k(k: int) -> LogitsProcessor:
    """p restricted to its k likeliest values, exactly k of them: on a tie smaller values win.

    Fan, Lewis & Dauphin (2018), "Hierarchical neural story generation", arXiv:1805.04833.

    Args:
      k: how many values are kept.

    Returns:
      Distribution -> Distribution, which raises ValueError where k is more than the K values there
      are, TypeError for real values.

    Raises:
      ValueError: k is below 1.
    """
    if k < 1:
        raise ValueError(f"top_k needs k of at least 1; got {k}.")

    def process(d: Distribution) -> Distribution:
        num_values = _table(d, "top_k").shape[-1]
        if k > num_values:
            raise ValueError(f"top_k needs k of at most the {num_values} values; got {k}.")
        return d if k == num_values else _restrict(d, lambda log_p: _rank(log_p) < k, "top_k")

    return process


def nucleus(p: float) -> LogitsProcessor:
    """p restricted to the smallest set of likeliest values whose mass reaches p ("top-p").

    Holtzman, Buys, Du, Forbes & Choi (2020), "The curious case of neural text degeneration",
    arXiv:1904.09751, section 3.1. At least one value is kept; on a tie smaller values win.

    Args:
      p: the mass, in (0, 1].

    Returns:
      Distribution -> Distribution, which raises TypeError for real values.

    Raises:
      ValueError: p is not in (0, 1].
    """
    if not 0.0 < p <= 1.0:
        raise ValueError(f"nucleus needs p in (0, 1]; got {p}.")

    def likeliest(log_p: Array) -> Array:
        rank = _rank(log_p)
        descending = jnp.sort(jnp.exp(log_p), axis=-1, descending=True)
        before = jnp.cumsum(descending, axis=-1) - descending  # mass of all that are likelier
        return jnp.take_along_axis(before < p, rank, axis=-1) | (rank == 0)

    def process(d: Distribution) -> Distribution:
        if p == 1.0:
            _table(d, "nucleus")
            return d
        return _restrict(d, likeliest, "nucleus")

    return process


def chain(*processors: LogitsProcessor) -> LogitsProcessor:
    """Several functions applied in turn, the first one first.

    The order matters: a nucleus of a tempered distribution is another one than tempering a nucleus.
    """

    def process(d: Distribution) -> Distribution:
        for one in processors:
            d = one(d)
        return d

    return process


def _restrict(d: Distribution, kept: Callable[[Array], Array], name: str) -> Distribution:
    """d given that its value is among the kept ones; kept: log p [..., K] -> bools [..., K]."""
    log_p = _table(d, name)
    logits = jnp.where(kept(log_p), log_p, -jnp.inf)
    if isinstance(d, dist.Bernoulli):
        # The logits themselves where both values are kept, for the table has rounded them.
        both = jnp.all(kept(log_p), axis=-1)
        return dist.Bernoulli(jnp.where(both, d.logits, logits[..., 1] - logits[..., 0]))
    return dist.Categorical(jax.nn.log_softmax(logits))


def _rank(log_p: Array) -> Array:
    """The rank of every value among the K, the likeliest 0; smaller values first on a tie."""
    return jnp.argsort(jnp.argsort(log_p, axis=-1, descending=True, stable=True), axis=-1)


def _table(d: Distribution, name: str) -> Array:
    """log P(x = k) of every element and value, [..., K]; TypeError where there is no such table."""
    if isinstance(d, dist.Categorical):
        return d.log_probs
    num_values = _num_values(d)
    if num_values is None:
        raise TypeError(
            f"{name} needs a distribution over finitely many values: Bernoulli, Categorical, "
            f"DiscretizedLogistic, or a mixture of them; got {type(d).__name__}. For counts take "
            "gm.distributions.tabulate(d, shape, num_values) first; for real values narrow the "
            "distribution's scale."
        )
    shape = jax.eval_shape(lambda d: d.sample(jax.random.key(0)), d).shape
    return dist.tabulate(d, shape, num_values).log_probs


def _num_values(d: Distribution) -> int | None:
    """K, or None where values are real or have no bound."""
    if isinstance(d, dist.Mixture):
        return _num_values(d.components)
    return 2 if isinstance(d, dist.Bernoulli) else getattr(d, "num_values", None)
