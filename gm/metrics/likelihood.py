"""The mean negative log-likelihood of a model on a whole split."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from gm import core
from gm.core import Array, Batch, Key, Params
from gm.metrics import importance
from gm.metrics.score import Score


def evaluate(
    model: Any,
    params: Params,
    data: Array | np.ndarray | Batch | Iterable[Batch],
    *,
    key: Key | None = None,
    num_samples: int = 1,
    batch_size: int = 256,
    context: str | None = None,
) -> Score:
    r"""Mean of -log p(x) over every example of a split, in nats, with its standard error.

    A model with `log_prob` is scored exactly. A latent-variable model without it gets
    -log (1/K) \sum_k p(x, z_k) / q(z_k | x): with K = 1 the negative ELBO, with K in the
    thousands close to -log p(x). Its expectation is above -log p(x) for every K, so the score's
    kind is "bound" for every K. The standard error is over the draw of the examples.

    The function is compiled once for each model and batch shape; the last batch is padded.
    Each example's key is folded from its place in the split, so the score depends on
    `batch_size` by rounding only.

    Args:
      model: a `core.Density` or a `core.Latent`; hashable.
      params: its parameters.
      data: examples [N, ...], {"x": [N, ...]}, or a finite iterable of {"x": [B, ...]}.
      key: needed by latent-variable models.
      num_samples: K, posterior samples per example; unused where the score is exact.
      batch_size: examples scored at once; never more than the first batch of an iterable.
      context: the entry of the data that a conditional model is given: "label", ...

    Raises:
      TypeError: the model has neither capability.
      ValueError: examples that are not of the model's event, no examples, or no key.
      FloatingPointError: examples whose score is not finite; says how many and which.
    """
    values, exact = negative_log_probs(
        model,
        params,
        data,
        key=key,
        num_samples=num_samples,
        batch_size=batch_size,
        context=context,
    )
    if exact:
        return Score.mean(values)
    return Score.mean(values, kind="bound", num_samples=num_samples)


def negative_log_probs(
    model: Any,
    params: Params,
    data: Array | np.ndarray | Batch | Iterable[Batch],
    *,
    key: Key | None = None,
    num_samples: int = 1,
    batch_size: int = 256,
    context: str | None = None,
) -> tuple[np.ndarray, bool]:
    """What `evaluate` averages: -log p(x) of each example, [N] float64, and whether it is exact."""
    exact = isinstance(model, core.Density)
    if not exact:
        if not isinstance(model, core.Latent):
            core.require(model, core.Density, "evaluate")
        if key is None or num_samples < 1:
            raise ValueError(
                f"evaluate needs a key and num_samples of at least 1, for {type(model).__name__} "
                f"has no log_prob and is scored by posterior samples; got key={key}, "
                f"num_samples={num_samples}."
            )
    score = functools.partial(_log_probs, model, num_samples=None if exact else num_samples)
    values, start = [], 0
    for x, given, count in _batches(model.event, data, batch_size, context):
        numbers = np.arange(start, start + len(x), dtype=np.uint32)
        log_probs = score(params, key, numbers, x, *given)
        values.append(-np.asarray(log_probs, np.float64)[:count])
        start += count
    if not values:
        raise ValueError("evaluate needs at least one example; got none.")
    values = np.concatenate(values)
    _check_finite(values)
    return values, exact


@functools.partial(jax.jit, static_argnames=("model", "num_samples"))
def _log_probs(
    model: Any,
    params: Params,
    key: Key | None,
    index: Array,
    x: Array,
    *given: Array,
    num_samples: int | None,
) -> Array:
    """log p(x | y): [B] for x: [B, ...], exact where num_samples is None."""

    def log_prob(i: Array, x_i: Array, *given_i: Array) -> Array:
        if num_samples is None:
            return model.log_prob(params, x_i, *given_i)
        key_i = jax.random.fold_in(key, i)
        return importance.log_prob(model, params, key_i, x_i, num_samples=num_samples)

    return jax.vmap(log_prob)(index, x, *given)


def _batches(
    event: core.Event, data: Any, batch_size: int, context: str | None
) -> Iterator[tuple[np.ndarray, tuple[np.ndarray, ...], int]]:
    """Batches of one size with their contexts, the last padded, and counts of real examples."""
    if batch_size < 1:
        raise ValueError(f"evaluate needs a batch_size of at least 1; got {batch_size}.")
    whole = hasattr(data, "shape") or isinstance(data, Mapping)
    size = None
    for batch in [data] if whole else data:
        x = np.asarray(batch["x"] if isinstance(batch, Mapping) else batch)
        event.check(x)
        if x.ndim != len(event.shape) + 1:
            raise ValueError(
                f"evaluate needs a batch of examples, [N, {', '.join(map(str, event.shape))}]; "
                f"got one example of shape {x.shape}: give x[None]."
            )
        given = () if context is None else (np.asarray(batch[context]),)
        size = size or min(batch_size, len(x))
        for first in range(0, len(x), size or 1):
            parts = [a[first : first + size] for a in (x.astype(event.dtype), *given)]
            count = len(parts[0])
            padded = [np.concatenate([a, np.repeat(a[-1:], size - count, axis=0)]) for a in parts]
            yield padded[0], tuple(padded[1:]), count


def _check_finite(values: np.ndarray) -> None:
    """Raises FloatingPointError that counts and names the examples without a finite score."""
    (bad,) = np.nonzero(~np.isfinite(values))
    if bad.size:
        shown = ", ".join(f"{i} ({values[i]:g})" for i in bad[:10]) + ", ..." * (len(bad) > 10)
        raise FloatingPointError(
            f"evaluate found {len(bad)} of {len(values)} examples whose -log p(x) is not finite, "
            f"at index {shown}. inf means that the model gives them probability zero; nan, that "
            "its parameters or its arithmetic have failed."
        )
