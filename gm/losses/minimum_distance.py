r"""Minimum-distance estimation: the parameters whose model is nearest to the data.

    argmin_theta D(p_data, p_theta)

Wolfowitz (1957), "The minimum distance method". What D asks of the model decides who may use it:

    of_samples     D of two samples (MMD, energy, Wasserstein, Sinkhorn): a model whose samples are
                   differentiable in its parameters; only samples of the data
    of_densities   an f-divergence (KL, Jensen-Shannon, Hellinger, chi-square, ...): a model with
                   log_prob, and the log density of the data too; for KL alone that is not needed,
                   and it is maximum likelihood (`likelihood`)

Two divergences that agree on what is best where the model can be exact disagree where it cannot:
KL(data || model) covers every mode, its reverse settles on one.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp

from gm.core import Array, Batch, Density, Key, Metrics, Params, Samplable, given, require
from gm.losses import batches
from gm.losses.divergences import FDivergence, estimate_from_both

Distance = Callable[[Array, Array], Array]  # samples [N, ...] and [M, ...] -> scalar


def of_samples(
    model: Samplable,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    distance: Distance,
    num_samples: int | None = None,
) -> tuple[Array, Metrics]:
    """D of the batch and as many samples of the model, whose gradient goes through the samples.

    Unbiased where the distance is (`moments.energy_distance`, `squared_mmd`); the Wasserstein
    distance of small batches prefers models that are too narrow.

    Args:
      model: of real values, its samples differentiable in the parameters: a flow, a generator.
      params: of the model.
      key: of the samples.
      batch: {"x": [B, *event]}
      distance: of two samples, [B, D] and [S, D].
      num_samples: S, by default B.

    Returns:
      The distance, and {"distance"}.

    Raises:
      TypeError: the model cannot sample, or samples integers, which have no gradient.
    """
    require(model, Samplable, "of_samples")
    x, _ = batches.examples(model.event, batch, "of_samples")
    if model.event.discrete:
        raise TypeError(
            "of_samples needs samples that are differentiable in the parameters; "
            f"{type(model).__name__} samples integers. Use a likelihood, or dequantized data."
        )
    keys = jax.random.split(key, len(x) if num_samples is None else num_samples)
    y = jax.vmap(model.sample, (None, 0))(params, keys)
    value = distance(x.reshape(len(x), -1), y.reshape(len(y), -1))
    return value, {"distance": value}


def of_densities(
    model: Density,
    params: Params,
    key: Key,
    batch: Batch,
    *,
    divergence: FDivergence,
    log_density: Callable[[Array], Array],
    from_model: bool = False,
) -> tuple[Array, Metrics]:
    """D_f(data || model), estimated without bias from the batch, or from the model's samples too.

        E_data [(q / p) f(p / q)],   or   E_m [q f(p / q) / m],  m = (p + q) / 2

    p the data's density and q the model's. The first is for KL, which only it leaves without the
    density of the data; elsewhere its variance may be without bound. The second
    (`divergences.estimate_from_both`) is for the others: samples of the model alone would not see
    the modes that it misses, and prefer models that miss them.

    Args:
      model: with log_prob; with samples differentiable in the parameters where they are asked for.
      params: of the model.
      key: of the model's samples.
      batch: {"x": [B, *event]}, samples of the data.
      divergence: D_f(p || q) of `gm.losses.divergences`.
      log_density: log p of one x, of the data, normalised.
      from_model: take samples of the model too, as many as the batch has.

    Returns:
      The divergence, and {"divergence"}.
    """
    require(model, Density, "of_densities")
    x, _ = batches.examples(model.event, batch, "of_densities")

    def log_ratio(x: Array) -> Array:
        log_q = jax.vmap(given(model, None).log_prob, (None, 0))(params, x)
        return jax.vmap(log_density)(x) - log_q

    if from_model:
        require(model, Samplable, "of_densities with from_model")
        keys = jax.random.split(key, len(x))
        y = jax.vmap(model.sample, (None, 0))(params, keys)
        value, _ = estimate_from_both(divergence, log_ratio(x), log_ratio(y))
    else:
        at_x = log_ratio(x)
        value = jnp.mean(divergence.term(jnp.zeros_like(at_x), -at_x))
    return value, {"divergence": value}
