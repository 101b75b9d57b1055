r"""Bound certificate: every bound on log p(x) of one model, in order, on the same examples.

    ELBO  <=  IWAE_K  <=  annealed, forward  <=  log p(x)  <=  annealed, reverse

The first inequality holds on any samples; the outer bounds of log p(x) hold in expectation; the
forward annealed bound is above IWAE's in practice, not by a theorem. `Certificate.gaps` gives the
mean of each difference with its standard error.

    found = certificate(model, params, key, num_examples=16)      # x ~ model, so that reverse holds
    print(found)
    plot.curves(found.lines(), "example", "nats")
"""

from __future__ import annotations

import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from gm import core
from gm import distributions as dist
from gm.core import Array, Key, Params, PyTree
from gm.losses import variational
from gm.metrics import annealed
from gm.metrics.score import Score, with_error


class Certificate(NamedTuple):
    """Bounds of log p(x) for N examples, nats.

    Attributes:
      elbo: mean log weight, [N].
      iwae: importance-weighted bound of the same K samples, [N].
      lower: of annealed chains, [N]; None for discrete z.
      exact: log p(x), [N]; None where neither the model nor an enumeration of z gives it.
      upper: of reverse annealed chains, [N]; None without exact samples of the posterior.
      effective_sample_size: of the annealed chains, [N]; None for discrete z.
      acceptance: of the annealed chains, [N]; None for discrete z.
    """

    elbo: np.ndarray
    iwae: np.ndarray
    lower: np.ndarray | None = None
    exact: np.ndarray | None = None
    upper: np.ndarray | None = None
    effective_sample_size: np.ndarray | None = None
    acceptance: np.ndarray | None = None

    def bounds(self) -> dict[str, np.ndarray]:
        """Those that there are, in their order: name -> [N]."""
        named = {
            "ELBO": self.elbo,
            "IWAE": self.iwae,
            "annealed, forward": self.lower,
            "exact": self.exact,
            "annealed, reverse": self.upper,
        }
        return {name: values for name, values in named.items() if values is not None}

    def means(self) -> dict[str, Score]:
        """The mean of each bound over the examples, with its standard error."""
        kinds = {"exact": "exact"}
        return {
            name: Score.mean(values, kind=kinds.get(name, "bound"))
            for name, values in self.bounds().items()
        }

    def gaps(self) -> dict[str, Score]:
        """Each bound minus the one below it: means of paired differences, standard errors."""
        pairs = list(self.bounds().items())
        return {
            f"{above} - {below}": Score.mean(b - a, kind="estimate")
            for (below, a), (above, b) in itertools.pairwise(pairs)
        }

    def lines(self) -> dict[str, tuple[np.ndarray, np.ndarray]]:
        """Each bound less the best value known, examples in the order of that value.

        The best value is the exact one, else the forward annealed bound, else IWAE.
        """
        bounds = self.bounds()
        best = next(v for v in (self.exact, self.lower, self.iwae) if v is not None)
        order, index = np.argsort(best), np.arange(len(best))
        return {name: (index, (v - best)[order]) for name, v in bounds.items()}

    def __str__(self) -> str:
        rows = [f"{'nats':20} {'mean':>18}   above the bound before it"]
        gaps = [None, *self.gaps().values()]
        for (name, score), gap in zip(self.means().items(), gaps, strict=True):
            above = "" if gap is None else with_error(gap.value, gap.standard_error)
            rows.append(f"{name:20} {with_error(score.value, score.standard_error):>18}   {above}")
        return "\n".join(rows)


def certificate(
    model: Any,
    params: Params,
    key: Key,
    x: Array | None = None,
    z: PyTree = None,
    *,
    num_examples: int = 16,
    num_samples: int = 64,
    **annealing: Any,
) -> Certificate:
    """Bounds of log p(x) for examples of data, or for examples that the model samples.

    Args:
      model: a `core.Latent`; hashable.
      params: its parameters.
      key: one key.
      x: [N, *event]; by default samples of the model with their z, which are exact samples of the
        posterior.
      z: leaves [N, ...], one exact sample of p(z | x) for each x, where there is one.
      num_examples: N, where x is not given.
      num_samples: K, of ELBO and IWAE.
      **annealing: num_chains, num_steps, num_leapfrog, step_size and start of `annealed.estimate`.

    Raises:
      TypeError: the model lacks prior, encode or decode.
      ValueError: K or N is below 1, or z is given without x.
    """
    core.require(model, core.Latent, "certificate")
    if num_samples < 1 or num_examples < 1 or (x is None and z is not None):
        raise ValueError(
            "certificate needs num_samples and num_examples of at least 1, and z only with its x; "
            f"got {num_samples}, {num_examples}, x={'None' if x is None else 'given'}."
        )
    key_x, key_bounds = jax.random.split(key)
    if x is None:
        x, z = _simulated(model, params, jax.random.split(key_x, num_examples))
    keys = jax.random.split(key_bounds, len(x))
    options = tuple(sorted(annealing.items()))
    found = _bounds(model, params, keys, jnp.asarray(x), z, num_samples, options)
    return Certificate(*(None if v is None else np.asarray(v, np.float64) for v in found))


@functools.partial(jax.jit, static_argnames="model")
def _simulated(model: Any, params: Params, keys: Key) -> tuple[Array, PyTree]:
    """(x, z) ~ p(x, z), one for each key."""

    def one(key: Key) -> tuple[Array, PyTree]:
        key_z, key_x = jax.random.split(key)
        z = model.prior(params).sample(key_z)
        return model.decode(params, z).sample(key_x), z

    return jax.vmap(one)(keys)


@functools.partial(jax.jit, static_argnames=("model", "num_samples", "annealing"))
def _bounds(
    model: Any, params: Params, keys: Key, x: Array, z: PyTree, num_samples: int, annealing: tuple
) -> tuple[Array | None, ...]:
    """The fields of a Certificate."""
    of_z = jax.eval_shape(lambda x: model.encode(params, x).sample(jax.random.key(0)), x[0])
    real = all(jnp.issubdtype(leaf.dtype, jnp.floating) for leaf in jax.tree.leaves(of_z))

    def of_example(key: Key, x: Array, z: PyTree) -> tuple[Array | None, ...]:
        key_weights, key_chains = jax.random.split(key)
        log_w = variational.log_weights(model, params, key_weights, x, num_samples)
        pair = jnp.mean(log_w), variational.iwae_bound(log_w)
        if not real:
            return *pair, None, _exact(model, params, x, enumerated=True), None, None, None
        found = annealed.estimate(model, params, key_chains, x, z, **dict(annealing))
        exact = _exact(model, params, x, enumerated=False)
        return (
            *pair,
            found.lower,
            exact,
            found.upper,
            found.effective_sample_size,
            found.acceptance,
        )

    with jax.default_matmul_precision("highest"):
        return jax.vmap(of_example)(keys, x, z)


def _exact(model: Any, params: Params, x: Array, enumerated: bool) -> Array | None:
    """log p(x) by the model itself or by a sum over all z; None where neither is possible."""
    if isinstance(model, core.Density):
        return model.log_prob(params, x)
    if not enumerated:
        return None
    prior = model.prior(params)
    try:
        z = dist.enumerate_support(prior)
    except (TypeError, ValueError):  # not of finite support, or of too many values
        return None
    log_joint = jax.vmap(lambda z: prior.log_prob(z) + model.decode(params, z).log_prob(x))(z)
    return jax.nn.logsumexp(log_joint)
